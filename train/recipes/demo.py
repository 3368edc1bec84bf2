"""A demonstration of a few minutes: SE-blocks for the built-in AlexNet, on the built-in clip or on a folder.

mfst train demo [--data DATA]
"""

from mfst_jax.train.recipe import Recipe

RECIPE = Recipe(model="alexnet", epochs=5, pairs_per_epoch=1_600, cached_pairs=400, validation_pairs=64, clip=True)
