"""Everything that writes files, in a small way: what the tests of faults let fail."""

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from random_weights import A, S

import weight_port
from mfst_jax import checkpoints
from mfst_jax.checkpoints import weight_names
from mfst_jax.config import to_dict
from mfst_jax.evaluation.results import write_result
from mfst_jax.export import files as export_files
from mfst_jax.media.writers import VideoWriter, save_image
from mfst_jax.page import PageTarget, PageWriter
from mfst_jax.params import Contents, Params
from mfst_jax.presets import ALEXNET
from mfst_jax.tracks.files import Record
from mfst_jax.tracks.tables import open_table
from weight_port.reading import Source

FRAMES = 6
BOX, SCORE = np.array([[1.0, 2.0, 8.0, 8.0]]), np.ones(1)


@dataclass(frozen=True)
class Writer:
    """One way to write.

    Attributes:
      names: The files or folders that are there in the end.
      write: Writes version 0 or 1 of them into a folder.
      keeps_frames: Whether a part that is whole counts where there is no room for all: its first frames.
      goes_first: Whether the old files go before the new ones come, since several cannot be replaced in one step.
    """

    names: tuple[str, ...]
    write: Callable[[Path, int], object]
    keeps_frames: bool = False
    goes_first: bool = False


def picture(version: int, number: int = 0) -> np.ndarray:
    """[16, 24, 3] uint8 of noise, which is not compressed to nothing."""
    return np.random.default_rng([version, number]).integers(0, 256, (16, 24, 3), np.uint8)


def arrays(contents: Contents, version: int) -> dict[str, np.ndarray]:
    """Weights of one number: positive, as variances are."""
    shapes = weight_names.expected(contents)
    return {name: np.full(shape, 1 + version, np.float32) for name, shape in shapes.items()}


def save(name: str) -> Callable[[Path, int], object]:
    def write(folder: Path, version: int) -> None:
        params = Params(weight_names.nest(arrays(A, version)), A)
        checkpoints.save(params, folder / name, provenance={})

    return write


def export(name: str, contents: Contents, to: str, **options: Any) -> Callable[[Path, int], object]:
    def write(folder: Path, version: int) -> None:
        held = arrays(contents, version)
        source = Source("weights", held, {each: each for each in held}, {"tool": "test", "sources": []})
        weight_port.export(source, folder / name, to, **options)

    return write


def table(name: str) -> Callable[[Path, int], object]:
    def write(folder: Path, version: int) -> None:
        with open_table(folder / name, ["car"], video="clip", size=(16, 24)) as rows:
            for number in range(FRAMES):
                rows.write(number, BOX + version, SCORE)

    return write


def still(folder: Path, version: int) -> None:
    save_image(Image.fromarray(picture(version)), folder / "a.png")


def video(folder: Path, version: int) -> None:
    with VideoWriter(folder / "out.mp4", fps=25) as out:
        for number in range(FRAMES):
            out.write(picture(version, number))


def page(folder: Path, version: int) -> None:
    with PageWriter(
        folder / "page.html", name="clip", size=(16, 24), fps=25, targets=[PageTarget("car")], config=to_dict(ALEXNET)
    ) as out:
        for number in range(FRAMES):
            out.write(picture(version, number), BOX, SCORE)


def record(folder: Path, version: int) -> None:
    Record("clip.mp4", (16, 24), to_dict(ALEXNET), "AlexNet", str(version)).write(folder / "boxes.csv")


def result(folder: Path, version: int) -> None:
    write_result(folder, "Deer", np.full((5, 4), 10.0 + version), np.full(5, 0.1))


BUNDLE = tuple(f"model.ckpt-0.{end}" for end in ("data-00000-of-00001", "index", "mfst_jax.json"))
WRITERS = {
    "picture": Writer(("a.png",), still),
    "video": Writer(("out.mp4",), video),
    "page": Writer(("page.html",), page, keeps_frames=True),
    "CSV": Writer(("boxes.csv",), table("boxes.csv"), keeps_frames=True),
    "MOT": Writer(("boxes.mot.txt",), table("boxes.mot.txt"), keeps_frames=True),
    "COCO": Writer(("boxes.json",), table("boxes.json"), keeps_frames=True),
    "record": Writer(("boxes.csv.json",), record),
    "result": Writer(("Deer.txt",), result),
    "exported tracker": Writer(
        ("a.onnx",), lambda folder, version: export_files.write(folder / "a.onnx", bytes([version]) * 100_000)
    ),
    "safetensors": Writer(("w.safetensors",), save("w.safetensors")),
    "Orbax": Writer(("weights",), save("weights")),
    "PyTorch": Writer(("net.pth",), export("net.pth", A, "torchvision-alexnet")),
    "old PyTorch": Writer(("net.pth",), export("net.pth", A, "torchvision-alexnet", legacy=True)),
    "MatConvNet": Writer(("net.mat",), export("net.mat", dataclasses.replace(S, siamfc_bias=True), "matconvnet")),
    "TensorFlow": Writer((*BUNDLE, "checkpoint"), export("model.ckpt-0", A, "tf1"), goes_first=True),
}
"""By what is written."""
LIGHT = ("picture", "video", "page", "CSV", "MOT", "COCO", "record", "result", "exported tracker")
"""Those that write little, and take little time."""


def content(path: Path) -> Any:
    """What is there: a file's bytes; the arrays of an Orbax directory, whose files are never the same; or None."""
    if not path.is_dir():
        return path.read_bytes() if path.exists() else None
    return {name: array.tobytes() for name, array in checkpoints.read(path).arrays.items()}


def is_whole_part(path: Path, whole: bytes) -> bool:
    """Whether a file holds the first frames of what it should hold, and is complete."""
    found = path.read_bytes()
    if path.suffix == ".json":
        short, full = json.loads(found), json.loads(whole)
        count = len(short["images"])
        frames = 0 < count <= len(full["images"]) and short["images"] == full["images"][:count]
        return frames and short["annotations"] == [each for each in full["annotations"] if each["image_id"] <= count]
    if path.suffix == ".html":
        return found.rstrip().endswith(b"</html>") and b'id="track"' in found
    return whole.startswith(found) and found.endswith(b"\n")


def visible(folder: Path) -> set[str]:
    """Names in a folder but for those that begin with a dot."""
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")}
