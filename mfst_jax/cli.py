"""The command `mfst`: track one or many, view, demonstrate, say what weights hold, evaluate, time, train, export.

`mfst --version` says which version this is, `mfst doctor` whether all is well.
"""

import json
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Annotated, NoReturn

import jax
import numpy as np
import tyro
from tyro.conf import Positional, UseAppendAction

from mfst_jax import checkpoints
from mfst_jax.bench.command import bench
from mfst_jax.cache import keep_compilations
from mfst_jax.checkpoints import bundled_se
from mfst_jax.config import to_dict
from mfst_jax.errors import InputError, MissingExtraError
from mfst_jax.evaluation import overlaps
from mfst_jax.evaluation.commands import evaluate, score
from mfst_jax.export.command import export
from mfst_jax.following.loop import follow, follow_all
from mfst_jax.following.recording import check_files
from mfst_jax.following.summary import summary
from mfst_jax.json_files import indented
from mfst_jax.many.command import track_all
from mfst_jax.media import sources
from mfst_jax.media.drawing import contact_sheet
from mfst_jax.media.streams import PATIENCE, is_stream
from mfst_jax.media.writers import save_image
from mfst_jax.page.command import view
from mfst_jax.params import choose_config, implied_config, preset_of
from mfst_jax.program import allocator
from mfst_jax.program.arguments import (
    INTERRUPTED,
    File,
    PresetName,
    Settings,
    Weights,
    description_of,
    exit_status,
    flatten_settings,
)
from mfst_jax.program.box_arguments import choose_targets, refuse_spaced_box
from mfst_jax.program.doctor import doctor
from mfst_jax.program.weights_command import weights as weights_command
from mfst_jax.select import select_targets
from mfst_jax.tracks.tables import csv_header, csv_rows
from mfst_jax.version import __version__

Boxes = Annotated[UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="[NAME=]X,Y,W,H")]

KEEPING = ("track", "track-all", "eval", "demo")
"""Commands that, when they are interrupted, leave what was tracked until then."""
DEMO_PICTURES = 12
DEMO_IOU = 0.6
"""Mean overlap that the demonstration must exceed."""


