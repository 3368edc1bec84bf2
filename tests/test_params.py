"""`Params`: what each set of weights implies and what it refuses; contents are static, arrays are leaves."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest

from mfst_jax.config import NETWORK_FACTORS, Config
from mfst_jax.errors import InputError
from mfst_jax.params import AlexNetVariant, Contents, Params, implied_config, preset_of, resolve_config, uses_se
from mfst_jax.presets import ADAPTIVE, ADAPTIVE_ALEXNET, AUTHORS, PAPER, PRESETS, SIAMFC

OWN = Config(scale_step=1.07)


@pytest.mark.parametrize("se", [False, True])
@pytest.mark.parametrize(
    ("siamfc", "alexnet", "preset"),
    [
        (True, "torchvision", ADAPTIVE),
        (True, "caffe", AUTHORS),
        (False, "torchvision", ADAPTIVE_ALEXNET),
        (False, "caffe", ADAPTIVE_ALEXNET),
        (True, None, SIAMFC),
    ],
)
def test_the_preset_follows_from_the_weights(siamfc, alexnet, preset, se):
    contents = Contents(siamfc, alexnet, siamfc_se=siamfc and se, alexnet_se=alexnet is not None and se)
    assert implied_config(contents) == resolve_config(contents, None) == preset
    assert implied_config(dataclasses.replace(contents, config=OWN)) == OWN
    assert (
        resolve_config(dataclasses.replace(contents, config=OWN), PAPER if preset in (ADAPTIVE, AUTHORS) else preset)
        != OWN
    )


def test_weights_without_a_backbone_are_refused():
    with pytest.raises(InputError, match="expected a SiamFC backbone, an AlexNet or both, found neither"):
        Contents(siamfc=False, alexnet=None)


@pytest.mark.parametrize(
    ("contents", "words"),
    [
        (Contents(True, None), "SiamFC"),
        (Contents(True, None, siamfc_se=True), "SiamFC + SE"),
        (Contents(False, "caffe", alexnet_se=True), "AlexNet (caffe) + SE"),
        (Contents(True, "torchvision", siamfc_se=True), "SiamFC + SE, AlexNet (torchvision)"),
    ],
)
def test_contents_in_words(contents, words):
    assert contents.describe() == words


@pytest.mark.parametrize(
    ("contents", "config", "message"),
    [
        (
            Contents(True, None),
            PAPER,
            r"^config\.models: expected only what the weights hold \(SiamFC\), found 'alexnet'; the built-in "
            r"weights hold both backbones, and so do 'paper' \(mfst weights get paper\)$",
        ),
        (Contents(False, "caffe"), SIAMFC, r"^config\.models: .*\(AlexNet \(caffe\)\), found 'siamfc';"),
        (
            Contents(True, "caffe", siamfc_se=True),
            Config(se=True),
            r"^config\.se: expected weights with SE-blocks for 'alexnet', found SiamFC \+ SE, AlexNet \(caffe\);",
        ),
        (Contents(True, None), dataclasses.replace(SIAMFC, se=True), r"^config\.se: .* for 'siamfc', found SiamFC;"),
    ],
)
def test_asking_for_what_the_weights_lack_is_an_error(contents, config, message):
    with pytest.raises(InputError, match=message):
        resolve_config(contents, config)


def test_a_model_that_is_not_used_needs_no_weights():
    config = dataclasses.replace(PAPER, models=("siamfc",), se=True)
    assert resolve_config(Contents(True, None, siamfc_se=True), config) == config


@pytest.mark.parametrize(("se", "siamfc", "alexnet"), [(None, True, False), (False, False, False)])
def test_se_is_used_where_it_is_there_unless_it_is_off(se, siamfc, alexnet):
    contents = Contents(True, "torchvision", siamfc_se=True)
    config = resolve_config(contents, Config(se=se))
    assert (uses_se(contents, config, "siamfc"), uses_se(contents, config, "alexnet")) == (siamfc, alexnet)


def test_response_factors_are_those_for_the_network_that_s_is():
    of_alexnet = Contents(True, "torchvision", siamfc_variant="alexnet")
    resolved = resolve_config(of_alexnet, PAPER)
    assert resolved == dataclasses.replace(PAPER, siamfc_factors=(1e-5, 1e-4, 1e-3))
    assert resolved.factors("siamfc") == resolved.factors("alexnet") == NETWORK_FACTORS["alexnet"]
    assert resolve_config(of_alexnet, resolved) == resolved
    own = dataclasses.replace(PAPER, siamfc_factors=(1.0, 2.0, 3.0))
    assert resolve_config(of_alexnet, own) == own
    assert resolve_config(of_alexnet, ADAPTIVE_ALEXNET) == ADAPTIVE_ALEXNET
    of_siamfc = Contents(True, "torchvision")
    assert resolve_config(of_siamfc, PAPER) == PAPER
    assert PAPER.factors("siamfc") == NETWORK_FACTORS["siamfc"] == (1e-3, 1e-3, 1e-3)


@pytest.mark.parametrize("variant", ["siamfc", "alexnet"])
def test_presets_are_known_by_name_whether_resolved_or_not(variant):
    contents = Contents(True, "torchvision", siamfc_variant=variant)
    for name, preset in PRESETS.items():
        assert preset_of(contents, preset) == preset_of(contents, resolve_config(contents, preset)) == name
    assert preset_of(contents, OWN) is None


# The pytree


def small(alexnet: AlexNetVariant = "caffe", value=1.0):
    return Params({"params": {"w": jnp.full(3, value)}, "batch_stats": {"m": jnp.zeros(2)}}, Contents(True, alexnet))


def test_transformations_see_the_arrays_alone():
    params = small()
    assert [leaf.shape for leaf in jax.tree.leaves(params)] == [(2,), (3,)]
    doubled = jax.tree.map(lambda x: 2 * x, params)
    assert doubled.contents == params.contents
    assert doubled.variables["params"]["w"].tolist() == [2, 2, 2]
    gradient = jax.grad(lambda p: jnp.sum(p.variables["params"]["w"] ** 2))(params)
    assert gradient.variables["params"]["w"].tolist() == [2, 2, 2]
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(params)]
    assert paths == [".variables['batch_stats']['m']", ".variables['params']['w']"]


def test_equal_contents_share_a_compilation_and_others_do_not():
    traced = []

    @jax.jit
    def total(params):
        traced.append(params.contents)
        return jnp.sum(params.variables["params"]["w"])

    assert [float(total(small(value=value))) for value in (1.0, 2.0)] == [3, 6]
    assert len(traced) == 1
    total(small("torchvision"))
    assert traced == [Contents(True, "caffe"), Contents(True, "torchvision")]
