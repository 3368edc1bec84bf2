"""Study behind docs/choices.md: correlation filters that learn the target while it is tracked, beside the exemplar.

    python tools/study_filters.py ROOT [ROOT ...] [--shares pool1=.4 conv5=.4] [--weights PATH] [--preset NAME]
        [--set key=value ...] [--keep FOLDER]

Tracks every sequence below each ROOT from its first true box twice: as the configuration does, and with filters
(`correlation_filters.py`) on layers of A. Their responses, each divided by its maximum, are mixed with the tracker's
windowed map before its peak is taken: `--shares` says how much each layer's filter counts; the tracker's map has the
rest. Everything else is the tracker's, its scale included; search is in whole regions. Filters learn from every frame
in which something is visible. This is outside the product: for `pool1` conv1 is computed once more, so that the time
says little.

For each ROOT the mean success AUC and precision of both ways are printed, and their differences with intervals of 95 %,
paired over sequences. `--keep` keeps the boxes of each sequence, so that a study that was stopped goes on.
"""

import hashlib
import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import tyro
from correlation_filters import GEOMETRIES, CorrelationFilter, Learned
from jaxtyping import Array, Float
from paired_measures import measures, paired_rows
from tyro.conf import Positional

import mfst_jax
from mfst_jax import boxes, evaluation
from mfst_jax.backbones import IMAGENET_MEAN, IMAGENET_STD, max_pool
from mfst_jax.bench.side_by_side import table
from mfst_jax.config import Config, Preset
from mfst_jax.crops import SEARCH_SIZE, search_side
from mfst_jax.errors import InputError
from mfst_jax.evaluation import Sequence
from mfst_jax.fusion import fuse_hierarchy
from mfst_jax.localisation import add_window, choose_region, displacement, upsample_layers
from mfst_jax.media.images import read_image
from mfst_jax.network import bind
from mfst_jax.params import Params, choose_config
from mfst_jax.program.arguments import Settings, flatten_settings
from mfst_jax.scale_from_features import damped, growth_factor
from mfst_jax.score import has_contrast, mean_similarity
from mfst_jax.search import SearchRegions, search_regions, take_region
from mfst_jax.state import State
from mfst_jax.whole_files import replacing

FRAMELESS = 1, 1, 3
"""Shape of frames that a state says where what is compiled should not depend on it."""


