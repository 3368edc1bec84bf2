"""Features of crops below the convolutions that are trained, computed once and kept on disk.

Where conv1 to conv3 of S stay as AlexNet has them, conv3's features of a crop never change: they are kept for some
augmented views of each crop, and a training step begins with them. In float16 a crop takes .6 MB a view.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float, Int, Key, UInt8

from mfst_jax.checkpoints import digest, weight_names
from mfst_jax.compilation import jit
from mfst_jax.fast import AnyParams
from mfst_jax.params import Params
from mfst_jax.train.data import pairs
from mfst_jax.train.data.augmentation import Augmentation, augment
from mfst_jax.train.data.curation import Video
from mfst_jax.train.data.pairs import Pairs
from mfst_jax.train.recipe import Recipe
from mfst_jax.train.responses import backbone_features, freeze
from mfst_jax.train.whole_folders import gather, made_once, open_array

FORMAT = 2
"""Version of the files; features of another version are computed again."""
CROPS_AT_ONCE = 8
VIEWS_SEED = 0
"""Seed of the views, whatever the recipe's seed, so that runs share them."""
LAYER = "conv3"
"""The last layer that is not trained."""


class KeptPairs(NamedTuple):
    """Features of conv3 of pairs.

    Attributes:
      exemplar: Features of the exemplars.
      search: Features of the search regions.
      video: Number of each pair's video, as in `Crops`.
    """

    exemplar: Float[Array | np.ndarray, "*batch 10 10 384"]
    search: Float[Array | np.ndarray, "*batch 26 26 384"]
    video: Int[Array | np.ndarray, "*batch"]


class KeptFeatures:
    """Features of all views of some videos' crops, read from disk as they are asked for.

    Attributes:
      videos: The videos, with those of their crops alone that features are kept of.
      views: Number of views of each crop.
      paired_views: Whether odd views are flipped, so that odd ones go with odd ones.
    """

    def __init__(self, folder: Path, videos: Sequence[Video], recipe: Recipe):
        self.videos, self.views, self.paired_views = videos, recipe.kept_views, recipe.flip
        self._first = np.cumsum([0, *(len(video.frames) for video in videos)])
        self._exemplars = [open_array(folder / f"exemplars-{view}.npy") for view in range(self.views)]
        self._searches = [open_array(folder / f"searches-{view}.npy") for view in range(self.views)]

    def batch(self, chosen: Pairs, views: Int[np.ndarray, "pairs 2"]) -> KeptPairs:
        """Features of pairs of `videos` on the host, each exemplar and each search region in one of its views."""
        at = self._first[chosen[:, :1]] + chosen[:, 1:]
        exemplars, searches = (
            gather([by_view[view][row] for view, row in zip(views[:, side], at[:, side], strict=True)], by_view[0])
            for side, by_view in enumerate((self._exemplars, self._searches))
        )
        return KeptPairs(exemplars, searches, pairs.numbers(self.videos, chosen))


def draw_views(count: int, views: int, paired: bool, *, seed: int, step: int) -> Int[np.ndarray, "count 2"]:
    """Views of the exemplars and the search regions of a step's pairs, all as likely as one another.

    Args:
      count: number of pairs.
      views: number of views of each crop.
      paired: whether both views of a pair are odd, or both even.
      seed: of the run.
      step: the step.
    """
    draws = np.random.Generator(np.random.Philox(key=seed, counter=[0, 0, 2, step])).random((count, 2))
    chosen = (draws * views).astype(int)
    if paired:
        alike = (views - chosen[:, 0] % 2 + 1) // 2  # number of views that are odd, or even, as the exemplar's is
        chosen[:, 1] = chosen[:, 0] % 2 + 2 * (draws[:, 1] * alike).astype(int)
    return chosen


