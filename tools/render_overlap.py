"""Picture in docs/choices.md: overlap with the true box over time, without options of the tracker and with them.

    python tools/render_overlap.py ROOT NAME --preset realtime --options second_look=.1 [--weights PATH] [--backwards]
        --out docs/overlap.webp

Tracks the sequence NAME below ROOT as tools/study_options.py does. Below the overlaps are the scores with the options.
Needs the extra `plots`.
"""

import io
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from matplotlib import style
from matplotlib.figure import Figure
from PIL import Image
from study_options import Both, directions, largest_frame, track
from tyro.conf import Positional

import mfst_jax
from mfst_jax.config import override
from mfst_jax.errors import InputError
from mfst_jax.evaluation.metrics import row_overlaps
from mfst_jax.evaluation.plots import DPI, INK, STYLE
from mfst_jax.media.palette import COLOURS
from mfst_jax.media.writers import save_image
from mfst_jax.params import choose_config
from mfst_jax.presets import Preset
from mfst_jax.program.arguments import Settings, flatten_settings
from mfst_jax.tracks import LOST_BELOW

SIZE = (7.2, 3.6)
"""Width and height in inches."""


def draw(both: Both, truth: np.ndarray) -> Figure:
    """Figure of the overlaps of both tracks, and the scores of the second.

    Args:
      both: what was found.
      truth: true boxes [frames, 4].
    """
    figure = Figure(SIZE, layout="constrained")
    above, below = figure.subplots(2, sharex=True, height_ratios=(3, 1))
    looks = ("without", COLOURS[1], 1.3), ("with", COLOURS[0], 2.2)
    for boxes, (name, colour, width) in zip(both.boxes, looks, strict=True):
        above.plot(row_overlaps(boxes, truth), label=name, color=colour, linewidth=width)
    above.set(ylabel="IoU", ylim=(0, 1))
    above.legend(loc="lower left", ncols=2)
    below.plot(np.arange(1, len(truth)), both.scores, color=COLOURS[0])
    below.axhline(LOST_BELOW, color=INK, linewidth=0.8, linestyle="--")
    below.set(ylabel="score", ylim=(0, 1), xlabel="frame", xlim=(0, len(truth) - 1))
    return figure


def main(
    root: Annotated[Positional[Path], tyro.conf.arg(metavar="ROOT")],
    name: Annotated[Positional[str], tyro.conf.arg(metavar="NAME")],
    /,
    *,
    options: Settings,
    out: Path,
    backwards: bool = False,
    weights: Path | None = None,
    preset: Preset | None = None,
) -> None:
    """Writes the picture.

    Args:
        root: A folder of sequences.
        name: One of them.
        options: Settings of the second configuration, as for `--set`.
        out: The picture to write.
        backwards: Track it backwards.
        weights: As for `mfst track`.
        preset: As for `mfst track`.
    """
    wanted = f"{name}-backwards" if backwards else name
    chosen = [it for it in directions(root, backwards=backwards) if it.name == wanted]
    if not chosen:
        raise InputError(f"NAME: expected a sequence below {root}, found {name}")
    plain = mfst_jax.load(weights)
    config = choose_config(plain.contents, preset, ())
    configs = config, override(config, flatten_settings(options))
    both = track(mfst_jax.prepare(plain, configs[1]), configs, chosen[0], largest_frame(chosen))
    with style.context(["default", STYLE]):
        figure = draw(both, chosen[0].truth)
        drawn = io.BytesIO()
        figure.savefig(drawn, dpi=DPI, format="png")
    save_image(Image.open(drawn).convert("RGB"), out)


if __name__ == "__main__":
    tyro.cli(main)
