"""Errors for bad input: one line that names the thing, what was expected and what was found."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

LONGEST_MESSAGE = 2000
"""Greatest number of characters of an error message, or of each of its lines where it has several."""
_LEFT_OUT = 50
"""Number of characters of a longer message that give way to the words that say how much was left out."""
_TAIL = 500
"""Number of characters at the end of a longer message that stay, as that is where the advice stands."""


class InputError(ValueError):
    """Unusable input from the caller. The command line prints the message and exits with status 2.

    The message is one line that a terminal shows as it is, whatever the input holds: see `one_line`.
    """

    def __init__(self, message: str = ""):
        super().__init__(one_line(message))

    def __reduce__(self) -> tuple[Any, ...]:
        """Way to make it anew, in another process too: from its message, whatever a subclass is constructed from."""
        return _unpickled, (type(self), *self.args), vars(self)


class MissingExtraError(InputError, ImportError):
    """Missing optional dependency. The message says which extra brings it."""

    def __init__(self, package: str, extra: str, purpose: str):
        super().__init__(
            f"{purpose} needs the package {package!r}, which is not installed: pip install 'mfst-jax[{extra}]'"
        )


def _unpickled(kind: type[InputError], *arguments: str) -> InputError:
    return kind.__new__(kind, *arguments)


def reason(error: Exception) -> str:
    """Message of an exception as one line, without the path, which the caller names anyway."""
    if isinstance(error, UnicodeDecodeError):
        return f"no text in {error.encoding} from byte {error.start} on"
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(text.split())


def reason_in_content(error: Exception) -> str:
    """Message as by `reason` of what is wrong with content that was read; of a `KeyError`, what is not there."""
    return f"no {error} there" if isinstance(error, KeyError) else reason(error)


def one_line(text: str) -> str:
    """Text as one line that a terminal can show: whatever is no printable character becomes an escape, as in `repr`.

    Of a text of more than `LONGEST_MESSAGE` characters the middle is left out, and it says how much that was.
    """
    text = _shortened(text)
    if text.isprintable():
        return text
    return _shortened("".join(each if each.isprintable() else ascii(each)[1:-1] for each in text))


def _shortened(text: str) -> str:
    if len(text) <= LONGEST_MESSAGE:
        return text
    kept = LONGEST_MESSAGE - _LEFT_OUT
    return f"{text[: kept - _TAIL]} [{len(text) - kept} characters left out] {text[-_TAIL:]}"


@contextmanager
def system_errors() -> Iterator[None]:
    """Turns what TensorStore and others raise where the system fails, such as on a full disk, into an `OSError`.

    They tell the number of the error in words alone. Other exceptions stay as they are.
    """
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        found = re.search(r"os_error_code='(\d+)'|\(os error (\d+)\)", str(error))
        if found is None:
            raise
        number = int(found[1] or found[2])
        raise OSError(number, os.strerror(number)) from error
