"""Random weights of any contents, and how tests compare what was saved with what comes back."""

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from mfst_jax.checkpoints import weight_names
from mfst_jax.errors import InputError
from mfst_jax.params import Contents, Params

S = Contents(siamfc=True, alexnet=None)
A = Contents(siamfc=False, alexnet="torchvision")
ALL = Contents(siamfc=True, alexnet="caffe", siamfc_se=True, alexnet_se=True)
FORMATS = ("weights.safetensors", "weights")
few = settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])


def random_arrays(contents: Contents, dtype: type = np.float32, seed: int = 0) -> dict[str, np.ndarray]:
    """Weights whose numbers come again after a prime number of them; to draw them all takes most of a test's time."""
    rng = np.random.default_rng(seed)
    some = rng.standard_normal(65_537, np.float32).astype(dtype)
    return {
        name: np.resize(np.roll(some, rng.integers(some.size)), shape)
        for name, shape in weight_names.expected(contents).items()
    }


def assert_same(params: Params, expected: Params | dict[str, np.ndarray]) -> None:
    """Bit by bit: -0.0 is not 0.0."""
    found = weight_names.flatten(params.variables)
    arrays = weight_names.flatten(expected.variables) if isinstance(expected, Params) else expected
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert found[name].dtype == np.float32, name
        assert found[name].shape == array.shape, name
        assert found[name].tobytes() == array.astype(np.float32).tobytes(), name


def message(error: pytest.ExceptionInfo[InputError]) -> str:
    assert "\n" not in str(error.value)
    return str(error.value)
