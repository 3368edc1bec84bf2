"""SiamFC in MatConvNet's files: MAT-files with a `dagnn.DagNN` as a struct `net`, read and written without MATLAB.

`net.params` has the weights. Filters are [height, width, in, out]; MATLAB drops the last sides where they are 1, and
has vectors as columns. The moments of a batch normalisation, `bnNx`, are [mean, deviation] with the epsilon within the
deviation. A float32 deviation cannot carry a float32 variance exactly, so files of ours have the variances too: they
are `bnNv` here, and lie in a variable `mfst_jax` of their own, with our metadata as JSON.

Reference: MatConvNet's `dagnn.DagNN.loadobj`; `make_siameseFC` and `vid_create_net` of SiamFC (Bertinetto et al. 2016).
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mfst_jax.backbones import BATCH_NORM_EPSILON
from weight_port.formats import mat5

_OURS = "mfst_jax"
_LONGEST_METADATA = 2**20
_STRIDES = {1: 2, 2: 1, 3: 1, 4: 1, 5: 1}
"""Strides of the convolutions; a max pool 3/2 follows conv1 and conv2."""
_RATES = {
    "convf": (1.0, 1.0),
    "convb": (2.0, 0.0),
    "bnm": (2.0, 0.0),
    "bnb": (1.0, 0.0),
    "bnx": (0.05, 0.0),
    "adjust_f": (0.0, 1.0),
    "adjust_b": (1.0, 1.0),
}
"""Factors of the learning rate and of the weight decay in SiamFC's training."""


def deviation(variance: np.ndarray) -> np.ndarray:
    """Deviation `sqrt(variance + epsilon)` in float32."""
    with np.errstate(invalid="ignore"):
        return np.sqrt(variance.astype(np.float64) + BATCH_NORM_EPSILON).astype(np.float32)


def variance(deviation: np.ndarray) -> np.ndarray:
    """Variance `deviation**2 - epsilon` in float32.

    It is below 0 where the deviation is smaller than any with that epsilon.
    """
    with np.errstate(over="ignore"):
        return (np.square(deviation.astype(np.float64)) - BATCH_NORM_EPSILON).astype(np.float32)


def read(path: Path, *, limit: int = 2**30) -> tuple[dict[str, np.ndarray], dict[str, Any] | None]:
    """Parameters of a net by name, with the variances `bnNv` if the file is ours; and our metadata, None without them.

    Where a deviation is no longer that of its variance, because another program changed the net, the deviation counts.

    Raises:
      ValueError, zlib.error: the file is damaged, not a DagNN, or unpacks to more than `limit` bytes.
    """
    variables = mat5.read(path, limit=limit)
    arrays: dict[str, np.ndarray] = {}
    for pair in _params(variables):
        match pair:
            case str(name), np.ndarray() as value if name not in arrays:
                arrays[name] = _restored(name, value)
            case name, value:
                found = f"{name!r:.60} with {type(value).__name__}"
                raise ValueError(f"expected parameters of different names with arrays of numbers, found {found}")
    if _OURS not in variables:
        return arrays, None
    match variables[_OURS]:
        case [{"metadata": str(text), **variances}] if len(text) <= _LONGEST_METADATA:
            if isinstance(metadata := json.loads(text), dict):
                return arrays | _variances(arrays, variances), metadata
    raise ValueError(f"expected our metadata in the variable {_OURS}, found something else")


def write(path: Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, Any]) -> None:
    """Writes SiamFC as `dagnn.DagNN.loadobj` takes it: both streams, cross-correlation, and the scale behind it if any.

    Args:
      path: the file.
      arrays: `convNf` and `convNb` of the convolutions, `bnNm`, `bnNb`, `bnNx` and optionally `bnNv` of the batch
        normalisations, and optionally `adjust_f` and `adjust_b`.
      metadata: what JSON can hold.

    Raises:
      ValueError: a tensor is missing, or has no place in SiamFC.
    """
    layers = _layers(arrays)
    used = list(dict.fromkeys(name for layer in layers for name in layer["params"]))
    variances = {name: array for name, array in arrays.items() if re.fullmatch(r"bn[1-4]v", name)}
    if astray := sorted(arrays.keys() - set(used) - variances.keys()):
        raise ValueError(f"expected the parameters of SiamFC, found {', '.join(astray):.200}")
    params = []
    for name in used:
        learning_rate, weight_decay = _RATES[re.sub(r"\d", "", name)]
        value = _present(arrays, name)
        params.append({"name": name, "value": value, "learningRate": learning_rate, "weightDecay": weight_decay})
    names = dict.fromkeys(name for layer in layers for name in layer["inputs"] + layer["outputs"])
    net = {
        "vars": [{"name": name, "precious": False} for name in names],
        "params": params,
        "layers": layers,
        "meta": [{"description": "SiamFC (Bertinetto et al. 2016)"}],
    }
    ours = {"metadata": json.dumps(metadata)} | {f"variance_{name[:-1]}": array for name, array in variances.items()}
    path.write_bytes(mat5.dumps({"net": [net], _OURS: [ours]}))


