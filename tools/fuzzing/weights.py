"""Seeds and readers of weights: every format that `weight_port` knows, and checkpoints of ours."""

import argparse
import collections
import datetime
import json
import pickle
import random
import struct
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import safetensors.numpy

import weight_port
from fuzzing.parser import Parser, written_by
from mfst_jax import checkpoints
from mfst_jax.checkpoints import file_kinds, safetensors_files, stored
from mfst_jax.config import override
from mfst_jax.errors import InputError
from mfst_jax.presets import PAPER
from weight_port import containers
from weight_port.formats import crc32c, matconvnet, tf1_bundles, torch_files

METADATA = {"version": 1, "config": None, "provenance": {}}


def tiny(shape: tuple[int, ...]) -> np.ndarray:
    """Small array of a shape, the same each time."""
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def write_bundle(path: Path) -> None:
    """Writes a TensorFlow bundle."""
    arrays = {f"conv{i}/BatchNorm/{leaf}": tiny((2, 3)) for i in range(3) for leaf in ("beta", "gamma")}
    tf1_bundles.write(path.with_suffix(""), arrays | {"global_step": np.array(7), "empty": tiny((0, 4))})


def write_mat(path: Path) -> None:
    """Writes a MAT-file of SiamFC."""
    arrays = {f"conv{i}f": tiny((2, 2, 1, 3)) for i in range(1, 6)} | {"conv5b": tiny((3,))}
    for i in range(1, 5):
        arrays |= {f"bn{i}m": tiny((3,)), f"bn{i}b": tiny((3,)), f"bn{i}x": tiny((3, 2)), f"bn{i}v": tiny((3,))}
    matconvnet.write(path, arrays, METADATA)


def write_compressed_mat(path: Path) -> None:
    """Writes a MAT-file as `save -v7` does: each variable deflated."""
    write_mat(path)
    data = path.read_bytes()
    packed, at = data[:128], 128
    while at < len(data):
        end = at + 8 + struct.unpack_from("<4xI", data, at)[0]
        content = zlib.compress(data[at:end])
        packed, at = packed + struct.pack("<II", 15, len(content)) + content, end
    path.write_bytes(packed)


def read_unverified(path: Path) -> object:
    """Reads a bundle without its checksums, so that changes reach the code after them."""
    with mock.patch.object(crc32c, "verify"):
        return containers.read(path)


def tree() -> dict[str, object]:
    """Tree of arrays as other programs pickle them."""
    return {"net": {f"conv{i}": {"kernel": tiny((2, 2, 1, 3)), "bias": tiny((3,))} for i in range(3)}, "x": [tiny(())]}


def write_pickle(protocol: int) -> Callable[[Path], object]:
    """Function that writes a pickle of `tree()` in a protocol."""
    return lambda path: path.write_bytes(pickle.dumps(tree(), protocol))


def write_npy(path: Path) -> None:
    """Writes an npy file of a pickled tree."""
    with path.open("wb") as file:
        np.save(file, np.array(tree(), dtype=object), allow_pickle=True)


def write_npz(path: Path, *, save: Callable[..., None] = np.savez) -> None:
    """Writes an npz file."""
    with path.open("wb") as file:
        save(file, **{f"conv{i}.kernel": tiny((2, 2, 1, 3)) for i in range(3)})


STATE = {
    f"conv{i}.0.{leaf}": tiny(shape) for i in range(3) for leaf, shape in (("weight", (3, 1, 2, 2)), ("bias", (3,)))
}


def beside() -> dict[str, object]:
    """Objects that training programs keep beside their weights."""
    return {
        "args": argparse.Namespace(rate=0.1, out=Path("/weights")),
        "started": datetime.datetime(2020, 1, 2),
        "meters": collections.defaultdict(list, {"loss": [tiny((3,))]}),
        "last": collections.deque([1, 2], 5),
        "random": [np.random.RandomState(0), random.Random(0).getstate()[1][:5]],
        "names": [np.array(["a", "b"]), np.array([1, None], object), {1, 2}, frozenset("a")],
        "keys": {(1, 2): 3, "x" * 300: tiny((2,))},
    }


def spliced(program: bytes, tree: dict[str, object]) -> bytes:
    """Program of a pickled dictionary, with the items of `tree` added."""
    items = [pickle.dumps(part, 2)[2:-1] for item in tree.items() for part in item]
    return program[:-2] + b"".join(items) + program[-2:]


def write_checkpoint(path: Path) -> None:
    """Writes a checkpoint of a training program: a network and its averages, and objects of many kinds."""
    copies = {f"{copy}/module.{name}": array for copy in ("model", "ema") for name, array in PART.items()}
    torch_files.write_zip(path, {"best_prec1": tiny((1,)), **copies}, METADATA)
    with zipfile.ZipFile(path) as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
    records["archive/data.pkl"] = spliced(records["archive/data.pkl"], beside())
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in records.items():
            archive.writestr(name, content)


