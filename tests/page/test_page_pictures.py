"""Pictures within their room, and response maps cell by cell."""

import io

import numpy as np
import pytest
from PIL import Image

from mfst_jax.page import pictures
from mfst_jax.page.pictures import MAP_SIDE, FrameEncoder, encode_map

NOISE = np.random.default_rng(0).integers(0, 256, (360, 640, 3), np.uint8)


def decoded(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        assert image.format == "JPEG"
        return np.asarray(image)


def test_a_picture_shows_the_frame():
    frame = np.zeros((90, 120, 3), np.uint8)
    frame[:, 60:] = 200, 100, 50
    found = decoded(FrameEncoder((90, 120), 10, maps=0).encode(frame)).astype(int)
    assert found.shape == frame.shape
    assert np.abs(found[:, :52]).max() < 6
    assert np.abs(found[:, 68:] - [200, 100, 50]).max() < 6


@pytest.mark.parametrize(
    ("size", "count", "expected"),
    [
        ((360, 640), 150, (360, 640)),
        ((360, 640), 500, (360, 640)),
        ((360, 640), 2000, (180, 320)),
        ((360, 640), 100_000, (180, 320)),
        ((1080, 1920), 500, (360, 640)),
        ((1080, 1920), None, (360, 640)),
        ((1440, 360), None, (960, 240)),
        ((40, 60), 2000, (40, 60)),
        ((1, 3_000_000), 5, (1, 831384)),
    ],
)
def test_the_more_pictures_the_smaller(size: tuple[int, int], count: int | None, expected: tuple[int, int]):
    assert FrameEncoder(size, count, maps=1).size == expected


def test_a_large_frame_is_brought_to_size():
    encoder = FrameEncoder((720, 1280), 500, maps=0)
    frame = np.full((720, 1280, 3), 90, np.uint8)
    assert decoded(encoder.encode(frame)).shape == (360, 640, 3)


def test_quality_falls_until_pictures_fit_and_rises_again():
    encoder = FrameEncoder((360, 640), 500, maps=1)
    room = pictures.BUDGET / 500 * 3 / 4
    smooth = np.repeat(np.linspace(0, 255, 640).astype(np.uint8)[None, :, None], 360, axis=0).repeat(3, axis=2)
    busy = np.asarray(Image.fromarray(NOISE[::8, ::8]).resize((640, 360), Image.Resampling.BICUBIC))
    best = encoder.encode(smooth)
    assert len(best) < room
    for _ in range(3):
        assert len(encoder.encode(busy)) <= room
    worse = encoder.encode(smooth)
    assert len(worse) < len(best)
    for _ in pictures.QUALITIES:
        again = encoder.encode(smooth)
    assert again == best


def test_noise_ends_at_the_least_quality():
    encoder = FrameEncoder((360, 640), 2000, maps=0)
    assert encoder.encode(NOISE) == encoder.encode(NOISE)


# Maps


def test_a_map_has_the_mean_of_each_block():
    response = np.zeros((272, 272), np.float32)
    response[8:16, 24:32] = 1  # the second row, the fourth column
    response[16:20, 0:8] = 1  # half of a cell
    cells = np.frombuffer(encode_map(response), np.uint8).reshape(MAP_SIDE, MAP_SIDE)
    expected = np.zeros((MAP_SIDE, MAP_SIDE), np.uint8)
    expected[1, 3], expected[2, 0] = 255, 128
    np.testing.assert_array_equal(cells, expected)


def test_a_map_spans_from_its_lowest_to_its_highest_cell():
    response = np.repeat(np.linspace(-3, 5, MAP_SIDE), 8)[None].repeat(272, axis=0)
    cells = np.frombuffer(encode_map(response), np.uint8).reshape(MAP_SIDE, MAP_SIDE)
    np.testing.assert_array_equal(cells[0], np.round(np.linspace(0, 255, MAP_SIDE)))


@pytest.mark.parametrize("value", [0.0, 7.0, float("nan"), float("inf")])
def test_a_map_without_any_height_is_zero(value: float):
    response = np.full((272, 272), value)
    assert encode_map(response) == bytes(MAP_SIDE**2)
