"""Conversion: seconds and memory that it takes to read a full set of MFST weights from each kind of file.

    python benchmarks/convert.py [--rounds N]

The weights are random, both backbones with SE-blocks; PyTorch's AlexNet has a classifier as large as torchvision's.
Each conversion runs in a process of its own; memory is what it takes beyond what the process had before, imports
included, relative to the sources' size on disk. Linux only.
"""

import multiprocessing
import statistics
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import tyro

import weight_port
from mfst_jax import checkpoints
from mfst_jax.checkpoints import stored, weight_names
from mfst_jax.params import Contents, Params
from weight_port.formats import torch_files

FULL = Contents(True, "torchvision", siamfc_se=True, alexnet_se=True)


def write_sources(folder: Path) -> dict[str, list[Path]]:
    """Files of the same weights in every format, by format."""
    rng = np.random.default_rng(0)
    arrays = {
        name: np.abs(rng.standard_normal(shape, np.float32)) for name, shape in weight_names.expected(FULL).items()
    }
    ours = folder / "ours.safetensors"
    checkpoints.save(Params(weight_names.nest(arrays), FULL), ours)
    directory, bundle, mat = folder / "orbax", folder / "model.ckpt-0", folder / "siamfc.mat"
    weight_port.convert([ours], directory)
    weight_port.export(ours, bundle, "tf1")
    weight_port.export(ours, mat, "matconvnet")
    pth, legacy, alexnet = folder / "siamfc.pth", folder / "legacy.pth", folder / "alexnet.pth"
    weight_port.export(ours, pth, "torch-siamfc")
    weight_port.export(ours, legacy, "torch-siamfc", legacy=True)
    state = {
        f"features.{place}.{leaf}": arrays[f"params/alexnet/conv{number}/{ours_leaf}"].transpose(axes)
        for number, place in enumerate((0, 3, 6, 8, 10), start=1)
        for leaf, ours_leaf, axes in (("weight", "kernel", (3, 2, 0, 1)), ("bias", "bias", (0,)))
    }
    sizes = {"1": (4096, 9216), "4": (4096, 4096), "6": (1000, 4096)}
    state |= {f"classifier.{place}.weight": np.zeros(size, np.float32) for place, size in sizes.items()}
    torch_files.write_zip(alexnet, state, stored.make_metadata(None, {}))
    return {
        "ours, safetensors": [ours],
        "ours, Orbax": [directory],
        "TF1 bundle": [bundle],
        "MatConvNet + PyTorch AlexNet": [mat, alexnet],
        "PyTorch SiamFC + AlexNet": [pth, alexnet],
        "PyTorch SiamFC, pre-1.6": [legacy],
    }


def size_of(path: Path) -> int:
    """Size of a file on disk in bytes; a bundle is several files."""
    files = path.rglob("*") if path.is_dir() else path.parent.glob(f"{path.name}*")
    return sum(file.stat().st_size for file in files if file.is_file())


def convert(sources: list[Path], out: Path, results: Connection) -> None:
    """Main function of a process: converts, and sends seconds and bytes."""
    Path("/proc/self/clear_refs").write_text("5")  # from here on the peak counts anew
    before, start = peak(), time.perf_counter()
    weight_port.convert(sources, out)
    results.send((time.perf_counter() - start, peak() - before))


def peak() -> int:
    """Peak memory of this process in bytes."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def main(rounds: int = 3) -> None:
    """Prints a line for each kind of file.

    Args:
        rounds: Conversions of each kind; the median counts.
    """
    context = multiprocessing.get_context("spawn")
    print(f"{'sources':<30}{'MB':>7}{'seconds':>9}{'memory / size':>15}")
    with tempfile.TemporaryDirectory() as name:
        for kind, sources in write_sources(Path(name)).items():
            size = sum(size_of(source) for source in sources)
            measured: list[tuple[float, int]] = []
            for _ in range(rounds):
                receiver, sender = context.Pipe(duplex=False)
                process = context.Process(target=convert, args=(sources, Path(name, "out.safetensors"), sender))
                process.start()
                measured.append(receiver.recv())
                process.join()
            seconds, memory = (statistics.median(values) for values in zip(*measured, strict=True))
            print(f"{kind:<30}{size / 1e6:>7.1f}{seconds:>9.2f}{memory / size:>15.2f}", flush=True)


if __name__ == "__main__":
    tyro.cli(main)
