"""Health of JAX: whether it finds its devices, and whether it computes rightly, by an example.

The example takes a quarter of a second, and a device. What is known by its version is refused sooner: `jax_release.py`.
"""

import os

import jax
import numpy as np
from jaxtyping import Float32

_ROWS = 32_800


def backend_problem() -> str | None:
    """Reason in one line why JAX has no device to compute on; None where it has one."""
    try:
        jax.devices()
    except Exception as error:  # JAX raises RuntimeError, and without a plugin AssertionError
        reason = " ".join(str(error).split()) or "no such backend is installed"
        platforms = os.environ.get("JAX_PLATFORMS")
        wanted = f"a device of those that JAX_PLATFORMS={platforms} asks for" if platforms else "a device"
        advice = "; JAX_PLATFORMS=cpu, or unset, uses the CPU" if platforms else ""
        return f"JAX: expected {wanted}, found none ({reason}){advice}"
    return None


def computes_rightly() -> bool:
    """Whether JAX's default device gives the right result of a computation that JAX 0.10.2 gets wrong."""
    return bool(np.allclose(mapped_norms(), np.arange(_ROWS, dtype=np.float64) ** 2, rtol=1e-6, atol=0))


def mapped_norms() -> Float32[np.ndarray, " rows"]:
    """Squared norms n^2 of the vectors (n, 0, 0), n = 0, 1, 2 ..., each multiplied by the identity first.

    JAX 0.10.2 on CPUs compiles such a product, mapped and summed up, to something that is wrong from row 32,768 on.
    """
    rows = np.zeros((_ROWS, 3), np.float32)
    rows[:, 0] = np.arange(_ROWS)
    identity = np.eye(3, dtype=np.float32)
    return np.asarray(jax.jit(jax.vmap(lambda row: ((identity @ row) ** 2).sum()))(rows))
