"""SiamFC (S) from random weights, as its paper trains it (Bertinetto et al. 2016, section 4.1), with augmentation.

    python -m train siamfc_from_scratch --data DATA

DATA is ILSVRC2015-VID, GOT-10k, or a folder of sequences in OTB's or GOT-10k's layout. The result lies beside the
backbone of `--weights`, the built-in AlexNet where there are none.
"""

from train.recipe import Recipe

RECIPE = Recipe(
    model="siamfc",
    trains="backbone",
    weight_decay=5e-4,
    flip=True,
    stretch=0.05,
    shift=4.0,
    grey=0.25,
    validation_pairs=256,
)
