"""A configuration of one layer at one scale, which compiles soonest, and a short clip of small frames for it."""

from dataclasses import replace

import jax
import jax.numpy as jnp
from scenes import video

from mfst_jax.config import override
from mfst_jax.presets import ALEXNET

EXEMPLAR_ALONE = (
    *("models=alexnet", "siamfc_layers=conv3,conv4,conv5", "model_weights=.3,.7"),
    *("filter_share=0", "recent_share=0", "second_look=0", "scale_damping=.59"),
    *("score_midpoint=.173", "score_slope=23.8"),
)
"""Settings that make ALEXNET of ADAPTIVE_CONV5, which the built-in weights imply."""
ONE_LAYER = ("scale_count=1", "alexnet_layers=conv3")
"""What makes the configuration of ALEXNET."""
SMALL = override(ALEXNET, ONE_LAYER)
OPTIONS = ("--preset", "alexnet", "--set", *ONE_LAYER)
"""The same as options of a command. Further settings may follow."""
CHEAP = (*ONE_LAYER, *EXEMPLAR_ALONE)
"""The configuration as settings of a command line, for the built-in weights."""
SOFT = replace(SMALL, peak_temperature=0.01)
"""Its places have gradients."""


def short_clip() -> tuple[jax.Array, jax.Array]:
    """Frames [3, 64, 80, 3] and the first box, on the device."""
    frames, truth = video(31, frames=3, size=(64, 80), target=(20, 18), start=(20, 16))
    return jnp.asarray(frames), jnp.asarray(truth[0])