def track(
    source: Annotated[Positional[str], tyro.conf.arg(metavar="SOURCE")],
    /,
    *,
    box: Boxes = (),
    first: Annotated[int, tyro.conf.arg(metavar="N")] = 0,
    select: bool = False,
    browser: bool = True,
    port: int | None = None,
    weights: Weights = None,
    preset: PresetName = None,
    set: Settings = (),
    out: File = None,
    boxes: File = None,
    page: File = None,
    stop_when_lost: Annotated[int | None, tyro.conf.arg(metavar="N")] = None,
    patience: Annotated[float | None, tyro.conf.arg(metavar="SECONDS")] = None,
) -> int:
    """Follow one object through a video, or several in one pass.

    Without --out, --boxes and --page, the boxes go to standard output.

    Args:
        source: A video, a folder or (quoted) glob of images, a sequence of a data set (its folder, or FOLDER#NAME if
            there are several), a webcam's number, or the address of a video or a camera (http, https, rtsp, rtsps).
        box: The object in the first frame as x,y,w,h in pixels, from 0, or name=x,y,w,h; by default the source's true
            box. Give it again for each further object.
        first: The number of the frame to begin in, from 0.
        select: Draw the objects in a page of your browser, in the first frame or any other, to start from there.
        browser: Open the browser; --no-browser only prints the address.
        port: The page's port on 127.0.0.1; by default any that is free.
        weights: A name (see mfst weights), an Orbax directory or a .safetensors file; by default the built-in weights.
        preset: How to track; by default what the weights imply.
        set: Fields of the configuration to change, as key=value; lists by commas, such as alexnet_weights=.1,.6,.3.
        out: The annotated video to write: .mp4, .mkv, .mov, .avi or .webm.
        boxes: The table of boxes to write: CSV, a line a frame and object; .mot.txt as MOTChallenge has it, .json as
            COCO has it for videos. Beside it a record of where it comes from.
        page: The page to write, to scrub through the track in a browser: .html, one file.
        stop_when_lost: End after so many lost frames in a row: those in which every object has a score below 1/2.
        patience: How long an address may take to answer, and for each frame; by default 20 s.
    """
    if stop_when_lost is not None and stop_when_lost < 1:
        raise InputError(f"--stop-when-lost: expected a number of frames of at least 1, found {stop_when_lost}")
    if select and box:
        raise InputError("--select: expected no --box beside it, found both")
    if select and first:
        raise InputError("--first: expected no --select beside it, which has a frame chosen, found both")
    if not select and (port is not None or not browser):
        raise InputError(f"{'--no-browser' if port is None else '--port'}: expected --select beside it, found none")
    if patience is not None and not is_stream(source):
        raise InputError(f"--patience: expected an address as SOURCE beside it, found {source!r:.200}")
    with allocator.compiling():
        params = checkpoints.load(weights)
        chosen = choose_config(params.contents, preset, flatten_settings(set))
        _check_apart({"SOURCE": Path(source), "--out": out, "--boxes": boxes, "--page": page})
        opened = sources.open_source(source, patience=PATIENCE if patience is None else patience)
        if select:
            check_files(opened, video=out, table=boxes, page=page)
            selection = select_targets(opened, open_browser=browser, port=port or 0)
            opened, targets = selection.source, selection.targets
        else:
            opened = opened.starting_at(first)
            targets = choose_targets(opened, box)
        names = [target.name for target in targets]
    for note in opened.notes:
        print(note, file=sys.stderr)
    followed = follow_all(
        opened,
        targets,
        params,
        chosen,
        video=out,
        table=boxes,
        page=page,
        source_path=source,
        stop_when_lost=stop_when_lost,
        hear=partial(_print_rows, names, opened) if out is None and boxes is None and page is None else None,
    )
    print(summary(followed, names, opened.ground_truth, stop_when_lost), file=sys.stderr)
    for path in (out, boxes, page):
        if path is not None:
            print(f"wrote {path}", file=sys.stderr)
    return 0


def demo(*, out: Path = Path("mfst-demo")) -> int:
    """Track the built-in clip with the built-in weights, and check the result against the clip's ground truth.

    Args:
        out: The folder for demo.mp4 (annotated), demo.html (a page to scrub through it), demo.png (a contact sheet) and
            demo.csv (the boxes).
    """
    source, params = sources.demo_source(), checkpoints.load()
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out {out}: expected a folder or a place for one, found {error.strerror}") from None
    assert source.ground_truth is not None
    chosen = np.linspace(0, len(source.ground_truth) - 1, DEMO_PICTURES).round()
    pictures = []

    def keep(number: int, picture: np.ndarray) -> None:
        if number in chosen:
            pictures.append((number, picture))

    movie, page, sheet, table = (out / f"demo.{suffix}" for suffix in ("mp4", "html", "png", "csv"))
    followed = follow(source, source.ground_truth[0], params, video=movie, page=page, table=table, see=keep)
    save_image(contact_sheet(pictures), sheet)
    preset, device = preset_of(params.contents), jax.devices()[0].platform
    print(f"tracked {len(followed.boxes)} frames with the built-in weights, preset {preset}, on {device}")
    for path in (movie, page, sheet, table):
        print(f"wrote {path}")
    mean = float(np.mean(overlaps(followed.boxes, source.ground_truth)))
    good = mean > DEMO_IOU
    print(f"mean IoU with the ground truth: {mean:.3f} ({'as' if good else 'NOT as'} expected, above {DEMO_IOU})")
    return 0 if good else 1


