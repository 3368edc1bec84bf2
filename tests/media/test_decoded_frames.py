"""Decoded frames go when nobody needs them any more: at once, not when Python next looks for cycles."""

import gc
from pathlib import Path

import numpy as np
import pytest

from mfst_jax.media import open_source
from mfst_jax.media.writers import VideoWriter

pytest.importorskip("av", reason="videos need PyAV: pip install 'mfst-jax[video]'")


def decoded() -> int:
    """Number of decoder's frames in memory, of all that the collector knows."""
    return sum(type(each).__name__ == "VideoFrame" for each in gc.get_objects())


def test_a_frame_is_freed_without_the_cycle_collector(tmp_path: Path):
    with VideoWriter(tmp_path / "clip.mp4", 25) as video:
        for grey in range(12):
            video.write(np.full((32, 48, 3), 20 * grey, np.uint8))
    source = open_source(tmp_path / "clip.mp4")
    gc.collect()
    gc.disable()
    try:
        before = decoded()
        assert sum(1 for _ in source.frames()) == 12
        assert decoded() == before
    finally:
        gc.enable()
