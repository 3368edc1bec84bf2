"""The command `mfst weights`: which weights have a name, which of them are here, and how the others come here."""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from tyro.conf import Positional

from mfst_jax import checkpoints
from mfst_jax.cache import content, size_in_words
from mfst_jax.checkpoints import known_weights
from mfst_jax.checkpoints.files import known_contents
from mfst_jax.checkpoints.known_weights import KNOWN, PUBLISHED
from mfst_jax.params import preset_of
from mfst_jax.presets import PRESETS
from mfst_jax.program.progress import progress_of


@dataclass(frozen=True)
class ListWeights:
    """Say which weights have a name, what they hold, where they are, and how to get those that are not here.

    Attributes:
      json: Print JSON, for programs.
    """

    json: bool = False


@dataclass(frozen=True)
class GetWeights:
    """Download what others have published, check it, put it together and keep it in the cache.

    A download that breaks off goes on with the next try. Where the weights are there already, nothing is downloaded.

    Attributes:
      name: Which weights: `mfst weights` lists the names.
      source: Where the published files are, instead of at their authors': the address of a folder on the web, or a
        folder.
    """

    name: Annotated[Positional[str], tyro.conf.arg(metavar="NAME")]
    source: Annotated[str | None, tyro.conf.arg(name="from", metavar="ADDRESS|FOLDER")] = None


Action = Annotated[GetWeights, tyro.conf.subcommand("get")] | Annotated[ListWeights, tyro.conf.subcommand("list")]


_LIST = ListWeights()
_NOTES = 10_000
"""Bytes that notes about downloads may take; a larger file is a download."""


def weights(action: Annotated[Action, tyro.conf.arg(name="")] = _LIST) -> int:
    """List the weights that have a name, or get some: mfst weights get paper.

    A name stands for its weights wherever a command takes --weights, and in mfst_jax.load. Only `get` downloads.
    """
    if isinstance(action, GetWeights):
        return _get(action.name, action.source)
    found = [survey(name) for name in KNOWN]
    folder, unfinished = known_weights.weights_folder(), content(known_weights.downloads_folder())[1]
    if action.json:
        print(json.dumps({"weights": found, "folder": str(folder), "unfinished_bytes": unfinished}, indent=2))
        return 0
    for each in found:
        print("\n".join(_describe(each)), end="\n\n")
    parts = f"; {size_in_words(unfinished)} of unfinished downloads lie there" if unfinished > _NOTES else ""
    print(f"what is downloaded is kept in {folder}{parts}")
    return 0


def survey(name: str) -> dict[str, Any]:
    """Description of a known set of weights, as JSON values.

    Returns:
      `name`; `state`: built in, in the cache, not here or damaged; `about`; `holds`; `preset`, which that implies;
      `presets`, all that it is enough for; `path`; `bytes`, None where it is not here; `problem` of a damaged one;
      `sources`, the published files, with `url`, `about`, `terms`, `bytes` and `sha256`, the last two None where they
      are not known.

    Raises:
      InputError: there is no such name, or no cache folder.
    """
    known, path = known_weights.find(name), known_weights.place(name)
    found, problem = known_contents(name)
    contents = known.contents if found is None else found
    state = "damaged" if problem else "not here"
    if found is not None:
        state = "built in" if known.packaged else "in the cache"
    sources = [PUBLISHED[what] for what in known.sources]
    return {
        "name": name,
        "state": state,
        "about": known.about,
        "holds": contents.describe(),
        "preset": preset_of(contents),
        "presets": [name for name, config in PRESETS.items() if all(map(contents.holds, config.models))],
        "path": str(path),
        "bytes": path.stat().st_size if path.exists() else None,
        "problem": problem,
        "sources": [
            {"url": each.url, "about": each.about, "terms": each.terms, "bytes": each.size, "sha256": each.sha256}
            for each in sources
        ],
    }


def _with_default(presets: list[str], default: str | None) -> list[str]:
    """Names of presets in words; the default one, if there is one, comes first."""
    others = [name for name in presets if name != default]
    return others if default is None else [f"the preset {default} (default)", *others]


def _describe(found: dict[str, Any]) -> Iterator[str]:
    """Lines about a set of weights."""
    size = "" if found["bytes"] is None else f", {size_in_words(found['bytes'])}"
    how = {"not here": "not here yet: ", "damaged": "damaged: "}.get(found["state"], found["state"] + size)
    if found["state"] in ("not here", "damaged"):
        how += f"mfst weights get {found['name']}" if found["sources"] else "install mfst_jax again"
    indent = " " * 10
    yield f"{found['name']:<10}{how}"
    yield f"{indent}{found['about']}"
    yield f"{indent}holds {found['holds']}"
    yield f"{indent}tracks by {', '.join(_with_default(found['presets'], found['preset']))}"
    if found["state"] == "not here":
        for source in found["sources"]:
            size = f" ({size_in_words(source['bytes'])})" if source["bytes"] else ""
            yield f"{indent}from {source['url']}{size}"
            yield f"{indent}     {source['about']}"
            yield f"{indent}     {source['terms']}"
    else:
        yield f"{indent}{found['path']}"
    if found["problem"]:
        yield f"{indent}{found['problem']}"


def _get(name: str, source: str | None) -> int:
    # Imported here, since the library and its other commands work without weight_port.
    from weight_port.assembly import get

    known_weights.find(name)
    try:
        with progress_of(name, "bytes") as progress:
            path = get(name, source=source, progress=progress, say=lambda line: print(line, file=sys.stderr))
    except KeyboardInterrupt:
        print("mfst: interrupted; the same command goes on from there", file=sys.stderr)
        return 130
    contents, promised = checkpoints.load(path).contents, KNOWN[name].contents
    print(f"{path}: {size_in_words(path.stat().st_size)}, {contents.describe()}")
    if contents != promised:
        print(
            f"mfst: {name}: expected {promised.describe()}, found {contents.describe()}; SE-blocks come along for the "
            "published backbones alone, which these are not",
            file=sys.stderr,
        )
    shadowed = Path(name).exists()
    if shadowed:
        print(f"mfst: {name}: a path of that name is here, and goes before the name", file=sys.stderr)
    print(f"track with them: mfst track VIDEO --box X,Y,W,H --weights {path if shadowed else name}", file=sys.stderr)
    return 0
