"""Typed fields: checks that a value fits its type, and values read from text. `config.py` has the fields themselves."""

import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from mfst_jax.errors import InputError

LARGEST_INT = 2**63
"""Whole numbers are smaller than this, also where a number of any kind will do."""


def require(good: bool, name: str, expected: str, found: object) -> None:
    """Raises `InputError` unless `good`: the message is `<name>: expected <expected>, found <found>`."""
    if not good:
        raise InputError(f"{name}: expected {expected}, found {found!r}")


def check_type(name: str, value: object, kind: Any) -> None:
    """Raises `InputError` unless `value` is of type `kind`.

    An int counts as a float, a bool as neither an int nor a float.
    """
    require(_fits(value, kind), name, describe(kind), value)


def parse(name: str, text: str, kind: Any) -> Any:
    """Value of type `kind` read from text; the items of a tuple are separated by commas.

    Raises:
      InputError: the text stands for no such value.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    try:
        if origin is tuple:
            return tuple(parse(name, item.strip(), arguments[0]) for item in text.split(","))
        if origin is types.UnionType:
            return None if text.lower() == "none" else parse(name, text, arguments[0])
        if kind is bool:
            return {"true": True, "on": True, "1": True, "false": False, "off": False, "0": False}[text.lower()]
        return text if origin is Literal else kind(text)
    except (ValueError, KeyError):
        raise InputError(f"{name}: expected {describe(kind)}, found {text!r}") from None


def parse_settings(settings: Iterable[str], kinds: Mapping[str, Any]) -> dict[str, Any]:
    """Values of `key=value` settings, each of the type that `kinds` has for its key; the last one of a key counts.

    Raises:
      InputError: a setting without `=`, a key that `kinds` lacks, or a value that does not fit.
    """
    values: dict[str, Any] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise InputError(f"setting {setting!r}: expected key=value, found no '='")
        if key not in kinds:
            raise InputError(f"setting {key!r}: expected one of {', '.join(kinds)}, found no such field")
        values[key] = parse(key, text.strip(), kinds[key])
    return values


def describe(kind: Any) -> str:
    """Description of a type in words, for error messages."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        return "one of " + ", ".join(map(str, arguments))
    if origin is types.UnionType:
        return " or ".join(describe(option) for option in arguments)
    if origin is tuple:
        count = "any number of" if arguments[-1] is Ellipsis else str(len(arguments))
        return f"{count} values, each {describe(arguments[0])}"
    return {float: "a number", int: "a whole number", bool: "true or false", types.NoneType: "none"}[kind]


def _fits(value: object, kind: Any) -> bool:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        return isinstance(value, str) and value in arguments
    if origin is types.UnionType:
        return any(_fits(value, option) for option in arguments)
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        if arguments[-1] is Ellipsis:
            return all(_fits(item, arguments[0]) for item in value)
        return len(value) == len(arguments) and all(map(_fits, value, arguments))
    if kind in (float, int):
        fits = isinstance(value, (int, float) if kind is float else int) and not isinstance(value, bool)
        return fits and (isinstance(value, float) or abs(value) < LARGEST_INT)
    return isinstance(value, kind)
