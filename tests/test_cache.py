"""Compilations kept from one process to the next: where, when not, and that a second process compiles nothing."""

import os
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from mfst_jax import cache

SETTINGS = (
    *("JAX_COMPILATION_CACHE_DIR", "JAX_ENABLE_COMPILATION_CACHE", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"),
    *(cache.CACHE_VARIABLE, "XDG_CACHE_HOME"),
)
PROGRAM = """
import jax, sys
import jax.numpy as jnp
from mfst_jax.cache import keep_compilations

found = []
jax.monitoring.register_event_listener(lambda event, **_: found.append(event) if event.endswith("cache_hits") else None)
print(keep_compilations())
jax.jit(lambda x: jnp.sin(x) @ x)(jnp.ones((8, 8))).block_until_ready()
print(len(found))
"""
IN_TURN = """
import os, sys
from mfst_jax.cache import keep_compilations

for variable in sys.argv[1:]:
    name, _, value = variable.partition("=")
    os.environ[name] = value
    print(keep_compilations())
    del os.environ[name]
"""


def start(program: str, *arguments: str, **environment: str) -> list[str]:
    """Lines that a program prints in a process of its own."""
    clean = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    command = [sys.executable, "-c", program, *arguments]
    process = subprocess.run(command, env=clean | environment, capture_output=True, text=True)
    assert (process.returncode, process.stderr) == (0, "")
    return process.stdout.splitlines()


def run(**environment: str) -> tuple[str, int]:
    """In a process of its own: where compilations are kept, and how many were found there."""
    folder, hits = start(PROGRAM, **environment)
    return folder, int(hits)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A cache folder that a first process has filled, and the folder of compilations in it."""
    whole = tmp_path_factory.mktemp("cache")
    folder, hits = run(MFST_JAX_CACHE=str(whole))
    assert hits == 0
    return whole, Path(folder)


def test_the_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv(cache.CACHE_VARIABLE, str(tmp_path))
    assert cache.cache_folder() == tmp_path
    monkeypatch.delenv(cache.CACHE_VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.cache_folder() == tmp_path / "mfst_jax"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache.cache_folder() == tmp_path / ".cache" / "mfst_jax"


def test_a_second_process_finds_what_the_first_compiled(first: tuple[Path, Path]):
    whole, folder = first
    assert folder.parent == whole / "compilations"
    kept = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    assert kept
    assert run(MFST_JAX_CACHE=str(whole)) == (str(folder), pytest.approx(len(kept), abs=1))


def test_a_folder_that_jax_was_given_stays(tmp_path: Path):
    chosen, ours = tmp_path / "chosen", tmp_path / "ours"
    assert run(JAX_COMPILATION_CACHE_DIR=str(chosen), MFST_JAX_CACHE=str(ours)) == (str(chosen), 0)
    assert list(chosen.iterdir())
    assert not ours.exists()


def test_jax_switches_it_off(tmp_path: Path):
    assert run(JAX_ENABLE_COMPILATION_CACHE="0", MFST_JAX_CACHE=str(tmp_path)) == ("None", 0)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_to_is_none(tmp_path: Path):
    """Where there is a file in the way, where nobody may write, and without a home; and programs are compiled then."""
    (tmp_path / "file").write_text("")
    places = [f"{cache.CACHE_VARIABLE}={place}" for place in (tmp_path / "file", "/proc/self")]
    assert start(IN_TURN + PROGRAM, *places, HOME="/proc/nowhere") == ["None", "None", "None", "0"]


def test_a_half_written_entry_is_compiled_again_and_replaced(first: tuple[Path, Path]):
    """As a killed process or a full disk leaves it."""
    place, folder = first
    whole = {path: len(path.read_bytes()) for path in folder.glob("*-cache")}
    assert whole
    for path, size in whole.items():
        path.write_bytes(path.read_bytes()[: size // 2])
    assert run(MFST_JAX_CACHE=str(place)) == (str(folder), 0)
    assert {path: len(path.read_bytes()) for path in whole} == pytest.approx(whole, rel=0.1)
    assert run(MFST_JAX_CACHE=str(place))[1] > 0


@pytest.mark.parametrize("compress", [zlib.compress, lambda content: zstandard.ZstdCompressor().compress(content)])
def test_only_half_written_entries_go_and_each_is_looked_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compress: Callable[[bytes], bytes]
):
    whole = compress(os.urandom(10_000))
    for name, content in {"a-cache": whole, "b-cache": whole[:5_000], "c-cache": b"", "mine": b""}.items():
        (tmp_path / name).write_bytes(content)
    assert cache.remove_half_written(tmp_path) == 2
    assert {path.name for path in tmp_path.iterdir()} == {"a-cache", "mine", ".checked"}
    for path in tmp_path.iterdir():
        os.utime(path, (path.stat().st_mtime - 10, path.stat().st_mtime - 10))
    (tmp_path / ".checked").touch()
    monkeypatch.setattr(cache, "_is_complete", lambda content: pytest.fail("it was looked at before"))
    assert cache.remove_half_written(tmp_path) == 0


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0.0 MB"), (12_340_000, "12.3 MB"), (999_000_000, "999.0 MB"), (73_410_000_000, "73.4 GB")]
)
def test_numbers_of_bytes_are_in_words_that_people_read(count: int, words: str):
    assert cache.size_in_words(count) == words
