"""SiamFC (S) from random weights, as its paper trains it (Bertinetto et al. 2016, section 4.1), with augmentation.

    mfst train siamfc_from_scratch --data DATA

DATA is ILSVRC2015-VID, GOT-10k, or a folder of sequences (docs/sequences.md). The result lies beside the
backbone of `--weights`, the built-in AlexNet where there are none.

The recipe as it stands has not been run. Of 168 targets of about 140 videos, with 22 sequences of others held out
(docs/training.md), in an hour on two CPU cores that other programs used too (more pairs were no better):

    --set epochs=5 pairs_per_epoch=3200 schedule=cosine warmup_steps=50 other_videos=.25 colour=.2 blur=1 average=.99
          conv1_from_alexnet=on

    held-out loss: 0.3715 last (of conv5 alone)
    held-out centre error in px: 34.49 before, 9.98 last
    held-out success AUC, conv5 alone: 0.526 last

A thousandth of it, on 40 short sequences (32 to train on: 1,698 crops), took about ten minutes on two CPU cores and was
still learning:

    --set epochs=4 pairs_per_epoch=512 validation_pairs=64 tracking_epochs=4 final_learning_rate=1e-3

    held-out loss: 0.3709 last
    held-out centre error in px: 38.92 before, 11.17 last
    held-out success AUC, conv5 alone: 0.195 before, 0.303 last, +0.108 (95 % interval +0.039 to +0.199)
"""

from mfst_jax.train.recipe import Recipe

RECIPE = Recipe(
    model="siamfc",
    trains="backbone",
    loss_weights=(0.0, 0.0, 1.0),
    weight_decay=5e-4,
    flip=True,
    stretch=0.05,
    shift=4.0,
    grey=0.25,
    validation_pairs=256,
)
