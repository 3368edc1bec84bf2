"""How often JAX compiles."""

from collections.abc import Iterator
from contextlib import contextmanager

import jax


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
