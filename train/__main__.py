"""`python -m train` in a checkout: the same as `mfst train`."""

import sys
from collections.abc import Sequence

from mfst_jax import cli


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs `mfst train` with these arguments, by default those of the command line."""
    return cli.main(["train", *(sys.argv[1:] if arguments is None else arguments)])


if __name__ == "__main__":
    sys.exit(main())
