"""The pictures of how it works: what they show is what the tracker does."""

import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest
from code_blocks import ROOT
from PIL import Image

import mfst_jax
from mfst_jax.media.sources import demo_source

sys.path.insert(0, str(ROOT / "tools"))
import render_how_it_works

CONFIG = mfst_jax.Config(models=("alexnet",), se=False)


@pytest.fixture
def stages() -> render_how_it_works.Stages:
    """Stages with a peak at a known place: column 136 + 20, row 136 - 10."""
    rows, columns = np.mgrid[:272, :272]
    peak = np.exp(-((columns - 156) ** 2 + (rows - 126) ** 2) / 800)
    fused = np.stack([0.5 * peak, peak, 0.8 * peak])
    frame = np.zeros((90, 160, 3), np.uint8)
    return render_how_it_works.Stages(
        first=frame,
        given=np.float32([40, 30, 20, 10]),
        frame=frame,
        box=np.float32([50, 25, 20, 10]),
        score=0.87,
        exemplar=np.zeros((127, 127, 3), np.float32),
        centre=np.float32([49.5, 34.5]),
        sides=np.float32([58, 60, 61]),
        regions=np.zeros((3, 255, 255, 3), np.float32),
        responses={"alexnet": np.stack([fused] * 3)},
        by_model={"alexnet": fused},
        fused=fused,
        best=1,
        windowed=peak,
    )


def titles(figure) -> list[str]:
    return [axes.get_title() for axes in figure.axes]


def test_the_crops_have_their_sides_and_factors(stages):
    figure = render_how_it_works.draw_crops(stages, CONFIG)
    assert titles(figure)[2:] == ["exemplar", "58 px, factor 0.976", "60 px, factor 1.000", "61 px, factor 1.025"]
    (given,), searched = (axes.patches for axes in figure.axes[:2])
    assert given.get_bbox().bounds == (39.5, 29.5, 20, 10)  # a pixel's centre has whole coordinates
    assert [patch.get_width() for patch in searched] == [58, 60, 61]
    plt.close(figure)


def test_every_layer_in_use_has_a_map_with_its_weight(stages):
    figure = render_how_it_works.draw_responses(stages, CONFIG)
    expected = ["A conv3, weight 0.1", "A conv4, weight 0.6", "A conv5, weight 0.3", "A by soft weight"]
    assert titles(figure) == expected
    np.testing.assert_array_equal(figure.axes[0].images[0].get_array(), stages.fused[1])
    plt.close(figure)


def test_the_cross_is_on_the_peak_and_the_box_in_the_frame(stages):
    figure = render_how_it_works.draw_box(stages, CONFIG)
    final, windowed, frame = figure.axes
    assert titles(figure) == ["final map", "with the window", "box, score 0.87"]
    np.testing.assert_array_equal(final.images[0].get_array(), stages.fused[1])
    assert windowed.lines[0].get_xydata().tolist() == [[156, 126]]
    assert frame.patches[0].get_bbox().bounds == (49.5, 24.5, 20, 10)
    plt.close(figure)


@pytest.mark.slow  # compiles a step at three scales twice
def test_the_stages_are_those_of_a_step(tmp_path):
    truth = demo_source().ground_truth
    assert truth is not None
    found = render_how_it_works.compute(mfst_jax.load(), CONFIG, 2)
    np.testing.assert_allclose(found.box, truth[2], atol=6)
    first = next(demo_source().frames())
    # The exemplar's middle is the middle of the box, in the colours of the frame.
    x, y = truth[0, :2] + (truth[0, 2:] - 1) / 2
    np.testing.assert_allclose(found.exemplar[63, 63], first[round(y), round(x)], atol=40)
    assert found.regions.shape == (3, 255, 255, 3)
    render_how_it_works.main(number=2, out=tmp_path)
    for part in ("crops", "responses", "box"):
        for end in ("", "_dark"):
            with Image.open(tmp_path / f"how_it_works_{part}{end}.webp") as picture:
                assert picture.width == 1500
