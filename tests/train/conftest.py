"""Small weights, made-up sequences and their crops, once for all tests of training."""

from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import pytest
from compilations import for_long_runs, hurry
from sequences import write_sequences

from mfst_jax.params import Contents, Params
from mfst_jax.train import backbone, correlation_pools, kept_features, upper_convolutions
from mfst_jax.train.data import curation
from mfst_jax.train.data.split import Data, split
from mfst_jax.train.responses import correlate


@pytest.fixture(scope="module", autouse=True)
def gradients_that_compile_soon() -> Iterator[None]:
    """Gradients of convolutions are XLA's, but in modules and tests marked `toom_cook`."""
    operations = backbone.operations
    with pytest.MonkeyPatch.context() as patch:
        for module in (backbone, upper_convolutions):
            patch.setattr(module, "operations", lambda: {} if hurry.on else operations())
        yield


@pytest.fixture(scope="module", autouse=True)
def pools_that_are_computed_soon() -> Iterator[None]:
    """Few frames and pairs at a time, as there are few, and a program that runs for longer than it compiles."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(correlation_pools, "FRAMES_AT_ONCE", 2)
        patch.setattr(correlation_pools, "PAIRS_AT_ONCE", 2)
        patch.setattr(correlation_pools, "_correlate", correlate_soon)
        patch.setattr(kept_features, "CROPS_AT_ONCE", 3)
        yield


correlate_soon = jax.jit(correlate, compiler_options=for_long_runs())


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
