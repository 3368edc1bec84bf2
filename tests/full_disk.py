"""Program that fills real file systems: run in a mount namespace of its own, it prints what went wrong, as JSON.

python full_disk.py FOLDER writers NAME...
python full_disk.py FOLDER commands
"""

import contextlib
import io
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "evaluation"))

from clips import write_clips
from one_layer import CHEAP
from writers import WRITERS, content, is_whole_part, visible

from mfst_jax import cli
from mfst_jax.errors import InputError

FULL, READ_ONLY = "No space left on device", "Read-only file system"
RECIPE = """
from mfst_jax.train.recipe import Recipe
RECIPE = Recipe(model="alexnet", factors=(1.0, 1.0, 1.0), epochs=2, pairs_per_epoch=8, batch_size=4,
                cached_pairs=4, validation_pairs=4)
"""


def mount(folder: Path, size: int) -> None:
    """A file system in memory of so many KiB."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", str(folder)], check=True)


def remount(folder: Path, option: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{option}", str(folder)], check=True)


def said_by(call: Callable[[], object]) -> str:
    """What the error says that a call raises; nothing where it raises none."""
    try:
        call()
    except InputError as error:
        return str(error)
    return ""


def try_writer(name: str, place: Path) -> list[str]:
    """What is wrong with one way to write on disks that are full, or may only be read."""
    writer, problems = WRITERS[name], []
    plain = place / "plain"
    plain.mkdir(parents=True)
    versions = []
    for version in (0, 1):
        writer.write(plain, version)
        versions.append({each: content(plain / each) for each in writer.names})
    old, new = versions
    files = [path for path in plain.rglob("*") if path.is_file()]
    blocks = sum(-(-path.stat().st_size // 4096) for path in files) * 4
    disk = place / "disk"
    mount(disk, 16 * blocks + 4096)
    writer.write(disk, 0)
    used = shutil.disk_usage(disk).used // 1024
    remount(disk, "ro")
    said = said_by(lambda: writer.write(disk, 1))
    if READ_ONLY not in said and "read-only" not in said:
        problems.append(f"{name}, read-only: {said or 'no error'}")
    if {each: content(disk / each) for each in writer.names} != old:
        problems.append(f"{name}, read-only: the old one is not there")
    remount(disk, "rw")
    for room in (0, 4, blocks // 2):
        remount(disk, f"size={used + room}k")
        said = said_by(lambda: writer.write(disk, 1))
        found = {each: content(disk / each) for each in writer.names}
        part = writer.keeps_frames and is_whole_part(disk / writer.names[0], new[writer.names[0]])
        fits = found == new or (name == "page" and part)  # a page with fewer pictures
        if FULL not in said and (room == 0 or not fits):
            problems.append(f"{name}, {room} KiB free: {said or 'no error'}")
        if not part and found not in (old, new) and not (writer.goes_first and found[writer.names[1]] is None):
            problems.append(f"{name}, {room} KiB free: neither the old one nor the new one is there")
        if {path.name for path in disk.iterdir()} != visible(plain) and not writer.goes_first:
            problems.append(f"{name}, {room} KiB free: {sorted(path.name for path in disk.iterdir())} is left")
    remount(disk, f"size={16 * blocks + 4096}k")
    writer.write(disk, 1)
    if {each: content(disk / each) for each in writer.names} != new:
        problems.append(f"{name}: the next one is not whole")
    return problems


def try_command(name: str, words: list[str], disk: Path, sizes: tuple[int, ...]) -> list[str]:
    """What is wrong with a command whose disk is too small, until there is room."""
    problems = []
    mount(disk, sizes[0])
    for size in (*sizes, 200_000):
        remount(disk, f"size={size}k")
        errors = io.StringIO()
        with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
            status = cli.main(words)
        last = (errors.getvalue().strip().splitlines() or [""])[-1]
        if size in sizes and (status != 2 or FULL not in last):
            problems.append(f"{name}, {size} KiB: exit status {status}, {last:.200}")
        if size not in sizes and status != 0:
            problems.append(f"{name}, with room: exit status {status}, {last:.200}")
    if left := [path for path in disk.rglob("*") if path.name.endswith((".part", "checkpoint-tmp"))]:
        problems.append(f"{name}: {left} is left")
    return problems


def try_commands(folder: Path) -> list[str]:
    """What is wrong with commands on disks that are too small for what they write."""
    write_clips(folder / "clips")
    (folder / "recipe.py").write_text(RECIPE)
    track, evaluation, training = (folder / name for name in ("track", "eval", "train"))
    words = ["track", str(folder / "clips" / "Deer"), "--set", *CHEAP]
    words += ["--boxes", str(track / "boxes.csv"), "--out", str(track / "out.mp4"), "--page", str(track / "page.html")]
    problems = try_command("track", words, track, (4, 16))
    words = ["eval", str(folder / "clips"), "--protocol", "folder", "--set", *CHEAP, "--out", str(evaluation)]
    problems += try_command("eval", words, evaluation, (8, 64))
    words = ["train", str(folder / "recipe.py"), "--data", str(folder / "clips"), "--cache", str(folder / "cache")]
    return problems + try_command("train", [*words, "--out", str(training)], training, (16, 600, 3_000))


if __name__ == "__main__":
    where, what, *names = sys.argv[1:]
    if what == "commands":
        found = try_commands(Path(where))
    else:
        found = [problem for name in names for problem in try_writer(name, Path(where, name))]
    print(json.dumps(found))
