"""Conversion of sources to one checkpoint: read, merge, check, and only then write."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mfst_jax import checkpoints
from mfst_jax.checkpoints import known_weights, weight_names
from mfst_jax.checkpoints.files import check_replaceable
from mfst_jax.config import MODELS
from mfst_jax.errors import InputError
from mfst_jax.params import Params
from mfst_jax.version import __version__
from mfst_jax.whole_files import check_free
from weight_port.problems import SourceError
from weight_port.reading import Source, name_of, read_each


def merge(sources: Sequence[str | Path | Source], *, prefix: str | None = None) -> tuple[Params, dict[str, Any]]:
    """Sources merged into one set of weights, complete and fit for use, as NumPy arrays; and its provenance.

    Of the built-in weights only those backbones are taken that no other source holds. The configuration that a
    checkpoint of ours recommends survives only where it is the one source.

    Args:
      sources: paths as `read` takes them, or what it returned.
      prefix: as for `read`; a source that has no such copy is taken as it is, as long as another has one.

    Raises:
      SourceError: something is wrong with the sources: all that `read` raises, tensors that two of them claim, that
        none of them has, or that have a wrong shape or are not finite. All problems are reported at once.
      InputError: there is no source, or one is named twice.
    """
    if not sources:
        raise InputError("sources: expected at least one, found none")
    names = [name_of(source) for source in sources]
    if again := next((name for name in names if names.count(name) > 1), None):
        raise InputError(f"sources: expected each once, found {again} twice")
    read_sources, problems = read_each(sources, prefix=prefix)
    complete = len(read_sources) == len(sources)
    read_sources = [_to_fill_in(source, read_sources) for source in read_sources]
    arrays, origins, clashes = _join(read_sources)
    contents, faults = weight_names.check(arrays)
    for fault in faults:
        name = fault.split(":")[0]
        if name in origins:
            problems.append(f"{fault} ({origins[name]})")
        elif complete:  # otherwise an unreadable source may be the one that has it
            problems.append(fault)
    problems += clashes
    if contents is None or problems:
        raise SourceError(", ".join(names), problems)
    alone = read_sources[0].config if len(read_sources) == 1 else None  # it was chosen for unmerged weights
    params = Params(weight_names.nest(arrays), dataclasses.replace(contents, config=alone))
    return params, {"tool": f"weight_port {__version__}", "sources": [source.provenance for source in read_sources]}


def convert(sources: Sequence[str | Path | Source], out: str | Path, *, prefix: str | None = None) -> Params:
    """Merges `sources` into one checkpoint at `out` and returns what it wrote, as NumPy arrays.

    Args:
      sources: as for `merge`.
      out: one file where it ends in `.safetensors`, else an Orbax directory, as `checkpoints.save` has it.
      prefix: as for `merge`.

    Raises:
      SourceError, InputError: as `merge` does; nothing was written.
      InputError: `out` cannot be written, holds something that is not a checkpoint, or is called as another program's
        file.
    """
    check_replaceable(Path(out))
    check_free(Path(out))
    params, provenance = merge(sources, prefix=prefix)
    checkpoints.save(params, out, provenance=provenance)
    return params


def _to_fill_in(source: Source, sources: Sequence[Source]) -> Source:
    """Source as it is; of the built-in weights what no other source holds, with a note of what is left out."""
    if source.name != "builtin" or known_weights.is_shadowed("builtin"):
        return source
    held = {weight_names.branch_of(name) for other in sources if other is not source for name in other.arrays}
    left_out = [model for model in MODELS if model in held]
    dropped = {*left_out, *(f"{model}_se" for model in left_out)}
    arrays = {name: array for name, array in source.arrays.items() if weight_names.branch_of(name) not in dropped}
    notes = [*source.provenance["notes"], *(f"left out {model}, which another source holds" for model in left_out)]
    return dataclasses.replace(source, arrays=arrays, provenance={**source.provenance, "notes": notes})


def _join(sources: Sequence[Source]) -> tuple[dict[str, np.ndarray], dict[str, str], list[str]]:
    """Arrays of all sources, the source of each, and a line for every one that two sources claim."""
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
