"""JAX releases that this project keeps away from: a reproducer of the worst bug, and the pins of pyproject.toml."""

import tomllib
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"


def test_a_mapped_matrix_vector_product_survives_jit():
    """JAX 0.10.2 on CPUs returns wrong rows from the 32,769th on (jax issue 39103)."""
    rows = jnp.zeros((32_800, 3)).at[:, 0].set(jnp.arange(32_800, dtype=jnp.float32))
    norms = jax.jit(jax.vmap(lambda row: jnp.sum((jnp.eye(3) @ row) ** 2)))(rows)
    np.testing.assert_allclose(norms, np.arange(32_800.0) ** 2, rtol=1e-6)


def requirement():
    """JAX's specifiers: pairs of operator and version."""
    dependencies = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]["dependencies"]
    (found,) = [line.removeprefix("jax") for line in dependencies if line.startswith("jax>")]
    operators = (">=", "!=")
    return [next((op, part.removeprefix(op)) for op in operators if part.startswith(op)) for part in found.split(",")]


def allowed(version):
    """Whether pip may install it."""
    numbers = tuple(map(int, version.split(".")))
    return all(
        (numbers >= tuple(map(int, bound.split(".")))) if operator == ">=" else version != bound
        for operator, bound in requirement()
    )


@pytest.mark.parametrize("version", ["0.10.2", "0.11.0", "0.11.1", "0.9.2"])
def test_pins_exclude_the_bad_releases(version):
    assert not allowed(version)


@pytest.mark.parametrize("version", ["0.10.1", "0.12.0", "0.12.0.1"])
def test_pins_allow_the_good_releases(version):
    assert allowed(version)


def test_the_installed_release_is_allowed():
    assert allowed(jax.__version__)
