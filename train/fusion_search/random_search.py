"""Search for a fusion: weights of layers and models, strategies, window and scale parameters, on training sequences.

The paper set them by hand, for other weights. Here candidates are tried on replayed tracks (`replay.py`): first at
random, then around the best, in rounds. They are judged by the mean of two success AUCs: of whole tracks, and of single
steps from near the truth, which say more about a fusion and less about how far a target moves. Since sequences are few,
a choice looks better on them than it is; so the same search is repeated without each fold of the sequences, and its
choice is scored on the fold that it did not see.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np
from jaxtyping import Bool, Float

from mfst_jax.config import LAYERS, MODELS, Config
from mfst_jax.train.data.split import stem
from mfst_jax.train.fusion_search.replay import Candidate, replay, typical_peaks
from mfst_jax.train.fusion_search.response_volumes import RESPONSE_UNIT, ResponseVolumes

AT_ONCE = 8
"""Number of candidates in a batch."""
SPARSITY = 0.7
"""Concentration of the Dirichlet distribution that first weights are drawn from: below 1, some are near 0."""
ELITE = 8
"""Number of best candidates whose middle a round takes."""
STEP_RANGE, PENALTY_RANGE, DAMPING_RANGE, WINDOW_RANGE = (1.01, 1.06), (0.92, 1.0), (0.2, 1.0), (0.05, 0.5)

Scores = Float[np.ndarray, "candidates sequences 2"]


@dataclass(frozen=True)
class Choice:
    """Choice of a search.

    Attributes:
      candidate: The chosen candidate.
      scores: Its replayed success AUCs on all sequences, seen by the search or not: of tracks and of single steps.
    """

    candidate: Candidate
    scores: Float[np.ndarray, "sequences 2"]


class Search:
    """Search among candidates that are tried on all sequences and chosen by some of them.

    Args:
      volumes: of all sequences.
      start: the first candidate.
      by: the sequences that choose; by default all. Candidates and choice depend on no others.
      motion: whether the window and the scale parameters are searched too. They suit the pace of the sequences: those
        found on thinned sequences are for thinned ones.
      seed: of the draws.
      advance: called with the number of candidates tried since the last call.
    """

    def __init__(
        self,
        volumes: ResponseVolumes,
        start: Config,
        *,
        by: Bool[np.ndarray, " sequences"] | None = None,
        motion: bool = False,
        seed: int = 0,
        advance: Callable[[int], None] = lambda count: None,
    ):
        self.by = np.ones(len(volumes.truth), bool) if by is None else by
        self.peaks = typical_peaks(volumes, self.by)
        self._volumes, self._seed, self._advance = volumes, seed, advance
        self.start = from_config(start)
        self._ranges = (WINDOW_RANGE, STEP_RANGE, PENALTY_RANGE, DAMPING_RANGE)
        if not motion:
            self._ranges = tuple((float(each), float(each)) for each in _moves(self.start))

    def score(self, candidates: Candidate) -> Scores:
        """Success AUCs by candidate and sequence."""
        count, found = len(candidates.scale_step), []
        for first in range(0, count, AT_ONCE):
            rows = np.minimum(np.arange(first, first + AT_ONCE), count - 1)  # always of one shape
            part = jax.tree.map(lambda each, rows=rows: each[rows], candidates)
            found.append(np.asarray(replay(part, self._volumes))[: min(AT_ONCE, count - first)])
            self._advance(len(found[-1]))
        return np.concatenate(found)

    def broad(self, count: int) -> tuple[Candidate, Scores]:
        """Random candidates, `count` of them with the start as the first, and their scores."""
        draws = np.random.Generator(np.random.Philox(key=self._seed, counter=[0, 0, 0, 0]))
        layers = draws.dirichlet([SPARSITY] * len(LAYERS), (count, len(MODELS)))
        models = draws.dirichlet([1.0] * len(MODELS), count)
        soft = draws.random((count, 3)) < 0.5
        moves = [draws.uniform(*each, count) for each in self._ranges]
        found = self._measured(layers.reshape(count, -1), models, soft, moves)
        found = jax.tree.map(lambda every, first: np.concatenate([first[None], every[1:]]), found, self.start)
        return found, self.score(found)

    def choose(self, tried: tuple[Candidate, Scores], *, rounds: int, count: int) -> Choice:
        """Choice after searching on from candidates that were tried, by the mean score over the sequences that choose.

        Each round draws around the middle of the best so far, ever closer. The choice is the middle after the last
        round, which is less of an accident, unless the best candidate is better.

        Args:
          tried: candidates and their scores, from `broad`.
          rounds: how many.
          count: candidates of a round.
        """
        (candidates, scores), by = tried, self.by
        draws = np.random.Generator(np.random.Philox(key=self._seed, counter=[0, 0, 1, int(np.packbits(by).sum())]))
        for number in range(rounds):
            middle, spread = self._middle(candidates, scores[:, by].mean(axis=(1, 2)))
            around = self._around(middle, spread, count, draws, width=0.7**number)
            more = self.score(around)
            candidates = jax.tree.map(lambda a, b: np.concatenate([a, b]), candidates, around)
            scores = np.concatenate([scores, more])
        merits = scores[:, by].mean(axis=(1, 2))
        middle, _ = self._middle(candidates, merits)
        middle = jax.tree.map(lambda each: each[None], middle)
        of_middle = self.score(middle)[0]
        best = int(np.argmax(merits))
        if of_middle[by].mean() >= merits[best]:
            return Choice(jax.tree.map(lambda each: each[0], middle), of_middle)
        return Choice(jax.tree.map(lambda each: each[best], candidates), scores[best])

    def _middle(self, candidates: Candidate, merits: np.ndarray) -> tuple[Candidate, Candidate]:
        """Mean and deviation of the best candidates that fuse by the strategies of the very best."""
        alike = (candidates.soft == candidates.soft[np.argmax(merits)]).all(axis=1)
        best = np.flatnonzero(alike)[np.argsort(-merits[alike], kind="stable")][:ELITE]
        chosen = jax.tree.map(lambda each: each[best], self._shares(candidates))
        mean = jax.tree.map(lambda each: each.mean(axis=0).astype(each.dtype), chosen)
        spread = jax.tree.map(lambda each: each.std(axis=0).astype(each.dtype), chosen)
        mean = self._measured(mean.layers[None], mean.models[None], chosen.soft[:1], _moves(mean))
        return jax.tree.map(lambda each: each[0], mean), spread

    def _around(
        self, middle: Candidate, spread: Candidate, count: int, draws: np.random.Generator, *, width: float
    ) -> Candidate:
        base = jax.tree.map(lambda each: each[0], self._shares(jax.tree.map(lambda each: each[None], middle)))

        def near(mean: Any, deviation: Any, least: float) -> np.ndarray:
            noise = draws.standard_normal((count, *np.shape(mean)))
            return mean + noise * np.maximum(width * deviation, least)

        layers = np.abs(near(base.layers, spread.layers, 0.05 * width))
        models = np.abs(near(base.models, spread.models, 0.05 * width))
        moves = [
            np.clip(near(mean, deviation, 0.05 * width * (high - low)), low, high)
            for mean, deviation, (low, high) in zip(_moves(base), _moves(spread), self._ranges, strict=True)
        ]
        return self._measured(layers, models, np.tile(middle.soft, (count, 1)), moves)

    def _measured(self, layers: np.ndarray, models: np.ndarray, soft: np.ndarray, moves: Sequence) -> Candidate:
        """Candidates from shares: a layer's share is the same whether it is fused by hard or by soft weight."""
        layers = layers.reshape(-1, len(MODELS), len(LAYERS))
        layers = layers / np.maximum(layers.sum(axis=-1, keepdims=True), 1e-9)
        models = models / np.maximum(models.sum(axis=-1, keepdims=True), 1e-9)
        peaks = np.where(soft[:, :2, None], 1, self.peaks.reshape(1, len(MODELS), len(LAYERS)))
        return Candidate(
            (layers / peaks).reshape(len(layers), -1).astype(np.float32),
            models.astype(np.float32),
            soft,
            *(np.asarray(each, np.float32).reshape(-1) for each in moves),
        )

    def _shares(self, candidates: Candidate) -> Candidate:
        """Shares of candidates: the inverse of `_measured`."""
        peaks = np.where(candidates.soft[:, :2, None], 1, self.peaks.reshape(1, len(MODELS), len(LAYERS)))
        layers = candidates.layers.reshape(-1, len(MODELS), len(LAYERS)) * peaks
        layers = layers / layers.sum(axis=-1, keepdims=True)
        return replace(candidates, layers=layers.reshape(len(layers), -1))


