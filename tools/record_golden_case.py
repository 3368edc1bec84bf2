"""Records the golden case of the parity tests: `python tools/record_golden_case.py [file]`, with PyTorch installed.

The scene and the weights are made by `tests/golden_case.py`; boxes and responses come from the tracker in
`tests/torch_reference.py`. A test records them again and compares.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import golden_case
import torch_reference


def record() -> dict[str, np.ndarray]:
    """Boxes [5, 4], and the fused map of each step [4, 34, 34], by `NAME boxes` and `NAME responses`."""
    frames, truth = golden_case.scene()
    found = {}
    for name, (contents, config) in golden_case.CASES.items():
        params = golden_case.make_params(contents)
        boxes, responses = [truth[0]], []
        with torch.inference_mode():
            network = torch_reference.MFST(params.contents, config, params)
            track = network.init(torch.from_numpy(frames[0].copy()), torch.from_numpy(truth[0]))
            for frame in frames[1:]:
                track, box, response = network.step(track, torch.from_numpy(frame.copy()))
                boxes.append(box.numpy())
                responses.append(golden_case.sampled(response.numpy()))
        found[f"{name} boxes"], found[f"{name} responses"] = np.stack(boxes), np.stack(responses)
    return found


if __name__ == "__main__":
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else golden_case.RECORDED
    arrays: dict[str, Any] = {**record()}
    np.savez_compressed(path, **arrays)
    for name in golden_case.CASES:
        print(f"{name}:", *np.round(arrays[f"{name} boxes"], 2).tolist())
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")
