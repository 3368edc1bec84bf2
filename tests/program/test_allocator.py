"""The C library gives back what compiling left, in a process of its own."""

import subprocess
import sys

import pytest

PRELUDE = """
from pathlib import Path
from mfst_jax import memory

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1])

"""
PROGRAM = """
memory.keep_little()
blocks = [bytearray(2**16) for _ in range(2000)]  # small enough to lie in an arena
last = bytearray(2**16)  # keeps the heap from shrinking by itself
before = resident()
del blocks
kept = resident()
memory.give_back()
print(before, kept, resident())
"""
COMPILING = """
with memory.compiling():
    blocks = [bytearray(100_000) for _ in range(2000)]  # in the heap, by default
    last = [bytearray(50_000) for _ in range(100)]  # keeps the heap from shrinking by itself
before = resident()
del blocks
print(before, resident())
"""


def run(program: str) -> list[int]:
    done = subprocess.run([sys.executable, "-c", PRELUDE + program], capture_output=True, text=True, check=True)
    return [int(number) for number in done.stdout.split()]


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and glibc")
def test_large_blocks_of_compiling_go_back_by_themselves():
    before, after = run(COMPILING)
    assert after < before - 0.9 * 2000 * 100_000 / 4096


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and glibc")
def test_what_is_free_goes_back():
    before, kept, after = run(PROGRAM)
    assert kept > 0.9 * before  # there was something to give back
    assert after < before - 0.8 * 2000 * 2**16 / 4096


def test_elsewhere_nothing_happens(monkeypatch: pytest.MonkeyPatch):
    from mfst_jax.program import allocator

    monkeypatch.setattr(sys, "platform", "darwin")
    allocator.keep_little()
    with allocator.compiling():
        allocator.give_back()
