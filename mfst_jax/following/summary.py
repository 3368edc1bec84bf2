"""The summary line that `mfst track` ends with."""

from collections.abc import Sequence

import numpy as np

from mfst_jax.evaluation import overlaps, success_auc
from mfst_jax.following.loop import Followed
from mfst_jax.targets import THE_TARGET
from mfst_jax.tracks.lost_frames import describe, describe_targets, is_lost


def summary(
    followed: Followed, names: Sequence[str], truth: np.ndarray | None = None, stop_when_lost: int | None = None
) -> str:
    """Summary of a track: how many frames, how fast, how well, which stretches are lost, and why it ended.

    Args:
      followed: from `loop.follow_all`.
      names: of the targets.
      truth: true boxes [rows, 4] from the source's first frame on, NaN where there is none. They are of one target, and
        are ignored where there are several.
      stop_when_lost: the number of lost frames in a row that ends the track.
    """
    truth = None if truth is None else truth[followed.first :]
    count, first = len(followed.boxes), followed.first
    line = f"tracked {count} frame{'s' if count > 1 else ''}"
    if first:
        line += f" ({first}{f'-{first + count - 1}' if count > 1 else ''})"
    if several := len(names) > 1:
        line += f" of {len(names)} targets"
    if followed.frames_per_second:
        line += f", {followed.frames_per_second:.1f} frames/s after compiling"
    if truth is not None and not several and len(overlaps(followed.boxes[:, 0], truth)) > 1:
        mean = np.mean(overlaps(followed.boxes[:, 0], truth))
        line += f"; mean IoU {mean:.3f}, success AUC {success_auc(followed.boxes[:, 0], truth):.3f}"
    lost = is_lost(followed.scores)
    if [*names] == [THE_TARGET]:
        said = describe(lost[:, 0], followed.first)
    else:
        said = describe_targets(names, lost, followed.first)
    if said is not None:
        line += f"; {said}"
    if followed.stopped and several:
        line += f"; stopped after {stop_when_lost} in a row in which all were lost"
    elif followed.stopped:
        line += f"; stopped after {stop_when_lost} of them in a row"
    return line
