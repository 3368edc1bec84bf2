"""S as torchvision's AlexNet whose conv4 and conv5 are trained on for what they add to A; conv1 to conv3 stay A's.

    mfst train siamfc_beside_alexnet --data DATA [MORE ...] --held-out SEQUENCES

Features of conv3 are computed once, for four views of 20 crops of each video, and kept in the cache. DATA is a data set
or a folder of sequences; A is the AlexNet of `--weights`, by default the built-in one.
"""

from mfst_jax.train.recipe import Recipe

RECIPE = Recipe(
    model="siamfc",
    trains="backbone",
    network="alexnet",
    frozen_convolutions=3,
    kept_views=4,
    kept_crops=20,
    loss_weights=(0.0, 0.5, 1.0),
    other_videos=0.25,
    beside_alexnet=1.0,
    calibration_pairs=128,
    epochs=3,
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
    colour=0.2,
    blur=1.0,
    validation_pairs=256,
    tracking_epochs=0,
    best="centre_error",
)
