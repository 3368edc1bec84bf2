"""The C library gives back what compiling left, in a process of its own."""

import subprocess
import sys

import pytest

from mfst_jax.program import allocator

PRELUDE = f"""
import importlib.util

# By its path: the package would bring JAX.
spec = importlib.util.spec_from_file_location("allocator", {allocator.__file__!r})
allocator = importlib.util.module_from_spec(spec)
spec.loader.exec_module(allocator)

resident = allocator.resident_bytes
"""
PROGRAM = """
blocks = [bytearray(2**16) for _ in range(2000)]  # small enough to lie in an arena
last = bytearray(2**16)  # keeps the heap from shrinking by itself
before = resident()
del blocks
kept = resident()
allocator.give_back()
print(before, kept, resident())
"""
COMPILING = """
with allocator.compiling():
    blocks = [bytearray(100_000) for _ in range(2000)]  # in the heap, by default
    last = [bytearray(50_000) for _ in range(100)]  # keeps the heap from shrinking by itself
before = resident()
del blocks
print(before, resident())
"""


def run(program: str) -> list[float]:
    done = subprocess.run([sys.executable, "-c", PRELUDE + program], capture_output=True, text=True, check=True)
    return [float(number) for number in done.stdout.split()]


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and glibc")
def test_large_blocks_of_compiling_go_back_by_themselves():
    before, after = run(COMPILING)
    assert after < before - 0.9 * 2000 * 100_000


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and glibc")
def test_what_is_free_goes_back():
    before, kept, after = run(PROGRAM)
    assert kept > 0.9 * before  # there was something to give back
    assert after < before - 0.8 * 2000 * 2**16


class Library:
    """In the place of the C library: functions that write down their calls, as many of them as it has."""

    def __init__(self, *names: str):
        self.calls: list[tuple[str, tuple[int, ...]]] = []
        for name in names:
            setattr(self, name, lambda *arguments, name=name: self.calls.append((name, arguments)))

    def compile(self) -> None:
        """In the place of XLA's compiler, which fails."""
        self.calls.append(("compile", ()))
        raise MemoryError


def use_all(library: Library, platform: str, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, tuple[int, ...]]]:
    """What is asked of the library; the block that compiles fails."""
    monkeypatch.setattr(allocator, "_c_library", lambda: library)
    monkeypatch.setattr(sys, "platform", platform)
    with pytest.raises(MemoryError), allocator.compiling():
        library.compile()
    allocator.give_back()
    return library.calls


def test_glibc_is_told_of_the_thresholds_also_where_compiling_fails(monkeypatch: pytest.MonkeyPatch):
    trim, mmap = -1, -3  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD of malloc.h
    assert use_all(Library("mallopt", "malloc_trim"), "linux", monkeypatch) == [
        ("mallopt", (mmap, 65536)),
        ("mallopt", (trim, 65536)),
        ("compile", ()),
        ("mallopt", (mmap, 32 * 2**20)),
        ("mallopt", (trim, 256 * 2**20)),
        ("malloc_trim", (0,)),
    ]


@pytest.mark.parametrize(("platform", "names"), [("linux", ()), ("darwin", ("mallopt", "malloc_trim"))])
def test_without_glibc_nothing_is_asked_of_the_library(
    platform: str, names: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
):
    assert use_all(Library(*names), platform, monkeypatch) == [("compile", ())]
