"""How often JAX compiles, and whether it is to be done soon."""

from contextlib import AbstractContextManager
from types import SimpleNamespace

from compile_events import compile_events

hurry = SimpleNamespace(on=True)
"""Whether programs that take long to compile make way for others that compute the same (`conftest.py`)."""


def counted_compilations() -> AbstractContextManager[list[str]]:
    """An event for each of the compilations that happen inside."""
    return compile_events("backend_compile_duration")
