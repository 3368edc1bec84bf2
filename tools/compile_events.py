"""Events of JAX's compiler and tracer, as they happen: for tools and tests that count compilations."""

from collections.abc import Iterator
from contextlib import contextmanager

import jax

_COMPILING = "/jax/core/compile/"


@contextmanager
def compile_events(ending: str = "") -> Iterator[list[str]]:
    """Events of compiling and tracing that happen inside.

    Args:
      ending: end of the names of the events that count; by default all do.
    """
    seen: list[str] = []

    def listen(event: str, duration_secs: float, **_: str | int) -> None:
        if event.startswith(_COMPILING) and event.endswith(ending):
            seen.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield seen
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
