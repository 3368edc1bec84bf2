"""Export of weights of MFST in the layout of another program."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from mfst_jax import checkpoints
from mfst_jax.checkpoints import file_kinds, safetensors_files, stored, weight_names
from mfst_jax.errors import InputError, reason
from mfst_jax.params import Contents
from mfst_jax.whole_files import check_free, put, replacing, working_folder
from weight_port import containers, name_tables, rules
from weight_port.conversion import merge
from weight_port.formats import matconvnet, tf1_bundles, torch_files
from weight_port.reading import Source, name_of
from weight_port.rules import Table

Layout = Literal["torch-siamfc", "torchvision-alexnet", "tf1", "matconvnet", "safetensors"]
"""Layouts that `export` writes; `safetensors` is our own layout, in one file."""

Arrays = dict[str, np.ndarray]
Writer = Callable[[Path, Arrays, dict[str, Any]], None]
"""Function that writes arrays and our metadata to a path."""
_BRANCHES = {
    "siamfc": "SiamFC",
    "siamfc_se": "the SE-blocks of SiamFC",
    "alexnet": "AlexNet",
    "alexnet_se": "the SE-blocks of AlexNet",
}
_SIAMFC_BIAS = "detection/biases"
"""Bias of the response of SiamFC in TensorFlow; MFST has one for each layer."""
_RESPONSE_FACTOR = 1e-3
"""Scale of SiamFC's response, where the weights do not come with a factor of their own."""


@dataclass(frozen=True)
class _Format:
    """How to write one layout.

    Attributes:
      table: Table of the layout.
      needs: Branch without which there is nothing to write; "" where any will do.
      write: Function that writes the file.
      complete: Function that adds the tensors that the layout has and MFST has not.
    """

    table: Table
    needs: str
    write: Writer
    complete: Callable[[Arrays, Contents], Arrays] = lambda arrays, contents: arrays


def export(
    source: str | Path | Source,
    out: str | Path,
    to: Layout | str,
    *,
    legacy: bool = False,
    prefix: str | None = None,
) -> list[str]:
    """Writes the weights of `source` to `out` in another program's layout.

    What the layout has no place for is left out; what MFST has no place for (the scale of SiamFC's response, counts of
    batches) is as in the file that the weights once came from, or else neutral. A file carries our metadata where its
    format lets it, which no other program minds.

    Args:
      source: anything that `weight_port.read` reads, or what it returned.
      out: the file to write, replaced if it exists; for `tf1` what the names of its files begin with (`model.ckpt-0`).
        PyTorch's layouts become a safetensors file where it ends in `.safetensors`, else one as torch.save writes it.
      to: the layout.
      legacy: writes PyTorch's layouts in the format from before PyTorch 1.6.
      prefix: which copy of the network to take, as for `weight_port.read`.

    Returns:
      Remarks on what was left out or made up, a line each.

    Raises:
      SourceError, InputError: as `merge`; the weights lack what the layout is about; `out` cannot be written, or is no
        file that `legacy` is for.
    """
    out = _prefix(Path(out)) if to == "tf1" else Path(out)
    if legacy and (to not in ("torch-siamfc", "torchvision-alexnet") or out.suffix == checkpoints.SUFFIX):
        raise InputError(f"legacy: expected a layout of PyTorch, and a file as torch.save writes it, found {to}, {out}")
    check_free(out)
    params, provenance = merge([source], prefix=prefix)
    if to == "safetensors":
        if out.suffix != checkpoints.SUFFIX:
            raise InputError(f"{out}: expected a name that ends in {checkpoints.SUFFIX}, found {out.suffix!r}")
        checkpoints.save(params, out, provenance=provenance)
        return []
    chosen = _format(to, out, legacy=legacy)
    arrays, name = weight_names.flatten(params.variables), name_of(source)
    if chosen.needs and not any(weight_names.branch_of(name) == chosen.needs for name in arrays):
        raise InputError(f"{name}: expected {_BRANCHES[chosen.needs]} for {to}, found {params.contents.describe()}")
    if params.contents.siamfc_variant == "alexnet" and to in ("torch-siamfc", "matconvnet", "tf1"):
        raise InputError(f"{name}: expected SiamFC's own network as S for {to}, found {params.contents.describe()}")
    notes: list[str] = []
    if to == "tf1" and params.contents.siamfc_bias:
        arrays = _biases_into_means(arrays)
        notes.append("the biases of SiamFC's conv1-4 went into BN's means: the layout has no place for them")
    if to == "tf1" and (latest := tf1_bundles.latest(out.parent)) not in (None, out.name):
        path, other = out.with_name(tf1_bundles.LATEST), file_kinds.printable(latest or "what it says")
        notes.append(f"left {path} as it is: by it TensorFlow finds {other}, not {out.name}")
    theirs, left = rules.invert(chosen.table, arrays)
    left_out = dict.fromkeys(_BRANCHES[weight_names.branch_of(name)] for name in left)
    notes += [f"left out {branch}: the layout has no place for it" for branch in left_out]
    theirs = chosen.complete(theirs, params.contents)
    kept = _kept(provenance)
    if to == "tf1" and _SIAMFC_BIAS in kept:
        theirs[_SIAMFC_BIAS] = np.zeros(1, np.float32)
    theirs.update({name: np.full_like(theirs[name], value) for name, value in kept.items() if name in theirs})
    metadata = stored.make_metadata(params.contents.config, {**provenance, "layout": to, "notes": notes})
    chosen.write(out, theirs, metadata)
    return notes


