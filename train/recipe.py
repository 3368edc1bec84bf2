"""`Recipe`, everything that decides the numbers of a training run but data and weights; and its settings as text."""

import dataclasses
import math
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from mfst_jax.config import LAYERS, Config, Layer, Model
from mfst_jax.errors import InputError
from mfst_jax.fields import check_type, parse_settings, require
from mfst_jax.params import SiamFCVariant
from mfst_jax.presets import CONV5_BESIDE_ALEXNET, REALTIME, SIAMFC
from mfst_jax.train.data.augmentation import Augmentation

Best = Literal["loss", "centre_error", "tracking"]
Precision = Literal["float32", "tensorfloat32", "bfloat16"]


@dataclass(frozen=True)
class Recipe:
    """Recipe of a training run: for SE-blocks on one frozen backbone, or for a backbone itself.

    The defaults are those of the authors for SE-blocks (paper section IV-A c, and their code).

    Raises:
      InputError: a value of the wrong type or out of range, or two that do not go together.

    Attributes:
      model: Backbone: S is `siamfc`, A is `alexnet`.
      trains: Target of the training: SE-blocks on the frozen backbone, or S itself.
      network: Network that is trained as S: SiamFC's own, from random weights, or AlexNet, from ImageNet's weights.
      conv1_from_alexnet: Whether 64 of the 96 filters of SiamFC's conv1 begin as those of torchvision's AlexNet.
      frozen_convolutions: Number of S's convolutions that stay as they are, from conv1 on, where it is AlexNet.
      loss_weights: Weights of the losses of conv3, conv4, conv5 in their sum; a layer of weight 0 has none.
      other_videos: Weight of a loss on each exemplar's responses to the search images of the batch's other videos,
        where nothing is the target.
      beside_alexnet: Weight of the loss of the sum of S's conv5's response and A's (`upper_convolutions.py`).
      kept_views: Number of augmented views of each crop whose features of conv3 are computed once and kept on disk
        (`kept_features.py`); 0: features in each step.
      kept_crops: Greatest number of a video's crops that features are kept of, evenly spread; 0: all.
      se_statistics: Features whose channel means set the SE weights, as `Config.se_statistics`.
      se_first_weight: SE weight of every channel before training, below 1; 0: random ones near 1/2.
      se_dropout: Share of a layer's channels that a training step leaves out of each pair's response, drawn anew for
        each pair; the others count for more, so that the response has the same mean. None are left out in validation.
      se_shared: Whether a layer with as many channels as the one before it has that layer's SE-block.
      fused_loss: Whether the loss of SE-blocks is of the layers' responses summed by their fusion weights, instead of
        the sum of each layer's own loss.
      factors: Factors on the raw cross-correlations of conv3, conv4, conv5.
      calibration_pairs: Number of training pairs that factors and first biases are fitted to (`calibration.py`); 0:
        `factors` as given, as SiamFC's network, which begins random, has to have them.
      seed: Seed of the first weights, the pairs and the augmentation.
      epochs: Number of epochs.
      pairs_per_epoch: Number of pairs in an epoch.
      batch_size: Number of pairs in a batch.
      accumulation: Number of parts that a batch is computed in, one after the other.
      learning_rate: Learning rate in the first epoch, after the warm-up.
      bias_rate: Learning rate of biases of responses, and of the factor of A's response, as a multiple of the others'.
      final_learning_rate: Learning rate in the last epoch; along a cosine, that of its very end.
      schedule: How the learning rate falls: by the same factor after each epoch, or along half a cosine, step by step.
      warmup_steps: Number of steps over which the learning rate rises from 0.
      optimiser: The optimiser.
      momentum: Momentum of SGD, and of AdamW's first moment.
      clip_norm: Greatest norm of all gradients together; 0: any.
      weight_decay: Weight decay of kernels: for SGD this share of them is added to their gradients; for AdamW they
        shrink by it each step, times the learning rate.
      anchor: Decay of everything that is trained towards where it began, as AdamW's weight decay is towards 0 (L2-SP of
        Li et al. 2018): each step takes back this share of the way, times the learning rate.
      average: Decay, step by step, of the exponential moving average of the weights that is validated and written
        instead of the last weights; 0: the last ones. Over the first steps it is the mean of them all.
      label_radius: Radius of positive labels, in samples of the search region.
      max_frame_gap: Greatest number of frames between the two of a pair.
      cached_pairs: Size of a fixed pool of pairs whose correlations are computed once (`correlation_pools.py`); 0:
        features in each step.
      cache_type: Type of the maps in that pool.
      validation_pairs: Number of held-out pairs, the same ones after each epoch and in each run.
      tracking_epochs: Number of epochs from one tracking of the held-out sequences to the next; 0: they are not
        tracked.
      best: Criterion for the epoch of `best.safetensors`: least held-out loss or centre error, or highest success AUC
        in tracking. The loss is the sum of the layers' losses by `loss_weights`, without those of `other_videos` and
        `beside_alexnet`.
      precision: Precision of matrix products and convolutions on accelerators; CPUs always compute in float32.
      clip: Whether the built-in clip may stand in where no data are given.
      flip: Whether half of the pairs are flipped left to right, both images of a pair.
      stretch: Greatest relative change of each side of each image.
      shift: Greatest shift of each image on each axis, in samples.
      grey: Share of pairs seen in grey.
      colour: Greatest relative change of each of an image's channels.
      blur: Greatest standard deviation of a Gaussian blur, in samples.
    """

    model: Model
    trains: Literal["se_blocks", "backbone"] = "se_blocks"
    network: SiamFCVariant = "siamfc"
    conv1_from_alexnet: bool = False
    frozen_convolutions: int = 0
    loss_weights: tuple[float, float, float] = (1.0, 1.0, 1.0)
    other_videos: float = 0.0
    beside_alexnet: float = 0.0
    kept_views: int = 0
    kept_crops: int = 0
    se_statistics: Literal["exemplar", "each"] = "exemplar"
    se_first_weight: float = 0.0
    se_dropout: float = 0.0
    se_shared: bool = False
    fused_loss: bool = False
    factors: tuple[float, float, float] = (1e-3, 1e-3, 1e-3)
    calibration_pairs: int = 0

    seed: int = 0
    epochs: int = 50
    pairs_per_epoch: int = 53_200
    batch_size: int = 8
    accumulation: int = 1
    learning_rate: float = 0.01
    bias_rate: float = 1.0
    final_learning_rate: float = 1e-5
    schedule: Literal["exponential", "cosine"] = "exponential"
    warmup_steps: int = 0
    optimiser: Literal["sgd", "adamw"] = "sgd"
    momentum: float = 0.9
    clip_norm: float = 0.0
    weight_decay: float = 0.0

    anchor: float = 0.0
    average: float = 0.0

    label_radius: float = 16.0
    max_frame_gap: int = 100

    cached_pairs: int = 0
    cache_type: Literal["float32", "float16"] = "float32"
    validation_pairs: int = 512
    tracking_epochs: int = 0
    best: Best = "loss"
    precision: Precision = "float32"
    clip: bool = False

    flip: bool = False
    stretch: float = 0.0
    shift: float = 0.0
    grey: float = 0.0
    colour: float = 0.0
    blur: float = 0.0

    def __post_init__(self):
        for name, kind in FIELD_TYPES.items():
            value = getattr(self, name)
            check_type(name, value, kind)
            if isinstance(value, float):
                require(math.isfinite(value), name, "a finite number", value)
        for name in ("epochs", "pairs_per_epoch", "batch_size", "accumulation", "validation_pairs"):
            require(getattr(self, name) > 0, name, "1 or more", getattr(self, name))
        counts = ("max_frame_gap", "cached_pairs", "calibration_pairs", "tracking_epochs", "kept_views", "kept_crops")
        for name in ("seed", *counts):
            require(getattr(self, name) >= 0, name, "0 or more", getattr(self, name))
        require(all(0 < f < math.inf for f in self.factors), "factors", "finite numbers above 0", self.factors)
        for name in ("learning_rate", "final_learning_rate", "bias_rate"):
            require(getattr(self, name) > 0, name, "above 0", getattr(self, name))
        for name in ("momentum", "weight_decay", "se_first_weight", "se_dropout"):
            require(0 <= getattr(self, name) < 1, name, "in [0, 1)", getattr(self, name))
        require(0 <= self.anchor < math.inf, "anchor", "0 or more", self.anchor)
        require(0 <= self.average < 1, "average", "in [0, 1)", self.average)
        require(0 <= self.label_radius < 128, "label_radius", "in [0, 128)", self.label_radius)
        whole = self.batch_size % self.accumulation == 0
        require(whole, "accumulation", f"a divisor of the batch size, {self.batch_size}", self.accumulation)
        require(self.steps_per_epoch > 0, "pairs_per_epoch", "a batch at least", self.pairs_per_epoch)
        tracked = self.best != "tracking" or 0 < self.tracking_epochs <= self.epochs
        require(tracked, "tracking_epochs", "1 to the number of epochs, to find the best by", self.tracking_epochs)
        augmented = self.augmentation.active and self.cached_pairs > 0
        require(not augmented, "cached_pairs", "0 with augmentation, which no cache can hold", self.cached_pairs)
        finite = all(0 <= weight < math.inf for weight in self.loss_weights) and sum(self.loss_weights) > 0
        require(finite, "loss_weights", "finite numbers of at least 0, one of them above", self.loss_weights)
        for name in ("other_videos", "beside_alexnet"):
            require(0 <= getattr(self, name) < math.inf, name, "0 or more", getattr(self, name))
        require(0 <= self.clip_norm < math.inf, "clip_norm", "0 or more", self.clip_norm)
        require(self.warmup_steps >= 0, "warmup_steps", "0 or more", self.warmup_steps)
        if self.trains == "backbone":
            for name in ("se_first_weight", "se_dropout", "se_shared", "fused_loss"):
                found = getattr(self, name)
                require(not found, name, "what it is by default where the backbone itself is trained", found)
            require(self.model == "siamfc", "model", "siamfc where the backbone itself is trained", self.model)
            require(self.cached_pairs == 0, "cached_pairs", "0 where the backbone itself is trained", self.cached_pairs)
            most = 4 if self.network == "alexnet" else 0
            known = 0 <= self.frozen_convolutions <= most
            require(known, "frozen_convolutions", f"0 to {most} for this network", self.frozen_convolutions)
            # Calibration goes by BN's running statistics, which mean nothing yet, training by those of each batch.
            fitted = self.calibration_pairs == 0 or self.network == "alexnet"
            require(fitted, "calibration_pairs", "0 for SiamFC's network, which begins random", self.calibration_pairs)
            lent = self.conv1_from_alexnet and self.network == "alexnet"
            require(not lent, "conv1_from_alexnet", "off for AlexNet, all of which begins so", self.conv1_from_alexnet)
            if self.kept_views:
                self._check_kept()
            else:
                for name in ("beside_alexnet", "kept_crops"):
                    require(getattr(self, name) == 0, name, "0 without kept_views", getattr(self, name))
        else:
            backbones_own = ("frozen_convolutions", "conv1_from_alexnet")
            for name in (*backbones_own, "other_videos", "beside_alexnet", "kept_views", "kept_crops"):
                require(getattr(self, name) == 0, name, "0 where SE-blocks are trained", getattr(self, name))
            require(self.loss_weights == (1, 1, 1), "loss_weights", "1,1,1 for SE-blocks", self.loss_weights)

    def _check_kept(self) -> None:
        require(self.frozen_convolutions == 3, "frozen_convolutions", "3 with kept_views", self.frozen_convolutions)
        require(self.loss_weights[0] == 0, "loss_weights", "0 for conv3 with kept_views", self.loss_weights)
        with_conv5 = self.loss_weights[2] > 0 or not self.beside_alexnet
        require(with_conv5, "loss_weights", "above 0 for conv5 with beside_alexnet", self.loss_weights)
        require(self.grey == 0, "grey", "0 with kept_views, as it is of both images of a pair", self.grey)
        require(self.kept_crops != 1, "kept_crops", "0, or 2 for a pair", self.kept_crops)

    @property
    def steps_per_epoch(self) -> int:
        """Number of whole batches in an epoch."""
        return self.pairs_per_epoch // self.batch_size

    @property
    def tracked_with(self) -> Config:
        """Configuration of the tracker in validation: for an S beside A REALTIME with `CONV5_BESIDE_ALEXNET`, else
        `layers_fused_with`.
        """
        return dataclasses.replace(REALTIME, **CONV5_BESIDE_ALEXNET) if self.beside_alexnet else self.layers_fused_with

    @property
    def layers_fused_with(self) -> Config:
        """Configuration for this backbone alone: PAPER with it, or SIAMFC for a new S."""
        if self.trains == "backbone":
            return SIAMFC
        return Config(models=(self.model,), se=True, se_statistics=self.se_statistics)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Layers that have a loss."""
        return tuple(layer for layer, weight in zip(LAYERS, self.loss_weights, strict=True) if weight)

    def loss_weight(self, layer: Layer) -> float:
        """Weight of the loss of `layer`."""
        return self.loss_weights[LAYERS.index(layer)]

    def weighted_sum(self, losses: Mapping[str, float]) -> float:
        """Sum of losses of layers by their weights; one of `fused` layers is as it is."""
        return sum(
            loss if name == "fused" else self.loss_weight(typing.cast("Layer", name)) * loss
            for name, loss in losses.items()
        )

    def factor(self, layer: Layer) -> float:
        """Factor on the raw cross-correlation of `layer`."""
        return self.factors[LAYERS.index(layer)]

    @property
    def augmentation(self) -> Augmentation:
        """Augmentation of the recipe."""
        return Augmentation(**{field.name: getattr(self, field.name) for field in dataclasses.fields(Augmentation)})


FIELD_TYPES: dict[str, Any] = typing.get_type_hints(Recipe)
DEFAULTS: dict[str, Any] = {
    field.name: field.default for field in dataclasses.fields(Recipe) if field.default is not dataclasses.MISSING
}
"""Values of the fields that have a default. Every field that is added keeps to what was done before there was one."""


def override(recipe: Recipe, settings: Iterable[str]) -> Recipe:
    """Recipe with `key=value` settings applied to it, as by `mfst_jax.config.override`.

    Raises:
      InputError: an unknown key, a value that does not fit, or a combination that `Recipe` refuses.
    """
    return dataclasses.replace(recipe, **parse_settings(settings, FIELD_TYPES))


def of_module(name: str, module: types.ModuleType) -> Recipe:
    """`RECIPE` of a recipe's file. Raises `InputError` if it has none."""
    recipe = getattr(module, "RECIPE", None)
    if not isinstance(recipe, Recipe):
        raise InputError(
            f"{name}: expected a file that defines RECIPE, a mfst_jax.train.recipe.Recipe, found {recipe!r:.80}"
        )
    return recipe
