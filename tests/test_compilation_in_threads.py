"""Threads that need the same program at once: one of them compiles it, and the others wait."""

import threading
from concurrent.futures import ThreadPoolExecutor

import jax.numpy as jnp
import numpy as np
import pytest
from compilations import counted_compilations

from mfst_jax.compilation import Program, jit

THREADS = 6


def called_at_once(program: Program, sizes: list[int]) -> list[np.ndarray]:
    barrier = threading.Barrier(len(sizes))

    def call(size: int) -> np.ndarray:
        barrier.wait()
        return np.asarray(program(np.arange(size, dtype=np.float32)))

    with ThreadPoolExecutor(len(sizes)) as threads:
        return list(threads.map(call, sizes))


def test_a_program_is_compiled_once_however_many_threads_need_it():
    program = jit(lambda x: jnp.sin(x) + 0.125)
    program(np.zeros(1, np.float32))  # which options this JAX knows is found out by compiling
    with counted_compilations() as seen:
        found = called_at_once(program, [7] * THREADS)
    assert len(seen) == 1
    for each in found:
        np.testing.assert_allclose(each, np.sin(np.arange(7)) + 0.125, rtol=1e-6)


def test_programs_for_other_shapes_do_not_wait_for_one_another():
    program = jit(lambda x: jnp.cos(x) + 0.25)
    program(np.zeros(1, np.float32))
    with counted_compilations() as seen:
        found = called_at_once(program, [3, 4, 3, 4])
    assert len(seen) == 2
    assert [len(each) for each in found] == [3, 4, 3, 4]


def test_a_program_that_does_not_compile_makes_nobody_wait_for_ever():
    program = jit(lambda x: x @ np.zeros((5, 5), np.float32))
    for _ in range(2):
        with pytest.raises(TypeError):
            program(np.zeros((3, 4), np.float32))
    assert program(np.ones((3, 5), np.float32)).shape == (3, 5)