def folds(names: Sequence[str], count: int) -> Iterator[Bool[np.ndarray, " sequences"]]:
    """Sequences that each fold leaves out: by a digest of their names, parts of one video together."""
    stems = sorted({stem(name) for name in names}, key=lambda each: hashlib.sha256(each.encode()).hexdigest())
    numbers = np.array([stems.index(stem(name)) % count for name in names])
    return (numbers == number for number in range(count))


def from_config(config: Config) -> Candidate:
    """Candidate that tracks as `config` does, in responses that are kept times `RESPONSE_UNIT`."""
    layers, soft = [], []
    for model in MODELS:
        weights, factors = config.weights(model), config.factors(model)
        is_soft = config.fusion(model) != "hard"
        if config.fusion(model) == "soft_mean":
            weights = (1.0,) * len(LAYERS)
        layers += [w if is_soft else w * f / RESPONSE_UNIT for w, f in zip(weights, factors, strict=True)]
        soft.append(is_soft)
    models = (1.0, 1.0) if config.model_fusion == "soft_mean" else config.model_weights
    moves = (config.window_influence, config.scale_step, config.scale_penalty, config.scale_damping)
    return Candidate(
        np.array(layers, np.float32),
        np.array(models, np.float32),
        np.array([*soft, config.model_fusion != "hard"]),
        *(np.float32(each) for each in moves),
    )


