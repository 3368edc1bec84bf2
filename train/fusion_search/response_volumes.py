"""Responses of the network around the true target of each frame, kept on disk for replayed tracks.

A frame's crops are centred on its true target, at several scales, and wider than a search region. The backbones have no
padding, so their responses there contain, between cells and scales, what a tracker would see wherever it looks nearby.
`replay.py` reads tracks off them, for any fusion, without another pass through the backbones.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float32

from mfst_jax import checkpoints
from mfst_jax.checkpoints import weight_names
from mfst_jax.compilation import jit
from mfst_jax.config import LAYERS, MODELS, Config
from mfst_jax.crops import SEARCH_SIZE, central_exemplar, search_side
from mfst_jax.errors import InputError, reason
from mfst_jax.evaluation import Sequence
from mfst_jax.fast import prepare
from mfst_jax.fast.correlation import cross_correlate_by_taps
from mfst_jax.fast.network import PreparedNetwork
from mfst_jax.fast.prepared import PreparedParams
from mfst_jax.localisation import CELL, RESPONSE_SIZE
from mfst_jax.media.images import read_image
from mfst_jax.params import Params
from mfst_jax.train.data.curation import CONTEXT, square_crop
from mfst_jax.whole_files import replacing

SLACK = 8
"""Cells beyond a response map on each side."""
WIDE = RESPONSE_SIZE + 2 * SLACK
SCALES = (0.81, 0.9, 1.0, 1 / 0.9, 1 / 0.81)
"""Sides of the crops relative to the true target's search region; their logarithms are evenly spaced."""
RESPONSE_UNIT = 1e-3
"""Factor on the kept responses, as S has it in the authors' configuration."""


class ResponseVolumes(NamedTuple):
    """Response volumes, over layers, scales and places around the true targets of one sequence, or of several.

    Several are padded to one length.

    Attributes:
      responses: Response maps of conv3, conv4, conv5 of S and then of A, as rows and columns of cells around the true
        centre.
      truth: True boxes (x, y, w, h) in pixels.
      counted: Whether each frame has a true box. The others have no responses.
    """

    responses: Float32[np.ndarray, "*sequences frames layers scales wide wide"]
    truth: Float32[np.ndarray, "*sequences frames 4"]
    counted: Bool[np.ndarray, "*sequences frames"]


def gather(
    root: Path,
    sequences: tuple[Sequence, ...],
    params: Params,
    *,
    advance: Callable[[int, int], None] | None = None,
) -> ResponseVolumes:
    """Responses around the true targets of all sequences, computed as far as `root` lacks them, a file each.

    Raises:
      InputError: weights without both backbones, an image that cannot be read, or no room.
    """
    if not params.contents.siamfc or params.contents.alexnet is None:
        raise InputError(f"weights: expected both backbones, found {params.contents.describe()}")
    config = Config(models=MODELS, se=False)
    prepared = prepare(params, config)
    key = checkpoints.digest(weight_names.flatten(params.variables))
    volumes = []
    for done, sequence in enumerate(sequences, start=1):
        parts = json.dumps([key, SCALES, SLACK, *frames_and_boxes(sequence)])
        path = root / f"{sequence.name}-{hashlib.sha256(parts.encode()).hexdigest()[:16]}.npz"
        if not path.is_file():
            computed = _compute(sequence, prepared)
            with replacing(path, wait=True) as new, new.open("wb") as file:
                np.savez(file, **computed._asdict())
        volumes.append(_read(path))
        if advance is not None:
            advance(done, len(sequences))
    return _pad(volumes)


def frames_and_boxes(sequence: Sequence) -> tuple[list, list]:
    """Frames of a sequence, by name and size in bytes, and its true boxes, as JSON values."""
    return [(path.name, path.stat().st_size) for path in sequence.frames], sequence.ground_truth.tolist()


def _read(path: Path) -> ResponseVolumes:
    """Responses that were kept. Raises `InputError` where the file is damaged."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return ResponseVolumes(**arrays)
    except Exception as error:  # NumPy and `zipfile` do not say what they raise on damage
        raise InputError(f"{path}: expected responses that were kept there, found {reason(error)}; remove it") from None


def _compute(sequence: Sequence, prepared: PreparedParams) -> ResponseVolumes:
    truth = sequence.ground_truth.astype(np.float32)
    counted = np.asarray(np.isfinite(truth).all(axis=1))
    side = SEARCH_SIZE + 2 * SLACK * CELL
    responses = np.zeros((len(truth), len(MODELS) * len(LAYERS), len(SCALES), WIDE, WIDE), np.float32)
    exemplar = None
    for number in np.flatnonzero(counted):
        frame, box = read_image(sequence.frames[number]), truth[number].astype(np.float64)
        centre, of_target = box[:2] + (box[2:] - 1) / 2, float(search_side(box[2:], CONTEXT))
        if exemplar is None:
            region = square_crop(frame, centre, of_target, 0)
            exemplar = _features(prepared, central_exemplar(jnp.asarray(region, jnp.float32))[None])
        crops = np.stack([square_crop(frame, centre, scale * of_target, SLACK * CELL) for scale in SCALES])
        assert crops.shape[1] == side
        responses[number] = _respond(prepared, exemplar, jnp.asarray(crops))
    return ResponseVolumes(responses, np.nan_to_num(truth, nan=1.0), counted)


@jit
def _features(prepared: PreparedParams, images: Float[Array, "n side side 3"]) -> dict:
    config = prepared.contents.config
    assert config is not None, "prepared weights say what they are for"
    return PreparedNetwork(prepared, config).features(images)


@jit
def _respond(prepared: PreparedParams, exemplar: dict, crops: Array) -> Float[Array, "layers scales wide wide"]:
    search = _features(prepared, crops.astype(jnp.float32))
    layers = [(model, layer) for model in MODELS for layer in LAYERS]
    responses = [cross_correlate_by_taps(exemplar[model][layer][0], search[model][layer]) for model, layer in layers]
    return RESPONSE_UNIT * jnp.stack(responses)


def _pad(volumes: list[ResponseVolumes]) -> ResponseVolumes:
    """Response volumes padded to the longest, with frames that do not count."""
    longest = max(len(each.truth) for each in volumes)

    def widen(array: np.ndarray, fill: float | bool) -> np.ndarray:
        return np.concatenate([array, np.full((longest - len(array), *array.shape[1:]), fill, array.dtype)])

    return ResponseVolumes(
        np.stack([widen(each.responses, 0.0) for each in volumes]),
        np.stack([widen(each.truth, 1.0) for each in volumes]),
        np.stack([widen(each.counted, False) for each in volumes]),
    )
