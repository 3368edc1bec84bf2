"""Crops against a slow float64 reference, and the laws: ends, fill, padding, shifts, transformations."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfst_jax.crops import (
    CENTRE_SIZE,
    EXEMPLAR_SIZE,
    SEARCH_SIZE,
    VISIBLE_RANGE,
    central_exemplar,
    crop,
    crop_with_range,
    mean_colour,
    search_side,
)

FILL = (10.0, 20.0, 30.0)


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


# Operation by operation each shape of frame would take as long to compile as all of them together.
compiled_crop, compiled_mean = jax.jit(crop), jax.jit(mean_colour)
crop_range = jax.jit(crop_with_range, static_argnames="samples")


def take(frame, centre, side, fill=FILL, frame_size=None, function=compiled_crop):
    size = frame.shape[:2] if frame_size is None else frame_size
    return np.asarray(
        function(
            jnp.asarray(frame),
            jnp.asarray(centre, jnp.float32),
            jnp.float32(side),
            fill=jnp.asarray(fill, jnp.float32),
            frame_size=jnp.asarray(size, jnp.int32),
        )
    )


def reference(frame, centre, side, fill=FILL):
    """The crop in float64, by tents on all pixels, and which points lie too near the frame's edge to be sure of."""
    length = np.array(frame.shape[1::-1])
    points = np.asarray(centre) + np.linspace(-0.5, 0.5, 255)[:, None] * (side - 1)
    x, y = (np.maximum(0, 1 - np.abs(points[:, [axis]] - np.arange(length[axis]))) for axis in (0, 1))
    inside = (points >= 0) & (points <= length - 1)
    unsure = np.minimum(np.abs(points), np.abs(points - length + 1)) < 1e-3
    outside = ~(inside[:, None, 1] & inside[None, :, 0])
    result = np.einsum("iv,vuc,ju->ijc", y, frame.astype(float), x, optimize=True)
    result[outside] = fill
    return result, unsure[:, None, 1] | unsure[None, :, 0]


@pytest.mark.parametrize(
    ("centre", "side"),
    [
        ((40.3, 30.8), 50.7),  # inside
        ((3.2, 55.9), 61.0),  # over two edges
        ((40.0, 30.0), 300.0),  # larger than the frame
        ((39.5, 29.5), 1.0),  # one point only
        ((20.1, 20.2), 0.5),  # less than a pixel
        ((-200.0, 30.0), 50.0),  # nowhere
    ],
)
def test_a_crop_is_the_reference(centre, side):
    frame = noise(60, 80)
    expected, unsure = reference(frame, centre, side)
    difference = np.abs(take(frame, centre, side) - expected).max(axis=-1)
    assert difference[~unsure].max() < 0.02
    assert unsure.mean() < 0.05


def test_a_side_of_255_samples_every_pixel_ends_included():
    frame = noise(300, 320)
    found = take(frame, (150, 130), 255)
    np.testing.assert_allclose(found, frame[3:258, 23:278], atol=0.01)
    corners = np.ix_((0, 127, 254), (0, 127, 254))
    np.testing.assert_array_equal(found[corners], frame[3:258, 23:278][corners])


def test_half_the_side_lands_between_pixels():
    frame = noise(200, 200).astype(float)
    found = take(frame.astype(np.uint8), (100, 90), 128)
    # The first sample lies at (100 - 63.5, 90 - 63.5) = (36.5, 26.5), the next half a pixel on.
    np.testing.assert_allclose(found[0, 0], frame[26:28, 36:38].mean(axis=(0, 1)), atol=0.01)
    np.testing.assert_allclose(found[0, 1], frame[26:28, 37].mean(axis=0), atol=0.01)
    np.testing.assert_allclose(found[1, 1], frame[27, 37], atol=0.01)


