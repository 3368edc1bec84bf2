"""SE-blocks for SiamFC (S), its published weights frozen, on a pool of pairs whose correlations are computed once.

    python -m train se_siamfc --data DATA --weights WEIGHTS

DATA is a folder of sequences in GOT-10k's or OTB's layout, WEIGHTS hold a SiamFC backbone.
"""

from train.recipe import Recipe

RECIPE = Recipe(model="siamfc", cached_pairs=8_000, cache_type="float16", pairs_per_epoch=8_000)
