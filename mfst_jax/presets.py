"""Presets: configurations of the tracker that have a name, and what each is for.

Where a preset departs from the paper, it was chosen by what was measured on training and validation sequences, never
on those of OTB: `docs/choices.md`.
"""

import dataclasses
from typing import Any, Literal

from mfst_jax.config import Config

PAPER = Config()
"""The tracker as the paper describes it: both backbones, scale step 1.025, SE weights from the exemplar for both
inputs."""

AUTHORS = Config(se_statistics="each", scale_step=1.0375, upsampling="tf1", fill="frame")
"""The authors' released code: scale step 1.0375, SE weights from each input by itself, upsampling of `tf1`."""

SIAMFC = Config(models=("siamfc",), siamfc_layers=("conv5",), se=False, score_midpoint=0.355, score_slope=16.4)
"""S alone by its conv5, as SiamFC, but with the paper's scale step and the authors' colour outside the frame."""

REALTIME = Config(
    scale_search="features", scale_step=1.075, scale_penalty=0.99, scale_tilt=0.1, fill="first", centre_search=8.0
)
"""PAPER with the scale told from features: one search region a frame, or its centre [training split]."""

ALEXNET = dataclasses.replace(REALTIME, models=("alexnet",), centre_search=0.0, score_midpoint=0.173, score_slope=23.8)
"""A alone: conv3 to conv5 by soft weight, the scale told from features [training split]."""

FOLLOWING: dict[str, Any] = {"second_look": 0.1, "filter_share": 0.8, "recent_share": 0.5, "scale_damping": 0.8}
"""Fields of the adaptive presets, which follow a target that changes and look around for one that is lost."""

ADAPTIVE = dataclasses.replace(REALTIME, **FOLLOWING)
"""REALTIME beside correlation filters that learn the target, with the scale told from recent features too, and with a
second look where the target seems lost [training split]."""

ADAPTIVE_ALEXNET = dataclasses.replace(ALEXNET, **FOLLOWING)
"""ADAPTIVE with A alone: ALEXNET with the same options."""

CONV5_BESIDE_ALEXNET: dict[str, Any] = {
    "siamfc_layers": ("conv5",),
    "model_weights": (0.7, 0.3),
    "score_midpoint": 0.23,
}
"""Fields of a configuration for an S of AlexNet's network beside A, chosen on validation sequences (docs/training.md).
conv3 of such an S is, or nearly is, that of A; its conv5 is what it knows beyond A."""

ADAPTIVE_CONV5 = dataclasses.replace(ADAPTIVE, **CONV5_BESIDE_ALEXNET | {"centre_search": 0.0, "score_midpoint": 0.17})
"""ADAPTIVE with conv5 alone of S, which counts for more than A, in whole search regions: for an S of AlexNet's network,
as the built-in one is [validation sequences]."""

Preset = Literal["paper", "authors", "siamfc", "alexnet", "realtime", "adaptive", "adaptive_conv5", "adaptive_alexnet"]
PRESETS: dict[Preset, Config] = {
    "paper": PAPER,
    "authors": AUTHORS,
    "siamfc": SIAMFC,
    "alexnet": ALEXNET,
    "realtime": REALTIME,
    "adaptive": ADAPTIVE,
    "adaptive_conv5": ADAPTIVE_CONV5,
    "adaptive_alexnet": ADAPTIVE_ALEXNET,
}
