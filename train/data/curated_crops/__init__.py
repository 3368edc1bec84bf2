"""Curated crops as a TFDS data set: `curated_crops_dataset_builder.Builder` writes it, `read` gives its videos."""

from mfst_jax.train.data.curated_crops.reading import is_dataset, read

__all__ = ["is_dataset", "read"]
