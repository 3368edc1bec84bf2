"""Inputs of a campaign by their numbers, and their files in a folder."""

import random
import shutil
from functools import cache
from pathlib import Path

from fuzzing import mutations
from fuzzing.parser import Content, Parser


@cache
def seeds(parser: Parser) -> tuple[Content, ...]:
    """Sound inputs of a parser."""
    return tuple(make() for make in parser.seeds)


def targets(parser: Parser, files: Content) -> list[str]:
    """Names of the files of an input that are damaged."""
    return sorted(name for name in files if name.endswith(parser.damaged))


def as_bytes(content: bytes | str) -> bytes:
    """Content of a file."""
    return content.encode() if isinstance(content, str) else content


def make_input(parser: Parser, number: int, seed: int) -> Content:
    """Input of a number: the same in every campaign with the same seed."""
    chance = random.Random(f"{seed} {parser.name} {number}")
    files = dict(chance.choice(seeds(parser)))
    names = targets(parser, files)
    for name in chance.sample(names, min(len(names), chance.choice((1, 1, 1, 2)))):
        damage = mutations.rewritten if chance.random() < parser.text else mutations.damaged
        files[name] = damage(as_bytes(files[name]), chance)
    return files


def write_input(files: Content, folder: Path, before: Content) -> None:
    """Writes an input to a folder that holds another one, as far as they differ."""
    if before.keys() - files.keys():  # of another seed: no empty folder of it stays either
        for path in folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        before = {}
    for name, content in files.items():
        if before.get(name) == content:
            continue
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)  # some file systems flush what is written over
        path.write_bytes(as_bytes(content))


def files_beside(folder: Path, content: Content) -> list[Path]:
    """Files in a folder that are none of an input."""
    return [path for path in folder.rglob("*") if path.is_file() and path.relative_to(folder).as_posix() not in content]
