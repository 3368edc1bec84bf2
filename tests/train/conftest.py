"""Small weights, made-up sequences and their crops, once for all tests of training."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from compilations import hurry
from sequences import write_sequences

from mfst_jax.params import Contents, Params
from mfst_jax.train import backbone, upper_convolutions
from mfst_jax.train.data import curation
from mfst_jax.train.data.split import Data, split


@pytest.fixture(scope="module", autouse=True)
def gradients_that_compile_soon() -> Iterator[None]:
    """Gradients of convolutions are XLA's, but in modules and tests marked `toom_cook`."""
    operations = backbone.operations
    with pytest.MonkeyPatch.context() as patch:
        for module in (backbone, upper_convolutions):
            patch.setattr(module, "operations", lambda: {} if hurry.on else operations())
        yield


@pytest.fixture(scope="session")
def params(random_params: Callable[[Contents], Params]) -> Params:
    return random_params(Contents(siamfc=False, alexnet="torchvision"))


@pytest.fixture(scope="session")
def sequences(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sequences(tmp_path_factory.mktemp("data"), 3)


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def data(sequences: Path, cache: Path) -> Data:
    return Data(*split(curation.curate(sequences, cache / "crops")[0]))
