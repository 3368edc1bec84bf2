"""What several of these files of tests stand on: a case to report about, and a run of `mfst eval`."""

from pathlib import Path

import pytest
from clips import evaluate, write_clips
from pages import CONFIG, Case

from mfst_jax.evaluation import runner

# A report


@pytest.fixture
def case(tmp_path):
    return Case(tmp_path)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A case, its page and its summary, for tests that change nothing."""
    whole = Case(tmp_path_factory.mktemp("report"))
    return whole, *whole.write(config=CONFIG, weights={"sha256": "ab" * 32}, versions={"jax": "0.10.1"})


# A run


@pytest.fixture(scope="module")
def plain_weights():
    """Nothing here depends on the prepared path, which takes seconds to compile for each shape of frames."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, "prepare", lambda params, config: params)
        yield


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return write_clips(tmp_path_factory.mktemp("clips"))


@pytest.fixture(scope="module")
def whole(root, plain_weights, tmp_path_factory) -> Path:
    """What a run leaves that nothing disturbs."""
    out = tmp_path_factory.mktemp("whole")
    assert evaluate(root, out) == 0
    return out
