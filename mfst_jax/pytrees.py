"""Pytrees of the library: a `repr` in one line without their numbers, and their serialisation for `jax.export`."""

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import jax.export
import numpy as np


def repr_changes(value: Any) -> str:
    """`repr` of a dataclass by the fields that differ from their defaults: `Config(scale_step=1.03)`."""
    changed = [
        f"{field.name}={getattr(value, field.name)!r}"
        for field in dataclasses.fields(value)
        if getattr(value, field.name) != field.default
    ]
    return f"{type(value).__name__}({', '.join(changed)})"


def repr_shapes(value: Any) -> str:
    """`repr` of a dataclass with dtype and shape in the place of arrays: `Result(box=float32[8,4], ...)`."""
    return f"{type(value).__name__}({', '.join(f'{f.name}={_brief(getattr(value, f.name))}' for f in _fields(value))})"


def _fields(value: Any) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(value)


def _brief(value: Any) -> str:
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {_brief(item)}' for key, item in value.items())}}}"
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"{value.dtype}[{','.join(map(str, np.shape(value)))}]"
    return repr(value)


def register_for_export(
    kind: type, to_json: Callable[[Any], Any] = list, from_json: Callable[[Any], Any] = tuple
) -> None:
    """Registers a pytree class, so that `jax.export` can serialise functions that take or return it.

    Args:
      kind: a public class of this package. It is written under the name that users import it by.
      to_json: JSON values for the static part of its tree, which for a dataclass is the tuple of its static fields.
      from_json: the inverse.
    """
    jax.export.register_pytree_node_serialization(
        kind,
        serialized_name=f"mfst_jax.{kind.__name__}",
        serialize_auxdata=lambda static: json.dumps(to_json(static)).encode(),
        deserialize_auxdata=lambda text: from_json(json.loads(bytes(text))),
    )