def write_old_checkpoint(path: Path) -> None:
    """Writes a checkpoint in the format from before PyTorch 1.6."""
    torch_files.write_legacy(path, PART, METADATA)
    data = path.read_bytes()
    start = data.index(b"\x80\x02ccollections\nOrderedDict")
    end = data.index(b"u.\x80", start) + 2
    path.write_bytes(data[:start] + spliced(data[start:end], beside()) + data[end:])


def write_pickled_tensors(path: Path) -> None:
    """Writes tensors of PyTorch as Python's pickle does: each storage is a file of PyTorch before 1.6."""
    text = [pickle.dumps(word, 2)[2:-1] for word in ("storage", "0", "cpu")]
    storage = b"(" + text[0] + b"ctorch\nFloatStorage\n" + text[1] + text[2] + b"K\x60NtQ."
    head = b"".join(pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}))
    content = head + b"\x80\2" + storage + pickle.dumps(["0"], 2) + struct.pack("<q", 96) + tiny((96,)).tobytes()
    held = b"ctorch.storage\n_load_from_bytes\nB" + struct.pack("<I", len(content)) + content + b"\x85R"
    item = b"ctorch._utils\n_rebuild_tensor_v2\n(" + held + b"K\0K\x60\x85K\1\x85\x89NtR"
    names = b"".join(pickle.dumps(name, 2)[2:-1] + item for name in PART)
    path.write_bytes(spliced(b"\x80\3}(" + names + b"u.", beside()))


PART = {f"conv1.{leaf}": tiny((96,)) for leaf in ("0.bias", "1.weight", "1.running_var")}
"""Some tensors of SiamFC, in the right shapes."""


def write_ours(path: Path) -> None:
    """Writes a safetensors file with our metadata."""
    safetensors_files.write_safetensors(path, STATE, stored.make_metadata(PAPER, {"tool": "x", "sources": []}))


def write_orbax(path: Path) -> None:
    """Writes an Orbax directory as other programs do."""
    from orbax.checkpoint import v1

    tree: Any = {"params": {"conv1": {"kernel": tiny((2, 3)), "bias": tiny((3,))}}}
    v1.save(str(path), tree)


def write_metadata(path: Path) -> None:
    """Writes the JSON object that goes with arrays."""
    path.write_text(json.dumps(stored.make_metadata(PAPER, {"tool": "x", "sources": [{"name": "a"}]}), indent=1))


def read_metadata(path: Path) -> object:
    """Reads that object as checkpoints do, and the configuration as text on a command line."""
    try:
        metadata = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        raise InputError(f"{path}: expected JSON, found something else") from None
    if isinstance(metadata, dict) and isinstance(metadata.get("config"), dict):
        for key, value in metadata["config"].items():
            with suppress(InputError):
                override(PAPER, [f"{key}={value}"])
    return stored.interpret(path, {}, metadata)


def _parser(
    name: str, file: str, *writers: Callable[[Path], object], read: Callable[[Path], object] = containers.read
) -> Parser:
    """Parser of a file of that name, by `weight_port` unless said otherwise."""
    return Parser(
        f"weights: {name}",
        lambda folder: read(folder / file),
        tuple(written_by(file, write) for write in writers),
        share=4,
    )


PARSERS = (
    _parser("TF1 bundle", "x.index", write_bundle),
    _parser("TF1 bundle, checksums ignored", "x.index", write_bundle, read=read_unverified),
    _parser("MAT-file", "x.mat", write_mat, write_compressed_mat),
    _parser("PyTorch, zip", "x", lambda path: torch_files.write_zip(path, STATE, METADATA)),
    _parser("PyTorch, before 1.6", "x", lambda path: torch_files.write_legacy(path, STATE, METADATA)),
    _parser("pickle", "x", *(write_pickle(protocol) for protocol in range(2, 6))),
    _parser("npy", "x", write_npy),
    _parser("npz", "x", write_npz, lambda path: write_npz(path, save=np.savez_compressed)),
    _parser("checkpoint of a training program", "x", write_checkpoint, read=partial(weight_port.read, prefix="ema")),
    _parser("the same before 1.6", "x", write_old_checkpoint, write_pickled_tensors, read=weight_port.read),
    _parser("known by what they are", "x", write_pickle(4), write_npz, write_mat, read=file_kinds.identify),
    replace(_parser("safetensors of ours", "x", write_ours, read=checkpoints.read), text=0.3, compiled=True),
    replace(_parser("Orbax", "x", write_orbax, read=checkpoints.read), text=0.3, share=0.01, compiled=True),
    replace(_parser("metadata", "x.json", write_metadata, read=read_metadata), text=0.9, share=2),
    replace(_parser("safetensors", "x", lambda path: safetensors.numpy.save_file(STATE, path)), compiled=True),
)
