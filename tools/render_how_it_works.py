"""Pictures docs/how_it_works_*.webp, figure 1 of the paper from a real frame: `python tools/render_how_it_works.py`.

What is drawn is computed: the built-in clip is tracked up to a frame, and the stages of that frame's step are kept. The
fused map is compared with the one that `step` returns. Needs the extras `video` and `plots`.
"""

import dataclasses
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import tyro
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

import mfst_jax
from mfst_jax import localisation
from mfst_jax.config import MODELS
from mfst_jax.crops import EXEMPLAR_SIZE, SEARCH_SIZE, crop, mean_colour, search_side
from mfst_jax.fusion import fuse, fuse_hierarchy
from mfst_jax.media.sources import demo_source
from mfst_jax.network import bind
from mfst_jax.params import resolve_config
from mfst_jax.search import search_regions

DOCS = Path(__file__).parents[1] / "docs"
NAMES = {"siamfc": "S", "alexnet": "A"}
FORMULAS = {"hard": "hard weight", "soft_mean": "soft mean", "soft": "soft weight"}
BOX, REGION = "#2f81f7", "#d29922"
"""Colours of boxes and of search regions, readable on light and on dark pages."""
INK = {"light": "#1f2328", "dark": "#e6edf3"}
MAPS = "magma"


class Stages(NamedTuple):
    """All stages of one step.

    Attributes:
      first: The first frame, [H, W, 3], and `given`, its box [4].
      frame: The frame of the step, [H, W, 3]; `box` is the box found in it, and `score` its score.
      exemplar: The target's image, [127, 127, 3].
      sides: Side of the search region at each scale, in pixels, and `centre`, their common centre (x, y).
      regions: Search regions, [scales, 255, 255, 3].
      responses: Upsampled response maps of each model, {model: [layers, scales, 272, 272]}.
      by_model: Fused map of each model, {model: [scales, 272, 272]}.
      fused: Final map at each scale, [scales, 272, 272].
      best: Index of the chosen scale.
      windowed: Final map of that scale with the window, [272, 272].
    """

    first: np.ndarray
    given: np.ndarray
    frame: np.ndarray
    box: np.ndarray
    score: float
    exemplar: np.ndarray
    centre: np.ndarray
    sides: np.ndarray
    regions: np.ndarray
    responses: dict[str, np.ndarray]
    by_model: dict[str, np.ndarray]
    fused: np.ndarray
    best: int
    windowed: np.ndarray


def main(weights: str | None = None, number: int = 60, out: Path = DOCS, prefix: str = "how_it_works") -> None:
    """Renders the pictures, each for light and for dark pages.

    Args:
        weights: A name (see mfst weights) or a checkpoint, by default the built-in ones. All its backbones are drawn.
        number: The frame of the built-in clip whose step is drawn, from 1.
        out: The folder for the pictures.
        prefix: How the names of the pictures begin.
    """
    params = mfst_jax.load(weights)
    models = tuple(model for model in MODELS if params.contents.holds(model))
    config = resolve_config(params.contents, dataclasses.replace(mfst_jax.PAPER, models=models))
    stages = compute(params, config, number)
    for scheme in INK:
        for part, draw in (("crops", draw_crops), ("responses", draw_responses), ("box", draw_box)):
            with mpl.rc_context({"text.color": INK[scheme], "font.size": 15, "axes.titlesize": 15}):
                figure = draw(stages, config)
                path = out / f"{prefix}_{part}{'_dark' * (scheme == 'dark')}.webp"
                figure.savefig(path, transparent=True, dpi=150, pil_kwargs={"quality": 82, "method": 6})
                plt.close(figure)
                print(f"wrote {path}")
    print(f"frame {number}: box {np.round(stages.box, 1).tolist()}, score {stages.score:.2f}, scale {stages.best}")


def compute(params: mfst_jax.Params, config: mfst_jax.Config, number: int) -> Stages:
    """Stages of the step on one frame of the built-in clip, after tracking all frames before it."""
    source = demo_source()
    assert source.ground_truth is not None
    given = source.ground_truth[0]
    *before, frame = islice(source.frames(), number + 1)
    prepared = mfst_jax.prepare(params, config)
    state = mfst_jax.init(prepared, before[0], given, config=config)
    for each in before[1:]:
        state, _ = mfst_jax.step(prepared, state, each)
    _, output = mfst_jax.step(prepared, state, frame)

    @jax.jit
    def stages(params: Any, state: mfst_jax.State, first: jax.Array, frame: jax.Array) -> Any:
        with jax.default_matmul_precision("highest"):
            start = jnp.asarray(given[:2] + (given[2:] - 1) / 2)
            side, fill = search_side(state.size, config.context), mean_colour(first, state.frame_size)
            exemplar = crop(first, start, side, fill=fill, frame_size=state.frame_size, samples=EXEMPLAR_SIZE)
            regions = search_regions(state, frame, config)
            responses, _ = bind(params, config).match(state.exemplar, regions.images)
            upsampled = localisation.upsample_layers(responses, config)
            by_model = {m: fuse(maps, config.fusion(m), config.weights(m)) for m, maps in upsampled.items()}
            fused = fuse_hierarchy(upsampled, config)
            best = localisation.choose_region(fused, config)
            windowed = localisation.add_window(fused[best], config.window_influence)
        return exemplar, state.centre, regions.sides, regions.images, upsampled, by_model, fused, best, windowed

    found = jax.device_get(stages(prepared, state, before[0], frame))
    exemplar, centre, sides, regions, responses, by_model, fused, best, windowed = found
    drawn, returned = fused[best], np.asarray(output.response)
    np.testing.assert_allclose(drawn, returned, rtol=0, atol=1e-4 * float(returned.max()))
    box, score = np.asarray(output.box), float(output.score)
    return Stages(
        *(before[0], given, frame, box, score, exemplar, centre, sides, regions),
        *(responses, by_model, fused, int(best), windowed),
    )


