"""The command `python -m train`: runs a recipe, or goes on with the run that the folder holds."""

import importlib
import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional, UseAppendAction

from mfst_jax import checkpoints
from mfst_jax.errors import InputError
from train import folders, recipes
from train.loop import Data, DivergedError, train
from train.recipe import Recipe, of_module, override

Settings = Annotated[UseAppendAction[tuple[tuple[str, ...], ...]], tyro.conf.arg(metavar="KEY=VALUE")]


def run(
    recipe: Annotated[Positional[str], tyro.conf.arg(metavar="RECIPE")],
    /,
    *,
    data: Path | None = None,
    weights: Path | None = None,
    out: Path | None = None,
    cache: Path | None = None,
    set: Settings = (),
) -> int:
    """Train by a recipe.

    Starting in the folder of a run goes on with it; another recipe, other data or other weights are refused there.

    Args:
        recipe: The name of a file in train/recipes, or the path of one of your own.
        data: A folder of sequences in OTB's or GOT-10k's layout.
        weights: The backbones, an Orbax directory or a .safetensors file; by default the built-in weights.
        out: The folder of the run; by default runs/RECIPE.
        cache: The folder for crops and for what frozen backbones see, which runs can share; by default runs/cache.
        set: Fields of the recipe to change, as key=value; lists by commas, such as factors=1e-3,1e-3,1e-3.
    """
    name, found = find_recipe(recipe)
    chosen = override(found, [setting for group in set for setting in group])
    if data is None and not chosen.clip:
        raise InputError(f"--data: expected a folder of sequences for the recipe {name!r}, found none")
    params = checkpoints.load(weights)
    cache = Path("runs", "cache") if cache is None else cache
    if data is None:
        videos, counts = folders.curate_clip(cache / "crops")
    else:
        workers = folders.default_workers()
        videos, counts = folders.curate(data, cache / "crops", workers=workers, advance=_show)
    sides = Data(*folders.split(videos))
    print(f"data: {len(sides.training)} videos and {len(sides.held_out)} held out, {counts.describe()}")
    out = Path("runs", name) if out is None else out
    source = {"name": "built-in" if weights is None else weights.name, "provenance": checkpoints.provenance(weights)}
    metrics = train(chosen, params, sides, out, cache=cache / "pools", source=source)
    first, last = metrics[0], metrics[-1]
    best = min(metrics[1:], key=lambda line: line["loss"])
    losses = f"{first['loss']:.4f} before, {best['loss']:.4f} best (epoch {best['epoch']}), {last['loss']:.4f} last"
    errors = (
        f"{first['without_se']['centre_errors']['fused']:.2f} without SE, {best['centre_errors']['fused']:.2f} best"
    )
    print(f"held-out loss: {losses}")
    print(f"held-out centre error in px: {errors}")
    print(f"wrote {out / 'best.safetensors'} and {out / 'last.safetensors'}")
    return 0


def find_recipe(text: str) -> tuple[str, Recipe]:
    """The recipe of this name or in this file, and its name. Raises `InputError` if there is none."""
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; the exit status is 2 where the input is unusable, 1 where training diverged."""
    try:
        return tyro.cli(run, args=arguments, prog="python -m train", description=__doc__)
    except InputError as error:
        print(f"train: {error}", file=sys.stderr)
        return 2
    except DivergedError as error:
        print(f"train: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("train: interrupted; the same command goes on from the last checkpoint", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _show(done: int, total: int) -> None:
    if sys.stderr.isatty():
        print(
            f"\rcuration: {done} of {total} sequences", end="\n" if done == total else "", file=sys.stderr, flush=True
        )


if __name__ == "__main__":
    sys.exit(main())
