"""Programs lowered for accelerators that need not be here, and what must not be in them."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.export
import jax.numpy as jnp

HARMLESS = {"Sharding", "SPMDFullToShardShape", "SPMDShardToFullShape"}
"""Custom calls that say where arrays lie, and compute nothing."""
WIDE = {"f64", "i64", "ui64", "complex<f32>", "complex<f64>"}
LAYOUT = "[b, 0, 1, f]x[0, 1, i, o]->[b, 0, 1, f]"
"""Layout of a convolution of images [n, h, w, channels] by kernels [h, w, inputs, outputs], as StableHLO writes it."""
GROUPS = 2
"""Groups that AlexNet's convolutions have; more come from kernels that `vmap` has copied for each track."""
_RESULT = re.compile(r"\s*(%\w+)(?::\d+)? = (?:\"?stablehlo\.)?(\w+)\"?(.*)")


def abstract(tree: Any) -> Any:
    """Shapes and types in the place of arrays."""
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(jnp.shape(leaf), jnp.result_type(leaf)), tree)


def lower(function: Callable[..., Any], *arguments: Any, platforms: tuple[str, ...] = ("cuda", "tpu")) -> str:
    """StableHLO of a function for these platforms, in one program."""
    return jax.export.export(jax.jit(function), platforms=platforms)(*abstract(arguments)).mlir_module()


def problems(text: str, *, inference: bool = True) -> list[str]:
    """What must not be in a program that is to run well on an accelerator.

    Args:
      text: StableHLO.
      inference: whether convolutions are looked at too: gradients have layouts of their own.
    """
    found = [f"custom call {name}" for name in re.findall(r"custom_call @([\w.]+)", text) if name not in HARMLESS]
    found += [f"to the host: {name}" for name in re.findall(r"stablehlo\.(infeed|outfeed|send|recv)\b", text)]
    values = re.sub(r"= dense<[^>]*> : tensor<[^>]*>(?=[,}])", "", text)  # attributes have integers of 64 bits
    types = set(re.findall(r"tensor<(?:[\d?]+x)*((?:complex<\w+)?[\w]*>?)>", values))
    found += [f"values of {kind}" for kind in sorted(WIDE & types)]
    found += ["a shape that is not known"] * bool(re.search(r"tensor<[^>]*\?", text))
    return found + (list(_of_convolutions(text)) if inference else [])


def convolutions(text: str) -> int:
    """How many convolutions a program has."""
    return text.count("stablehlo.convolution")


def _of_convolutions(text: str) -> Iterator[str]:
    """Convolutions in groups or another layout, and transpositions of what a convolution reads or makes."""
    for line in text.splitlines():
        if "func.func" in line:  # names are a function's own
            transposed: set[str] = set()
            convolved: set[str] = set()
        match = _RESULT.match(line)
        if match is None:
            continue
        name, operation, rest = match[1], match[2], match[3].partition(" loc(")[0]
        operands = re.findall(r"%\w+", rest)
        if operation == "convolution":
            layout = re.search(r"dim_numbers = (\[.*?\]x\[.*?\]->\[.*?\])", rest)
            if layout is None or layout[1] != LAYOUT:
                yield f"a convolution in the layout {layout and layout[1]}"
            if max(map(int, re.findall(r"group_count = (\d+)", rest)), default=1) > GROUPS:
                yield f"a convolution in groups: {rest.rpartition(' : ')[2]}"
            if transposed & {*operands}:
                yield f"a transposition before a convolution: {rest.rpartition(' : ')[2]}"
            convolved.add(name)
        elif operation == "transpose":
            if convolved & {*operands}:
                yield f"a transposition after a convolution: {rest.rpartition(' : ')[2]}"
            transposed.add(name)
        elif operation in ("reshape", "broadcast_in_dim", "convert"):
            for names in (transposed, convolved):
                if names & {*operands}:
                    names.add(name)
