"""Weights of other programs into MFST's: `read` one source, `convert` several into one checkpoint."""

from weight_port.conversion import Source, convert, read
from weight_port.problems import SourceError

__all__ = ["Source", "SourceError", "convert", "read"]
