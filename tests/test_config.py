"""`Config`: what follows from its fields, text to fields, JSON values and back, and what it refuses."""

import dataclasses
import json
import re
from typing import Any

import jaxtyping
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfst_jax.config import LAYERS, MODELS, Config, from_dict, override, to_dict
from mfst_jax.errors import InputError
from mfst_jax.presets import AUTHORS, PAPER, PRESETS, SIAMFC


@pytest.fixture(autouse=True, scope="module")
def library_alone():
    """Wrong types must meet the library's own errors, which the import hook of the tests would forestall."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jaxtyping.config, "jaxtyping_disable", True)
        yield


def test_layers_come_in_network_order_with_their_own_weights():
    config = Config(siamfc_layers=("conv5", "conv3"), siamfc_weights=(1, 2, 3), siamfc_factors=(4, 5, 6))
    assert config.layers("siamfc") == ("conv3", "conv5")
    assert (config.weights("siamfc"), config.factors("siamfc")) == ((1, 3), (4, 6))


def test_scale_factors_ascend_around_one():
    assert Config(scale_step=2, scale_count=5).scale_factors() == (0.25, 0.5, 1, 2, 4)
    assert Config(scale_step=1.5, scale_count=1).scale_factors() == (1,)


def test_what_has_grown_fits_a_larger_region():
    crops, features = (Config(scale_step=2, scale_search=which) for which in ("crops", "features"))
    assert crops.scale_factors() == features.scale_factors() == (0.5, 1, 2)
    assert crops.region_factors() == (0.5, 1, 2)
    assert features.region_factors() == (1,)


def test_equal_configurations_are_one_key():
    assert {Config(): "a"}[dataclasses.replace(AUTHORS, **vars(PAPER))] == "a"
    assert len(set(PRESETS.values())) == len(PRESETS)
    frozen: Any = PAPER
    with pytest.raises(dataclasses.FrozenInstanceError):
        frozen.scale_step = 2


# Text and plain values

TEXT = {
    "models": ("alexnet", ("alexnet",)),
    "siamfc_layers": ("conv3, conv5", ("conv3", "conv5")),
    "siamfc_fusion": ("soft_mean", "soft_mean"),
    "siamfc_weights": (".2,.3,.5", (0.2, 0.3, 0.5)),
    "siamfc_factors": ("1e-2,1,2", (0.01, 1.0, 2.0)),
    "alexnet_layers": ("conv4", ("conv4",)),
    "alexnet_fusion": ("hard", "hard"),
    "alexnet_weights": ("0,1,0", (0.0, 1.0, 0.0)),
    "alexnet_factors": ("1,1,1", (1.0, 1.0, 1.0)),
    "model_fusion": ("hard", "hard"),
    "model_weights": ("0.7,0.3", (0.7, 0.3)),
    "se": ("true", True),
    "se_statistics": ("each", "each"),
    "scale_search": ("features", "features"),
    "scale_step": ("1.05", 1.05),
    "scale_count": ("5", 5),
    "scale_penalty": ("0.9", 0.9),
    "scale_tilt": ("0.2", 0.2),
    "centre_search": ("8", 8.0),
    "second_look": (".5", 0.5),
    "filter_share": (".25", 0.25),
    "recent_share": (".25", 0.25),
    "scale_damping": ("0.35", 0.35),
    "scale_min": ("0.5", 0.5),
    "scale_max": ("2", 2.0),
    "window_influence": (" 0.3 ", 0.3),
    "peak_temperature": ("0.02", 0.02),
    "upsampling": ("corners", "corners"),
    "context": ("0.25", 0.25),
    "fill": ("first", "first"),
    "score_midpoint": ("-0.1", -0.1),
    "score_slope": ("7.5", 7.5),
    "precision": ("high", "high"),
}


@pytest.mark.parametrize("key", [field.name for field in dataclasses.fields(Config)])
def test_text_reaches_every_field(key):
    text, value = TEXT[key]
    start = dataclasses.replace(PAPER, scale_search="features") if key == "recent_share" else PAPER
    changed = override(start, [f"{key}={text}"])
    assert getattr(changed, key) == value != getattr(start, key)
    assert dataclasses.replace(changed, **{key: getattr(start, key)}) == start


@pytest.mark.parametrize(
    ("text", "value"), [("none", None), ("None", None), ("off", False), ("0", False), ("on", True)]
)
def test_se_is_a_truth_value_or_none(text, value):
    assert override(Config(se=True if value is None else None), [f"se={text}"]).se is value


def test_a_list_does_where_a_tuple_is_meant():
    config = Config(models=["alexnet"], alexnet_weights=[0.2, 0.5, 0.3])
    assert config == Config(models=("alexnet",), alexnet_weights=(0.2, 0.5, 0.3))
    assert hash(config) == hash(dataclasses.replace(config))


def test_settings_apply_together_and_the_last_wins():
    # Each alone is fine or not; what counts is the configuration that they make.
    config = override(SIAMFC, ["scale_count=7", "scale_step=1.1", "scale_step=1.2"])
    assert (config.scale_count, config.scale_step, config.models) == (7, 1.2, ("siamfc",))
    assert override(PAPER, []) == PAPER


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("scale_step", "'scale_step': expected key=value, found no '='"),
        ("scale=2", "'scale': expected one of models, siamfc_layers,"),
        ("scale_every=2", "'scale_every': expected one of models, siamfc_layers,"),
        ("near_search=8", "'near_search': expected one of models, siamfc_layers,"),
        ("scale_search=exemplar", "config.scale_search: expected one of crops, features, found 'exemplar'"),
        ("scale_step=fast", "scale_step: expected a number, found 'fast'"),
        ("scale_count=3.0", "scale_count: expected a whole number, found '3.0'"),
        ("se=maybe", "se: expected true or false or none, found 'maybe'"),
        ("se=", "se: expected true or false or none, found ''"),
        ("models=", "config.models: expected any number of values, each one of siamfc, alexnet, found ('',)"),
        ("model_weights=1", "config.model_weights: expected 2 values, each a number, found (1.0,)"),
        ("fill=black", "config.fill: expected one of frame, first, found 'black'"),
        ("scale_count=4", "config.scale_count: expected an odd number of scales up to 99, found 4"),
        ("scale_step=nan", "config.scale_step: expected 1 or more, found nan"),
    ],
)
def test_bad_text_is_one_line_with_field_expected_and_found(setting, message):
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        override(PAPER, [setting])
    assert "\n" not in str(caught.value)


positive = st.floats(1e-6, 1e6)
three = st.tuples(positive, positive, positive)
layers = st.lists(st.sampled_from(LAYERS), min_size=1, unique=True).map(tuple)
strategy = st.sampled_from(["hard", "soft_mean", "soft"])
configs = st.builds(
    Config,
    models=st.lists(st.sampled_from(MODELS), min_size=1, unique=True).map(tuple),
    siamfc_layers=layers,
    siamfc_fusion=strategy,
    siamfc_weights=three,
    siamfc_factors=three,
    alexnet_layers=layers,
    alexnet_fusion=strategy,
    alexnet_weights=three,
    alexnet_factors=three,
    model_fusion=strategy,
    model_weights=st.tuples(positive, positive),
    se=st.sampled_from([None, True, False]),
    se_statistics=st.sampled_from(["exemplar", "each"]),
    scale_search=st.sampled_from(["crops", "features"]),
    scale_step=st.floats(1, 2),
    scale_count=st.integers(0, 5).map(lambda half: 2 * half + 1),
    scale_penalty=st.floats(0.1, 1),
    scale_tilt=st.floats(-1, 1),
    scale_damping=st.floats(0, 1),
    scale_min=st.floats(0.01, 1),
    scale_max=st.floats(1, 100),
    window_influence=st.floats(0, 1),
    upsampling=st.sampled_from(["tf1", "corners", "half_pixel"]),
    context=st.floats(0, 2),
    fill=st.sampled_from(["frame", "first"]),
    score_midpoint=st.floats(-1, 1),
    score_slope=st.floats(0.1, 100),
    precision=st.sampled_from(["default", "high", "highest"]),
)


@given(configs)
def test_json_and_back_is_the_same_configuration(config):
    assert from_dict(json.loads(json.dumps(to_dict(config)))) == config


@given(configs)
def test_text_and_back_is_the_same_configuration(config):
    def spell(value):
        return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)

    assert override(AUTHORS, [f"{key}={spell(value)}" for key, value in vars(config).items()]) == config


def test_values_that_a_file_leaves_out_are_the_defaults():
    assert from_dict({"scale_step": 1.1}) == dataclasses.replace(PAPER, scale_step=1.1)


def test_a_file_with_unknown_fields_names_them():
    with pytest.raises(InputError, match="expected fields of Config, found colour, scale"):
        from_dict({"scale": 1, "scale_step": 1.1, "colour": "red"})
    with pytest.raises(InputError, match="expected fields of Config, found near_search, scale_every"):
        from_dict(to_dict(PAPER) | {"scale_every": 1, "near_search": 0.0})
    with pytest.raises(InputError, match=r"config\.scale_search: expected one of crops, features, found 'search'"):
        from_dict(to_dict(PAPER) | {"scale_search": "search"})


# Bad values

NAN, INFINITY = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *[("models", value) for value in ((), ("siamfc", "siamfc"), ("vgg",), "siamfc")],
        *[(f"{m}_layers", value) for m in MODELS for value in ((), ("conv3", "conv3"), ("conv2",), "conv5", None)],
        *[(f"{m}_fusion", value) for m in (*MODELS, "model") for value in ("mean", None, 1)],
        *[
            (f"{m}_weights", value)
            for m in MODELS
            for value in (
                (1.0, 1.0),
                (-0.1, 1.0, 1.0),
                (NAN, 1.0, 1.0),
                (INFINITY, 1.0, 1.0),
                (1e7, 1.0, 1.0),
                (0.0, 0.0, 0.0),
                1.0,
            )
        ],
        *[("model_weights", value) for value in ((1.0,), (-1.0, 1.0), (NAN, 1.0), (0.0, 0.0), (True, 1.0))],
        *[
            (f"{m}_factors", value)
            for m in MODELS
            for value in ((1.0, 1.0, 0.0), (1.0, NAN, 1.0), (-1.0, 1.0, 1.0), (1e7,) * 3)
        ],
        *[("se", value) for value in (1, 0, "true")],
        *[("se_statistics", value) for value in ("search", None)],
        *[("scale_step", value) for value in (0.99, NAN, INFINITY, "1.02", None, True)],
        *[("scale_count", value) for value in (0, 2, -3, 3.0, True)],
        *[("scale_penalty", value) for value in (0, 1.01, NAN)],
        *[("scale_tilt", value) for value in (-10.1, 11, NAN)],
        *[("scale_damping", value) for value in (-0.1, 1.1, NAN)],
        *[("scale_min", value) for value in (0, 1e-7, 1.1, NAN)],
        *[("scale_max", value) for value in (0.9, 1e7, INFINITY, NAN)],
        *[("window_influence", value) for value in (-0.1, 1.1, NAN)],
        *[("peak_temperature", value) for value in (-0.1, 1e-5, 1e7, NAN)],
        *[("upsampling", value) for value in ("bicubic", 16)],
        *[("context", value) for value in (-0.1, 101, INFINITY, NAN)],
        *[("fill", value) for value in ("black", 0)],
        *[("score_midpoint", value) for value in (1e7, -1e7, NAN, INFINITY, None)],
        *[("score_slope", value) for value in (0, 1e7, -1.0, INFINITY, NAN)],
        *[("precision", value) for value in ("float32", None)],
    ],
)
def test_a_bad_value_is_refused_by_field_expected_and_found(key, value):
    with pytest.raises(InputError) as caught:
        Config(**{key: value})
    message = str(caught.value)
    assert re.match(rf"config\.{key}: expected .+, found {re.escape(repr(value))}$", message), message


@pytest.mark.parametrize(
    ("key", "value"),
    [("scale_step", 1), ("scale_count", 1), ("scale_penalty", 1), ("scale_damping", 0), ("scale_damping", 1),
     ("scale_min", 1), ("scale_max", 1), ("window_influence", 0), ("window_influence", 1), ("context", 0),
     ("model_weights", (0, 1)), ("siamfc_weights", (0, 0, 1))],
)  # fmt: skip
def test_the_ends_of_each_range_are_in_it(key, value):
    assert getattr(Config(**{key: value}), key) == value


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"score_slope": 10**400}, "config.score_slope: expected a number, found 1000"),
        ({"siamfc_weights": [10**400, 1, 1]}, "config.siamfc_weights: expected 3 values, each a number, found (1000"),
        ({"scale_count": 10**18 + 1}, "config.scale_count: expected an odd number of scales up to 99, found"),
        ({"scale_step": 1e300}, "config.scale_step: expected one whose scales reach at most 1e+06, found 1e+300"),
        ({"scale_step": 2.0, "scale_count": 99}, "config.scale_step: expected one whose scales reach at most 1e+06"),
    ],
)
def test_numbers_that_overflow_are_refused(values, message):
    with pytest.raises(InputError, match=re.escape(message)):
        from_dict(values)


def test_a_tilt_whose_factors_would_overflow_is_refused():
    assert Config(scale_step=1e6, scale_tilt=2.0).scale_tilt == 2
    with pytest.raises(InputError, match=r"config.scale_tilt: expected one with which .* is at most 1e\+12, found 10"):
        Config(scale_step=1e6, scale_tilt=10.0)
