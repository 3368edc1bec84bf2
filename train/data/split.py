"""Split of the videos into those to train on and those held out."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from mfst_jax import evaluation
from mfst_jax.checkpoints import digest
from mfst_jax.errors import InputError
from mfst_jax.train.data.curation import Video, stem

HELD_OUT = 5
"""Number of videos of which one is held out."""


@dataclass(frozen=True)
class Data:
    """Videos to train on and videos held out.

    Attributes:
      training: Videos to train on.
      held_out: Held-out videos.
      sequences: Held-out videos again, as sequences to track.
    """

    training: Sequence[Video]
    held_out: Sequence[Video]
    sequences: Sequence[evaluation.Sequence] = ()

    def key(self) -> str:
        """Key of the data: it stands for all of their crops and for which are held out."""
        keys = [[(video.name, video.key) for video in side] for side in (self.training, self.held_out)]
        return hashlib.sha256(json.dumps(keys).encode()).hexdigest()

    def tracked_key(self) -> str:
        """Key of the sequences to track: it stands for their names and their true boxes."""
        return digest({each.name: each.ground_truth for each in self.sequences})


def split(videos: Sequence[Video]) -> tuple[list[Video], list[Video]]:
    """Videos to train on, and one in five (at least one) to hold out, by a rule that depends on their names alone.

    Held out are those whose names have the smallest SHA-256, without what numbers the parts and tracks of one video
    (`car16_1`, `car16_2`; `curation.stem` says what does), which thereby stay on one side.

    Raises:
      InputError: no video would be left on one side.
    """
    stems = {video.name: stem(video.name) for video in videos}
    ranked = sorted(set(stems.values()), key=lambda each: hashlib.sha256(each.encode()).hexdigest())
    wanted, held = max(1, len(videos) // HELD_OUT), set()
    for each in ranked:
        if sum(stems[video.name] in held for video in videos) < wanted:
            held.add(each)
    sides = [v for v in videos if stems[v.name] not in held], [v for v in videos if stems[v.name] in held]
    if not sides[0] or not sides[1]:
        raise InputError(f"data: expected at least two different videos, found {len(ranked)}")
    return sides
