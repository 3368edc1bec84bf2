"""Releases of JAX that compute wrongly: none of them is imported without a word.

`pyproject.toml` keeps pip away from them; other ways of installing may still bring one. What is wrong lies in jaxlib,
which holds the compiler: jax 0.10.2 with jaxlib 0.10.1 computes rightly.
"""

import os
import warnings

import jaxlib

BAD_RELEASES = {
    "0.10.2": "wrong results on CPUs (jax issue 39103)",
    "0.11.0": "wrong results on GPUs (jax issue 40633)",
    "0.11.1": "wrong results on GPUs (jax issue 40633)",
}
"""Releases of jaxlib that compute wrongly, and what is wrong with each."""
ALLOW_VARIABLE = "MFST_ALLOW_ANY_JAX"
"""Environment variable that lets a bad release pass, with a warning, where it is not empty."""


def refuse_bad_release() -> None:
    """Refuses the installed jaxlib where it is known to compute wrongly. It compares versions and computes nothing.

    Raises:
      ImportError: it is one of `BAD_RELEASES`, and `ALLOW_VARIABLE` is not set.
    """
    fault = BAD_RELEASES.get(jaxlib.__version__)
    if fault is None:
        return
    message = (
        f"mfst_jax: expected a JAX that computes rightly, found jaxlib {jaxlib.__version__}: {fault}; "
        f"install another one: pip install 'jax!={jaxlib.__version__}'"
    )
    if not os.environ.get(ALLOW_VARIABLE):
        raise ImportError(f"{message}; {ALLOW_VARIABLE}=1 imports it all the same")
    warnings.warn(message, RuntimeWarning, stacklevel=3)
