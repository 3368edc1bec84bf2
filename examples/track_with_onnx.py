"""Follow an object by an exported tracker, with NumPy and ONNX Runtime, and Pillow to read the frames.

python examples/track_with_onnx.py mfst.onnx frames 158,208,61,44
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from PIL import Image

FORMAT = 2  # of the files that this program was written for


def main(model: str, folder: str, box: str, /) -> None:
    """Prints a line for each frame, an image in a folder; `box` is the object's x,y,w,h in the first one."""
    session = onnxruntime.InferenceSession(model)
    about = json.loads(session.get_modelmeta().custom_metadata_map.get("mfst_jax", "{}"))
    if about.get("format") != FORMAT:
        print(f"{model}: expected a tracker of format {FORMAT}, found {about.get('format')}", file=sys.stderr)
        sys.exit(2)
    types = {"tensor(float)": np.float32, "tensor(bool)": np.bool_, "tensor(int32)": np.int32}
    states = [each for each in session.get_inputs() if each.name.startswith("state.")]
    values = {each.name: np.zeros(each.shape, types[each.type]) for each in states}
    values["first_box"] = np.array(box.split(","), np.float32)
    names = [each.name for each in session.get_outputs()]
    for number, path in enumerate(sorted(Path(folder).iterdir())):
        values |= {"frame": np.asarray(Image.open(path).convert("RGB")), "first": np.array(number == 0)}
        found: dict[str, Any] = dict(zip(names, session.run(names, values), strict=True))
        values |= {f"state.{name[5:]}": found[name] for name in names if name.startswith("next.")}
        print(path.name, *(f"{value:.2f}" for value in np.append(found["box"], found["score"])))


if __name__ == "__main__":
    main(*sys.argv[1:])