def test_the_last_pixels_are_inside_and_what_lies_beyond_is_fill():
    frame = np.full((255, 255, 3), 200, np.uint8)
    np.testing.assert_array_equal(take(frame, (127, 127), 255), 200)
    shifted = take(frame, (128, 127), 255)
    np.testing.assert_array_equal(shifted[:, :254], 200)
    np.testing.assert_array_equal(shifted[:, 254], np.broadcast_to(FILL, (255, 3)))
    shifted = take(frame, (127, 126.5), 255)
    np.testing.assert_array_equal(shifted[1:], 200)
    np.testing.assert_array_equal(shifted[0], np.broadcast_to(FILL, (255, 3)))


def test_the_exemplar_is_rows_and_columns_64_to_190():
    search = jnp.arange(2 * 255 * 255 * 3, dtype=jnp.float32).reshape(2, 255, 255, 3)
    found = central_exemplar(search)
    assert found.shape == (2, 127, 127, 3)
    np.testing.assert_array_equal(found, np.asarray(search)[:, 64:191, 64:191])
    np.testing.assert_array_equal(central_exemplar(search[0]), found[0])


def test_sizes_are_the_papers_and_a_centre_search_has_nine_cells():
    assert (EXEMPLAR_SIZE, SEARCH_SIZE) == (127, 255)
    assert CENTRE_SIZE == 127 + 8 * (9 - 1)


def test_the_search_side_by_hand():
    # Half of (30 + 50) is added to both sides: s_z^2 = 70 * 90.
    found = search_side(jnp.asarray([[30.0, 50.0], [20.0, 20.0]]), 0.5)
    np.testing.assert_allclose(found, [math.sqrt(70 * 90) * 255 / 127, 40 * 255 / 127], rtol=1e-6)


# Mean colour


def mean(frame, frame_size=None, function=compiled_mean):
    return np.asarray(function(jnp.asarray(frame), jnp.asarray(frame_size or frame.shape[:2], jnp.int32)))


def test_the_mean_of_a_large_white_frame_is_exactly_white():
    """3000 x 3000 x 255 is beyond float32's whole numbers, and beyond int32."""
    np.testing.assert_array_equal(mean(np.full((3000, 3000, 3), 255, np.uint8)), 255)


@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (64, 3), (65, 3), (480, 641)])
def test_the_mean_colour_is_the_mean(shape):
    frame = noise(*shape)
    np.testing.assert_allclose(mean(frame), frame.astype(np.float64).mean(axis=(0, 1)), rtol=3e-7)


def test_channels_do_not_mix():
    frame = np.zeros((10, 20, 3), np.uint8)
    frame[..., 0], frame[:5, :, 2] = 7, 100
    np.testing.assert_array_equal(mean(frame), [7, 0, 50])


def test_whole_numbers_have_the_same_mean_in_float32():
    frame = noise(61, 83)
    np.testing.assert_array_equal(mean(frame.astype(np.float32)), mean(frame))
    np.testing.assert_array_equal(mean(np.full((1000, 1000, 3), 255, np.float32)), 255)  # beyond float32's too


@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (65, 3), (480, 641)])
def test_the_mean_of_fractions_is_right_to_a_512th(shape):
    frame = np.random.default_rng(0).uniform(0, 255, (*shape, 3)).astype(np.float32)
    np.testing.assert_allclose(mean(frame), frame.astype(np.float64).mean(axis=(0, 1)), rtol=3e-7, atol=1 / 512)


def test_the_mean_has_the_gradient_of_a_mean():
    frame = jnp.asarray(np.random.default_rng(0).uniform(0, 255, (6, 8, 3)), jnp.float32)
    size = jnp.asarray((5, 4), jnp.int32)
    gradient = jax.grad(lambda frame: mean_colour(frame, size)[1])(frame)
    expected = np.zeros((6, 8, 3))
    expected[:5, :4, 1] = 1 / 20
    np.testing.assert_allclose(gradient, expected, rtol=1e-6)


def test_what_is_out_of_range_counts_as_its_end():
    frame = np.float32([[[-5.0, 300.0, 7.0]]])
    np.testing.assert_array_equal(mean(frame), [0, 255, 7])


# The range of colours


