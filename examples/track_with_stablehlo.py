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


def main(program: str, folder: str, box: str, /) -> None:
    """Prints a line for each frame but the first, an image in a folder; `box` is the object's x,y,w,h in that one."""
    with zipfile.ZipFile(program) as archive:
        about = json.loads(archive.read("mfst.json"))
        if about["format"] != 2:
            print(f"{program}: expected a tracker of format 2, found {about['format']}", file=sys.stderr)
            sys.exit(2)
        read = {name: jax.export.deserialize(bytearray(archive.read(f"{name}.bin"))) for name in ("init", "step")}
    init, step = jax.jit(read["init"].call), jax.jit(read["step"].call)
    state, shape = None, about["frame_shape"]
    for path in sorted(Path(folder).iterdir()):
        frame = np.asarray(Image.open(path).convert("RGB"))
        padded = np.pad(frame, [(0, most - side) for most, side in zip(shape, frame.shape, strict=True)])
        if state is None:
            state = init(padded, np.array(box.split(","), np.float32), np.array(frame.shape[:2], np.int32))
        else:
            state, found = step(state, padded)
            print(path.name, *(f"{value:.2f}" for value in np.append(found["box"], found["score"])))


if __name__ == "__main__":
    main(*sys.argv[1:])