def to_config(candidate: Candidate, base: Config, digits: int = 3) -> Config:
    """Configuration `base` with the candidate's fields, rounded; `from_config` is the inverse."""
    layers = np.asarray(candidate.layers).reshape(len(MODELS), len(LAYERS))
    strategies = ["soft" if soft else "hard" for soft in candidate.soft]
    if strategies[2] == "soft":  # each model's map is normalised, so that only ratios count
        layers = layers / layers.sum(axis=1, keepdims=True)
    siamfc, alexnet = (tuple(round(float(w), digits) for w in row) for row in layers)
    models = tuple(round(float(w), digits) for w in candidate.models / np.sum(candidate.models))
    changes: dict[str, Any] = {
        "siamfc_fusion": strategies[0],
        "siamfc_weights": siamfc,
        "siamfc_factors": (RESPONSE_UNIT,) * len(LAYERS),
        "alexnet_fusion": strategies[1],
        "alexnet_weights": alexnet,
        "alexnet_factors": (RESPONSE_UNIT,) * len(LAYERS),
        "model_fusion": strategies[2],
        "model_weights": models,
        "window_influence": round(float(candidate.window_influence), digits),
        "scale_step": round(float(candidate.scale_step), digits + 1),
        "scale_penalty": round(float(candidate.scale_penalty), digits + 1),
        "scale_damping": round(float(candidate.scale_damping), digits),
    }
    return replace(base, **changes)


def _moves(candidate: Candidate) -> tuple:
    return (
        candidate.window_influence,
        candidate.scale_step,
        candidate.scale_penalty,
        candidate.scale_damping,
    )
