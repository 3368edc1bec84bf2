"""SE-blocks for torchvision's AlexNet (A), frozen, on a pool of pairs whose correlations are computed once.

    python -m train se_alexnet --data DATA

DATA is a folder of sequences in GOT-10k's or OTB's layout; the backbone is the built-in one.

The authors' factors, 1e-5 and 1e-4 for conv3 and conv4, are for the Caffe AlexNet on raw images. torchvision's sees
normalised ones, and its responses are of SiamFC's magnitude.
"""

from train.recipe import Recipe

RECIPE = Recipe(
    model="alexnet", factors=(1e-3, 1e-3, 1e-3), cached_pairs=8_000, cache_type="float16", pairs_per_epoch=8_000
)
