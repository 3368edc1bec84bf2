"""Time of REALTIME's steps relative to PAPER's over real videos: what it saves depends on how the target moves.

    python benchmarks/realtime.py [SOURCE ...] [--weights PATH] [--rounds 3] [--torch]

A source is what `mfst track` takes, with a box of its own (a folder in the layout of OTB or GOT-10k); by default the
built-in clip. Both track each source, in processes of their own that take turns; the ratios are of whole tracks within
a round. The share of steps that were a centre search is printed too. With `--torch`, which needs the extra `parity`,
as many steps of the other preset in PyTorch, its backbones in `torch.compile`, take turns with them: those take the
same time in any video, so all are of the same frame.
"""

import statistics
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import jax.numpy as jnp
import numpy as np
import tyro
from tyro.conf import Positional

import mfst_jax
from mfst_jax.bench.side_by_side import Contestant, alternate, machine, ratios, spread
from mfst_jax.cache import keep_compilations
from mfst_jax.media.sources import demo_source, open_source
from mfst_jax.padding import pad
from mfst_jax.params import implied_config, resolve_config
from mfst_jax.presets import PRESETS, Preset

TORCH = "torch.compile"


def main(
    sources: Annotated[Positional[tuple[Path, ...]], tyro.conf.arg(metavar="SOURCE")] = (),
    /,
    *,
    weights: Path | None = None,
    preset: Preset = "realtime",
    to: Preset = "paper",
    frames: int = 60,
    rounds: int = 3,
    torch: bool = False,
) -> None:
    """Time one preset to another over videos.

    Args:
        sources: Folders with true boxes.
        weights: Weights; by default the built-in ones.
        preset: The one.
        to: The other.
        frames: Of each source at most.
        rounds: How often each tracks each source.
        torch: Also time the other one in PyTorch.
    """
    print(machine())
    found: dict[str, list[float]] = {other: [] for other in ((to, TORCH) if torch else (to,))}
    for source in sources or (None,):
        contestants: dict[str, Contestant] = {
            name: Contestant(make_track, source, weights, name, frames) for name in (preset, to)
        }
        if torch:
            contestants[TORCH] = Contestant(make_torch, to, source, frames)
        times = alternate(contestants, rounds=rounds)
        name, share = "built-in clip" if source is None else source.name, centre_share(source, weights, preset, frames)
        line = []
        for other, of_sources in found.items():
            ratio = ratios(times[preset].wall, times[other].wall)
            of_sources.append(statistics.median(ratio))
            line.append(f"to {other} {spread(ratio)}")
        print(f"{name}: {preset} {', '.join(line)}; {share:.0%} of the steps are centre searches", flush=True)
    for other, of_sources in found.items():
        middle, mean = statistics.median(of_sources), statistics.fmean(of_sources)
        print(f"to {other}: median of {len(of_sources)} {middle:.2f}, mean {mean:.2f}")


def make_track(source: Path | None, weights: Path | None, preset: Preset, count: int) -> Callable[[], Any]:
    """Function that takes all steps over a source's first frames, which are read before."""
    keep_compilations()
    prepared, state, frames = begin(source, weights, preset, count)

    def follow() -> np.ndarray:
        following = state
        for frame in frames:
            following, _ = mfst_jax.step(prepared, following, frame)
        return np.asarray(following.centre)

    return follow


def make_torch(preset: Preset, source: Path | None, count: int) -> Callable[[], Any]:
    """Function that takes as many steps in PyTorch as `make_track` makes of a source."""
    import step_vs_torch

    step = step_vs_torch.make_torch(preset, TORCH, None)
    steps = len(read(source, count)[0]) - 1
    return lambda: [step() for _ in range(steps)]


def centre_share(source: Path | None, weights: Path | None, preset: Preset, count: int) -> float:
    """Share of the steps that search the middle of their region."""
    prepared, state, frames = begin(source, weights, preset, count)
    centre_searches = []
    for frame in frames:
        centre_searches.append(bool(state.searches_centre))
        state, _ = mfst_jax.step(prepared, state, frame)
    return statistics.fmean(centre_searches)


def begin(source: Path | None, weights: Path | None, preset: Preset, count: int) -> tuple[Any, Any, list[Any]]:
    """Prepared weights, the state after the first frame, and the frames after it, padded as `mfst track` does."""
    frames, box = read(source, count)
    params = mfst_jax.load(weights)
    config = PRESETS[preset]
    if not (params.contents.siamfc and params.contents.alexnet):
        config = replace(config, models=implied_config(params.contents).models)
    config = resolve_config(params.contents, config)
    prepared, size = mfst_jax.prepare(params, config), np.array(frames[0].shape[:2], np.int32)
    padded = [jnp.asarray(pad(frame)) for frame in frames]
    state = mfst_jax.init(prepared, padded[0], box, config=config, frame_size=size)
    return prepared, state, padded[1:]


def read(source: Path | None, count: int) -> tuple[list[np.ndarray], np.ndarray]:
    """First frames of a source, and the target's box in the first."""
    opened = demo_source() if source is None else open_source(source)
    assert opened.ground_truth is not None, f"{source}: expected a folder with true boxes"
    return list(islice(opened.frames(), count)), opened.ground_truth[0]


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
