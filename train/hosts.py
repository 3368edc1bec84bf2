"""Several processes, on one machine or many, that run one program on all of their devices.

They share the folders of run and cache. The first process writes everything that is written once; each reads only its
part of every batch.
"""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from mfst_jax.errors import InputError
from mfst_jax.program.sharing import share_of

_devices: ContextVar[int] = ContextVar("devices", default=1)


def join(coordinator: str, processes: int, process: int) -> None:
    """Makes this process one of `processes`; to be called before anything else asks JAX for devices.

    Args:
      coordinator: `host:port`, where process 0 can be reached.
      processes: how many there are.
      process: which one this is, from 0.

    Raises:
      InputError: numbers that do not go together, or the processes do not find one another.
    """
    share_of(processes, process)
    try:
        jax.distributed.initialize(coordinator, processes, process)
    except (RuntimeError, ValueError) as error:
        raise InputError(f"--coordinator {coordinator}: expected {processes} processes, found {error}") from error


def is_first() -> bool:
    """Whether this is the first process, which writes what is written once."""
    return jax.process_index() == 0


@contextlib.contextmanager
def batches_on(devices: int) -> Iterator[None]:
    """Tells `one_device`, for what is traced in the block, how many devices share each batch."""
    before = _devices.set(devices)
    try:
        yield
    finally:
        _devices.reset(before)


def one_device() -> bool:
    """Whether a batch is on one device, so that it can be computed part by part, or together with another batch.

    Devices that share batches would each compute all of the parts, or exchange what is put together.
    """
    return _devices.get() == 1


def wait(what: str) -> None:
    """Waits until all processes are here."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(what)


@contextlib.contextmanager
def first_alone(what: str) -> Iterator[None]:
    """Runs the block in the first process alone, and then in the others, which find its work done.

    Raises:
      InputError: the block failed in the first process, and this is another one.
    """
    if not is_first():
        _hear_from_first(what)
    try:
        yield
    except Exception:
        _tell_others(done=False)
        raise
    _tell_others(done=True)


def _tell_others(*, done: bool) -> None:
    """Tells the other processes how the first one's block ended; nothing is told by another one."""
    if is_first() and jax.process_count() > 1:
        multihost_utils.broadcast_one_to_all(np.bool_(done), is_source=True)


def _hear_from_first(what: str) -> None:
    """Waits for the first process's word that its block has ended, and raises `InputError` where it failed."""
    if not multihost_utils.broadcast_one_to_all(np.bool_(False), is_source=False):
        raise InputError(f"{what}: expected the first process to do it, found that it failed; its own message says why")
