"""Study behind docs/choices.md: the time of each part of a prepared step, and what lower precision would save.

    python tools/study_step.py [--preset NAME] [--rounds N] [--frame-size HEIGHT WIDTH]

Weights are random. Times are CPU milliseconds of all threads together, which other work on the machine changes little:
the median over rounds, in each of which everything is timed once.
"""

import dataclasses
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro

import mfst_jax
from mfst_jax import localisation, presets
from mfst_jax.compilation import jit
from mfst_jax.crops import mean_colour
from mfst_jax.fast.correlation import cross_correlate_by_taps
from mfst_jax.fast.network import PreparedNetwork
from mfst_jax.fusion import fuse_hierarchy
from mfst_jax.network import bind
from mfst_jax.scale_from_features import growth_factor
from mfst_jax.score import window_energy
from mfst_jax.search import search_regions, take_region

TILES, INPUTS, OUTPUTS, PRODUCTS = 49, 256, 384, 36
"""Sizes of the matrix products in conv3 of S: 26 x 26 cells in tiles of 4 x 4."""


def stages(chosen: mfst_jax.Config, frame: np.ndarray) -> dict[str, Callable[[], Any]]:
    """Parts of a step, each by itself, on what the parts before it gave."""
    weights = mfst_jax.prepare(mfst_jax.random_params(dataclasses.replace(chosen, se=False)), chosen)
    height, width = frame.shape[:2]
    box = np.array([width / 2, height / 2, width / 8, height / 8], np.float32)
    state = mfst_jax.init(weights, frame, box, config=chosen)
    on_device = jnp.asarray(frame)

    crops = jit(lambda state, frame: search_regions(state, frame, chosen).images)
    features = jit(lambda w, x: PreparedNetwork(w, chosen).features(x))

    def correlate_all(exemplar: Any, search: Any) -> Any:
        return jax.tree.map(
            lambda z, x: (cross_correlate_by_taps(z, x), window_energy(x[:1], len(z))), exemplar, search
        )

    def localise(responses: Any) -> Any:
        fused = fuse_hierarchy(localisation.upsample_layers(responses, chosen), chosen)
        response = take_region(localisation.choose_region(fused, chosen), fused)
        windowed = localisation.add_window(response, chosen.window_influence)
        return localisation.displacement(windowed, chosen.upsampling, chosen.peak_temperature), response

    def grow(exemplar: Any, search: Any) -> Any:
        return growth_factor(exemplar, jax.tree.map(lambda x: x[0], search), jnp.zeros(2), chosen)

    matching, localising, growing = jit(correlate_all), jit(localise), jit(grow)
    regions = crops(state, on_device)
    found = {model: dict(by_layer) for model, by_layer in features(weights, regions).items()}
    responses, _ = jit(lambda w, state, x: bind(w, chosen).match(state.exemplar, x))(weights, state, regions)
    mean = jit(mean_colour)
    by_features = {"scale by features": lambda: growing(state.exemplar, found)}
    return {
        "whole step": lambda: mfst_jax.step(weights, state, frame)[1].box,
        "frame to device": lambda: jnp.array(frame),
        "mean colour": lambda: mean(on_device, state.frame_size),
        "crops, with mean colour": lambda: crops(state, on_device),
        "backbones": lambda: features(weights, regions),
        "correlations, energies": lambda: matching(state.exemplar.features, found),
        "fusion, localisation": lambda: localising(responses),
        **(by_features if chosen.scale_search == "features" else {}),
    }


def products() -> dict[str, Callable[[], Any]]:
    """Matrix products of conv3 of S over one region, in each precision, summed in float32."""
    rng = np.random.default_rng(0)
    multiply = jit(lambda x, f: jnp.einsum("pmi,pio->pmo", x, f, preferred_element_type=jnp.float32))
    cases: dict[str, Callable[[], Any]] = {}
    for kind in (jnp.float32, jnp.bfloat16, jnp.float16):
        shapes = (PRODUCTS, TILES, INPUTS), (PRODUCTS, INPUTS, OUTPUTS)
        arrays = [jnp.asarray(rng.normal(size=shape), kind) for shape in shapes]
        cases[f"conv3 of S in {jnp.dtype(kind).name}"] = lambda arrays=arrays: multiply(*arrays)
    return cases


def main(*, preset: presets.Preset = "realtime", rounds: int = 20, frame_size: tuple[int, int] = (480, 640)) -> None:
    """Prints the table.

    Args:
        preset: How to track.
        rounds: How often each part is timed.
        frame_size: Height and width in pixels.
    """
    frame = np.random.default_rng(0).integers(0, 256, (*frame_size, 3), dtype=np.uint8)
    cases = stages(presets.PRESETS[preset], frame) | products()
    times: dict[str, list[float]] = {name: [] for name in cases}
    for number in range(rounds + 1):
        for name, case in cases.items():
            start = time.process_time()
            jax.block_until_ready(case())
            if number > 0:  # the first one compiles
                times[name].append(1000 * (time.process_time() - start))
    print(f"{preset}, {frame_size[1]} x {frame_size[0]}, jax {jax.__version__}, CPU ms: median of {rounds}, lowest")
    for name, values in times.items():
        print(f"{name:<26} {statistics.median(values):7.2f} {min(values):7.2f}")


if __name__ == "__main__":
    tyro.cli(main)
