"""Arrays of one network by our names and by PyTorch's, and what is read of a file with them."""

from pathlib import Path

import numpy as np
import safetensors.numpy
from sources import A, Arrays, S, random_arrays

import weight_port
from mfst_jax.params import Params
from weight_port import name_tables, rules

NETWORKS = {"siamfc": (name_tables.TORCH_SIAMFC, S), "alexnet": (name_tables.TORCHVISION_ALEXNET, A)}


def ours(network: str, seed: int = 0) -> Arrays:
    arrays = random_arrays(NETWORKS[network][1], seed)
    return {name: np.abs(array) if name.endswith("/var") else array for name, array in arrays.items()}


def theirs(network: str, seed: int = 0, prefix: str = "", table: rules.Table | None = None) -> Arrays:
    names, _ = rules.invert(table or NETWORKS[network][0], ours(network, seed))
    return {prefix + name: array for name, array in names.items()}


def read(path: Path, arrays: Arrays, **options: str) -> tuple[Params, list[str]]:
    """The weights in such a file, and what is noted."""
    safetensors.numpy.save_file(arrays, path)
    params, provenance = weight_port.merge([path], **options)
    return params, provenance["sources"][0]["notes"]
