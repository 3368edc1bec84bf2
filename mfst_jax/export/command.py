"""The command `mfst export`."""

import re
import sys
from pathlib import Path
from typing import Annotated

import tyro

from mfst_jax import checkpoints
from mfst_jax.errors import InputError, MissingExtraError
from mfst_jax.export import files, stablehlo
from mfst_jax.export.signature import metadata
from mfst_jax.params import choose_config
from mfst_jax.program.arguments import PresetName, Settings, Weights, flatten_settings

DEFAULT_FRAME_SIZE = "1280x720"
LARGEST_SIDE = 16384
"""Pixels on a side that frames may have."""


def export(
    *,
    to: files.Kind,
    out: Annotated[Path, tyro.conf.arg(metavar="PATH")],
    weights: Weights = None,
    preset: PresetName = None,
    set: Settings = (),
    frame_size: Annotated[str | None, tyro.conf.arg(metavar="WIDTHxHEIGHT")] = None,
) -> int:
    """Write the tracker, its weights inside, to one file that other programs run: an ONNX model or StableHLO.

    Args:
        to: `onnx` for ONNX Runtime, in Python, a browser or elsewhere; `stablehlo` for any program with JAX, on CPUs,
            CUDA and TPUs.
        out: The file: .onnx or .stablehlo.
        weights: A name (see mfst weights), an Orbax directory or a .safetensors file; by default the built-in weights.
        preset: How to track; by default what the weights imply.
        set: Fields of the configuration to change, as key=value; lists by commas, such as alexnet_weights=.1,.6,.3.
        frame_size: The largest frames that StableHLO shall take, by default 1280x720; ONNX takes frames of any size.
    """
    files.check_place(out, to)
    if to == "onnx" and frame_size is not None:
        raise InputError("--frame-size: expected --to stablehlo beside it, found onnx, which takes frames of any size")
    largest = _parse_size(frame_size or DEFAULT_FRAME_SIZE)
    params = checkpoints.load(weights)
    chosen = choose_config(params.contents, preset, flatten_settings(set))
    about = metadata(weights, params, chosen)
    try:
        if to == "onnx":
            from mfst_jax.export import onnx_tracker

            content = onnx_tracker.make(params, chosen, about).SerializeToString()
        else:
            import flatbuffers  # noqa: F401, which jax.export needs

            content = stablehlo.make(params, chosen, about, largest)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("mfst_jax"):
            raise
        raise MissingExtraError(error.name, "export", f"mfst export --to {to}") from None
    files.write(out, content)
    print(f"wrote {out}: {about['weights']}, {len(content) / 1e6:.1f} MB", file=sys.stderr)
    print(f"licence of the weights: {about['licence']}", file=sys.stderr)
    return 0


def _parse_size(text: str) -> tuple[int, int]:
    """(height, width) of `WIDTHxHEIGHT`."""
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
    width, height = (int(match[1]), int(match[2])) if match else (0, 0)
    if not (0 < width <= LARGEST_SIDE and 0 < height <= LARGEST_SIDE):
        raise InputError(f"--frame-size: expected WIDTHxHEIGHT of up to {LARGEST_SIDE} pixels each, found {text!r}")
    return height, width
