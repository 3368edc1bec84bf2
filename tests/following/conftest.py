"""What all tests of following share: no thread is left over, and the built-in weights."""

import threading
from collections.abc import Iterator

import pytest

import mfst_jax


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    def mine() -> set[threading.Thread]:
        return {thread for thread in threading.enumerate() if thread.name.startswith(("prefetch", "calls"))}

    assert mine() == set()
    yield
    assert mine() == set()


@pytest.fixture(scope="module")
def params() -> mfst_jax.Params:
    return mfst_jax.load()
