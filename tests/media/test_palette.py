"""Colours of targets and trackers."""

import pytest

from mfst_jax.media.drawing import DARK, DARK_INK_FROM, TRACKED, WHITE
from mfst_jax.media.palette import BRIGHT_COLOURS, colour, luminance, on_pictures


def test_the_first_colour_is_its_own_and_the_others_repeat():
    assert [colour(place) for place in range(9)] == [0, 1, 2, 3, 4, 5, 6, 1, 2]
    assert on_pictures(0) == TRACKED
    assert on_pictures(3) == (0xE8, 0x78, 0xE8)
    assert on_pictures(7) == on_pictures(1)


def test_luminance_is_that_of_the_screen():
    assert luminance((0, 0, 0)) == 0
    assert luminance((255, 255, 255)) == pytest.approx(1)
    assert luminance((0, 255, 0)) == pytest.approx(0.7152)
    assert luminance((128, 128, 128)) == pytest.approx(0.2159, abs=1e-4)


def test_labels_can_be_read_on_every_colour():
    for place in range(len(BRIGHT_COLOURS)):
        plate = luminance(on_pictures(place))
        ink = luminance(DARK if plate > DARK_INK_FROM else WHITE)
        lighter, darker = max(plate, ink), min(plate, ink)
        assert (lighter + 0.05) / (darker + 0.05) >= 4.5, BRIGHT_COLOURS[place]
