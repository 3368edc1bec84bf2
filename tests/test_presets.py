"""The presets: what the paper and the authors' code say, and the paper's tables by `replace`."""

import dataclasses
from typing import Any

import pytest
from one_layer import EXEMPLAR_ALONE

from mfst_jax.config import LAYERS, MODELS, Config, override
from mfst_jax.presets import (
    ADAPTIVE,
    ADAPTIVE_ALEXNET,
    ADAPTIVE_CONV5,
    ALEXNET,
    AUTHORS,
    PAPER,
    PRESETS,
    REALTIME,
    SIAMFC,
)

# The tables of the paper

TABLE_1 = [
    (model, layers, se, fusion)
    for model in ("alexnet", "siamfc")
    for layers, fusion in [
        *[(layer, "-") for layer in ("conv3", "conv4", "conv5")],
        *[("all", fusion) for fusion in ("hard", "soft_mean", "soft")],
    ]
    for se in (False, True)
]
TABLE_2 = [  # AlexNet's fusion, SiamFC's, the models', SE
    ("conv5", "-", "-", False),
    ("soft", "-", "-", False),
    ("soft", "-", "-", True),
    ("-", "conv5", "-", False),
    ("-", "hard", "-", False),
    ("-", "hard", "-", True),
    ("soft", "hard", "hard", False),
    ("soft", "hard", "soft_mean", False),
    ("soft", "hard", "soft", False),
    ("soft", "hard", "hard", True),
    ("soft", "hard", "soft_mean", True),
    ("soft", "hard", "soft", True),
]
PAPER_WEIGHTS = {  # section IV-A e
    "siamfc": {"conv3": 0.1, "conv4": 0.3, "conv5": 0.7},
    "alexnet": {"conv3": 0.1, "conv4": 0.6, "conv5": 0.3},
}


def test_the_tables_have_24_and_12_rows():
    assert (len(set(TABLE_1)), len(set(TABLE_2))) == (24, 12)


@pytest.mark.parametrize(("model", "layers", "se", "fusion"), TABLE_1)
def test_every_row_of_table_1_is_a_replacement_in_paper(model, layers, se, fusion):
    used = ["conv3", "conv4", "conv5"] if layers == "all" else [layers]
    changes: dict[str, Any] = {"models": (model,), f"{model}_layers": tuple(used), "se": se}
    if fusion != "-":
        changes[f"{model}_fusion"] = fusion
    config = dataclasses.replace(PAPER, **changes)

    assert (config.models, config.se) == ((model,), se)
    assert list(config.layers(model)) == used
    assert list(config.weights(model)) == [PAPER_WEIGHTS[model][layer] for layer in used]
    assert fusion in ("-", config.fusion(model))
    other = "alexnet" if model == "siamfc" else "siamfc"
    assert config.layers(other) == config.weights(other) == config.factors(other) == ()


@pytest.mark.parametrize(("alexnet", "siamfc", "models", "se"), TABLE_2)
def test_every_row_of_table_2_is_a_replacement_in_paper(alexnet, siamfc, models, se):
    used = tuple(model for model, how in (("siamfc", siamfc), ("alexnet", alexnet)) if how != "-")
    changes: dict[str, Any] = {"models": used, "se": se}
    for model, how in (("siamfc", siamfc), ("alexnet", alexnet)):
        if how == "conv5":
            changes[f"{model}_layers"] = ("conv5",)
        elif how != "-":
            changes[f"{model}_fusion"] = how
    if models != "-":
        changes["model_fusion"] = models
    config = dataclasses.replace(PAPER, **changes)

    assert (config.models, config.se) == (used, se)
    for model, how in (("siamfc", siamfc), ("alexnet", alexnet)):
        layers = {"-": (), "conv5": ("conv5",)}.get(how, ("conv3", "conv4", "conv5"))
        assert config.layers(model) == layers
        assert config.weights(model) == tuple(PAPER_WEIGHTS[model][layer] for layer in layers)
        assert how in ("-", "conv5", config.fusion(model))
    if len(used) == 2:
        assert (config.model_fusion, config.model_weights) == (models, (0.3, 0.7))


