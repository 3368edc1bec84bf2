"""The tracker as StableHLO: `init` and `step` for CPUs, CUDA and TPUs, which any process with JAX can load and call.

The file is a ZIP archive: `init.bin` and `step.bin` are what `jax.export` serialises, the weights inside, and
`mfst.json` says what they are. Their arguments and results are arrays and dicts of arrays, so that a program needs no
class of this package.
"""

import io
import json
import zipfile
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
from jax import Array

from mfst_jax import tracker
from mfst_jax.config import Config
from mfst_jax.export.signature import from_arrays, to_arrays
from mfst_jax.fast.prepared import prepare_for
from mfst_jax.padding import padded_size
from mfst_jax.params import Params

PLATFORMS = ("cpu", "cuda", "tpu")
ABOUT = "mfst.json"
"""Member of the archive that says what the others are."""
_ANY_DAY = (1980, 1, 1, 0, 0, 0)


def make(params: Params, config: Config, metadata: dict[str, Any], frame_size: tuple[int, int]) -> bytes:
    """Archive of the programs for frames of up to a size.

    `init(frame, box, frame_size)` returns a state, `step(state, frame)` the next state and a dict of `box` [4], `score`
    [] and `response` [272, 272]. A frame is uint8 [H, W, 3], padded below and on the right to the programs' one shape,
    box [4] float32, frame_size [2] int32 (height, width) of what is real.

    Args:
      params: the weights.
      config: a resolved configuration.
      metadata: JSON values to put beside the programs, to which `frame_shape` and `platforms` are added.
      frame_size: (height, width) of the largest frames, padded as by `mfst_jax.padding`.
    """
    weights = prepare_for(params, config, "direct")
    shape = (*padded_size(frame_size), 3)

    def init(frame: Array, box: Array, frame_size: Array) -> dict[str, Array]:
        return to_arrays(tracker.init(weights, frame, box, config=config, frame_size=frame_size))

    def step(state: dict[str, Array], frame: Array) -> tuple[dict[str, Array], dict[str, Array]]:
        following, output = tracker.step(weights, from_arrays(state, config, weights.contents, shape), frame)
        return to_arrays(following), {"box": output.box, "score": output.score, "response": output.response}

    frame = jax.ShapeDtypeStruct(shape, jnp.uint8)
    box, size = jax.ShapeDtypeStruct((4,), jnp.float32), jax.ShapeDtypeStruct((2,), jnp.int32)
    state = jax.eval_shape(init, frame, box, size)
    programs = {"init": _serialised(init, frame, box, size), "step": _serialised(step, state, frame)}
    about = {**metadata, "frame_shape": shape, "platforms": PLATFORMS}
    return _archive({ABOUT: json.dumps(about, indent=2).encode(), **{f"{n}.bin": p for n, p in programs.items()}})


def _serialised(function: Any, *arguments: Any) -> bytes:
    """Program of a function, without the paths of this machine's source files, which depend on who called us."""
    settings: Any = jax.config
    before = settings.jax_traceback_in_locations_limit
    jax.config.update("jax_traceback_in_locations_limit", 0)
    try:
        return bytes(jax.export.export(jax.jit(function), platforms=PLATFORMS)(*arguments).serialize())
    finally:
        jax.config.update("jax_traceback_in_locations_limit", before)


def _archive(members: dict[str, bytes]) -> bytes:
    """ZIP archive of members, the same bytes for the same members."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name, _ANY_DAY), data, zipfile.ZIP_DEFLATED)
    return content.getvalue()
