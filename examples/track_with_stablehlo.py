"""Follow an object by an exported tracker, with JAX alone, and Pillow to read the frames.

python examples/track_with_stablehlo.py mfst.stablehlo frames 158,208,61,44
"""

import json
import sys
import zipfile
from pathlib import Path

import jax
import jax.export
import numpy as np
from PIL import Image

FORMAT = 1  # of the files that this program was written for


def main(program: str, folder: str, box: str, /) -> None:
    """Prints a line for each frame, an image in a folder; `box` is the object's x,y,w,h in the first one."""
    with zipfile.ZipFile(program) as archive:
        about = json.loads(archive.read("mfst.json"))
        if about["format"] != FORMAT:
            print(f"{program}: expected a tracker of format {FORMAT}, found {about['format']}", file=sys.stderr)
            sys.exit(2)
        read = {name: jax.export.deserialize(bytearray(archive.read(f"{name}.bin"))) for name in ("init", "step")}
    init, step = jax.jit(read["init"].call), jax.jit(read["step"].call)
    padded, (first, *others) = np.zeros(about["frame_shape"], np.uint8), sorted(Path(folder).iterdir())
    picture = np.asarray(Image.open(first).convert("RGB"))
    height, width, _ = picture.shape
    padded[:height, :width] = picture
    state = init(padded, np.array(box.split(","), np.float32), np.array([height, width], np.int32))
    for path in others:
        padded[:height, :width] = np.asarray(Image.open(path).convert("RGB"))
        state, found = step(state, padded)
        print(path.name, *(f"{value:.2f}" for value in [*found["box"], found["score"]]))


if __name__ == "__main__":
    main(*sys.argv[1:])
