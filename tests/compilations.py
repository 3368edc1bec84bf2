"""How often JAX compiles, and whether it is to be done soon."""

from contextlib import AbstractContextManager
from types import SimpleNamespace

import jax
from compile_events import compile_events

from mfst_jax.compilation import LEVEL, Options

hurry = SimpleNamespace(on=True)
"""Whether programs that take long to compile make way for others that compute the same (`conftest.py`)."""


def for_long_runs() -> Options | None:
    """Compiler options for what runs for longer than it compiles: the tests have XLA compile without optimisation."""
    return {LEVEL: 1} if jax.default_backend() == "cpu" else None


def counted_compilations() -> AbstractContextManager[list[str]]:
    """An event for each of the compilations that happen inside."""
    return compile_events("backend_compile_duration")
