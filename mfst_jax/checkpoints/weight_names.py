"""Names and shapes of all weights of MFST, and the contents that a set of tensors amounts to.

A flat name is the path through `Params.variables`, joined by slashes: `params/siamfc/conv1/kernel`. Kernels are HWIO (I
is the input channels of one group), dense kernels [in, out]; everything is float32 once loaded.
"""

import typing
from collections.abc import Collection, Mapping
from typing import Any

import jax
import numpy as np

from mfst_jax.backbones import CHANNELS, GROUPS, SIDES
from mfst_jax.config import LAYERS
from mfst_jax.params import AlexNetVariant, Contents, SiamFCVariant
from mfst_jax.se_block import SE_REDUCTION

Shape = tuple[int, ...]

FLOATS = ("float16", "bfloat16", "float32", "float64")


def branch_of(name: str) -> str:
    """Branch of a flat name, such as `siamfc` or `alexnet_se`."""
    return name.split("/")[1]


def expected(contents: Contents) -> dict[str, Shape]:
    """Shapes by flat name of every tensor that weights of these `contents` consist of."""
    shapes: dict[str, Shape] = {}
    if contents.siamfc_variant == "alexnet":
        shapes |= _alexnet("siamfc", _kernels("torchvision"))
    elif contents.siamfc:
        shapes |= _siamfc(bias=contents.siamfc_bias, grey=contents.siamfc_grey)
    if contents.siamfc_se:
        shapes |= _se("siamfc_se", _kernels("siamfc" if contents.siamfc_variant == "siamfc" else "torchvision"))
    if contents.alexnet is not None:
        shapes |= _alexnet("alexnet", _kernels(contents.alexnet))
        if contents.alexnet_se:
            shapes |= _se("alexnet_se", _kernels(contents.alexnet))
    return shapes