def _format(to: str, out: Path, *, legacy: bool) -> _Format:
    torch = _whole(torch_files.write_legacy if legacy else torch_files.write_zip)
    if out.suffix == checkpoints.SUFFIX:
        torch = _whole(safetensors_files.write_safetensors)
    formats = {
        "torch-siamfc": _Format(name_tables.TORCH_SIAMFC, "siamfc", torch, _complete_torch),
        "torchvision-alexnet": _Format(name_tables.TORCHVISION_ALEXNET, "alexnet", torch),
        "tf1": _Format(name_tables.TF1, "", _write_tf1, _complete_tf1),
        "matconvnet": _Format(name_tables.MATCONVNET, "siamfc", _whole(matconvnet.write), _complete_mat),
    }
    if to not in formats:
        raise InputError(f"to: expected one of {', '.join(get_args(Layout))}, found {to!r}")
    return formats[to]


def _whole(write: Writer) -> Writer:
    """Writer like `write`, whose file takes its place only once it is complete."""

    def replace(out: Path, arrays: Arrays, metadata: dict[str, Any]) -> None:
        with replacing(out) as new:
            write(new, arrays, metadata)

    return replace


def _complete_torch(arrays: Arrays, contents: Contents) -> Arrays:
    """Arrays with the biases that siamfc-pytorch's convolutions all have, and its BN layers' counts of batches."""
    for number in name_tables.NORMALISED:
        scale = arrays[f"backbone.conv{number}.1.weight"]
        arrays.setdefault(f"backbone.conv{number}.0.bias", np.zeros_like(scale))
        arrays[f"backbone.conv{number}.1.num_batches_tracked"] = np.zeros((), np.int64)
    return arrays


def _complete_mat(arrays: Arrays, contents: Contents) -> Arrays:
    for number in name_tables.NORMALISED:
        arrays.setdefault(f"conv{number}b", np.zeros_like(arrays[f"bn{number}b"]))
    return arrays | {
        "adjust_f": np.full((1, 1), _RESPONSE_FACTOR, np.float32),
        "adjust_b": np.zeros((1, 1), np.float32),
    }


def _complete_tf1(arrays: Arrays, contents: Contents) -> Arrays:
    """Arrays with the biases of the responses, which a graph restores with the rest, and the count of steps."""
    arrays["global_step"] = np.zeros((), np.int64)
    for letter, present in (("s", contents.siamfc), ("a", contents.alexnet is not None)):
        for number in "345" if present else "":
            arrays[f"detection/biases_{letter}_c{number}"] = np.zeros(1, np.float32)
    return arrays


def _biases_into_means(arrays: Mapping[str, np.ndarray]) -> Arrays:
    """Arrays without the biases before BN: BN of x + bias is BN of x with the mean less by that bias."""
    moved = dict(arrays)
    for number in name_tables.NORMALISED:
        mean = f"batch_stats/siamfc/bn{number}/mean"
        moved[mean] = moved[mean] - moved.pop(f"params/siamfc/conv{number}/bias")
    return moved


def _kept(provenance: Any) -> dict[str, int | float]:
    """Small tensors that sources came with, however far back.

    A provenance may hold whatever its user has put there; what is not as `weight_port` writes it is passed over.
    """
    if not isinstance(provenance, dict):
        return {}
    found: dict[str, int | float] = {}
    sources, kept = provenance.get("sources"), provenance.get("kept")
    for source in sources if isinstance(sources, list | tuple) else ():
        found |= _kept(source)
    for name, values in kept.items() if isinstance(kept, dict) else ():
        for value in values if isinstance(values, list | tuple) else ():
            if type(value) in (int, float) and abs(value) < 2**63:  # any of which int64 and float32 have a place for
                found[name] = value
    return found


def _prefix(out: Path) -> Path:
    """What the names of a bundle's files begin with, where one of them may have been named.

    Raises:
      InputError: it is no name, or that of the list of a folder's bundles.
    """
    name = tf1_bundles.prefix_of(out)
    if name in ("", "..", tf1_bundles.LATEST):
        raise InputError(f"{out}: expected a name for a bundle, such as model.ckpt-0, found {out.name or 'none'}")
    return out.with_name(name)


def _write_tf1(prefix: Path, arrays: Arrays, metadata: dict[str, Any]) -> None:
    """Writes a bundle of several files.

    Each is complete when it gets its name. The index, without which there is no bundle, goes first and comes last, so
    that a process that is killed in between leaves none, and never files of two bundles. The folder's `checkpoint`, the
    list of its bundles, is written where there is none.
    """
    try:
        prefix.parent.mkdir(parents=True, exist_ok=True)
        with working_folder(prefix) as scratch:
            new = scratch / prefix.name
            tf1_bundles.write(new, arrays)
            index = tf1_bundles.index_of(new)
            containers.sidecar(index).write_text(json.dumps(metadata, indent=2))
            (prefix.parent / index.name).unlink(missing_ok=True)
            latest = new.with_name(tf1_bundles.LATEST)
            order = [*sorted({*scratch.iterdir()} - {index, latest}), index]
            if tf1_bundles.latest(prefix.parent) is None:
                order.append(latest)
            for path in order:
                put(path, prefix.parent / path.name)
    except OSError as error:
        raise InputError(f"{prefix}: expected a place to write a bundle, found {reason(error)}") from error
