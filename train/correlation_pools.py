"""Pools: fixed sets of pairs whose channel-wise correlations are computed once and kept on disk.

In float32 a pair of SiamFC takes 1.2 MB (1,024 channels x 289 cells). The operating system keeps in memory what fits; a
pool of the same crops, pairs and backbone is found again by a digest of them.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

from mfst_jax.checkpoints import digest, weight_names
from mfst_jax.compilation import jit
from mfst_jax.config import LAYERS, Layer
from mfst_jax.crops import central_exemplar
from mfst_jax.fast import AnyParams
from mfst_jax.params import Params
from mfst_jax.train.data.curation import MARGIN, Video
from mfst_jax.train.data.pairs import Crops, Pairs
from mfst_jax.train.recipe import Recipe
from mfst_jax.train.responses import CELLS, Correlations, Features, backbone_features, correlate, freeze
from mfst_jax.train.se_blocks import layer_channels
from mfst_jax.train.whole_folders import gather, made_once, open_array

FORMAT = 2
"""Version of the file format; pools of another version are computed again."""
FRAMES_AT_ONCE = 8
PAIRS_AT_ONCE = 16
FEATURES_KEPT = 256
"""Number of frames whose features are in memory, about 3 MB each."""


class Pool:
    """Correlations of a set of pairs, read from disk as they are asked for."""

    def __init__(self, folder: Path, channels: dict[Layer, int]):
        # Each layer has a file of its own, so that what is read for a device is in one piece.
        self._maps = {layer: open_array(folder / maps_file(layer)) for layer in channels}
        self._means = open_array(folder / "means.npy")
        self._channels = channels

    def __len__(self) -> int:
        return len(self._means)

    def batch(self, rows: Int[np.ndarray, "*batch"]) -> Correlations:
        """Correlations of the pairs of these numbers, on the host."""
        means = self._means[rows]
        maps = {
            layer: gather([of_layer[row] for row in rows.ravel()], of_layer).reshape(*rows.shape, *of_layer.shape[1:])
            for layer, of_layer in self._maps.items()
        }
        return Correlations(maps, self._by_layer(means[..., 0, :]), self._by_layer(means[..., 1, :]))

    def _by_layer(self, of_all: np.ndarray) -> Any:
        ends = np.cumsum(list(self._channels.values()))[:-1]
        return dict(zip(self._channels, np.split(of_all, ends, axis=-1), strict=True))


def make(
    folder: str | Path,
    params: Params,
    recipe: Recipe,
    videos: Sequence[Video],
    pairs: Pairs,
    *,
    advance: Callable[[int, int], None] | None = None,
) -> Pool:
    """Pool of these pairs: found in `folder`, or computed into it.

    Args:
      folder: holds pools, each in a folder of its own that appears when it is complete.
      params: the backbone.
      recipe: which backbone, and the type to keep the maps in.
      videos: what the pairs are of.
      pairs: rows of (video, exemplar, search region).
      advance: called with the number of pairs done and of all.

    Raises:
      InputError: the folder cannot be written.
    """
    channels = layer_channels(params, recipe)
    place = Path(folder) / f"{recipe.model}-{_digest(params, recipe, videos, pairs)[:16]}"
    compute = partial(
        _compute, params=params, recipe=recipe, videos=videos, pairs=pairs, channels=channels, advance=advance
    )
    return Pool(made_once(place, compute, f"{len(pairs)} pairs"), channels)


def _compute(
    folder: Path,
    params: Params,
    recipe: Recipe,
    videos: Sequence[Video],
    pairs: Pairs,
    channels: dict[Layer, int],
    advance: Callable[[int, int], None] | None,
) -> None:
    frozen = freeze(params, recipe)
    dtype = np.dtype(recipe.cache_type)
    maps = {
        layer: np.lib.format.open_memmap(folder / maps_file(layer), "w+", dtype, (len(pairs), CELLS, count))
        for layer, count in channels.items()
    }
    means = np.lib.format.open_memmap(
        folder / "means.npy", "w+", np.dtype(np.float32), (len(pairs), 2, sum(channels.values()))
    )

    kept: dict[tuple[int, int], tuple[Features, Features]] = {}
    order = np.lexsort(pairs.T[::-1])  # video by video
    for start in range(0, len(order), PAIRS_AT_ONCE):
        rows = order[start : start + PAIRS_AT_ONCE]
        wanted = sorted({(int(row[0]), int(row[column])) for row in pairs[rows] for column in (1, 2)})
        if len(kept) > FEATURES_KEPT:
            kept = {frame: kept[frame] for frame in wanted if frame in kept}
        missing = [frame for frame in wanted if frame not in kept]
        for first in range(0, len(missing), FRAMES_AT_ONCE):
            frames = missing[first : first + FRAMES_AT_ONCE]
            # Always of the same shape, so that one compilation is enough.
            padded = [*frames, *[frames[0]] * (FRAMES_AT_ONCE - len(frames))]
            seen = jax.device_get(
                _see(frozen, np.stack([videos[video].read(crop) for video, crop in padded]), recipe=recipe)
            )
            for number, frame in enumerate(frames):
                kept[frame] = jax.tree.map(lambda each, number=number: each[number].copy(), seen)
        padded = pairs[[*rows, *[rows[0]] * (PAIRS_AT_ONCE - len(rows))]].tolist()
        exemplars = _stack([kept[video, crop][0] for video, crop, _ in padded])
        searches = _stack([kept[video, crop][1] for video, _, crop in padded])
        found: Correlations = jax.device_get(_correlate(exemplars, searches))
        count = len(rows)
        for layer in LAYERS:
            maps[layer][rows] = found.maps[layer][:count]
        means[rows, 0] = np.concatenate([found.exemplar[layer] for layer in LAYERS], axis=-1)[:count]
        means[rows, 1] = np.concatenate([found.search[layer] for layer in LAYERS], axis=-1)[:count]
        if advance is not None:
            advance(start + count, len(pairs))
    for of_layer in maps.values():
        of_layer.flush()
    means.flush()


@partial(jit, static_argnames=("recipe",))
def see(params: Params, crops: Crops, *, recipe: Recipe) -> Correlations:
    """Correlations of the pairs of a batch by a backbone; nothing is kept on disk."""
    exemplar = backbone_features(params, recipe, central_exemplar(_middle(crops.exemplar)))
    return correlate(exemplar, backbone_features(params, recipe, _middle(crops.search)))


@partial(jit, static_argnames=("recipe",))
def _see(frozen: AnyParams, crops: Any, *, recipe: Recipe) -> tuple[Features, Features]:
    """Features of the images in the middle of crops, as exemplars and as search regions."""
    images = _middle(crops)
    return backbone_features(frozen, recipe, central_exemplar(images)), backbone_features(frozen, recipe, images)


def _middle(crops: Any) -> Any:
    """Search images in the middle of crops."""
    return crops[:, MARGIN:-MARGIN, MARGIN:-MARGIN].astype(jnp.float32)


_correlate = jit(correlate)


def maps_file(layer: Layer) -> str:
    """Name of the file with a layer's maps."""
    return f"maps-{layer}.npy"


def _stack(features: list[Any]) -> Features:
    """Features of a batch from those of single images."""
    return jax.tree.map(lambda *each: jnp.asarray(np.stack(each)), *features)


def _digest(params: Params, recipe: Recipe, videos: Sequence[Video], pairs: Pairs) -> str:
    used = sorted({int(row[0]) for row in pairs})
    weights = weight_names.flatten_branches(params.variables, (recipe.model,))
    parts = [FORMAT, digest(weights), recipe.cache_type, [(videos[video].name, videos[video].key) for video in used]]
    return hashlib.sha256(json.dumps(parts).encode() + pairs.astype("<i8").tobytes()).hexdigest()
