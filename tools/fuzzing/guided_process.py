"""Process that feeds one parser by atheris, started by `guided.run`: FOLDER NAME UNTIL SEED DEADLINE."""

import contextlib
import importlib
import pkgutil
import sys
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parents[1]))

with atheris.instrument_imports(include=["mfst_jax", "weight_port"]):  # pyrefly: ignore[missing-attribute]
    import mfst_jax
    import weight_port

    for package in (mfst_jax, weight_port):  # all of them, as what is imported later is not watched
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                with contextlib.suppress(ImportError):
                    importlib.import_module(module.name)
    import fuzz_parsers

from fuzzing import guided

if __name__ == "__main__":
    folder, name, until, seed, deadline = sys.argv[1:]
    parser = next(each for each in fuzz_parsers.PARSERS if each.name == name)
    guided.feed(Path(folder), parser, int(until), int(seed), float(deadline) or None)
