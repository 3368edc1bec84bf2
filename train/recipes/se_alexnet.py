"""SE-blocks for torchvision's AlexNet (A), frozen, on a pool of pairs whose correlations are computed once.

    mfst train se_alexnet --data DATA

DATA is a folder of sequences (docs/sequences.md); the backbone is the built-in one.

The authors' factors, 1e-5 and 1e-4 for conv3 and conv4, are for the Caffe AlexNet on raw images; here they are fitted.

On 40 short sequences (32 to train on: 1,698 crops), twenty minutes on two busy CPU cores:

    held-out loss: 1.4517 without SE, 1.4701 before, 1.2159 best (epoch 4), 1.2122 last
    held-out centre error in px: 9.11 without SE, 8.61 best
    held-out success AUC: 0.343 without SE, 0.331 best, -0.012 (95 % interval -0.049 to +0.020,
    epoch chosen on these sequences)
"""

from mfst_jax.train.recipe import Recipe

RECIPE = Recipe(
    model="alexnet",
    calibration_pairs=512,
    cached_pairs=4_000,
    cache_type="float16",
    pairs_per_epoch=4_000,
    epochs=12,
    tracking_epochs=4,
    best="tracking",
)
