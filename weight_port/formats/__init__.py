"""Formats of other programs, each read and written without that program, and without running anything of a file."""
