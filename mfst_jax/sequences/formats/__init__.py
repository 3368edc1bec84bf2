"""Layouts of data sets, one module a family: each has what finds the targets in a folder, and what reads one."""
