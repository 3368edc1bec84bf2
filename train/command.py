"""The command `mfst train`: runs a recipe, or goes on with the run that the folder holds.

`mfst train build` writes a data set of curated crops, `mfst train fusion` fits the fusion.

A recipe is a program, and is run: read one from somebody else first.
"""

import importlib
import importlib.util
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from tyro.conf import Positional

from mfst_jax import checkpoints, evaluation
from mfst_jax.errors import InputError
from mfst_jax.evaluation.statistics import compare, describe_interval
from mfst_jax.program.arguments import Settings, description_of, exit_status, flatten_settings
from mfst_jax.program.progress import progress_of
from mfst_jax.sequences import Place, read_sequence
from mfst_jax.train import hosts, recipes
from mfst_jax.train.data import annotated_videos, build, curated_crops, curation
from mfst_jax.train.data.split import Data, split
from mfst_jax.train.epoch_validation import merit
from mfst_jax.train.fusion_search.command import fit
from mfst_jax.train.loop import DivergedError, train
from mfst_jax.train.recipe import Recipe, of_module, override


def run(
    recipe: Annotated[Positional[str], tyro.conf.arg(metavar="RECIPE")],
    /,
    *,
    data: tuple[Path, ...] = (),
    held_out: Path | None = None,
    tracked: Path | None = None,
    weights: Path | None = None,
    out: Path | None = None,
    cache: Path | None = None,
    coordinator: str | None = None,
    processes: int = 1,
    process: int = 0,
    set: Settings = (),
) -> int:
    """Train by a recipe.

    Starting in the folder of a run goes on with it; another recipe, other data or other weights are refused there.

    Args:
        recipe: The name of a file in train/recipes, or the path of one of your own, which is run as a program.
        data: A folder of sequences (docs/sequences.md), ILSVRC2015-VID, or what `build` wrote; or several.
        held_out: A folder of sequences to validate on, so that all of `data` is trained on; by default one video in
            five of `data` is held out.
        tracked: The sequences that are tracked in validation; by default those that are held out.
        weights: The backbones: a name (see mfst weights), an Orbax directory or a .safetensors file; by default the
            built-in weights.
        out: The folder of the run; by default runs/RECIPE.
        cache: The folder for crops and for what frozen backbones see, which runs can share; by default runs/cache.
        coordinator: For several processes, host:port where the first can be reached. They share OUT and CACHE.
        processes: How many there are.
        process: Which one this is, from 0.
        set: Fields of the recipe to change, as key=value; lists by commas, such as factors=1e-3,1e-3,1e-3.
    """
    if coordinator is not None:
        hosts.join(coordinator, processes, process)
    name, found = find_recipe(recipe)
    chosen = override(found, flatten_settings(set))
    if not data and not chosen.clip:
        raise InputError(f"--data: expected a folder of sequences for the recipe {name!r}, found none")
    params = checkpoints.load(weights, bundled_se=False)
    cache = Path("runs", "cache") if cache is None else cache
    with hosts.first_alone("curation"):
        sides, counts = _find_data(data, held_out, cache / "crops")
    if chosen.tracking_epochs:
        sides = replace(sides, sequences=_find_sequences(data, held_out if tracked is None else tracked, sides))
    print(f"data: {len(sides.training)} videos and {len(sides.held_out)} held out, {counts.describe()}")
    out = Path("runs", name) if out is None else out
    source = {"name": "built-in" if weights is None else weights.name, "provenance": checkpoints.provenance(weights)}
    metrics = train(chosen, params, sides, out, cache=cache / "pools", source=source)
    first, last = metrics[0], metrics[-1]
    best = min(metrics[1:], key=partial(merit, chosen))
    plain, what = (first["without_se"], "without SE") if "without_se" in first else (first, "before")
    losses = [(first, "before"), (best, f"best (epoch {best['epoch']})"), (last, "last")]
    if plain is not first:
        losses.insert(0, (plain, what))
    print("held-out loss: " + ", ".join(f"{line['loss']:.4f} {when}" for line, when in losses))
    errors = [line["centre_errors"]["fused"] for line in (plain, best)]
    print(f"held-out centre error in px: {errors[0]:.2f} {what}, {errors[1]:.2f} best")
    if "tracking" in best:
        print(describe_tracking(plain, best, what, chosen_by_tracking=chosen.best == "tracking"))
    print(f"wrote {out / 'best.safetensors'} and {out / 'last.safetensors'}")
    return 0


