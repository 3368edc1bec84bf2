"""Image files of every mode and kind, and what is refused."""

import struct

import numpy as np
import pytest
from media import cut, noisy, save
from PIL import Image

from mfst_jax.errors import InputError
from mfst_jax.media.images import read_image


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".ppm", ".webp"])
def test_colour_images_come_back_exactly(tmp_path, suffix):
    frame = noisy(5)
    Image.fromarray(frame).save(tmp_path / f"a{suffix}", lossless=True)
    read = read_image(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(read, frame)
    assert read.flags.writeable


def test_jpeg(tmp_path):
    save(tmp_path / "a.jpg", np.full((8, 8, 3), (200, 100, 50), np.uint8))
    np.testing.assert_allclose(read_image(tmp_path / "a.jpg")[4, 4], (200, 100, 50), atol=3)


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("1", 1, (255, 255, 255)),
        ("L", 77, (77, 77, 77)),
        ("LA", (77, 0), (77, 77, 77)),
        ("RGBA", (10, 20, 30, 0), (10, 20, 30)),
        ("CMYK", (0, 255, 255, 0), (255, 0, 0)),
        ("I;16", 65535, (255, 255, 255)),
        ("I;16", 128, (0, 0, 0)),  # 128 * 255 / 65535 = 0.498
        ("I;16", 129, (1, 1, 1)),  # 0.502
        ("I;16", 25700, (100, 100, 100)),
        ("YCbCr", (128, 128, 128), (128, 128, 128)),
    ],
)
def test_image_modes(tmp_path, mode, colour, expected):
    # Before 13, Pillow does not read the TIFF that it writes of YCbCr.
    path = tmp_path / {"CMYK": "a.tif", "YCbCr": "a.jpg"}.get(mode, "a.png")
    Image.new(mode, (5, 4), colour).save(path)
    read = read_image(path)
    assert read.shape == (4, 5, 3)
    assert read.dtype == np.uint8
    assert (read == expected).all()


def test_palette_with_transparent_colours(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 0), 1)
    image.save(tmp_path / "a.png", transparency=bytes([0, 128]))
    assert read_image(tmp_path / "a.png").tolist() == [[[10, 20, 30], [200, 100, 50]]]


def test_pgm_of_ten_bits_is_scaled(tmp_path):
    (tmp_path / "a.pgm").write_bytes(b"P5 2 1 1023\n" + struct.pack(">2H", 1023, 512))
    assert read_image(tmp_path / "a.pgm")[0, :, 0].tolist() == [255, 128]


def test_exif_orientation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to view
    frame = noisy(3)
    Image.fromarray(frame).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), np.rot90(frame, -1))


@pytest.mark.parametrize("mode", ["F", "I"])
def test_images_of_32_bits_are_refused(tmp_path, mode):
    Image.new(mode, (5, 4)).save(tmp_path / "a.tif")
    with pytest.raises(InputError, match=r"image .*a\.tif: expected .* 8 or 16 bits, found 32 bits per pixel"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "missing", "folder"])
def test_unreadable_images_name_the_file(tmp_path, damage):
    path = tmp_path / "a.png"
    save(path, noisy(1))
    if damage == "cut":
        cut(path, 0.6)
    elif damage in ("empty", "text"):
        path.write_text("" if damage == "empty" else "no image")
    else:
        path.unlink()
    if damage == "folder":
        path.mkdir()
    with pytest.raises(InputError, match=r"image .*a\.png: expected a readable image") as caught:
        read_image(path)
    assert "\n" not in str(caught.value)


def test_large_images_pass_and_bombs_are_refused(tmp_path, monkeypatch):
    save(tmp_path / "a.png", noisy(1))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 48 * 64 - 1)  # Pillow warns above it, and raises above twice as many
    assert read_image(tmp_path / "a.png").shape == (48, 64, 3)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(InputError, match="decompression bomb"):
        read_image(tmp_path / "a.png")
