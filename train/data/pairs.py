"""Pairs of frames of one video, each a pure function of a seed and a step, so that resuming needs no stored state."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Int, UInt8

from mfst_jax.train.data.curation import Video, stem

Pairs = Int[np.ndarray, "pairs 3"]
"""Pairs; a row is (video, crop of the exemplar, crop of the search region)."""


class Crops(NamedTuple):
    """Curated crops of pairs.

    Attributes:
      exemplar: Crops of the exemplars.
      search: Crops of the search regions.
      video: Number of each pair's video; targets in one video have the same.
    """

    exemplar: UInt8[Array | np.ndarray, "*batch 287 287 3"]
    search: UInt8[Array | np.ndarray, "*batch 287 287 3"]
    video: Int[Array | np.ndarray, "*batch"]


def sample(videos: Sequence[Video], count: int, *, seed: int, step: int, max_frame_gap: int) -> Pairs:
    """Pairs of one step. Row i depends on the seed, the step and i alone.

    A video is drawn first, each as likely as any other however long it is; then its exemplar's frame; then another
    frame at most `max_frame_gap` away, or the same one where there is no other.
    """
    draws = np.random.Generator(np.random.Philox(key=seed, counter=[0, 0, 0, step])).random((count, 3))
    pairs = np.empty((count, 3), int)
    for row, (which, where, other) in enumerate(draws):
        video = int(which * len(videos))
        frames = videos[video].frames
        exemplar = int(where * len(frames))
        first = np.searchsorted(frames, frames[exemplar] - max_frame_gap)
        last = np.searchsorted(frames, frames[exemplar] + max_frame_gap, side="right")
        search = first + int(other * (last - first - 1))
        pairs[row] = video, exemplar, search + (search >= exemplar and last - first > 1)
    return pairs


def shuffled(size: int, count: int, *, seed: int, step: int) -> Int[np.ndarray, " count"]:
    """Numbers of the `count` of `size` cached pairs that a step takes.

    Each epoch takes every pair once, in an order of its own.
    """
    wanted = step * count + np.arange(count)
    orders = {epoch: _order(size, seed, int(epoch)) for epoch in np.unique(wanted // size)}
    return np.array([orders[index // size][index % size] for index in wanted])


@dataclass(frozen=True)
class Chosen:
    """Pairs whose crops are read as they are asked for.

    Attributes:
      videos: Videos of the pairs.
      pairs: The pairs.
    """

    videos: Sequence[Video]
    pairs: Pairs

    def __len__(self) -> int:
        return len(self.pairs)

    def batch(self, rows: Int[np.ndarray, "batch"]) -> Crops:
        """Crops of the pairs of these numbers."""
        return load(self.videos, self.pairs[rows])


def load(videos: Sequence[Video], pairs: Pairs) -> Crops:
    """Crops of exemplars and of search regions, on the host."""
    exemplars, searches = (np.stack([videos[row[0]].read(int(row[column])) for row in pairs]) for column in (1, 2))
    return Crops(exemplars, searches, numbers(videos, pairs))


def numbers(videos: Sequence[Video], pairs: Pairs) -> Int[np.ndarray, " pairs"]:
    """Number of each pair's video; targets in one video have the same."""
    found = {name: number for number, name in enumerate(dict.fromkeys(stem(video.name) for video in videos))}
    return np.array([found[stem(videos[row[0]].name)] for row in pairs], np.int32)


@lru_cache(maxsize=2)
def _order(size: int, seed: int, epoch: int) -> Int[np.ndarray, " size"]:
    return np.random.Generator(np.random.Philox(key=seed, counter=[0, 0, 1, epoch])).permutation(size)
