"""Record of a run, `run.json` in its folder: what all results in there were made with.

Another run in the same folder is refused before any work, so that what is there already can be passed over.
"""

import json
import platform
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jaxlib
import numpy as np

from mfst_jax import checkpoints
from mfst_jax.checkpoints import weight_names
from mfst_jax.config import Config, to_dict
from mfst_jax.errors import InputError, reason
from mfst_jax.json_files import read_json
from mfst_jax.locks import exclusive
from mfst_jax.params import Params
from mfst_jax.version import __version__
from mfst_jax.whole_files import write_atomically

RECORD = "run.json"


def describe_run(params: Params, config: Config, provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Description of what boxes depend on, as plain JSON values: configuration, weights, versions and platform.

    Args:
      params: the weights.
      config: how to track.
      provenance: where the weights come from.
    """
    return {
        "config": to_dict(config),
        "weights": {
            "contents": params.contents.describe(),
            "sha256": checkpoints.digest(weight_names.flatten(params.variables)),
            "provenance": dict(provenance),
        },
        "versions": {
            "mfst_jax": __version__,
            "jax": jax.__version__,
            "jaxlib": jaxlib.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
        "platform": jax.default_backend(),
    }


def begin(
    folder: Path, record: Mapping[str, Any], *, results: Iterator[Path], what: str, advice: str
) -> dict[str, Any]:
    """Record of the run in a folder, once it is sure that the folder is for this run alone.

    Args:
      folder: the folder, which is made if need be.
      record: of this run.
      results: results in the folder; one without a record there is somebody else's.
      what: what results are called in messages.
      advice: what messages say to do about another run.

    Raises:
      InputError: the folder holds results of another run, or cannot be written.
    """
    path, mine = folder / RECORD, json.loads(json.dumps(record))
    if not path.exists() and _written(path, mine, results, what):
        return mine
    there = read_json(path, "what an earlier run wrote")
    if differences := list(_differences(mine, there)):
        raise InputError(f"{path}: expected the same run as before, or {advice}, found {'; '.join(differences)}")
    return mine


def _written(path: Path, record: dict[str, Any], results: Iterator[Path], what: str) -> bool:
    """Whether the record was written by this process; another one that shares the work may have been faster."""
    folder = path.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with exclusive(folder / f".{RECORD}.lock"):
            if path.exists():
                return False
            if found := next(results, None):
                raise InputError(
                    f"{folder}: expected no {what} but those of this run, found {found.name} and no {RECORD}"
                )
            write_atomically(path, json.dumps(record, indent=2) + "\n")
            return True
    except OSError as error:
        raise InputError(f"{folder}: expected a folder to write in, found {reason(error)}") from error


def _differences(now: Any, there: Any, name: str = "") -> Iterator[str]:
    """Values that differ between two JSON values, each in words."""
    if isinstance(now, dict) and isinstance(there, dict):
        for key in dict.fromkeys([*there, *now]):
            yield from _differences(now.get(key), there.get(key), f"{name}.{key}" if name else key)
    elif now != there:
        yield f"{name} {json.dumps(now)} instead of {json.dumps(there)}"
