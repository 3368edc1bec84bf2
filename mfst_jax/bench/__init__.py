"""Timing of the tracker: the command `mfst bench`, and the means that the scripts in benchmarks/ share with it."""
