"""`python -m train` in a checkout: the command `mfst train`."""

import sys

from mfst_jax.train.command import main

if __name__ == "__main__":
    sys.exit(main(program="python -m train"))
