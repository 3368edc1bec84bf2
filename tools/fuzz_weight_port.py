"""Fuzzing of weight_port's readers with damaged files: none may hang, crash or allocate for data that is not there.

    python tools/fuzz_weight_port.py [--inputs N] [--seed N] [--readers NAME...]

An input is one of a reader's seeds with up to eight changes to its bytes. Each reader runs in a process of its own that
has 3 GiB of addresses and 5 s for each input. The exit status is 1 where one died, ran out of memory, took more than 1
GiB or raised anything but our own error; the input at fault is kept and named. Input i is the same in every run with
the same seed.
"""

import argparse
import collections
import datetime
import multiprocessing
import pickle
import random
import resource
import shutil
import signal
import struct
import sys
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from unittest import mock

import numpy as np
import safetensors.numpy
import tyro

import weight_port
from weight_port import SourceError, containers
from weight_port.formats import crc32c, matconvnet, tf1_bundles, torch_files

ADDRESSES = 3 * 2**30
SECONDS = 5
MEMORY = 2**30
NUMBERS = (0, 1, 2, 7, 8, 0x7F, 0x80, 0xFF, 0xFFFF, 2**24, 2**30, 2**31 - 1, 2**31, 2**32 - 8, 2**32 - 1)
"""Numbers that are written over 1, 2, 4 or 8 bytes: those at which sizes and signs go wrong."""
METADATA = {"version": 1, "config": None, "provenance": {}}


@dataclass(frozen=True)
class Reader:
    """Reader of files, and its seeds.

    Attributes:
      read: Reads the file.
      name: Name of the file that it is given.
      seeds: Functions that each write that file, and any beside it, given its path.
    """

    read: Callable[[Path], object]
    name: str
    seeds: tuple[Callable[[Path], object], ...]


@dataclass
class Outcome:
    """Outcome of a reader's inputs.

    Attributes:
      accepted: Number of inputs that it read.
      refused: Number of inputs that it refused by an error of ours.
      slowest: Seconds of the slowest input.
      peak: Peak memory in bytes, that of the libraries included.
    """

    accepted: int = 0
    refused: int = 0
    slowest: float = 0
    peak: int = 0


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
READERS = {
    "bundle": Reader(containers.read, "x.index", (write_bundle,)),
    "bundle-unverified": Reader(read_unverified, "x.index", (write_bundle,)),
    "mat": Reader(containers.read, "x.mat", (write_mat, write_compressed_mat)),
    "torch-zip": Reader(containers.read, "x", (lambda path: torch_files.write_zip(path, STATE, METADATA),)),
    "torch-legacy": Reader(containers.read, "x", (lambda path: torch_files.write_legacy(path, STATE, METADATA),)),
    "pickle": Reader(containers.read, "x", tuple(write_pickle(protocol) for protocol in range(2, 6))),
    "npy": Reader(containers.read, "x", (write_npy,)),
    "npz": Reader(containers.read, "x", (write_npz, lambda path: write_npz(path, save=np.savez_compressed))),
    "checkpoint": Reader(partial(weight_port.read, prefix="ema"), "x", (write_checkpoint,)),
    "old-checkpoint": Reader(weight_port.read, "x", (write_old_checkpoint, write_pickled_tensors)),
    "safetensors": Reader(containers.read, "x", (lambda path: safetensors.numpy.save_file(STATE, path),)),
}


def damaged(data: bytes, chance: random.Random) -> bytes:
    """Data with one to eight changes, mostly one or two."""
    for _ in range(chance.choice((1, 1, 1, 2, 2, 3, 8))):
        at = chance.randrange(len(data) + 1)
        size = chance.choice((1, 1, 2, 4, 8, 16, 64))
        piece = data[at : at + size]
        match chance.randrange(7):
            case 0 if piece:
                data = data[:at] + bytes([piece[0] ^ 1 << chance.randrange(8)]) + data[at + 1 :]
            case 1:
                data = data[:at] + chance.randbytes(len(piece)) + data[at + size :]
            case 2:
                width = chance.choice((1, 2, 4, 4, 8))
                number = (chance.choice(NUMBERS) & 256**width - 1).to_bytes(width, chance.choice(("little", "big")))
                data = data[:at] + number + data[at + width :]
            case 3:
                data = data[:at]
            case 4:
                data = data[:at] + data[at + size :]
            case 5:
                data = data[:at] + chance.randbytes(size) + data[at:]
            case _:
                data = data[:at] + piece * chance.choice((2, 3, 100)) + data[at + size :]
    return data


def feed(name: str, inputs: int, seed: int, scratch: Path, results: Connection) -> None:
    """Main function of a process: feeds a reader, and sends its `Outcome`."""
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))
    reader = READERS[name]
    seeds: list[dict[str, bytes]] = []
    for number, write in enumerate(reader.seeds):
        folder = scratch / f"seed{number}"
        folder.mkdir()
        write(folder / reader.name)
        reader.read(folder / reader.name)
        seeds.append({file.name: file.read_bytes() for file in sorted(folder.iterdir())})
    folder = scratch / "input"
    folder.mkdir()
    outcome = Outcome()
    for number in range(inputs):
        chance = random.Random(f"{seed} {number}")
        files = dict(chance.choice(seeds))
        target = reader.name if chance.random() < 0.7 else chance.choice(sorted(files))
        files[target] = damaged(files[target], chance)
        for file, data in files.items():
            (folder / file).unlink(missing_ok=True)  # some file systems flush what is written over
            (folder / file).write_bytes(data)
        start = time.perf_counter()
        signal.alarm(SECONDS)  # it ends the process, in C code too
        try:
            reader.read(folder / reader.name)
            outcome.accepted += 1
        except SourceError:
            outcome.refused += 1
        signal.alarm(0)
        outcome.slowest = max(outcome.slowest, time.perf_counter() - start)
    outcome.peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    results.send(outcome)


def fuzz(*, inputs: int = 30_000, seed: int = 0, readers: tuple[str, ...] = tuple(READERS)) -> None:
    """Feeds damaged files to the readers and prints what became of them.

    Args:
        inputs: How many each reader gets.
        seed: Other numbers give other inputs.
        readers: The readers to try.
    """
    failed = False
    print(f"{'reader':20}{'inputs':>9}{'accepted':>10}{'refused':>9}{'slowest':>11}{'peak memory':>13}")
    context = multiprocessing.get_context("spawn")
    for name in readers:
        scratch = Path(tempfile.mkdtemp(prefix=f"fuzz-{name}-"))
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=feed, args=(name, inputs, seed, scratch, sender))
        process.start()
        sender.close()
        try:
            outcome = receiver.recv()
        except EOFError:
            outcome = None
        process.join()
        if outcome is None:
            print(f"{name:20} died with status {process.exitcode} of {scratch / 'input'}")
        else:
            rest = f"{outcome.slowest * 1e3:>8.1f} ms{outcome.peak / 2**20:>9.0f} MiB"
            print(f"{name:20}{inputs:>9}{outcome.accepted:>10}{outcome.refused:>9}{rest}", flush=True)
            shutil.rmtree(scratch)
        failed |= outcome is None or outcome.peak > MEMORY
    if failed:
        sys.exit(1)


if __name__ == "__main__":
    tyro.cli(fuzz)
