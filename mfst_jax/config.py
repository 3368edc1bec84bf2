"""`Config`, all settings of the tracker but its weights, and how text and JSON reach its fields.

Each default cites its source: [paper] a section of the MFST paper; [code] the authors' released TensorFlow 1 code;
[SiamFC] Bertinetto et al. 2016, whose tracking loop both build on; [training split] measured on training sequences.
Where the paper is silent, a default follows the code, or what was measured on training sequences (docs/choices.md).
`mfst_jax.presets` has the presets.
"""

import dataclasses
import math
import typing
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import jax

from mfst_jax.errors import InputError
from mfst_jax.fields import check_type, parse_settings, require
from mfst_jax.pytrees import register_for_export, repr_changes

Model = Literal["siamfc", "alexnet"]
Layer = Literal["conv3", "conv4", "conv5"]
LowerLayer = Literal["pool1"]
Strategy = Literal["hard", "soft_mean", "soft"]
Upsampling = Literal["tf1", "corners", "half_pixel"]
ScaleSearch = Literal["crops", "features"]
MOST_SCALES = 99
"""Greatest number of scales: each is a search region, or a row of a table."""
WIDEST = 1e6
"""Greatest of the scales by which the target may grow from one frame to the next."""
MOST_TILT = 1e12
"""Greatest factor on the peak of a scale: its product with a peak is finite in float32."""
MODELS: tuple[Model, ...] = typing.get_args(Model)
LAYERS: tuple[Layer, ...] = typing.get_args(Layer)

NETWORK_FACTORS: dict[Model, tuple[float, float, float]] = {"siamfc": (1e-3,) * 3, "alexnet": (1e-5, 1e-4, 1e-3)}
"""Factors on the raw cross-correlations of conv3, conv4, conv5, by network: they bring all layers' responses to about
the same magnitude [code]."""