def draw_crops(stages: Stages, config: mfst_jax.Config) -> plt.Figure:
    """The first frame, the exemplar, the frame, and its search regions."""
    figure = plt.figure(figsize=(10, 6.95), layout="constrained")
    top, middle = np.ravel(np.array(figure.subfigures(2, 1, height_ratios=(3.4, 3.55))))
    frames = top.subplots(1, 2)
    _image(frames[0], stages.first, "first frame, with the given box")
    _box(frames[0], stages.given, BOX)
    _image(frames[1], stages.frame, "a later frame, with the search regions")
    for side in stages.sides:
        x, y = stages.centre - (side - 1) / 2
        _box(frames[1], (x, y, side, side), REGION, 1.5)
    crops = middle.subplots(1, 1 + len(stages.sides), width_ratios=[EXEMPLAR_SIZE, *[SEARCH_SIZE] * len(stages.sides)])
    _image(crops[0], stages.exemplar, "exemplar", BOX)
    reach = localisation.RESPONSE_SIZE * localisation.CELL
    for axes, region, side, factor in zip(crops[1:], stages.regions, stages.sides, config.scale_factors(), strict=True):
        _image(axes, region, f"{side:.0f} px, factor {factor:.3f}", REGION)
        corner = (SEARCH_SIZE - reach) / 2
        axes.add_patch(Rectangle((corner, corner), reach, reach, fill=False, edgecolor="white", linestyle=(0, (4, 3))))
    return figure


def draw_responses(stages: Stages, config: mfst_jax.Config) -> plt.Figure:
    """Response maps of all layers at the chosen scale, with their fusion weights, and the fused map of each model."""
    models = [model for model in MODELS if model in stages.responses]
    figure = plt.figure(figsize=(10, 2.9 * len(models)), layout="constrained")
    grid = figure.subplots(len(models), 4, squeeze=False)
    for row, model in zip(grid, models, strict=True):
        for axes, layer, maps, weight in zip(
            row, config.layers(model), stages.responses[model], config.weights(model), strict=False
        ):
            _map(axes, maps[stages.best], f"{NAMES[model]} {layer}, weight {weight:g}")
        _map(row[-1], stages.by_model[model][stages.best], f"{NAMES[model]} by {FORMULAS[config.fusion(model)]}", BOX)
    return figure


def draw_box(stages: Stages, config: mfst_jax.Config) -> plt.Figure:
    """The final map, the same with the window and its peak, and the box in the frame."""
    figure = plt.figure(figsize=(10, 3.15), layout="constrained")
    final, windowed, frame = figure.subplots(1, 3, width_ratios=(1, 1, 16 / 9))
    several = len(stages.responses) > 1
    _map(final, stages.fused[stages.best], "final map" + f", by {FORMULAS[config.model_fusion]}" * several)
    _map(windowed, stages.windowed, "with the window", BOX)
    row, column = np.unravel_index(np.argmax(stages.windowed), stages.windowed.shape)
    windowed.plot(column, row, "+", color="white", markersize=16, markeredgewidth=2.5)
    _image(frame, stages.frame, f"box, score {stages.score:.2f}")
    _box(frame, stages.box, BOX)
    return figure


def _image(axes: Axes, image: np.ndarray, title: str, frame: str | None = None) -> None:
    axes.imshow(np.clip(np.rint(image), 0, 255).astype(np.uint8), interpolation="bilinear")
    _frame(axes, title, frame)


def _map(axes: Axes, values: np.ndarray, title: str, frame: str | None = None) -> None:
    axes.imshow(values, cmap=MAPS, interpolation="bilinear")
    _frame(axes, title, frame)


def _frame(axes: Axes, title: str, colour: str | None) -> None:
    axes.set_title(title)
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(visible=colour is not None, color=colour, linewidth=3)


def _box(axes: Axes, box: Any, colour: str, width: float = 3) -> None:
    x, y, w, h = map(float, box)
    axes.add_patch(Rectangle((x - 0.5, y - 0.5), w, h, fill=False, edgecolor=colour, linewidth=width))


if __name__ == "__main__":
    tyro.cli(main)
