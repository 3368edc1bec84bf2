"""One experiment a file: the command, the data, and what came of it on top; `RECIPE` below."""
