"""Following of one source from end to end: what `mfst track` does between its arguments and its files."""
