"""Upsampling by hand for each geometry, the peak's displacement, the choice of scale, and the window."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfst_jax.localisation import (
    add_window,
    choose_region,
    cubic_kernel,
    displacement,
    hann_window,
    pad_response,
    soft_argmax,
    upsample,
    upsampling_matrix,
)
from mfst_jax.presets import PAPER

GEOMETRIES = ["half_pixel", "corners", "tf1"]


def cell_of(sample, geometry, cells=17):
    """Where on the cells a sample lies, of 16 times as many."""
    return (sample + 0.5) / 16 - 0.5 if geometry == "half_pixel" else sample * (cells - 1) / (16 * cells - 1)


def four_weights(t):
    """Bicubic weights of the cells at -1, 0, 1, 2 for a fraction t, with a = -3/4, as polynomials."""
    return np.array([
        -0.75 * (t**3 - 2 * t**2 + t),
        1.25 * t**3 - 2.25 * t**2 + 1,
        -1.25 * t**3 + 1.5 * t**2 + 0.75 * t,
        0.75 * (t**3 - t**2),
    ])  # fmt: skip


# Upsampling


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_the_weights_of_each_sample_sum_to_one(geometry):
    matrix = upsampling_matrix(geometry)
    assert matrix.shape == (272, 17)
    np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(upsample(jnp.full((17, 17), 3.0), geometry), 3, rtol=1e-5)


@pytest.mark.parametrize(("geometry", "cells"), [("half_pixel", 17), ("corners", 17), ("half_pixel", 9)])
def test_each_sample_is_the_bicubic_sum_of_four_cells(geometry, cells):
    expected = np.zeros((16 * cells, cells))
    for sample in range(16 * cells):
        cell = cell_of(sample, geometry, cells)
        first = math.floor(cell)
        for tap, weight in zip(range(-1, 3), four_weights(cell - first), strict=True):
            expected[sample, min(max(first + tap, 0), cells - 1)] += weight
    np.testing.assert_allclose(upsampling_matrix(geometry, cells), expected, atol=1e-9)


def test_tf1_is_corners_with_fractions_of_a_table_of_1024():
    corners, tf1 = upsampling_matrix("corners"), upsampling_matrix("tf1")
    assert 1e-5 < np.abs(tf1 - corners).max() < 1e-3
    table = np.array([four_weights(k / 1024) for k in range(1025)])
    for sample in range(272):
        first = math.floor(sample * 16 / 271)
        if 1 <= first <= 14:  # four different cells
            taps = tf1[sample, first - 1 : first + 3]
            distance = np.abs(table - taps).max(axis=1)
            assert distance.min() < 1e-6
            assert abs(np.argmin(distance) / 1024 - (sample * 16 / 271 - first)) <= 0.5 / 1024 + 1e-6


@pytest.mark.parametrize("a", [-0.5, -0.75])
def test_the_cubic_kernel_by_hand(a):
    # 1 at 0, and 0 at each other whole number and from 2 on.
    np.testing.assert_allclose(cubic_kernel(np.array([0, 1, -1, 2, -2, 2.5, 3, 7]), a), [1, 0, 0, 0, 0, 0, 0, 0])
    middle, tail = (a + 2) / 8 - (a + 3) / 4 + 1, a * (1.5**3 - 5 * 1.5**2 + 8 * 1.5 - 4)
    np.testing.assert_allclose(cubic_kernel(np.array([0.5, -0.5, 1.5, -1.5]), a), [middle, middle, tail, tail])
    assert middle + tail == pytest.approx(0.5)  # half of the four weights of a point between two cells


@pytest.mark.parametrize("geometry", ["corners", "tf1"])
def test_corners_stay_where_they_are(geometry):
    cells = jnp.asarray(np.random.default_rng(0).normal(size=(17, 17)), jnp.float32)
    found = upsample(cells, geometry)
    np.testing.assert_allclose(found[::271, ::271], cells[::16, ::16], rtol=1e-6)


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_rows_are_rows_and_maps_do_not_mix(geometry):
    cells = jnp.zeros((2, 3, 17, 17)).at[1, 2, 4, 11].set(1.0)
    found = np.array(upsample(cells, geometry))
    assert found.shape == (2, 3, 272, 272)
    row, column = np.unravel_index(found[1, 2].argmax(), (272, 272))
    assert (round(cell_of(row, geometry)), round(cell_of(column, geometry))) == (4, 11)
    found[1, 2] = 0
    assert not found.any()


# Peak


def peak_at(row, column):
    return jnp.zeros((272, 272)).at[row, column].set(1.0)


@pytest.mark.parametrize(
    ("geometry", "row", "column", "expected"),
    [
        ("half_pixel", 135, 136, (0.25, -0.25)),  # half a sample, 16 of them a cell of 8 pixels
        ("half_pixel", 135 + 32, 136 - 16, (-7.75, 15.75)),
        ("corners", 135, 136, (0.5 * 8 * 16 / 271, -0.5 * 8 * 16 / 271)),
        ("corners", 0, 271, (64, -64)),  # the map's corner is its corner cell
        ("tf1", 135, 136, (0.25, -0.25)),
        ("tf1", 135 + 32, 136 - 16, (-7.75, 15.75)),
        ("tf1", 0, 271, (64, -64)),  # 135.5 / 16 cells, clamped to 8
        ("half_pixel", 271, 0, (-64, 64)),
        ("half_pixel", 7, 264, (64, -64)),
        ("half_pixel", 8, 263, (63.75, -63.75)),
    ],
)
def test_displacement_by_hand(geometry, row, column, expected):
    np.testing.assert_allclose(displacement(peak_at(row, column), geometry), expected, rtol=1e-6)


def test_a_map_of_the_centre_reaches_half_as_far():
    for (row, column), expected in {(0, 143): (32, -32), (71, 72): (0.25, -0.25), (39, 72): (0.25, -16.25)}.items():
        found = displacement(jnp.zeros((144, 144)).at[row, column].set(1.0), "half_pixel")
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_map_of_the_centre_is_padded_with_its_lowest_value():
    centre = jnp.asarray(np.random.default_rng(0).normal(size=(144, 144)), jnp.float32)
    whole = np.array(pad_response(centre))
    np.testing.assert_array_equal(whole[64:208, 64:208], centre)
    whole[64:208, 64:208] = centre.min()
    np.testing.assert_array_equal(whole, np.full((272, 272), centre.min()))
    np.testing.assert_array_equal(pad_response(jnp.asarray(whole)), whole)


@pytest.mark.parametrize("geometry", ["half_pixel", "corners"])
@pytest.mark.parametrize(("row", "column"), [(8, 8), (3, 12), (16, 0), (1, 15)])
def test_a_peak_on_a_cell_is_eight_pixels_a_cell_away(geometry, row, column):
    cells = np.arange(17)
    bump = np.exp(-((cells - row)[:, None] ** 2 + (cells - column)[None, :] ** 2) / 8)
    found = displacement(upsample(jnp.asarray(bump, jnp.float32), geometry), geometry)
    np.testing.assert_allclose(found, [8 * (column - 8), 8 * (row - 8)], atol=0.26)


def test_tf1_overshoots_as_the_authors_do():
    cells = np.arange(17)
    bump = np.exp(-((cells - 4)[:, None] ** 2 + (cells - 13)[None, :] ** 2) / 8)
    found = displacement(upsample(jnp.asarray(bump, jnp.float32), "tf1"), "tf1")
    np.testing.assert_allclose(found, np.array([8 * 5, 8 * -4]) * 271 / 256, atol=0.26)


def test_the_first_of_equal_peaks_in_row_major_order_wins():
    tied = peak_at(100, 200).at[100, 150].set(1.0).at[120, 10].set(1.0)
    np.testing.assert_allclose(displacement(tied, "tf1"), [(150 - 135.5) / 2, (100 - 135.5) / 2])
    np.testing.assert_allclose(displacement(jnp.zeros((272, 272)), "tf1"), [-64, -64])


def bump(column, row, width=20.0, height=1.0):
    samples = np.arange(272)
    return height * np.exp(-((samples[None] - column) ** 2 + (samples[:, None] - row) ** 2) / (2 * width**2))


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize(("column", "row"), [(135.5, 135.5), (100.25, 171.5), (180.0, 90.0)])
def test_the_soft_argmax_of_one_bump_is_its_top(geometry, column, row):
    for height in (1.0, 1e-5):  # the temperature is relative
        response = jnp.asarray(bump(column, row, height=height), jnp.float32)
        np.testing.assert_allclose(soft_argmax(response, 0.01), (column, row), atol=0.02)
        hard, soft = displacement(response, geometry), displacement(response, geometry, 0.01)
        np.testing.assert_allclose(soft, hard, atol=0.3)


def test_the_soft_argmax_by_hand():
    response = jnp.full((32, 32), -jnp.inf).at[3, 7].set(1.0).at[3, 9].set(1 + 0.5 * math.log(3))
    response = response / (1 + 0.5 * math.log(3))
    weight = 1 / (1 + 3)  # exp of a difference of log(3) / 2 over a temperature of 1/2
    temperature = 0.5 / (1 + 0.5 * math.log(3))
    np.testing.assert_allclose(soft_argmax(response, temperature), (7 * weight + 9 * (1 - weight), 3), rtol=1e-5)


def test_a_colder_soft_argmax_is_nearer_to_the_highest_of_two():
    response = jnp.asarray(bump(90, 130) + bump(180, 130, height=0.95), jnp.float32)
    found = [float(soft_argmax(response, temperature)[0]) for temperature in (0.1, 0.03, 0.01)]
    assert found == sorted(found, reverse=True)
    assert found[-1] == pytest.approx(90, abs=2)


def test_the_gradient_of_the_soft_argmax_moves_the_top_over():
    def place(shift):
        response = jnp.asarray(bump(135.5, 135.5), jnp.float32)
        return soft_argmax(response + shift * jnp.asarray(bump(150, 135.5), jnp.float32), 0.01)[0]

    slope = float(jax.grad(place)(0.0))
    assert slope > 1
    assert slope == pytest.approx(float(place(0.01) - place(-0.01)) / 0.02, rel=0.05)
    assert float(jax.grad(lambda response: displacement(response, "half_pixel")[0])(jnp.ones((272, 272))).sum()) == 0


def test_a_map_of_zeros_has_its_soft_argmax_in_the_middle():
    np.testing.assert_allclose(soft_argmax(jnp.zeros((272, 272)), 0.01), (135.5, 135.5), rtol=1e-5)


# Scale


def maps_with_peaks(*peaks):
    maps = jnp.full((len(peaks), 272, 272), -5.0)
    return maps.at[jnp.arange(len(peaks)), 7, 9].set(jnp.asarray(peaks))


@pytest.mark.parametrize(
    ("peaks", "penalty", "best"),
    [
        ((1.0, 1.0, 1.0), 0.9745, 1),
        ((1.02, 1.0, 1.02), 0.9745, 1),  # 0.994 after the penalty
        ((1.0, 1.0, 1.03), 0.9745, 2),  # 1.0037
        ((1.04, 1.0, 1.03), 0.9745, 0),
        ((1.0, 1.0, 1.0), 1.0, 0),  # the first of equals
        ((0.5, 1.0, 1.0), 1.0, 1),
        ((2.0, 1.5, 2.0), 0.75, 0),  # 1.5 each
        ((1.0, 0.9, 0.9, 0.9, 0.99), 0.9, 0),
        ((1.0, 0.9, 0.95, 0.9, 0.99), 0.9, 2),
    ],
)
def test_the_scale_with_the_highest_penalised_peak_wins(peaks, penalty, best):
    config = dataclasses.replace(PAPER, scale_count=len(peaks), scale_penalty=penalty)
    assert int(choose_region(maps_with_peaks(*peaks), config)) == best


def test_a_single_region_is_the_best_of_all_scales():
    assert int(choose_region(maps_with_peaks(1.0), PAPER)) == 0


def test_the_tilt_favours_one_end():
    config, maps = dataclasses.replace(PAPER, scale_step=2.0, scale_penalty=0.5), maps_with_peaks(1.0, 1.0, 1.0)
    for tilt, best in ((-1.1, 0), (0.0, 1), (1.1, 2)):
        assert int(choose_region(maps, dataclasses.replace(config, scale_tilt=tilt))) == best


# Window


def test_the_hann_window():
    window = hann_window()
    assert window.shape == (272, 272)
    assert window.sum() == pytest.approx(1, abs=1e-12)
    one = [0.5 - 0.5 * math.cos(2 * math.pi * i / 271) for i in range(272)]
    np.testing.assert_allclose(window[135] / window[135].max(), np.array(one) / max(one), atol=1e-12)
    np.testing.assert_allclose(window, window.T)
    assert not window[0].any()


def test_the_middle_of_the_window_is_a_window():
    window, whole = hann_window(144), hann_window()
    assert window.sum() == pytest.approx(1)
    np.testing.assert_allclose(window / window.max(), whole[64:208, 64:208] / whole.max(), rtol=1e-12)


def test_the_window_takes_its_share():
    response = jnp.full((272, 272), 2.0).at[3, 4].set(5.0).at[10, 20].set(3.0)  # from 0: 3 and 1, sum 4
    found = np.asarray(add_window(response, 0.25), np.float64)
    expected = 0.25 * hann_window()
    expected[3, 4] += 0.75 * 3 / 4
    expected[10, 20] += 0.75 * 1 / 4
    np.testing.assert_allclose(found, expected, atol=1e-7)
    assert found.sum() == pytest.approx(1, rel=1e-4)


@pytest.mark.parametrize("value", [0.0, 7.0, -3.0])
def test_a_constant_map_leaves_the_window_alone(value):
    found = add_window(jnp.full((272, 272), value), 0.176)
    np.testing.assert_allclose(found, 0.176 * hann_window(), rtol=1e-5)


def test_offset_and_magnitude_of_the_map_do_not_matter():
    response = jnp.asarray(np.random.default_rng(0).random((272, 272)), jnp.float32)
    np.testing.assert_allclose(add_window(response, 0.3), add_window(100 * response - 7, 0.3), atol=1e-8)
    np.testing.assert_allclose(add_window(response, 0.3), add_window(1e-8 * response, 0.3), atol=1e-8)