LARGEST, SMALLEST = 1e6, 1e-12
"""Largest number that a weight, a factor or a field of the score may be, and smallest factor: with them all products of
features are finite in float32."""
COLDEST = 1e-4
"""Least `peak_temperature` but 0: below it, rounding of the map would overflow its exponentials."""
MOST_CONTEXT = 100.0
"""Largest `context`: with it all places in search regions are finite."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class Config:
    """Configuration of the tracker: which features it uses, how it fuses them, and how it searches.

    `dataclasses.replace(PAPER, ...)` reaches every row of the paper's tables I and II. A Config is frozen and hashable,
    and a pytree without leaves: `jit`, `vmap`, `grad` and the rest take it like any other argument, and compile anew
    for each that is different. Its `repr` shows the fields that differ from PAPER.

    Triples of weights and factors always stand for (conv3, conv4, conv5), and model weights for (siamfc, alexnet),
    whichever of them are in use: dropping a layer or a model needs no other change.

    Raises:
      InputError: a value of the wrong type or out of range, or two that do not go together.

    Attributes:
      models: The backbones in use: `siamfc` is S, `alexnet` is A [paper III-A].
      siamfc_layers: The layers of S in use [paper III-A].
      siamfc_fusion: How the response maps of the layers of S become one map [paper table II: the best for S].
      siamfc_weights: Fusion weights of conv3, conv4, conv5 of S, in [0, 1e6] [paper IV-A e].
      siamfc_factors: Factors on the raw cross-correlations of conv3, conv4, conv5 of S, in [1e-12, 1e6]. None: those
        for its network (`NETWORK_FACTORS`), 1e-3 each for SiamFC's [code].
      alexnet_layers: The layers of A in use [paper III-A].
      alexnet_fusion: How the response maps of the layers of A become one map [paper table II: the best for A].
      alexnet_weights: Fusion weights of conv3, conv4, conv5 of A, in [0, 1e6] [paper IV-A e].
      alexnet_factors: Factors on the raw cross-correlations of conv3, conv4, conv5 of A, in
        [1e-12, 1e6] [code].
      model_fusion: How the maps of S and A become the final map [paper table II].
      model_weights: Fusion weights of S and A, in [0, 1e6] [paper IV-A e].
      se: Whether SE-blocks reweigh the channels of the features. None: wherever the weights hold them; True: they must
        hold them.
      se_statistics: The features whose channel means set the SE weights: those of the exemplar, for both inputs [paper
        III-B b], or those of each input, for itself [code].
      scale_search: What is compared at several scales: crops of the search region (`crops`) [paper IV-A e]; or the
        features of a single one around the peak (`features`, see `scale_from_features.py`).
      scale_step: Ratio of one scale to the next, at least 1 [paper IV-A e].
      scale_count: Number of scales, odd [paper IV-A e].
      scale_penalty: Factor in (0, 1] on the peak of every scale but the middle one [code].
      scale_tilt: Exponent, in [-10, 10], of a factor `scale ** scale_tilt` on the peak of each scale. Above 0 it
        favours growth: a wider region shows more background that has changed, and so looks less like the exemplar than
        it should.
      scale_damping: Share of the new scale in the running one, in [0, 1]: `s *= (1 - damping) + damping * factor`
        [code].
      recent_share: Share of what the target looked like lately, beside the exemplar, where the scale is told from
        features (`scale_from_features.py`). In [0, 1]; 0 turns it off.
      scale_min: Least scale of the target relative to the first frame, in [1e-6, 1] [code].
      scale_max: Greatest scale of the target relative to the first frame, in [1, 1e6] [code].
      centre_search: Largest displacement in the last frame, in samples of the search region, for which the next frame
        is searched in the centre of the region alone, where the target may move by 32 samples instead of 64. In
        [0, 32]; 0 turns it off.
      second_look: Score below which the target is looked for in the regions around too, in the same frame
        (`second_look.py`). It is then taken to be where its score is at least 1/2, and surely higher. In [0, 1]; 0
        turns it off.
      filter_share: Share, in the map whose peak is taken, of correlation filters on two layers of A that learn the
        target as it is tracked (`correlation_filter.py`). In [0, 1]; 0 turns them off.
      window_influence: Share of the Hann window in the final map, in [0, 1] [code].
      peak_temperature: Temperature of the soft-argmax that finds the target's place, relative to the map's maximum. At
        0 the place is the highest sample, which has no gradient; at 0.01 it is within a few pixels of the highest
        sample.
      upsampling: Geometry of the upsampling from 17 x 17 to 272 x 272 (`localisation.upsample`): `tf1` is [code],
        `half_pixel` is [SiamFC].
      context: Share of (w + h) / 2 that is added around the box on each side, in [0, 100] [SiamFC].
      fill: Colour outside the frame: the mean of the current frame (`frame`) [code], or of the first one (`first`)
        [SiamFC].
      score_midpoint: Contrast at which the score is 1/2 (`score.py`) [training split].
      score_slope: Slope of the logistic function from contrast to score, in (0, 1e6] [training split].
      precision: Precision of matrix products and convolutions on accelerators. CPUs always compute in float32.
    """

    models: tuple[Model, ...] = MODELS

    siamfc_layers: tuple[Layer, ...] = LAYERS
    # Sec. IV-A e): the weights of the fusion
    siamfc_fusion: Strategy = "hard"
    siamfc_weights: tuple[float, float, float] = (0.1, 0.3, 0.7)
    siamfc_factors: tuple[float, float, float] | None = None

    alexnet_layers: tuple[Layer, ...] = LAYERS
    alexnet_fusion: Strategy = "soft"
    alexnet_weights: tuple[float, float, float] = (0.1, 0.6, 0.3)
    alexnet_factors: tuple[float, float, float] = NETWORK_FACTORS["alexnet"]

    model_fusion: Strategy = "soft"
    model_weights: tuple[float, float] = (0.3, 0.7)

    se: bool | None = None
    se_statistics: Literal["exemplar", "each"] = "exemplar"

    scale_search: ScaleSearch = "crops"
    scale_step: float = 1.025
    scale_count: int = 3
    scale_penalty: float = 0.9745
    scale_tilt: float = 0.0
    scale_damping: float = 0.59
    recent_share: float = 0.0
    scale_min: float = 0.2
    scale_max: float = 5.0

    centre_search: float = 0.0
    second_look: float = 0.0

    filter_share: float = 0.0
    window_influence: float = 0.176
    peak_temperature: float = 0.0
    upsampling: Upsampling = "half_pixel"
    context: float = 0.5
    fill: Literal["frame", "first"] = "frame"
    score_midpoint: float = 0.188
    score_slope: float = 22.5
    precision: Literal["default", "high", "highest"] = "highest"

    __repr__ = repr_changes

    def __post_init__(self):
        for field in dataclasses.fields(self):
            if isinstance(getattr(self, field.name), list):
                object.__setattr__(self, field.name, tuple(getattr(self, field.name)))
            check_type(f"config.{field.name}", getattr(self, field.name), FIELD_TYPES[field.name])
        for name in ("models", "siamfc_layers", "alexnet_layers"):
            value = getattr(self, name)
            require(len(value) > 0, f"config.{name}", "at least one entry", value)
            require(len(set(value)) == len(value), f"config.{name}", "no entry twice", value)
        for name in ("siamfc_weights", "alexnet_weights", "model_weights"):
            value = getattr(self, name)
            require(all(0 <= w <= LARGEST for w in value), f"config.{name}", f"numbers in [0, {LARGEST:g}]", value)
        for model in self.models:
            used = self.weights(model)
            enough = self.fusion(model) == "soft_mean" or sum(used) > 0
            require(enough, f"config.{model}_weights", "a weight above 0 among the layers in use", used)
        enough = self.model_fusion == "soft_mean" or len(self.models) == 1 or sum(self.model_weights) > 0
        require(enough, "config.model_weights", "a weight above 0", self.model_weights)
        for name in ("siamfc_factors", "alexnet_factors"):
            value = getattr(self, name)
            wanted = f"numbers above 0, in [{SMALLEST:g}, {LARGEST:g}]"
            fits = value is None or all(SMALLEST <= f <= LARGEST for f in value)
            require(fits, f"config.{name}", wanted, value)
        require(
            math.isfinite(self.scale_step) and self.scale_step >= 1, "config.scale_step", "1 or more", self.scale_step
        )
        odd = self.scale_count % 2 == 1 and 0 < self.scale_count <= MOST_SCALES
        require(odd, "config.scale_count", f"an odd number of scales up to {MOST_SCALES}", self.scale_count)
        widest = (self.scale_count // 2) * math.log(self.scale_step) <= math.log(WIDEST)
        require(widest, "config.scale_step", f"one whose scales reach at most {WIDEST:g}", self.scale_step)
        require(0 < self.scale_penalty <= 1, "config.scale_penalty", "in (0, 1]", self.scale_penalty)
        require(-10 <= self.scale_tilt <= 10, "config.scale_tilt", "in [-10, 10]", self.scale_tilt)
        tilt = abs(self.scale_tilt) * (self.scale_count // 2) * math.log(self.scale_step)
        wanted = f"one with which `scale ** scale_tilt` is at most {MOST_TILT:g}"
        require(tilt <= math.log(MOST_TILT) * (1 + 1e-9), "config.scale_tilt", wanted, self.scale_tilt)
        require(0 <= self.scale_damping <= 1, "config.scale_damping", "in [0, 1]", self.scale_damping)
        require(0 <= self.recent_share <= 1, "config.recent_share", "in [0, 1]", self.recent_share)
        fits = self.recent_share == 0 or self.scale_search == "features"
        require(fits, "config.scale_search", "features, or recent_share=0", self.scale_search)
        require(1e-6 <= self.scale_min <= 1, "config.scale_min", "in [1e-06, 1]", self.scale_min)
        require(1 <= self.scale_max <= 1e6, "config.scale_max", "in [1, 1e+06]", self.scale_max)
        require(0 <= self.centre_search <= 32, "config.centre_search", "in [0, 32]", self.centre_search)
        fits = self.centre_search == 0 or self.upsampling == "half_pixel"
        require(fits, "config.upsampling", "half_pixel, which centre_search needs", self.upsampling)
        require(0 <= self.second_look <= 1, "config.second_look", "in [0, 1]", self.second_look)
        require(0 <= self.filter_share <= 1, "config.filter_share", "in [0, 1]", self.filter_share)
        layers = self.layers("alexnet")
        fits = self.filter_share == 0 or "conv5" in layers
        require(fits, "config.alexnet_layers", "conv5 of A in use, or filter_share=0", layers)
        fits = self.filter_share == 0 or self.upsampling == "half_pixel"
        require(fits, "config.upsampling", "half_pixel, or filter_share=0", self.upsampling)
        require(0 <= self.window_influence <= 1, "config.window_influence", "in [0, 1]", self.window_influence)
        temperature = self.peak_temperature
        require(
            temperature == 0 or COLDEST <= temperature <= LARGEST,
            *("config.peak_temperature", f"0, or in [{COLDEST:g}, {LARGEST:g}]", temperature),
        )
        midpoint, slope = self.score_midpoint, self.score_slope
        require(abs(midpoint) <= LARGEST, "config.score_midpoint", f"within {LARGEST:g} of 0", midpoint)
        require(0 < slope <= LARGEST, "config.score_slope", f"in (0, {LARGEST:g}]", slope)
        require(0 <= self.context <= MOST_CONTEXT, "config.context", f"in [0, {MOST_CONTEXT:g}]", self.context)

    def layers(self, model: Model) -> tuple[Layer, ...]:
        """Layers of `model` in use, in network order; none where the model is not in use."""
        chosen = self.siamfc_layers if model == "siamfc" else self.alexnet_layers
        return tuple(layer for layer in LAYERS if layer in chosen and model in self.models)

    def layers_below(self, model: Model) -> tuple[LowerLayer, ...]:
        """Layers of `model` in use below those that are compared with the exemplar."""
        return ("pool1",) if self.filter_share and model == "alexnet" else ()

    def weights(self, model: Model) -> tuple[float, ...]:
        """Fusion weights of the layers of `model` in use, in network order."""
        return self._of_layers(model, self.siamfc_weights if model == "siamfc" else self.alexnet_weights)

    def factors(self, model: Model) -> tuple[float, ...]:
        """Response factors of the layers of `model` in use, in network order.

        Where `siamfc_factors` are None they are those for SiamFC's network; a configuration that
        `params.resolve_config` has resolved has those for the network that S is.
        """
        of_siamfc = self.siamfc_factors or NETWORK_FACTORS["siamfc"]
        return self._of_layers(model, of_siamfc if model == "siamfc" else self.alexnet_factors)

    def fusion(self, model: Model) -> Strategy:
        """Fusion strategy for the layers of `model`."""
        return self.siamfc_fusion if model == "siamfc" else self.alexnet_fusion

    def _of_layers(self, model: Model, values: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(values[LAYERS.index(layer)] for layer in self.layers(model))

    def scale_factors(self) -> tuple[float, ...]:
        """Factors by which the target may have grown since the last frame, ascending: `scale_step ** (-1, 0, 1)`."""
        # Sec. IV-A e): 1.025^{-1, 0, 1}
        reach = self.scale_count // 2
        return tuple(self.scale_step**exponent for exponent in range(-reach, reach + 1))

    def region_factors(self) -> tuple[float, ...]:
        """Factors on the side of each search region, ascending.

        A larger region shows a grown target as large as the exemplar has it. Where the scale is told from features, one
        region serves all scales.
        """
        return self.scale_factors() if self.scale_search == "crops" else (1.0,)


FIELD_TYPES: dict[str, Any] = typing.get_type_hints(Config)


def override(config: Config, settings: Iterable[str]) -> Config:
    """Configuration with `key=value` settings applied to it: each value is read by its field's type, lists by commas.

    Examples: `scale_step=1.03`, `models=siamfc`, `alexnet_weights=.1,.6,.3`, `se=none`.

    Args:
      config: what to start from.
      settings: the settings, in order; the last one of a key counts.

    Raises:
      InputError: an unknown key, a value that does not fit the field, or a combination that `Config` refuses.
    """
    return dataclasses.replace(config, **parse_settings(settings, FIELD_TYPES))


def to_dict(config: Config) -> dict[str, Any]:
    """Configuration as plain JSON values; `from_dict` is the inverse."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in vars(config).items()}


def from_dict(values: dict[str, Any]) -> Config:
    """Configuration from the JSON values that `to_dict` wrote.

    Raises:
      InputError: an unknown field, or a value that `Config` refuses.
    """
    unknown = sorted(set(values) - set(FIELD_TYPES))
    if unknown:
        raise InputError(f"configuration: expected fields of Config, found {', '.join(unknown)}")
    fields: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    return Config(**fields)


register_for_export(Config, to_dict, from_dict)
