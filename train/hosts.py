"""Several processes, on one machine or many, that run one program on all of their devices.

They share the folders of run and cache. What is written once is written by the first; each reads only its part of
every batch.
"""

import contextlib
from collections.abc import Iterator

import jax
from jax.experimental import multihost_utils

from mfst_jax.errors import InputError


def join(coordinator: str, processes: int, process: int) -> None:
    """Makes this process one of `processes`; before anything else asks JAX for devices.

    Args:
      coordinator: `host:port`, where process 0 can be reached.
      processes: how many there are.
      process: which one this is, from 0.

    Raises:
      InputError: they do not come together.
    """
    if not 0 <= process < processes:
        raise InputError(f"--process: expected 0 to {processes - 1}, found {process}")
    try:
        jax.distributed.initialize(coordinator, processes, process)
    except (RuntimeError, ValueError) as error:
        raise InputError(f"--coordinator {coordinator}: expected {processes} processes, found {error}") from error


def is_first() -> bool:
    """Whether this process writes what is written once."""
    return jax.process_index() == 0


def wait(what: str) -> None:
    """Until all processes are here."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(what)


@contextlib.contextmanager
def first_alone(what: str) -> Iterator[None]:
    """The first process goes first; the others then find done what it did."""
    if not is_first():
        wait(what)
    yield
    if is_first():
        wait(what)
