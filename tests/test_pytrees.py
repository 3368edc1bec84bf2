"""How configurations, weights, states and results print, and that their static parts survive JSON."""

import dataclasses
import json
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

import mfst_jax
from mfst_jax.config import Config, from_dict, to_dict
from mfst_jax.params import Contents, Params
from mfst_jax.presets import ADAPTIVE_ALEXNET, ALEXNET, AUTHORS, PAPER, PRESETS, SIAMFC
from mfst_jax.pytrees import repr_shapes


def test_a_configuration_prints_as_what_it_changes_of_paper():
    assert repr(PAPER) == "Config()"
    changed = "models=('siamfc',), siamfc_layers=('conv5',), se=False, score_midpoint=0.355, score_slope=16.4"
    assert repr(SIAMFC) == f"Config({changed})"
    for config in PRESETS.values():
        assert eval(repr(config)) == config  # noqa: S307
    assert len(repr(AUTHORS)) < 100


def test_a_configuration_is_a_pytree_without_leaves():
    assert jax.tree.leaves(ALEXNET) == []
    assert jax.tree.map(lambda leaf: 2 * leaf, {"config": ALEXNET, "x": 1}) == {"config": ALEXNET, "x": 2}
    assert jax.tree.structure(ALEXNET) == jax.tree.structure(dataclasses.replace(ALEXNET))
    assert jax.tree.structure(ALEXNET) != jax.tree.structure(PAPER)
    traced = []

    @jax.jit
    def scale(x: jax.Array, config: Config) -> jax.Array:
        traced.append(config)
        return x * config.scale_step

    assert scale(2.0, PAPER) == scale(2.0, config=Config()) == pytest.approx(2.05)
    assert scale(2.0, AUTHORS) == pytest.approx(2.075)
    assert traced in ([PAPER, AUTHORS], [PAPER, PAPER, AUTHORS])  # positional and by name are two signatures


@struct.dataclass
class Pair:
    first: jax.Array
    rest: dict[str, jax.Array]
    note: str = struct.field(pytree_node=False)
    __repr__ = repr_shapes


def test_arrays_print_as_dtype_and_shape():
    pair = Pair(jnp.zeros((2, 3)), {"a": np.zeros(4, np.int8), "b": jnp.float32(1)}, "x")
    assert repr(pair) == "Pair(first=float32[2,3], rest={a: int8[4], b: float32[]}, note='x')"
    printed = []
    jax.jit(lambda pair: printed.append(repr(pair)))(pair)
    assert printed == [repr(pair)]
    assert repr(jax.tree.map(lambda _: None, pair)) == "Pair(first=None, rest={a: None, b: None}, note='x')"


def test_weights_print_what_they_hold(random_params: Callable[[Contents], Params]):
    params = random_params(Contents(siamfc=False, alexnet="torchvision"))
    assert repr(params) == "Params(AlexNet (torchvision))"
    prepared = mfst_jax.prepare(params, platform="gpu")
    assert repr(prepared) == f"PreparedParams(AlexNet (torchvision), config={ADAPTIVE_ALEXNET!r}, method='direct')"
    assert repr(params.contents) == "Contents(siamfc=False, alexnet='torchvision')"


@pytest.mark.parametrize("config", [None, *PRESETS.values()])
def test_contents_survive_json(config: Config | None):
    contents = Contents(True, "caffe", alexnet_se=True, siamfc_bias=True, config=config)
    assert Contents.from_json(json.loads(json.dumps(contents.to_json()))) == contents
    assert config is None or from_dict(json.loads(json.dumps(to_dict(config)))) == config
