"""Exported trackers at work, by ONNX Runtime or by JAX alone, for parity tests and benchmarks."""

import zipfile
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import jax
import jax.export
import numpy as np

from mfst_jax.errors import InputError, MissingExtraError, reason_in_content
from mfst_jax.export.files import open_archive, read_metadata


@runtime_checkable
class Exported(Protocol):
    """Tracker that keeps its state, as `mfst_jax.Tracker` does."""

    score: float

    def init(self, frame: np.ndarray, box: np.ndarray) -> None:
        """Takes the object in `box`, [4] (x, y, w, h) in pixels, of a uint8 frame [height, width, 3] as the target."""
        ...

    def update(self, frame: np.ndarray) -> np.ndarray:
        """Box [4] of the target in the next frame."""
        ...


def open_exported(path: Path, *, threads: int = 0) -> Exported:
    """Tracker from a file that `mfst export` wrote.

    Args:
      path: the file.
      threads: threads for ONNX Runtime; 0 leaves it the choice.

    Raises:
      InputError: as `files.read_metadata` does, or its programs cannot be read.
      MissingExtraError: it is an ONNX model, and a package that it needs is not installed.
    """
    read_metadata(path)
    try:
        return _StableHLO(path) if zipfile.is_zipfile(path) else _ONNX(path, threads)
    except ImportError:
        raise
    except Exception as error:  # what reads programs does not say what it raises on damage
        raise InputError(f"{path}: expected a file of mfst export, found {reason_in_content(error)}") from error


class _ONNX:
    def __init__(self, path: Path, threads: int):
        try:
            import onnxruntime
        except ModuleNotFoundError:
            raise MissingExtraError("onnxruntime", "export", "an ONNX model") from None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._outputs = [output.name for output in self._session.get_outputs()]
        kinds = {"tensor(bool)": np.bool_, "tensor(float)": np.float32, "tensor(int32)": np.int32}
        inputs = [each for each in self._session.get_inputs() if each.name.startswith("state.")]
        self._state = {each.name: np.zeros(each.shape, kinds[each.type]) for each in inputs}
        self.score = 1.0

    def init(self, frame: np.ndarray, box: np.ndarray) -> None:
        self._run(frame, True, np.asarray(box, np.float32))

    def update(self, frame: np.ndarray) -> np.ndarray:
        return self._run(frame, False, np.zeros(4, np.float32))

    def _run(self, frame: np.ndarray, first: bool, box: np.ndarray) -> np.ndarray:
        given = {"frame": frame, "first": np.array(first), "first_box": box, **self._state}
        found: dict[str, Any] = dict(zip(self._outputs, self._session.run(None, given), strict=True))
        self._state = {name: found[f"next.{name.removeprefix('state.')}"] for name in self._state}
        self.score = float(found["score"])
        return found["box"]


class _StableHLO:
    def __init__(self, path: Path):
        with open_archive(path) as archive:
            read = {name: jax.export.deserialize(bytearray(archive.read(f"{name}.bin"))) for name in ("init", "step")}
        self._init, self._step = jax.jit(read["init"].call), jax.jit(read["step"].call)
        self._shape = read["init"].in_avals[0].shape
        self._state: Any = None
        self.score = 1.0

    def init(self, frame: np.ndarray, box: np.ndarray) -> None:
        size = np.array(frame.shape[:2], np.int32)
        self._state = self._init(self._padded(frame), np.asarray(box, np.float32), size)

    def update(self, frame: np.ndarray) -> np.ndarray:
        self._state, output = self._step(self._state, self._padded(frame))
        self.score = float(output["score"])
        return np.asarray(output["box"])

    def _padded(self, frame: np.ndarray) -> np.ndarray:
        below, beside = (most - side for most, side in zip(self._shape, frame.shape[:2], strict=False))
        if below < 0 or beside < 0:
            (height, width), (most_high, most_wide) = frame.shape[:2], self._shape[:2]
            raise InputError(f"frame: expected up to {most_wide}x{most_high} pixels, found {width}x{height}")
        return np.pad(frame, ((0, below), (0, beside), (0, 0)))
