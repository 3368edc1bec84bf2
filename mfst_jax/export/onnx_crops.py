"""First stage of the ONNX graph, of a frame of any size: its mean colour, and the crops around the target."""

from typing import NamedTuple

import numpy as np
import spox.opset.ai.onnx.v17 as op
from spox import Var

from mfst_jax.crops import EXEMPLAR_SIZE, SEARCH_SIZE, VISIBLE_RANGE
from mfst_jax.export.values import as_vector, cast, floats, highest, ints, length, lowest, sum_over


class Crops(NamedTuple):
    """Crops of a frame, of as many regions as there are sides.

    Attributes:
      images: RGB in 0..255, float32 [regions, 3, samples, samples].
      ranges: Largest difference of a colour channel between two points in the frame, float32 [regions].
    """

    images: Var
    ranges: Var


def mean_colour(frame: Var) -> Var:
    """Mean RGB of a uint8 frame, float32 [3]. Sums are of integers."""
    of_columns = cast(sum_over(cast(frame, np.int32), [0]), np.float64)
    count = cast(op.mul(length(frame, 0), length(frame, 1)), np.float64)
    return cast(op.div(sum_over(of_columns, [0]), count), np.float32)


def search_side(size: Var, context: float) -> Var:
    """Side of the search region at scale 1, float32 [], for a target of `size` (w, h)."""
    padded = op.add(size, op.mul(floats(context), sum_over(size, [0], keepdims=True)))
    return op.mul(op.sqrt(op.reduce_prod(padded, keepdims=0)), floats(SEARCH_SIZE / EXEMPLAR_SIZE))


def crop(frame: Var, centre: Var, sides: Var, fill: Var, samples: Var) -> Crops:
    """Crops around one place, as by `mfst_jax.crops.crop_with_range`.

    Args:
      frame: uint8 RGB [height, width, 3].
      centre: (x, y) in pixels, float32 [2].
      sides: sides of the whole regions in pixels, float32 [regions].
      fill: colour of points outside the frame, float32 [3].
      samples: points on a side, int64 []. Fewer than 255 are those in the middle of the region; more reach beyond it.
    """
    margin = op.div(op.sub(ints(SEARCH_SIZE), samples), ints(2))
    points = cast(op.range(margin, op.add(margin, samples), ints(1)), np.float32)
    steps = op.sub(op.div(points, floats(SEARCH_SIZE - 1)), floats(0.5))
    offsets = op.mul(op.unsqueeze(steps, ints([0])), op.unsqueeze(op.sub(sides, floats(1)), ints([1])))

    x_low, x_high, x_share, x_inside = _neighbours(op.gather(centre, ints(0)), offsets, length(frame, 1))
    y_low, y_high, y_share, y_inside = _neighbours(op.gather(centre, ints(1)), offsets, length(frame, 0))
    colours, width = op.reshape(frame, ints([-1, 3])), length(frame, 1)

    # The three colours of a row's points stand side by side, [regions, samples, 3 samples], which is fastest.
    def pixels(y: Var, x: Var) -> Var:
        index = op.add(op.mul(op.unsqueeze(y, ints([2])), width), op.unsqueeze(x, ints([1])))
        return cast(op.reshape(op.gather(colours, index, axis=0), ints([0, 0, -1])), np.float32)

    def of_columns(x: Var) -> Var:
        return op.reshape(op.expand(op.unsqueeze(x, ints([2])), ints([1, 1, 3])), ints([0, 1, -1]))

    x_share, y_share = of_columns(x_share), op.unsqueeze(y_share, ints([2]))
    top = _between(pixels(y_low, x_low), pixels(y_low, x_high), x_share)
    bottom = _between(pixels(y_high, x_low), pixels(y_high, x_high), x_share)
    points = _between(top, bottom, y_share)
    inside = op.and_(op.unsqueeze(y_inside, ints([2])), of_columns(x_inside))

    def by_colour(filled: Var) -> Var:
        return op.reshape(op.where(inside, points, filled), ints([0, -1, 3]))

    darkest, brightest = lowest(by_colour(floats(256)), [1]), highest(by_colour(floats(-1)), [1])
    filled = op.where(inside, points, op.tile(fill, as_vector(samples)))
    images = op.transpose(op.reshape(filled, ints([0, 0, -1, 3])), perm=[0, 3, 1, 2])
    return Crops(images, highest(op.sub(brightest, darkest), [1]))


def are_visible(ranges: Var) -> Var:
    """Whether anything can be seen in crops of such ranges of colours, bool of the ranges' shape."""
    return op.greater_or_equal(ranges, floats(VISIBLE_RANGE))


def _neighbours(middle: Var, offsets: Var, count: Var) -> tuple[Var, Var, Var, Var]:
    """Two pixels for each position on an axis, the weight of the second, and whether it is in the frame."""
    position = op.add(middle, offsets)
    last = op.sub(count, ints(1))
    floor = op.floor(position)
    low = cast(op.max([op.min([floor, cast(last, np.float32)]), floats(0)]), np.int64)
    inside = op.and_(op.greater_or_equal(position, floats(0)), op.less_or_equal(position, cast(last, np.float32)))
    high = op.min([op.add(low, ints(1)), last])
    return low, high, op.sub(position, cast(low, np.float32)), inside


def _between(first: Var, second: Var, share: Var) -> Var:
    return op.add(op.mul(first, op.sub(floats(1), share)), op.mul(second, share))
