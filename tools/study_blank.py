"""Study behind docs/choices.md: how frames in which nothing is visible differ from those in which something is.

    python tools/study_blank.py ROOT [--weights PATH] [--preset NAME] [--set key=value ...] [--plain]

Tracks every sequence below ROOT. For the frames of each search it has the contrast, which is the range of the mean
similarity over the search region, and the range of colours in the search region, and prints the least and the lowest
hundredth of both; then the same of blank frames after each first frame, with the most. Centre searches see the centre
of a region alone, and have a line of their own.
"""

from collections import defaultdict
from pathlib import Path
from typing import Annotated

import jax.numpy as jnp
import numpy as np
import tyro
from jaxtyping import Array, Float
from tyro.conf import Positional

import mfst_jax
from mfst_jax import params, presets
from mfst_jax.bench.side_by_side import table
from mfst_jax.compilation import jit
from mfst_jax.crops import CENTRE_SIZE, EXEMPLAR_SIZE, SEARCH_SIZE, crop_with_range, search_side
from mfst_jax.fast import AnyParams
from mfst_jax.media.decoding import Frame
from mfst_jax.media.sources import open_source
from mfst_jax.network import bind
from mfst_jax.padding import pad
from mfst_jax.program.arguments import Settings, flatten_settings
from mfst_jax.score import contrast, mean_similarity
from mfst_jax.search import search_regions, take_region
from mfst_jax.state import State

COLOURS = (0, 16, 128, 255, (0, 0, 255))
AMPLITUDES = (0, 1, 4, 16)
"""Amplitudes of uniform noise around a colour, in grey levels."""


@jit
def measure(weights: AnyParams, state: State, frame: Array) -> Float[Array, "2 2"]:
    """Contrast and range of colours, in the whole search region and in its centre."""
    rows = []
    for samples in (SEARCH_SIZE, CENTRE_SIZE):
        regions = search_regions(state, frame, state.config, samples)
        matched = bind(weights, state.config).match(state.exemplar, regions.images)
        responses, features = take_region(jnp.int32(len(regions.images) // 2), matched)
        similarity = mean_similarity(state.exemplar.features, responses, features, state.config)
        rows.append(jnp.stack([contrast(similarity), jnp.max(regions.ranges)]))
    return jnp.stack(rows)


@jit
def exemplar_range(state: State, frame: Array) -> Float[Array, ""]:
    """Range of colours in the exemplar."""
    side, fill = search_side(state.size, state.config.context), state.fill
    crop = crop_with_range(frame, state.centre, side, fill=fill, frame_size=state.frame_size, samples=EXEMPLAR_SIZE)
    return crop[1]


def blank_frames(size: tuple[int, int]) -> dict[str, list[Frame]]:
    """Blank frames by the amplitude of their noise, and gradients from black to white."""
    rng = np.random.default_rng(0)
    frames: dict[str, list[Frame]] = {}
    for amplitude in AMPLITUDES:
        noise = [rng.integers(-amplitude, amplitude + 1, (*size, 3)) for _ in COLOURS]
        whole = [np.asarray(colour) + each for colour, each in zip(COLOURS, noise, strict=True)]
        frames[f"one colour, +-{amplitude}"] = [np.clip(each, 0, 255).astype(np.uint8) for each in whole]
    slope = np.linspace(0, 255, size[1])[:, None]
    frames["gradient over the frame"] = [np.broadcast_to(slope, (*size, 3)).astype(np.uint8)]
    return frames


def main(
    root: Annotated[Positional[Path], tyro.conf.arg(metavar="ROOT")],
    /,
    *,
    weights: Path | None = None,
    preset: presets.Preset | None = None,
    set: Settings = (),
    plain: bool = False,
) -> None:
    """Prints the table.

    Args:
        root: A folder of sequences.
        weights: As for `mfst track`.
        preset: As for `mfst track`.
        set: As for `mfst track`.
        plain: Weights as they are, instead of those that `mfst track` makes of them.
    """
    loaded = mfst_jax.load(weights)
    chosen = params.choose_config(loaded.contents, preset, flatten_settings(set))
    used = loaded if plain else mfst_jax.prepare(loaded, chosen)
    seen: dict[str, list[np.ndarray]] = defaultdict(list)
    exemplars = []
    folders = sorted(folder for folder in root.iterdir() if folder.is_dir())
    for folder in folders:
        source = open_source(str(folder))
        assert source.ground_truth is not None, folder
        frames = source.frames()
        size = np.array(source.size, np.int32)
        first = jnp.asarray(pad(next(frames)))
        state = mfst_jax.init(used, first, source.ground_truth[0], config=chosen, frame_size=size)
        exemplars.append(float(exemplar_range(state, first)))
        for kind, blank in blank_frames(source.size).items():
            seen[kind] += [np.asarray(measure(used, state, jnp.asarray(pad(frame)))) for frame in blank]
        for frame in frames:
            padded = jnp.asarray(pad(frame))
            seen["real frames"].append(np.asarray(measure(used, state, padded)))
            state, _ = mfst_jax.step(used, state, padded)
    print(f"{len(folders)} sequences; range of colours in the exemplars: {min(exemplars):.1f} or more")
    rows = []
    for kind in ("real frames", *[kind for kind in seen if kind != "real frames"]):
        for place, found in zip(("region", "its centre"), np.stack(seen[kind], axis=1), strict=True):
            least, hundredth, most = (np.quantile(found, q, axis=0) for q in (0, 0.01, 1))
            cells = [f"{value:.2e}" for value in (least[0], hundredth[0], most[0])]
            rows.append((kind, place, str(len(found)), *cells, *[f"{v[1]:.1f}" for v in (least, hundredth, most)]))
    header = ("frames of", "in the", "frames", "contrast: least", "1 %", "most", "range: least", "1 %", "most")
    print(table(header, rows))


if __name__ == "__main__":
    tyro.cli(main)
