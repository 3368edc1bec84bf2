"""Fuzzing of every reader of the product: what is fed to which, and what must not come of it (`fuzz_parsers.py`)."""