def _params(variables: Mapping[str, mat5.Value]) -> Iterator[tuple[mat5.Value, mat5.Value]]:
    """Names and values of a net's parameters."""
    for root in ("net", "params"):
        if root in variables:
            if variables[root] is None:
                raise ValueError(f"expected {root} as a struct, found an object: save net.saveobj() instead")
            return _pairs(variables[root])
    raise ValueError(f"expected a variable net or params, found {', '.join(variables) or 'none':.200}")


def _pairs(node: mat5.Value) -> Iterator[tuple[mat5.Value, mat5.Value]]:
    """Names and values in a struct array, a cell array of structs, a struct of two cell arrays, or deeper down."""
    match node:
        case {"name": tuple(names), "value": tuple(values)}:
            yield from zip(names, values, strict=True)
        case {"name": name, "value": value}:
            yield name, value
        case {"params": inner} | {"net": inner}:
            yield from _pairs(inner)
        case {"layers": tuple()}:
            raise ValueError("expected a DagNN, found a SimpleNN: save dagnn.DagNN.fromSimpleNN(net).saveobj()")
        case tuple() | list():
            for item in node:
                yield from _pairs(item)
        case _:
            found = ", ".join(node) if isinstance(node, dict) else type(node).__name__
            raise ValueError(f"expected structs with name and value, found {found:.200}")


def _restored(name: str, value: np.ndarray) -> np.ndarray:
    """Parameter in the shape that MatConvNet uses it in: filters have four sides, biases and multipliers one."""
    if name.endswith("f"):
        return value.reshape(value.shape + (1,) * (4 - value.ndim))
    if name.endswith(("b", "m")) and max(value.shape, default=1) == value.size:
        return value.reshape(-1)
    return value


def _variances(arrays: Mapping[str, np.ndarray], stored: Mapping[str, mat5.Value]) -> dict[str, np.ndarray]:
    """Variances that go with the moments in `arrays`, exact where these are still what was written."""
    found = {}
    for key, exact in stored.items():
        name = key.removeprefix("variance_")
        moments = arrays.get(f"{name}x")
        if isinstance(exact, np.ndarray) and moments is not None and moments.shape == (exact.size, 2):
            exact = exact.reshape(-1).astype(np.float32)
            found[f"{name}v"] = np.where(deviation(exact) == moments[:, 1], exact, variance(moments[:, 1]))
    return found


def _layers(arrays: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """Layers of SiamFC's graph for which `arrays` has parameters."""
    layers: list[dict[str, Any]] = []

    def add(name: str, kind: str, inputs: tuple[str, ...], output: str, params: list[str], block: dict) -> None:
        names = {"name": name, "type": kind, "inputs": inputs, "outputs": (output,), "params": tuple(params)}
        layers.append({**names, "block": [block]})

    for letter, image in (("a", "exemplar"), ("b", "instance")):
        stream = list(_stream(arrays))
        variables = [image, *(f"{letter}_x{number}" for number in range(1, len(stream))), f"{letter}_feat"]
        for (name, kind, params, block), source, target in zip(stream, variables[:-1], variables[1:], strict=True):
            add(f"{letter}_{name}", kind, (source,), target, params, block)
    adjusted = "adjust_f" in arrays
    add("xcorr", "XCorr", ("a_feat", "b_feat"), "xcorr_out" if adjusted else "score", [], {"opts": ("cuDNN",)})
    if adjusted:
        add("adjust", "dagnn.Conv", ("xcorr_out",), "score", *_conv(arrays, "adjust_", stride=1))
    return layers


def _stream(arrays: Mapping[str, np.ndarray]) -> Iterator[tuple[str, str, list[str], dict[str, Any]]]:
    """Layers of the backbone: name, type, parameters, settings. The groups of a convolution follow from its filters."""
    for number, stride in _STRIDES.items():
        yield f"conv{number}", "dagnn.Conv", *_conv(arrays, f"conv{number}", stride=stride)
        if number == 5:
            return
        params = [f"bn{number}{letter}" for letter in "mbx"]
        channels = float(_present(arrays, params[0]).size)
        yield f"bn{number}", "dagnn.BatchNorm", params, {"numChannels": channels, "epsilon": BATCH_NORM_EPSILON}
        yield f"relu{number}", "dagnn.ReLU", [], {"useShortCircuit": True}
        if number <= 2:
            settings = {"method": "max", "poolSize": _row(3, 3), "pad": _row(0, 0, 0, 0), "stride": _row(2, 2)}
            yield f"pool{number}", "dagnn.Pooling", [], settings


def _conv(arrays: Mapping[str, np.ndarray], name: str, *, stride: int) -> tuple[list[str], dict[str, Any]]:
    """Parameters and settings of a convolution."""
    filters = _present(arrays, f"{name}f")
    biased = f"{name}b" in arrays
    size = _row(*filters.shape, *(1,) * (4 - filters.ndim))
    settings = {"size": size, "hasBias": biased, "pad": _row(0, 0, 0, 0), "stride": _row(stride, stride)}
    return [f"{name}f", *([f"{name}b"] if biased else [])], settings


def _present(arrays: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    if name not in arrays:
        raise ValueError(f"{name}: expected this parameter of SiamFC, found none")
    return arrays[name]


def _row(*numbers: int) -> np.ndarray:
    return np.array([numbers], np.float64)