def _kernels(network: str) -> tuple[Shape, ...]:
    """Shapes of the kernels of conv1 to conv5, of a network in `CHANNELS`."""
    outputs, groups = CHANNELS[network], GROUPS[network]
    inputs = 3, *outputs[:-1]
    return tuple((side, side, i // g, o) for side, i, g, o in zip(SIDES, inputs, groups, outputs, strict=True))


def _siamfc(*, bias: bool, grey: bool) -> dict[str, Shape]:
    """Shapes of SiamFC: BN after conv1 to conv4, which makes a bias there redundant; a bias and no BN in conv5."""
    shapes: dict[str, Shape] = {}
    for number, kernel in enumerate(_kernels("siamfc"), start=1):
        if number == 1 and grey:
            kernel = (*kernel[:2], 1, kernel[3])
        shapes[f"params/siamfc/conv{number}/kernel"] = kernel
        if number == 5 or bias:
            shapes[f"params/siamfc/conv{number}/bias"] = kernel[-1:]
        if number == 5:
            continue
        for leaf in ("params/siamfc/bn{}/scale", "params/siamfc/bn{}/bias"):
            shapes[leaf.format(number)] = kernel[-1:]
        for leaf in ("batch_stats/siamfc/bn{}/mean", "batch_stats/siamfc/bn{}/var"):
            shapes[leaf.format(number)] = kernel[-1:]
    return shapes


def _alexnet(branch: str, kernels: tuple[Shape, ...]) -> dict[str, Shape]:
    shapes: dict[str, Shape] = {}
    for number, kernel in enumerate(kernels, start=1):
        shapes[f"params/{branch}/conv{number}/kernel"] = kernel
        shapes[f"params/{branch}/conv{number}/bias"] = kernel[-1:]
    return shapes


def _se(branch: str, kernels: tuple[Shape, ...]) -> dict[str, Shape]:
    """Shapes of SE-blocks: two dense layers for each of conv3 to conv5, C -> C/4 -> C."""
    shapes: dict[str, Shape] = {}
    for layer, kernel in zip(LAYERS, kernels[2:], strict=True):
        wide, narrow = kernel[-1], kernel[-1] // SE_REDUCTION
        shapes[f"params/{branch}/{layer}/squeeze/kernel"] = (wide, narrow)
        shapes[f"params/{branch}/{layer}/squeeze/bias"] = (narrow,)
        shapes[f"params/{branch}/{layer}/excite/kernel"] = (narrow, wide)
        shapes[f"params/{branch}/{layer}/excite/bias"] = (wide,)
    return shapes


def identify(shapes: Mapping[str, Shape]) -> Contents | None:
    """Contents that tensors of these names and shapes are meant to be, complete or not; None for unknown names.

    SE-blocks call for their backbone. Of several possible networks, the one whose expected shapes agree with most
    tensors is taken.
    """
    branches = {branch_of(name) for name in shapes if name.startswith(("params/", "batch_stats/"))}
    siamfc = not branches.isdisjoint(("siamfc", "siamfc_se"))
    alexnet = not branches.isdisjoint(("alexnet", "alexnet_se"))
    if not siamfc and not alexnet:
        return None
    biased = not shapes.keys().isdisjoint(f"params/siamfc/conv{number}/bias" for number in range(1, 5))
    grey = shapes.get("params/siamfc/conv1/kernel", ())[2:3] == (1,)
    candidates = [
        Contents(
            siamfc,
            variant,
            siamfc_se="siamfc_se" in branches,
            alexnet_se="alexnet_se" in branches,
            siamfc_bias=biased and network == "siamfc",
            siamfc_grey=grey and network == "siamfc",
            siamfc_variant=network,
        )
        for network in (typing.get_args(SiamFCVariant) if siamfc else ("siamfc",))
        for variant in (typing.get_args(AlexNetVariant) if alexnet else (None,))
    ]
    return max(candidates, key=lambda contents: sum(shapes.get(k) == v for k, v in expected(contents).items()))


def check(arrays: Mapping[str, np.ndarray]) -> tuple[Contents | None, list[str]]:
    """Contents that tensors amount to, and all that is wrong with them, one line a problem.

    A tensor may be missing, unknown, of the wrong shape, not floating point, or hold NaN or infinities (also those that
    a float64 out of float32's range becomes).
    """
    shapes = {name: array.shape for name, array in arrays.items()}
    contents = identify(shapes)
    if contents is None:
        found = ", ".join(sorted(shapes)[:3]) or "no tensor at all"
        return None, [f"expected tensors such as params/siamfc/conv1/kernel, found {found}"]
    table = expected(contents)
    problems = [f"{name}: expected a tensor of shape {table[name]}, found none" for name in table if name not in shapes]
    for name, array in arrays.items():
        if name not in table:
            problems.append(f"{name}: expected no such tensor, found one of shape {array.shape}")
        elif array.shape != table[name]:
            problems.append(f"{name}: expected shape {table[name]}, found {array.shape}")
        elif array.dtype.name not in FLOATS:
            problems.append(f"{name}: expected floating point, found {array.dtype.name}")
        elif bad := int(np.sum(~np.isfinite(to_float32(array)))):
            problems.append(f"{name}: expected finite numbers, found {bad} of {array.size} that are not")
    return contents, problems


def to_float32(array: np.ndarray) -> np.ndarray:
    """Array in native, contiguous float32; values out of its range become infinite, without a warning."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.ascontiguousarray(array, dtype=np.float32)


def flatten(variables: Any) -> dict[str, np.ndarray]:
    """Arrays of a tree as `{flat name: array}`, on the host."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(variables)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): np.asarray(leaf) for path, leaf in leaves}


def flatten_branches(variables: Any, branches: Collection[str]) -> dict[str, np.ndarray]:
    """Arrays of these branches alone, by flat names."""
    return {name: array for name, array in flatten(variables).items() if branch_of(name) in branches}


def nest(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Tree of plain dictionaries from `{flat name: array}`: the inverse of `flatten`."""
    tree: dict[str, Any] = {}
    for name, array in arrays.items():
        *folders, leaf = name.split("/")
        branch = tree
        for folder in folders:
            branch = branch.setdefault(folder, {})
        branch[leaf] = array
    return tree
