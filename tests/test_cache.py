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


def start(**environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    return subprocess.run([sys.executable, "-c", PROGRAM], env=clean | environment, capture_output=True, text=True)


def run(**environment: str) -> tuple[str, int]:
    """In a process of its own: where compilations are kept, and how many were found there."""
    process = start(**environment)
    assert (process.returncode, process.stderr) == (0, "")
    folder, hits = process.stdout.splitlines()
    return folder, int(hits)


def test_the_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv(cache.CACHE_VARIABLE, str(tmp_path))
    assert cache.cache_folder() == tmp_path
    monkeypatch.delenv(cache.CACHE_VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.cache_folder() == tmp_path / "mfst_jax"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache.cache_folder() == tmp_path / ".cache" / "mfst_jax"


def test_a_second_process_finds_what_the_first_compiled(tmp_path: Path):
    folder, hits = run(MFST_JAX_CACHE=str(tmp_path))
    assert Path(folder).parent == tmp_path / "compilations"
    assert hits == 0
    kept = {path.name for path in Path(folder).iterdir() if not path.name.startswith(".")}
    assert kept
    assert run(MFST_JAX_CACHE=str(tmp_path)) == (folder, pytest.approx(len(kept), abs=1))


def test_a_folder_that_jax_was_given_stays(tmp_path: Path):
    chosen, ours = tmp_path / "chosen", tmp_path / "ours"
    assert run(JAX_COMPILATION_CACHE_DIR=str(chosen), MFST_JAX_CACHE=str(ours)) == (str(chosen), 0)
    assert list(chosen.iterdir())
    assert not ours.exists()


def test_jax_switches_it_off(tmp_path: Path):
    assert run(JAX_ENABLE_COMPILATION_CACHE="0", MFST_JAX_CACHE=str(tmp_path)) == ("None", 0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("trouble", ["a file in the way", "read-only", "no home"])
def test_a_folder_that_cannot_be_written_to_is_none(tmp_path: Path, trouble: str):
    if trouble == "a file in the way":
        (tmp_path / "file").write_text("")
        assert run(MFST_JAX_CACHE=str(tmp_path / "file")) == ("None", 0)
    elif trouble == "read-only":
        assert run(MFST_JAX_CACHE="/proc/self") == ("None", 0)
    else:
        assert run(HOME="/proc/nowhere") == ("None", 0)


def test_a_half_written_entry_is_compiled_again_and_replaced(tmp_path: Path):
    """As a killed process or a full disk leaves it."""
    folder, _ = run(MFST_JAX_CACHE=str(tmp_path))
    whole = {path: len(path.read_bytes()) for path in Path(folder).glob("*-cache")}
    assert whole
    for path, size in whole.items():
        path.write_bytes(path.read_bytes()[: size // 2])
    assert run(MFST_JAX_CACHE=str(tmp_path)) == (folder, 0)
    assert {path: len(path.read_bytes()) for path in whole} == pytest.approx(whole, rel=0.1)
    assert run(MFST_JAX_CACHE=str(tmp_path))[1] > 0


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
