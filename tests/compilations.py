"""How often JAX compiles, and whether it is to be done soon."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import jax

hurry = SimpleNamespace(on=True)
"""Whether programs that take long to compile make way for others that compute the same (`conftest.py`)."""


@contextmanager
def counted_compilations() -> Iterator[list[str]]:
    """An event for each of the compilations that happen inside."""
    seen: list[str] = []

    def listen(event: str, duration: float, **_: str | int) -> None:
        if event.endswith("backend_compile_duration"):
            seen.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield seen
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