def test_the_range_is_that_of_the_points_inside():
    frame = np.full((40, 50, 3), 90, np.uint8)
    frame[9:12, 19:22] = 90, 97, 60
    frame[33:37, 3:7] = 255  # in the largest crop alone
    arguments = jnp.asarray(frame), jnp.array([20.0, 10.0])
    more = {"fill": jnp.zeros(3), "frame_size": jnp.array([40, 50], jnp.int32)}
    for side, expected in ((1.0, 0), (255.0 / 8, 30), (21.0, 30), (200.0, 195)):
        found = crop_range(*arguments, jnp.float32(side), **more)[1]
        assert float(found) == pytest.approx(expected, abs=2), side
    black = crop_range(jnp.zeros((40, 50, 3), jnp.uint8), arguments[1], jnp.float32(21), **more)
    assert float(black[1]) == 0
    assert VISIBLE_RANGE == 4  # as docs/choices.md has it
    outside = crop_range(jnp.asarray(frame), jnp.array([-500.0, 10.0]), jnp.float32(21), **more)
    assert float(outside[1]) < 0
    np.testing.assert_array_equal(outside[0], 0)


def test_a_crop_of_fewer_samples_is_the_middle_of_one_of_all():
    frame = noise(60, 80)
    more = {"fill": jnp.asarray(FILL), "frame_size": jnp.asarray((60, 80), jnp.int32)}
    whole, middle = (
        crop_range(jnp.asarray(frame), jnp.array([30.3, 50.2]), jnp.float32(90.7), samples=samples, **more)[0]
        for samples in (255, 127)
    )
    np.testing.assert_array_equal(central_exemplar(whole), middle)


# Padding


@pytest.mark.parametrize("function", [mean_colour, compiled_mean], ids=["eager", "jit"])
def test_padding_changes_no_bit_of_the_mean(function):
    frame, padded = noise(61, 83), noise(97, 128, seed=1)
    padded[:61, :83] = frame
    np.testing.assert_array_equal(mean(padded, (61, 83), function), mean(frame, None, function))


@pytest.mark.parametrize("function", [crop, compiled_crop], ids=["eager", "jit"])
@pytest.mark.parametrize(("centre", "side"), [((70.3, 50.6), 90.7), ((40.0, 30.0), 400.0), ((82.0, 60.0), 1.0)])
def test_padding_changes_no_bit_of_a_crop(centre, side, function):
    frame, padded = noise(61, 83), noise(97, 128, seed=1)
    padded[:61, :83] = frame
    found = take(padded, centre, side, frame_size=(61, 83), function=function)
    np.testing.assert_array_equal(found, take(frame, centre, side, function=function))


# Shifts and transformations


@pytest.mark.parametrize(("dx", "dy"), [(11, 7), (0, 30), (-20, 3)])
def test_the_crop_moves_with_the_scene(dx, dy):
    scene = noise(400, 500)
    here, there = scene[40:300, 60:400], scene[40 - dy : 300 - dy, 60 - dx : 400 - dx]
    found = [take(here, (150.3, 120.4), 130.5), take(there, (150.3 + dx, 120.4 + dy), 130.5)]
    np.testing.assert_allclose(found[0], found[1], atol=0.02)


def test_jit_equals_eager():
    frame = noise(60, 80)
    np.testing.assert_allclose(
        take(frame, (40.3, 30.8), 90.7), take(frame, (40.3, 30.8), 90.7, function=crop), atol=0.01
    )


def test_sides_batch():
    frame, sides = noise(60, 80), jnp.asarray([50.2, 61.3, 70.9], jnp.float32)
    common = {"fill": jnp.asarray(FILL), "frame_size": jnp.asarray((60, 80), jnp.int32)}
    batch = jax.vmap(lambda side: crop(jnp.asarray(frame), jnp.asarray((30.3, 20.2)), side, **common))(sides)
    for index, side in enumerate(sides):
        np.testing.assert_allclose(batch[index], take(frame, (30.3, 20.2), side), atol=0.01)
    assert np.abs(batch[0] - batch[1]).max() > 10
