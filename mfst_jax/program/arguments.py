"""Arguments that several commands take, and exit statuses."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any

import tyro
from tyro.conf import UseAppendAction
from tyro.constructors import PrimitiveConstructorSpec

from mfst_jax.errors import InputError, reason
from mfst_jax.presets import PRESETS, Preset
from mfst_jax.program.jax_health import backend_problem

File = Annotated[Path | None, tyro.conf.arg(metavar="PATH")]
Weights = Annotated[str | None, tyro.conf.arg(metavar="NAME|PATH")]
"""Weights as `checkpoints.load` takes them."""
Settings = Annotated[UseAppendAction[tuple[tuple[str, ...], ...]], tyro.conf.arg(metavar="KEY=VALUE")]
"""Values of every `--set`, each with all that follows it."""

INTERRUPTED = 130
"""Exit status of what was ended by Ctrl-C, as shells have it."""


def one_of(choices: Iterable[str]) -> PrimitiveConstructorSpec[Any]:
    """Way to read an optional argument that is one of these words, in capitals or not; without it, it is None."""
    words = tuple(choices)

    def read(values: list[str]) -> str:
        if (word := values[0].lower()) not in words:
            raise ValueError(f"expected one of {', '.join(words)}, found {values[0]!r:.80}")
        return word

    return PrimitiveConstructorSpec(
        nargs=1,
        metavar=f"{{{','.join(words)}}}",
        instance_from_str=read,
        is_instance=lambda value: value is None or value in words,
        str_from_instance=lambda value: [str(value)],
    )


PresetName = Annotated[Preset | None, one_of(PRESETS)]
"""Preset by its name; None for what the weights imply."""


def flatten_settings(settings: tuple[tuple[str, ...], ...]) -> list[str]:
    """Settings of a command line one after the other, as `config.override` reads them."""
    return [setting for group in settings for setting in group]


def description_of(docstring: str | None) -> str:
    """Description of a command from a module's docstring: a line a paragraph, since tyro parts paragraphs too far."""
    return "\n".join(" ".join(paragraph.split()) for paragraph in (docstring or "").strip().split("\n\n"))


def exit_status(command: Callable[[], int], *, program: str, interrupted: str = "interrupted") -> int:
    """Exit status of a command: what it returns, 2 where its input, its output or JAX is unusable, 130 if interrupted.

    In the latter two cases one line says why. A character that standard output cannot show, such as one of a file's
    name, becomes a question mark.

    Args:
      command: takes no argument.
      program: what the line begins with.
      interrupted: what to say after Ctrl-C.
    """
    try:
        with _replacing():
            return _flushed(command)
    except InputError as error:
        return _end(f"{program}: {error}", 2)
    except KeyboardInterrupt:
        return _end(f"{program}: {interrupted}", INTERRUPTED)
    except Exception as error:
        output = _output_error(error)
        if isinstance(output, BrokenPipeError):  # its reader has closed it, as `head` does
            return 0
        problem = backend_problem() if output is None else f"standard output: expected to write, found {reason(output)}"
        if problem is None:
            raise
        return _end(f"{program}: {problem}", 2)


def _end(line: str, status: int) -> int:
    """Says why a command ends, and returns its exit status, also where nobody is there to read the line."""
    with suppress(OSError):  # of a terminal that is gone
        print(line, file=sys.stderr, flush=True)
    return status


def _flushed(command: Callable[[], int]) -> int:
    """What a command returns, once all that it printed is written: the interpreter would report a failure too late."""
    try:
        status = command()
    except SystemExit:  # as after --help
        _flush()
        raise
    _flush()
    return status


def _flush() -> None:
    if sys.stdout is not None:
        sys.stdout.flush()


def _output_error(error: Exception) -> OSError | None:
    """Error of writing to standard output, which then leads nowhere; None where `error` is another one."""
    if not isinstance(error, OSError):
        return None
    try:
        handle = sys.stdout.fileno()
    except (AttributeError, ValueError):  # it is none, or no file
        return None
    try:
        sys.stdout.flush()
        os.write(handle, b"\n")  # where nothing is buffered, nothing was left to flush
    except OSError as found:
        nowhere = os.open(os.devnull, os.O_WRONLY)  # or Python would fail on it once more at its end
        os.dup2(nowhere, handle)
        os.close(nowhere)
        return found if found.errno == error.errno else None
    return None


@contextmanager
def _replacing() -> Iterator[None]:
    """Makes standard output replace characters that its encoding lacks.

    Standard error does so by itself. Other choices of the user's are kept.
    """
    stream = sys.stdout
    if not isinstance(stream, TextIOWrapper) or stream.errors not in ("strict", "surrogateescape"):
        yield
        return
    before = stream.errors
    stream.reconfigure(errors="replace")
    try:
        yield
    finally:
        stream.reconfigure(errors=before)
