"""S as torchvision's AlexNet trained on for similarity: conv1 and conv2 as ImageNet left them, conv3 to conv5 moved.

    mfst train siamfc_from_alexnet --data DATA [MORE ...] --held-out SEQUENCES

It starts from the AlexNet of `--weights`, by default the built-in one. DATA is ILSVRC2015-VID, GOT-10k, or a folder of
sequences in OTB's or GOT-10k's layout.

On 168 targets of about 140 videos, with 22 sequences of others held out (docs/training.md), an hour on two CPU cores
that other programs used too:

    held-out loss: 1.875 before, 1.359 best (epoch 2), 1.476 last
    held-out centre error in px: 27.24 before, 12.65 best (epoch 1), 14.39 last

`siamfc_beside_alexnet` does better with fewer pairs, as it leaves conv3 as it is.
"""

from mfst_jax.train.recipe import Recipe

RECIPE = Recipe(
    model="siamfc",
    trains="backbone",
    network="alexnet",
    frozen_convolutions=2,
    loss_weights=(0.3, 0.5, 1.0),
    other_videos=0.25,
    calibration_pairs=128,
    epochs=6,
    pairs_per_epoch=4000,
    batch_size=16,
    accumulation=2,
    learning_rate=1.5e-4,
    final_learning_rate=2e-6,
    bias_rate=30.0,
    schedule="cosine",
    warmup_steps=100,
    optimiser="adamw",
    clip_norm=5.0,
    weight_decay=1e-4,
    average=0.99,
    flip=True,
    stretch=0.08,
    shift=3.0,
    grey=0.15,
    colour=0.2,
    blur=1.0,
    validation_pairs=256,
    tracking_epochs=0,
    best="centre_error",
)
