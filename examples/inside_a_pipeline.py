"""Track inside a jitted, vmapped pipeline: how fast the object of each video of a batch moves, in one call.

python examples/inside_a_pipeline.py
"""

from itertools import islice

import jax
import jax.numpy as jnp
import tyro

import mfst_jax
from mfst_jax.media import demo_source
from mfst_jax.tracks import LOST_BELOW


def speed(params: mfst_jax.PreparedParams, frames: jax.Array, box: jax.Array) -> jax.Array:
    """Mean speed of the object in a video [T, H, W, 3], in pixels a frame, where it is not lost."""
    result = mfst_jax.track(params, frames, box)
    centres = result.box[:, :2] + result.box[:, 2:] / 2
    steps = jnp.linalg.norm(jnp.diff(centres, axis=0), axis=1)
    return jnp.mean(steps, where=result.score[1:] >= LOST_BELOW)


def main(count: int = 12) -> None:
    """Measures the first `count` frames of the built-in clip, as they are and mirrored."""
    clip = jnp.stack(list(islice(demo_source().frames(), count)))
    width = clip.shape[2]
    box = jnp.array([158.0, 208.0, 61.0, 44.0])
    mirrored = box.at[0].set(width - box[0] - box[2])
    videos = jnp.stack([clip, clip[:, :, ::-1]])
    params = mfst_jax.prepare(mfst_jax.load())  # weights folded once for inference
    speeds = jax.jit(jax.vmap(speed, in_axes=(None, 0, 0)))(params, videos, jnp.stack([box, mirrored]))
    for name, each in zip(("as it is", "mirrored"), speeds, strict=True):
        print(f"{name}: {each:.2f} px a frame")


if __name__ == "__main__":
    tyro.cli(main)
