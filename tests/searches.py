"""Configurations that search for the scale otherwise, and how close the boxes of two compilations are."""

from dataclasses import replace

from mfst_jax.config import ALEXNET, Config

SEVERAL = Config(models=("alexnet",), score_midpoint=ALEXNET.score_midpoint, score_slope=ALEXNET.score_slope)
"""A with the paper's three search regions a frame."""
BY_FEATURES = replace(SEVERAL, scale_search="features", scale_step=1.075, scale_penalty=0.985)

# Boxes in pixels that came by different compilations of the same arithmetic.
CLOSE = {"rtol": 0, "atol": 2e-3}