def thinned(video: Video, count: int) -> Video:
    """Video with at most `count` of its crops, evenly spread from the first to the last; 0: with all."""
    if not count or len(video.frames) <= count:
        return video
    rows = np.linspace(0, len(video.frames) - 1, count).round().astype(int)
    read = lambda row: video.read(int(rows[row]))  # noqa: E731
    return replace(video, frames=video.frames[rows], sizes=video.sizes[rows], read=read)


def make(
    folder: str | Path,
    params: Params,
    recipe: Recipe,
    videos: Sequence[Video],
    *,
    advance: Callable[[int, int], None] | None = None,
) -> KeptFeatures:
    """Features of the crops of these videos: found in `folder`, or computed into it.

    Args:
      folder: holds features of many runs, each in a folder of its own that appears when it is complete.
      params: weights that hold A.
      recipe: how many crops and views, and how these are augmented.
      videos: what to keep features of.
      advance: called with the number of crops done and of all.

    Raises:
      InputError: the folder cannot be written.
    """
    videos = [thinned(video, recipe.kept_crops) for video in videos]
    place = Path(folder) / f"{LAYER}-{_digest(params, recipe, videos)[:16]}"
    compute = partial(_compute, params=params, recipe=recipe, videos=videos, advance=advance)
    crops = sum(len(video.frames) for video in videos)
    return KeptFeatures(made_once(place, compute, f"{crops} crops"), videos, recipe)


def _compute(
    folder: Path,
    params: Params,
    recipe: Recipe,
    videos: Sequence[Video],
    advance: Callable[[int, int], None] | None,
) -> None:
    alexnet = Recipe(model="alexnet")
    frozen = freeze(params, alexnet)
    rows = [(video, row) for video in videos for row in range(len(video.frames))]
    for view in range(recipe.kept_views):
        files: list[np.memmap] = []
        key = jax.random.fold_in(jax.random.key(VIEWS_SEED), view)
        by = replace(recipe.augmentation, flip=False) if view else Augmentation()
        for start in range(0, len(rows), CROPS_AT_ONCE):
            part = rows[start : start + CROPS_AT_ONCE]
            crops = np.stack([video.read(row) for video, row in part])
            if recipe.flip and view % 2:
                crops = crops[:, :, ::-1]
            # Always of the same shape, so that one compilation is enough.
            crops = np.pad(crops, ((0, CROPS_AT_ONCE - len(part)), (0, 0), (0, 0), (0, 0)), mode="edge")
            found = jax.device_get(_see(frozen, crops, jax.random.fold_in(key, start), alexnet=alexnet, by=by))
            if not files:
                files = [
                    np.lib.format.open_memmap(
                        folder / f"{name}-{view}.npy", "w+", np.float16, (len(rows), *each.shape[1:])
                    )
                    for name, each in zip(("exemplars", "searches"), found, strict=True)
                ]
            for file, each in zip(files, found, strict=True):
                file[start : start + len(part)] = each[: len(part)]
            if advance is not None:
                advance(view * len(rows) + start + len(part), recipe.kept_views * len(rows))
        for file in files:
            file.flush()


@partial(jit, static_argnames=("alexnet", "by"))
def _see(
    frozen: AnyParams, crops: UInt8[Array, "n 287 287 3"], key: Key[Array, ""], *, alexnet: Recipe, by: Augmentation
) -> tuple[Array, Array]:
    """Features of conv3 of crops as exemplars and as search regions, each augmented on its own."""
    exemplars, searches = augment(key, crops, crops, by)
    return backbone_features(frozen, alexnet, exemplars)[LAYER], backbone_features(frozen, alexnet, searches)[LAYER]


def _digest(params: Params, recipe: Recipe, videos: Sequence[Video]) -> str:
    weights = weight_names.flatten_branches(params.variables, ("alexnet",))
    of_videos = [(video.name, video.key, len(video.frames)) for video in videos]
    parts: list[Any] = [FORMAT, digest(weights), recipe.kept_views, vars(recipe.augmentation), of_videos]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
