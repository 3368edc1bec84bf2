"""Bounds that `init`, `step` and `track` promise for every box, for the tools and tests that check them."""

import numpy as np
from jaxtyping import Float

from mfst_jax.config import Config
from mfst_jax.crops import SEARCH_SIZE, search_side

REACH = 0.5 + 64 / SEARCH_SIZE
"""Share of a search region's side by which the target's centre may come to lie beyond the frame: something of the frame
must be in the region, within half of its side, and a step moves the target by at most 64 of its 255 samples."""
BLUR = 1.0
"""Pixels from the centre of the outermost one in which something of it is seen, as colours between are interpolated."""
ROUNDING = 1e-5
"""Relative error of float32 that a box may have: it is computed from its centre, its size and the scale."""


def violations(
    boxes: Float[np.ndarray, "frames 4"], frame_size: tuple[int, int], config: Config, first: int = 0
) -> list[str]:
    """Violations of the bounds in a track, one line each and the first of its kind; none where all boxes are sound.

    Args:
      boxes: boxes (x, y, w, h) of a track from its first frame on, which is the given one.
      frame_size: (height, width) of the frames, without padding.
      config: how it was tracked.
      first: number of the first box, for the messages.
    """
    if not np.isfinite(boxes).all():
        row = int(np.argmin(np.isfinite(boxes).all(axis=1)))
        return [f"frame {first + row}: expected a finite box, found {boxes[row].tolist()}"]
    boxes = boxes.astype(np.float64)
    found = []

    # The size is that of the first frame times a scale, which is the same for width and height.
    scales = boxes[:, 2:] / boxes[0, 2:]
    low, high = config.scale_min * (1 - ROUNDING), config.scale_max * (1 + ROUNDING)
    wrong = ((scales < low) | (scales > high)).any(axis=1) | (
        np.abs(scales[:, 0] - scales[:, 1]) > ROUNDING * scales[:, 0]
    )
    if wrong.any():
        row = int(np.argmax(wrong))
        found.append(
            f"frame {first + row}: expected one scale in [{config.scale_min}, {config.scale_max}], found {scales[row]}"
        )

    # The centre is no farther beyond the frame than it was given, or than the largest search region so far reaches.
    centre = boxes[:, :2] + (boxes[:, 2:] - 1) / 2
    last = np.array(frame_size[::-1], np.float64) - 1
    beyond = np.maximum(np.maximum(-centre, centre - last), 0)
    largest = np.maximum.accumulate(np.concatenate([[scales[0, 0]], scales[:-1, 0]])) * max(config.region_factors())
    reach = REACH * float(search_side(boxes[0, 2:], config.context)) * largest
    allowed = np.maximum(beyond[0], BLUR + reach[:, None])
    wrong = (beyond > allowed + ROUNDING * (np.abs(centre) + allowed + 1)).any(axis=1)
    if wrong.any():
        row = int(np.argmax(wrong))
        found.append(
            f"frame {first + row}: expected the centre at most {allowed[row]} pixels beyond the frame, "
            f"found {beyond[row]}"
        )
    return found
