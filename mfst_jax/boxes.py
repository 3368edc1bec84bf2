"""Box algebra. A box is `(x, y, w, h)`: float32 pixels, 0-indexed, `x, y` the top-left pixel, on the last axis.

A pixel's centre has an integer coordinate, so a box `w` pixels wide spans the pixels `x .. x + w - 1` and its centre
lies at `x + (w - 1) / 2`. OTB's files count from 1: subtract 1 from their `x, y` first.
"""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float


def to_centre(box: Float[Array, "*batch 4"]) -> tuple[Float[Array, "*batch 2"], Float[Array, "*batch 2"]]:
    """Centre `(x, y)` and size `(w, h)` of a box, in pixels."""
    corner, size = box[..., :2], box[..., 2:]
    return corner + (size - 1) / 2, size


def from_centre(centre: Float[Array, "*batch 2"], size: Float[Array, "*batch 2"]) -> Float[Array, "*batch 4"]:
    """Box `(x, y, w, h)` from its centre `(x, y)` and size `(w, h)`, in pixels: the inverse of `to_centre`."""
    return jnp.concatenate([centre - (size - 1) / 2, size], axis=-1)


def context_side(size: Float[Any, "*batch 2"], context: float) -> Float[Any, "*batch"]:
    """Side in pixels of the square that the exemplar shows: `s_z = sqrt((w + p) (h + p))`, `p = context (w + h)`.

    The equation is SiamFC's (Bertinetto et al. 2016, section 3.2), whose `context` is 1/2. It is computed by the
    library that the size is an array of, NumPy or JAX.
    """
    xp = size.__array_namespace__()
    padding = context * xp.sum(size, axis=-1, keepdims=True)
    return xp.sqrt(xp.prod(size + padding, axis=-1))


def iou(a: Float[Array, "*batch 4"], b: Float[Array, "*batch 4"]) -> Float[Array, "*batch"]:
    """Intersection over union of two boxes, in [0, 1]; 0 where either has no area."""
    corner = jnp.maximum(a[..., :2], b[..., :2])
    opposite = jnp.minimum(a[..., :2] + a[..., 2:], b[..., :2] + b[..., 2:])
    intersection = jnp.prod(jnp.maximum(opposite - corner, 0), axis=-1)
    union = jnp.prod(a[..., 2:], axis=-1) + jnp.prod(b[..., 2:], axis=-1) - intersection
    return jnp.where(union > 0, intersection / jnp.where(union > 0, union, 1), 0)