class Tracking:
    """Tracking with filters.

    Args:
      params: the weights.
      config: the configuration.
      shares: share of each filter's response in the map whose peak is taken.
    """

    def __init__(self, params: Params, config: Config, shares: dict[CorrelationFilter, float]):
        self.params, self.config, self.shares = params, config, shares
        self._prepared = mfst_jax.prepare(params, config)
        self._crop = jax.jit(lambda state, frame: search_regions(state, frame, config))
        # Networks take long to compile, and are the same for all filters.
        self._match = jax.jit(partial(_match, self._prepared, config))
        self._pool1 = jax.jit(partial(_pool1, params.variables["params"]["alexnet"]["conv1"]))
        self._learn_first = jax.jit(self._taught_first)
        self._move = jax.jit(self._moved)
        self._learn = jax.jit(self._taught)

    def boxes(self, sequence: Sequence) -> Float[np.ndarray, "frames 4"]:
        """Boxes of a sequence."""
        first, target = jnp.asarray(read_image(sequence.frames[0])), sequence.ground_truth[0].astype(np.float32)
        state = mfst_jax.init(self._prepared, first, target, config=self.config)
        shape, found = state.frame_shape, [target]
        maps = self._maps(state, first)[2]
        learned = self._learn_first(maps, replace(state, frame_shape=FRAMELESS))
        for path in sequence.frames[1:]:
            regions, matched, maps = self._maps(state, jnp.asarray(read_image(path)))
            state, spectra, visible = self._move(replace(state, frame_shape=FRAMELESS), learned, regions, matched, maps)
            learned = self._learn(learned, spectra, visible)
            found.append(np.asarray(boxes.from_centre(state.centre, state.size * state.scale)))
            state = replace(state, frame_shape=shape)
        return np.stack(found).astype(np.float64)

    def _maps(self, state: State, frame: Array) -> tuple[SearchRegions, Any, dict[str, Array]]:
        """Search regions, what the network makes of them, and the maps that filters look at."""
        regions = self._crop(state, frame)
        matched = self._match(replace(state, frame_shape=FRAMELESS), regions)
        of_a = matched[-1].get("alexnet", {})
        middle = regions.images[len(regions.images) // 2]
        wanted = {each.layer for each in self.shares}
        return regions, matched, {layer: self._pool1(middle) if layer == "pool1" else of_a[layer] for layer in wanted}

    def _taught_first(self, maps: dict[str, Array], state: State) -> list[Learned]:
        target = state.size * SEARCH_SIZE / search_side(state.size, self.config.context)
        return [each.begin(each.spectrum(maps[each.layer]), target) for each in self.shares]

    def _moved(
        self, state: State, learned: list[Learned], regions: SearchRegions, matched: Any, maps: dict[str, Array]
    ) -> tuple[State, list[Array], Array]:
        """State after a frame, spectra of its maps with the target at the centre, and whether anything was visible."""
        config, (response, side, best, similarity, features) = self.config, matched
        own = add_window(response, config.window_influence)
        mixed = (1 - sum(self.shares.values())) * own / jnp.max(own)
        spectra = [each.spectrum(maps[each.layer]) for each in self.shares]
        for (each, share), taught, spectrum in zip(self.shares.items(), learned, spectra, strict=True):
            answer = each.respond(taught, spectrum)
            mixed += share * each.upsampled(answer / jnp.maximum(jnp.max(answer), 1e-9))
        offset = displacement(mixed, config.upsampling, config.peak_temperature)
        by_features = config.scale_search == "features"
        factors = jnp.asarray(config.scale_factors(), jnp.float32)
        factor = growth_factor(state.exemplar, features, offset, config) if by_features else factors[best]
        visible = ~(regions.are_blank | ~has_contrast(similarity))
        offset = jnp.where(visible, offset, 0)
        scale = jnp.clip(state.scale * damped(factor, config.scale_damping), config.scale_min, config.scale_max)
        centre, scale = state.centre + offset * side / SEARCH_SIZE, jnp.where(visible, scale, state.scale)
        moved = [each.moved(spectrum, offset) for each, spectrum in zip(self.shares, spectra, strict=True)]
        return replace(state, centre=centre, scale=scale), moved, visible

    def _taught(self, learned: list[Learned], spectra: list[Array], visible: Array) -> list[Learned]:
        def go_on() -> list[Learned]:
            return [each.go_on(taught, x) for each, taught, x in zip(self.shares, learned, spectra, strict=True)]

        return jax.lax.cond(visible, go_on, lambda: learned)


def _match(prepared: mfst_jax.PreparedParams, config: Config, state: State, regions: SearchRegions) -> Any:
    """Fused map, side and number of the best region, similarities in it, and its features by model and layer."""
    responses, features = bind(prepared, config).match(state.exemplar, regions.images)
    fused = fuse_hierarchy(upsample_layers(responses, config), config)
    best = choose_region(fused, config)
    response, side, responses, features = take_region(best, (fused, regions.sides, responses, features))
    similarity = mean_similarity(state.exemplar.features, responses, features, config)
    return response, side, best, similarity, features


def _pool1(conv1: dict[str, Array], image: Float[Array, "255 255 3"]) -> Float[Array, "61 61 64"]:
    """First layer of torchvision's AlexNet after its pool, of a search crop in 0..255."""
    layout = ("NHWC", "HWIO", "NHWC")
    x = (image[None] / 255 - IMAGENET_MEAN) / IMAGENET_STD
    x = jax.lax.conv_general_dilated(x, conv1["kernel"], (2, 2), "VALID", dimension_numbers=layout) + conv1["bias"]
    return max_pool(nn.relu(x))[0]


def track_all(tracking: Tracking, root: Path, keep: Path | None) -> dict[str, tuple[float, float]]:
    """Success AUC and precision of each sequence below `root`, from boxes that were kept where there are some."""
    found = {}
    for sequence in evaluation.load(root).sequences:
        path = None if keep is None else keep / root.name / _name(tracking) / f"{sequence.name}.npy"
        tracked = np.load(path) if path is not None and path.is_file() else tracking.boxes(sequence)
        if path is not None and not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as new, new.open("wb") as file:
                np.save(file, tracked)
        success, precision = found[sequence.name] = measures(tracked, sequence.ground_truth)
        print(f"{sequence.name}: {success:.3f} / {precision:.3f}", flush=True)
    return found


def _name(tracking: Tracking) -> str:
    """Name of a way to track, for its folder: it tells apart weights, configurations and filters."""
    filters = [[vars(each), share] for each, share in tracking.shares.items()]
    text = json.dumps([repr(tracking.config), tracking.params.contents.describe(), filters])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def main(
    roots: Annotated[Positional[tuple[Path, ...]], tyro.conf.arg(metavar="ROOT")],
    /,
    *,
    shares: tuple[str, ...] = ("pool1=.4", "conv5=.4"),
    rate: float = CorrelationFilter.rate,
    sigma: float = CorrelationFilter.sigma,
    weights: Path | None = None,
    preset: Preset = "alexnet",
    set: Settings = (),
    keep: Path | None = None,
) -> None:
    """Prints a table for each folder, and one for all sequences together.

    Args:
        roots: Folders of sequences.
        shares: Layers of A with the share of their filter's response, as layer=share.
        rate: Share of a new frame in what a filter has learned.
        sigma: Deviation of the filters' Gaussian, in sides of the target.
        weights: As for `mfst track`; A has to be torchvision's.
        preset: As for `mfst track`.
        set: As for `mfst track`.
        keep: Where to keep boxes.
    """
    params = mfst_jax.load(weights)
    if params.contents.alexnet != "torchvision":
        raise InputError(f"weights: expected torchvision's AlexNet as A, found {params.contents.describe()}")
    config = replace(choose_config(params.contents, preset, flatten_settings(set)), centre_search=0.0)
    filters = {CorrelationFilter(layer, rate, sigma): share for layer, share in map(parse_share, shares)}
    ways = [Tracking(params, config, chosen) for chosen in ({}, filters)]
    every: list[list[tuple[float, float]]] = [[], []]
    for root in roots:
        found = [list(track_all(way, root, keep).values()) for way in ways]
        for all_of_them, these in zip(every, found, strict=True):
            all_of_them.extend(these)
        report(root.name, *found)
    if len(roots) > 1:
        report("all", *every)


def parse_share(text: str) -> tuple[str, float]:
    """Layer and share from `layer=share`."""
    layer, _, share = text.partition("=")
    try:
        if layer in GEOMETRIES:
            return layer, float(share)
    except ValueError:
        pass
    raise InputError(f"--shares: expected LAYER=SHARE, a layer of {', '.join(GEOMETRIES)}, found {text}")


def report(name: str, without: list[tuple[float, float]], with_filters: list[tuple[float, float]]) -> None:
    """Prints the table of one folder."""
    print(f"\n{name}: {len(without)} sequences")
    print(table(("", "without", "with filters", "difference"), paired_rows(without, with_filters)))


if __name__ == "__main__":
    tyro.cli(main)
