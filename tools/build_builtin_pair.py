"""Built-in weights of the whole tracker, made from what training wrote: S, and the AlexNet beside which it was trained.

    python tools/build_builtin_pair.py RUN/best.safetensors [--set key=value ...]

The file holds both backbones in float16, the configuration that is best for them, and in its provenance the recipe, the
videos and what training measured. It comes out the same every time, byte by byte; its SHA-256, which is printed, stands
in `mfst_jax/weights/README.md`.
"""

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import tyro

from mfst_jax import checkpoints
from mfst_jax.checkpoints import weight_names
from mfst_jax.config import REALTIME, override
from mfst_jax.errors import InputError
from mfst_jax.params import Params
from mfst_jax.program.arguments import Settings, flatten_settings


def build(source: tyro.conf.Positional[Path], /, *, set: Settings = (), out: Path = checkpoints.BUILT_IN) -> None:
    """Writes the built-in weights and prints their SHA-256.

    Args:
        source: A file that `mfst train` wrote.
        set: What differs from REALTIME in the configuration that the weights recommend, as key=value.
        out: The file to write.
    """
    params, provenance = checkpoints.load(source, bundled_se=False), checkpoints.provenance(source)
    if not params.contents.siamfc or params.contents.alexnet is None or "recipe" not in provenance:
        raise InputError(f"{source}: expected both backbones, S trained here, found {params.contents.describe()}")
    arrays = weight_names.flatten(params.variables)
    halves = {name: np.asarray(array, np.float16) for name, array in sorted(arrays.items())}
    alexnet = weight_names.flatten(checkpoints.load("alexnet", bundled_se=False).variables)
    if differing := [name for name, array in alexnet.items() if not np.array_equal(halves[name], array)]:
        raise InputError(f"{source}: expected the built-in AlexNet beside S, found another {', '.join(differing)}")
    config = override(REALTIME, flatten_settings(set))
    contents = dataclasses.replace(params.contents, config=None if config == REALTIME else config)
    checkpoints.save(Params(weight_names.nest(halves), contents), out, provenance=provenance)
    print(f"{out}: {out.stat().st_size} bytes, SHA-256 {hashlib.sha256(out.read_bytes()).hexdigest()}")


if __name__ == "__main__":
    tyro.cli(build, description=__doc__)
