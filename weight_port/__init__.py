"""Conversion of weights between MFST and other programs: `read`, `convert`, `export`, `verify`, `fetch`, and `get`."""

from weight_port.assembly import get
from weight_port.conversion import convert, merge
from weight_port.exporting import export
from weight_port.fetching import fetch
from weight_port.problems import SourceError
from weight_port.reading import Source, read
from weight_port.verification import Verification, verify

__all__ = ["Source", "SourceError", "Verification", "convert", "export", "fetch", "get", "merge", "read", "verify"]
