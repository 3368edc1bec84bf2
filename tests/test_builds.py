"""Builds of the wheel and of the source archive: the same bytes wherever, whenever and by whomever they are made."""

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("hatchling")

ROOT = Path(__file__).parents[1]
if not (ROOT / "mfst_jax").is_dir():
    pytest.skip("the packages are installed, and not part of a checkout", allow_module_level=True)
PARTS = ("mfst_jax", "weight_port", "train", "tests", "tools", "benchmarks", "examples", "docs", ".ci", ".github")
"""Folders of the project; beside them are files."""


def copy(to: Path) -> Path:
    """A copy of the project, links as links, without what is ignored or only there by chance."""
    to.mkdir(parents=True)
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", ".*_cache", "runs", "*.pyc", "node_modules")
    for name in PARTS:
        shutil.copytree(ROOT / name, to / name, symlinks=True, ignore=ignored)
    for path in ROOT.iterdir():
        if path.is_file() and path.name != ".git":
            shutil.copy(path, to / path.name)
    return to


def make_different(folder: Path) -> None:
    """The same files as somebody else would have them: other times, other rights, and what has gathered beside them."""
    for number, path in enumerate(sorted(folder.rglob("*"), reverse=True)):
        if not path.is_symlink():
            path.chmod(
                0o700 if path.stat().st_mode & 0o100 else 0o640
            )  # of the rights, only this one is the file's own
            os.utime(path, (1_000_000_000 + number, 1_100_000_000 + number))
    (folder / "mfst_jax" / "__pycache__").mkdir()
    (folder / "mfst_jax" / "__pycache__" / "x.cpython-311.pyc").write_bytes(b"x")
    (folder / "dist").mkdir()
    (folder / "dist" / "old.whl").write_bytes(b"x")


def build(folder: Path, *targets: str, **environment: str) -> dict[str, Path]:
    """What hatchling makes of a folder, by the ending of its name, without a network or another environment."""
    out = folder.parent / f"built-{folder.name}"
    chosen = [word for target in targets for word in ("--target", target)]
    command = [sys.executable, "-m", "hatchling", "build", *chosen, "--directory", str(out)]
    done = subprocess.run(command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {path.name.rpartition(".")[2]: path for path in out.iterdir()}


def test_two_builds_give_the_same_bytes_and_the_source_archive_builds_the_same_wheel(tmp_path: Path):
    one, other = copy(tmp_path / "a"), copy(tmp_path / "elsewhere" / "a name with spaces")
    make_different(other)
    first = build(one, "sdist", "wheel", PYTHONHASHSEED="1", TZ="UTC")
    second = build(other, "sdist", "wheel", PYTHONHASHSEED="2", TZ="Asia/Tokyo", LC_ALL="C", USER="somebody")
    assert first.keys() == second.keys() == {"gz", "whl"}
    with zipfile.ZipFile(first["whl"]) as wheel:
        names = wheel.namelist()
    assert "mfst_jax/train/command.py" in names
    assert not [name for name in names if "__pycache__" in name or name.startswith(("tests/", "train/"))]
    for ending in ("whl", "gz"):
        assert first[ending].name == second[ending].name
        same = [hashlib.sha256(each[ending].read_bytes()).hexdigest() for each in (first, second)]
        assert same[0] == same[1], f"{first[ending].name} differs"
    with tarfile.open(first["gz"]) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    assert (unpacked / "tests" / "test_builds.py").is_file()
    assert build(unpacked, "wheel")["whl"].read_bytes() == first["whl"].read_bytes()