def describe_tracking(
    before: Mapping[str, Any], best: Mapping[str, Any], what: str, *, chosen_by_tracking: bool
) -> str:
    """Line about success AUC in tracking: of metrics from before training, which is called `what`, and of the best.

    Where the best epoch was chosen by these very tracks, the line says so: the difference is then too large, and its
    interval too narrow.
    """
    names = sorted(before["tracking"]["sequences"])
    aucs = [np.array([line["tracking"]["sequences"][name] for name in names]) for line in (before, best)]
    found = compare(aucs[1], aucs[0])
    ends = describe_interval(found.interval, signed=True)
    notes = [f"95 % interval {ends}"] if ends else []
    notes += ["epoch chosen on these sequences"] if chosen_by_tracking else []
    after = f" ({', '.join(notes)})" if notes else ""
    means = f"{aucs[0].mean():.3f} {what}, {aucs[1].mean():.3f} best"
    return f"held-out success AUC: {means}, {found.difference:+.3f}{after}"


def _find_data(roots: Sequence[Path], held_out: Path | None, cache: Path) -> tuple[Data, curation.Counts]:
    """Videos of a command line; without any, the parts of the built-in clip."""
    if not roots:
        videos, counts = curation.curate_clip(cache)
        return Data(*split(videos)), counts
    if held_out is None and len(roots) == 1 and curated_crops.is_dataset(roots[0]):
        training, kept, counts = curated_crops.read(roots[0])
        return Data(training, kept), counts
    for root in filter(curated_crops.is_dataset, (*roots, held_out or roots[0])):
        raise InputError(f"{root}: expected it to be the only --data, without --held-out, as what `build` wrote is")
    names = [root.resolve().name for root in (*roots, *([] if held_out is None else [held_out]))]
    if len({*names}) < len(names):
        raise InputError(f"--data, --held-out: expected folders of different names, found {', '.join(names)}")

    def curate(root: Path) -> tuple[list[curation.Video], curation.Counts]:
        name, workers = root.resolve().name, curation.default_workers()
        with progress_of(f"curation of {name}") as advance:
            return curation.curate(root, cache / name, workers=workers, advance=advance, tell=_tell)

    found = [curate(root) for root in roots]
    videos = [video for of_root, _ in found for video in of_root]
    counts = sum((each for _, each in found), curation.Counts())
    if held_out is None:
        return Data(*split(videos)), counts
    kept, _ = curate(held_out)
    return Data(videos, kept), counts


def _find_sequences(roots: Sequence[Path], tracked: Path | None, sides: Data) -> tuple[evaluation.Sequence, ...]:
    """Sequences in `tracked`, or those of `roots` that are held out. Raises `InputError` if there are none to track."""
    if tracked is not None:
        dataset = evaluation.load(tracked, "folder")
        found = dataset.sequences
        for line in dataset.problems:
            _tell(line)
    else:
        jobs = [job for root in roots if not curated_crops.is_dataset(root) for job in annotated_videos.find(root)]
        places = [job for job in jobs if isinstance(job, Place)]
        if not jobs or len(places) < len(jobs):
            raise InputError("--tracked: expected a folder of sequences for validation by tracking, found none")
        names = {video.name for video in sides.held_out}
        found = tuple(read_sequence(place) for place in places if place.name in names)
    usable = tuple(each for each in found if each.annotated > 1 and not each.absent[0])
    if not usable:
        raise InputError("--tracked: expected sequences with true boxes from the first frame on, found none")
    if left_out := [each.name for each in found if each not in usable]:
        _tell(f"not tracked in validation, as there is no true box to begin with or no other: {', '.join(left_out)}")
    return usable


def find_recipe(text: str) -> tuple[str, Recipe]:
    """Recipe of this name or in this file, which is run as a program, and its name.

    Raises:
      InputError: there is none.
    """
    folder = Path(recipes.__file__).parent
    path = Path(text) if text.endswith(".py") else folder / f"{text}.py"
    if not path.is_file() or path.stem == "__init__":
        known = ", ".join(sorted(path.stem for path in folder.glob("[!_]*.py")))
        raise InputError(f"recipe {text!r}: expected one of {known}, or the path of a .py file, found no such file")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return path.stem, of_module(text, module)


def main(arguments: Sequence[str]) -> int:
    """Runs the command; the exit status is 2 where the input is unusable, 1 where training diverged."""
    arguments = list(arguments)
    command = partial(tyro.cli, run, args=arguments, prog="mfst train", description=description_of(__doc__))
    for name, other in (("fusion", fit), ("build", build.command)):
        if arguments[:1] == [name]:
            command = partial(tyro.cli, other, args=arguments[1:], prog=f"mfst train {name}")
    try:
        return exit_status(
            command, program="train", interrupted="interrupted; the same command goes on from the last checkpoint"
        )
    except DivergedError as error:
        print(f"train: {error}", file=sys.stderr)
        return 1


def _tell(line: str) -> None:
    print(line, file=sys.stderr)
