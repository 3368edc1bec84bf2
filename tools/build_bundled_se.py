"""SE-blocks of the package, made from what training wrote.

    python tools/build_bundled_se.py RUN/best.safetensors [RUN/best.safetensors ...]

Each file holds a backbone and the SE-blocks that were trained on it. The file that is written holds the latter, in
float16, the backbone's fingerprint, and in its provenance the recipe, the videos and what training measured.
"""

import hashlib
from pathlib import Path

import numpy as np
import tyro

from mfst_jax import checkpoints
from mfst_jax.checkpoints import bundled_se, files, weight_names
from mfst_jax.config import MODELS
from mfst_jax.errors import InputError
from mfst_jax.whole_files import replacing


def build(sources: tyro.conf.Positional[tuple[Path, ...]], /, *, out: Path = bundled_se.FOLDER) -> None:
    """Writes the SE-blocks of each file, and prints their SHA-256.

    Args:
        sources: Files that `mfst train` wrote.
        out: The folder to write to.
    """
    for source in sources:
        params = checkpoints.load(source, bundled_se=False)
        provenance = {**checkpoints.provenance(source), "sources": []}
        models = [model for model in MODELS if params.contents.holds_se(model)]
        if not models or "recipe" not in provenance:
            raise InputError(f"{source}: expected SE-blocks that were trained here, found {params.contents.describe()}")
        for model in models:
            branch = f"{model}_se"
            blocks = weight_names.flatten({"params": {branch: params.variables["params"][branch]}})
            arrays = {name: array.astype(np.float16) for name, array in blocks.items()}
            arrays[bundled_se.FINGERPRINT] = bundled_se.fingerprint(params.variables["params"][model])
            path = out / f"{branch}.safetensors"
            with replacing(path) as new:
                files.write_safetensors(new, arrays, files.make_metadata(None, provenance))
            print(f"{path}: {path.stat().st_size} bytes, SHA-256 {hashlib.sha256(path.read_bytes()).hexdigest()}")


if __name__ == "__main__":
    tyro.cli(build, description=__doc__)