def info(weights: Annotated[Positional[str | None], tyro.conf.arg(metavar="NAME|PATH")] = None, /) -> int:
    """Say what a checkpoint holds, what it implies and where it comes from.

    Args:
        weights: A name (see mfst weights), an Orbax directory or a .safetensors file; by default the built-in weights.
    """
    stored = checkpoints.load(weights, bundled_se=False)
    params = bundled_se.attach(stored)
    sizes = [leaf.size for leaf in jax.tree.leaves(params)]
    print(f"holds: {params.contents.describe()}; {sum(sizes):,} numbers in {len(sizes)} arrays")
    if params is not stored:
        print("SE-blocks: they come with mfst_jax, and belong to these backbones")
    implied = implied_config(params.contents)
    preset = preset_of(params.contents)
    print(f"tracks by default with: {'' if preset is None else f'the preset {preset}, '}{json.dumps(to_dict(implied))}")
    print(f"provenance: {indented(checkpoints.provenance(weights))}")
    return 0


def train(arguments: Positional[tuple[str, ...]] = ()) -> int:
    """Train SE-blocks, SiamFC or the fusion, by a recipe or one of your own: mfst train --help.

    Args:
        arguments: The recipe, or `build` or `fusion`, and their options.
    """
    try:
        from mfst_jax.train import command
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("mfst_jax"):
            raise
        raise MissingExtraError(error.name, "train", "mfst train") from None
    return command.main(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command. Where the input is unusable, one line on standard error says why, and the exit status is 2."""
    arguments = sys.argv[1:] if arguments is None else [*arguments]
    if arguments[:1] == ["train"]:  # its options are those of a command of its own, which the extra `train` is for
        return exit_status(partial(train, tuple(arguments[1:])), program="mfst")
    commands = {"track": track, "track-all": track_all, "view": view, "demo": demo, "info": info}
    commands |= {"eval": evaluate, "score": score, "bench": bench, "train": train}
    commands |= {"weights": weights_command, "export": export, "doctor": doctor}

    def run() -> int:
        if arguments in (["--version"], ["-V"]):
            print(f"mfst_jax {__version__}")
            return 0
        if arguments[:1] == ["track"]:
            refuse_spaced_box(arguments)
        description = description_of(__doc__)
        return tyro.extras.subcommand_cli_from_dict(commands, args=arguments, prog="mfst", description=description)

    kept = "; what was tracked until then is written" if arguments[:1] and arguments[0] in KEEPING else ""
    return exit_status(run, program="mfst", interrupted=f"interrupted{kept}")


def command() -> int:
    """Runs `main` as a program: SIGTERM and SIGHUP end a track as Ctrl-C does, and compilations are kept.

    Training goes on from its checkpoints however it ended.
    """
    if sys.argv[1:2] == ["train"]:
        return main()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # A terminal that is closed, or a connection to it that breaks; `nohup` has it ignored. Windows has no such signal.
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        signal.signal(signal.SIGHUP, _hang_up)
    keep_compilations()
    status = main()
    if status == INTERRUPTED and sys.argv[1] in KEEPING:
        _leave(status)
    return status


def _hang_up(number: int, _: object) -> NoReturn:
    """Interrupts, but only once: a terminal that is closed may say so to the shell and to what runs in it."""
    signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _leave(status: int) -> NoReturn:
    """Ends the process at once, where the interpreter would wait for a compilation, which nothing can interrupt.

    All files are whole by now; of a compilation that is being kept, half is removed by the next start.
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, AttributeError):  # `None` where it is closed
            stream.flush()
    os._exit(status)


def _check_apart(paths: dict[str, Path | None]) -> None:
    """Refuses to write one file over another that is named too."""
    named: dict[str, str] = {}
    for name, path in paths.items():
        # Not by `Path.resolve`, which fails where links lead in a circle, until Python 3.13.
        if path is not None and (other := named.setdefault(os.path.realpath(path), name)) != name:
            raise InputError(f"{name} {path}: expected another file than {other}, found the same")


def _print_rows(
    names: Sequence[str],
    source: sources.Source,
    number: int,
    boxes: np.ndarray,
    scores: np.ndarray,
    seconds: float | None,
) -> None:
    if number == source.first:
        print(csv_header(names, timed=source.timed))
    print("\n".join(csv_rows(number, names, boxes, scores, timed=source.timed, seconds=seconds)), flush=True)


if __name__ == "__main__":
    sys.exit(command())