# Presets


def changed(one: Config, other: Config) -> set[str]:
    """Names of the fields in which two configurations differ."""
    names = {field.name for field in dataclasses.fields(Config)}
    return {name for name in names if getattr(one, name) != getattr(other, name)}


def test_paper_is_what_the_paper_says():
    assert (PAPER.models, PAPER.siamfc_layers, PAPER.alexnet_layers) == (MODELS, LAYERS, LAYERS)
    assert (PAPER.siamfc_fusion, PAPER.alexnet_fusion, PAPER.model_fusion) == ("hard", "soft", "soft")
    assert (PAPER.scale_step, PAPER.scale_count, PAPER.se_statistics) == (1.025, 3, "exemplar")
    assert PAPER.scale_factors() == pytest.approx((1 / 1.025, 1, 1.025))


def test_authors_is_what_their_code_does():
    assert (AUTHORS.scale_step, AUTHORS.se_statistics, AUTHORS.upsampling, AUTHORS.fill) == (
        1.0375,
        "each",
        "tf1",
        "frame",
    )
    assert AUTHORS.factors("siamfc") == (1e-3, 1e-3, 1e-3)
    assert AUTHORS.factors("alexnet") == (1e-5, 1e-4, 1e-3)
    assert (AUTHORS.scale_damping, AUTHORS.scale_penalty, AUTHORS.window_influence) == (0.59, 0.9745, 0.176)
    assert (AUTHORS.scale_min, AUTHORS.scale_max) == (0.2, 5)


def test_the_presets_of_one_backbone_use_one():
    assert (SIAMFC.models, SIAMFC.layers("siamfc"), SIAMFC.layers("alexnet")) == (("siamfc",), ("conv5",), ())
    assert (ALEXNET.models, ALEXNET.layers("alexnet"), ALEXNET.layers("siamfc")) == (("alexnet",), LAYERS, ())


def test_realtime_looks_at_one_region_with_both_backbones():
    assert REALTIME.models == MODELS
    assert REALTIME.region_factors() == (1,)
    assert len(REALTIME.scale_factors()) == 3


def test_realtime_is_paper_but_for_how_it_tells_the_scale_and_saves_work():
    expected = {"scale_search", "scale_step", "scale_penalty", "scale_tilt", "fill", "centre_search"}
    assert changed(REALTIME, PAPER) == expected
    assert REALTIME.scale_search == "features"


def test_the_adaptive_presets_are_those_of_the_exemplar_alone_with_what_follows_the_target():
    for adaptive, alone in ((ADAPTIVE, REALTIME), (ADAPTIVE_ALEXNET, ALEXNET)):
        options = {"second_look": 0.1, "filter_share": 0.8, "recent_share": 0.5, "scale_damping": 0.8}
        assert adaptive == dataclasses.replace(alone, **options)


def test_settings_of_the_tests_make_alexnet_of_what_the_built_in_weights_imply():
    assert override(ADAPTIVE_CONV5, EXEMPLAR_ALONE) == ALEXNET


def test_adaptive_conv5_is_adaptive_but_for_what_s_says():
    assert changed(ADAPTIVE_CONV5, ADAPTIVE) == {"siamfc_layers", "model_weights", "score_midpoint", "centre_search"}
    assert (ADAPTIVE_CONV5.layers("siamfc"), ADAPTIVE_CONV5.layers("alexnet")) == (("conv5",), LAYERS)


def test_presets_go_by_their_names():
    assert PRESETS == {
        "paper": PAPER,
        "authors": AUTHORS,
        "siamfc": SIAMFC,
        "alexnet": ALEXNET,
        "realtime": REALTIME,
        "adaptive": ADAPTIVE,
        "adaptive_conv5": ADAPTIVE_CONV5,
        "adaptive_alexnet": ADAPTIVE_ALEXNET,
    }
