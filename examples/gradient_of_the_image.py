"""Gradient of the score with respect to the image: which pixels make the tracker sure that it sees its target?

python examples/gradient_of_the_image.py --picture saliency.png
"""

from itertools import islice

import jax
import numpy as np
import tyro
from PIL import Image

import mfst_jax
from mfst_jax.media import demo_source


def main(picture: str | None = None) -> None:
    """Prints how much of the gradient lies inside the box, and writes its magnitude to `picture` if that is given."""
    first, second = islice(demo_source().frames(), 2)  # uint8 RGB [height, width, 3]
    params = mfst_jax.load()  # for one gradient, `prepare` would take longer to compile than it saves
    state = mfst_jax.init(params, first, (158, 208, 61, 44))

    def score(frame: jax.Array) -> tuple[jax.Array, jax.Array]:
        _, output = mfst_jax.step(params, state, frame)
        return output.score, output.box

    gradient, box = jax.jit(jax.grad(score, has_aux=True))(second.astype(np.float32))
    magnitude = np.abs(gradient).sum(axis=-1)  # [H, W]
    x, y, width, height = np.round(box).astype(int)
    share = magnitude[y : y + height, x : x + width].sum() / magnitude.sum()
    print(f"in the box: {width * height / magnitude.size:.1%} of the frame, {share:.1%} of the gradient")
    if picture is not None:
        grey = np.clip(255 * magnitude / np.quantile(magnitude, 0.999), 0, 255)
        Image.fromarray(grey.astype(np.uint8)).save(picture)


if __name__ == "__main__":
    tyro.cli(main)
