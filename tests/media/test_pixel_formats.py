"""Videos of any depth and kind of pixels: 10 to 16 bits, HDR, grey and alpha become 8-bit RGB."""

from fractions import Fraction
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from mfst_jax.errors import InputError
from mfst_jax.media import decoding, open_source

av = pytest.importorskip("av")


def ramp(size: tuple[int, int] = (32, 64)) -> np.ndarray:
    """Smooth colours, which all kinds of pixels hold."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    return np.stack([4 * columns % 256, 8 * rows % 256, 255 - 4 * columns % 256], axis=-1).astype(np.uint8) // 2 + 60


def write(path: Path, pix_fmt: str, codec: str = "ffv1", picture: np.ndarray | None = None, **context) -> np.ndarray:
    """Writes two frames, of which the second is darker, and returns them."""
    first = ramp() if picture is None else picture
    frames = np.stack([first, first // 2])
    with av.open(str(path), "w") as container:
        stream = cast("av.video.stream.VideoStream", container.add_stream(codec, rate=Fraction(25)))
        stream.height, stream.width, stream.pix_fmt = *first.shape[:2], pix_fmt
        for name, value in context.items():
            setattr(stream.codec_context, name, value)
        for pixels in frames:
            kind = "rgba" if pixels.shape[-1] == 4 else "rgb24"
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format=kind)))
        container.mux(stream.encode(None))
    return frames


@pytest.mark.parametrize("pix_fmt", ["yuv420p10le", "yuv422p12le", "yuv444p16le", "gbrp10le", "gbrp14le"])
def test_the_upper_eight_bits_stay(tmp_path: Path, pix_fmt: str):
    frames = write(tmp_path / "a.mkv", pix_fmt)
    found = np.stack([*open_source(tmp_path / "a.mkv").frames()])
    assert found.dtype == np.uint8
    assert np.abs(found.astype(int) - frames)[:, 2:-2, 2:-2].mean() < 3


@pytest.mark.parametrize("pix_fmt", ["gray", "gray10le", "gray16le"])
def test_grey_becomes_rgb(tmp_path: Path, pix_fmt: str):
    grey = np.repeat(ramp()[..., :1], 3, axis=-1)
    frames = write(tmp_path / "a.mkv", pix_fmt, picture=grey)
    found = np.stack([*open_source(tmp_path / "a.mkv").frames()])
    assert np.array_equal(found[..., 0], found[..., 1])
    assert np.abs(found.astype(int) - frames).max() <= 2


@pytest.mark.parametrize("pix_fmt", ["bgra", "yuva420p", "yuva444p10le"])
def test_alpha_is_dropped(tmp_path: Path, pix_fmt: str):
    alpha = np.full((32, 64, 1), 40, np.uint8)
    frames = write(tmp_path / "a.mkv", pix_fmt, picture=np.concatenate([ramp(), alpha], axis=-1))
    found = np.stack([*open_source(tmp_path / "a.mkv").frames()])
    assert found.shape == (2, 32, 64, 3)
    assert np.abs(found.astype(int) - frames[..., :3])[:, 2:-2, 2:-2].mean() < 4


@pytest.mark.parametrize("curve", ["smpte2084", "arib-std-b67"])
def test_hdr_is_read_as_it_is_stored(tmp_path: Path, curve: str):
    number = {"smpte2084": 16, "arib-std-b67": 18}[curve]
    frames = write(tmp_path / "a.mkv", "yuv420p10le", color_trc=number, color_primaries=9)
    with av.open(str(tmp_path / "a.mkv")) as container:
        assert next(container.decode(video=0)).color_trc == number
    found = np.stack([*open_source(tmp_path / "a.mkv").frames()])
    assert np.abs(found.astype(int) - frames)[:, 2:-2, 2:-2].mean() < 3


@pytest.mark.parametrize(
    ("codec", "pixels", "found"),
    [("libx264", "yuv420p", "found 64x32"), ("ffv1", "yuv420p", "an unknown size, or of more than 1000 pixels")],
)
def test_a_frame_of_too_many_pixels_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codec: str, pixels: str, found: str
):
    path = tmp_path / "a.mkv"
    write(path, pixels, codec=codec)
    monkeypatch.setattr(decoding, "LARGEST_FRAME", 1000)
    with pytest.raises(InputError, match=f"a.mkv: expected .*{found}"):
        open_source(path)


def test_frames_of_too_many_pixels_are_not_decoded_to_learn_what_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "a.mkv"
    write(path, "bgr0")
    with decoding.open_container("a", str(path)) as container:
        assert container.streams.video[0].pix_fmt == "bgr0"  # which the container does not say
    monkeypatch.setattr(decoding, "LARGEST_FRAME", 1000)
    with decoding.open_container("a", str(path)) as container:
        assert container.streams.video[0].pix_fmt is None
