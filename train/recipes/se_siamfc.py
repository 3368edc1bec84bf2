"""SE-blocks for SiamFC (S), its published weights frozen, on a pool of pairs whose correlations are computed once.

    mfst train se_siamfc --data DATA --weights WEIGHTS

DATA is a folder of sequences (docs/sequences.md), WEIGHTS hold a SiamFC backbone.

On 40 short sequences (32 to train on: 1,698 crops), half an hour on two busy CPU cores:

    held-out loss: 0.9808 without SE, 0.9989 before, 0.7312 best (epoch 3), 0.7264 last
    held-out centre error in px: 8.34 without SE, 8.01 best
    held-out success AUC: 0.319 without SE, 0.296 best, -0.022 (95 % interval -0.074 to +0.008,
    epoch chosen on these sequences)
"""

from mfst_jax.train.recipe import Recipe

RECIPE = Recipe(
    model="siamfc",
    calibration_pairs=512,
    cached_pairs=8_000,
    cache_type="float16",
    pairs_per_epoch=8_000,
    epochs=12,
    tracking_epochs=3,
    best="tracking",
)
