"""Errors for bad input: one line that names the thing, what was expected and what was found."""


class InputError(ValueError):
    """Unusable input from the caller. The command line prints the message and exits with status 2."""


class MissingExtraError(InputError, ImportError):
    """Missing optional dependency. The message says which extra brings it."""

    def __init__(self, package: str, extra: str, purpose: str):
        super().__init__(
            f"{purpose} needs the package {package!r}, which is not installed: pip install 'mfst-jax[{extra}]'"
        )


def reason(error: Exception) -> str:
    """Message of an exception as one line, without the path, which the caller names anyway."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(text.split())


def reason_in_content(error: Exception) -> str:
    """Message as by `reason` of what is wrong with content that was read; of a `KeyError`, what is not there."""
    return f"no {error} there" if isinstance(error, KeyError) else reason(error)
