"""Port a PyTorch checkpoint of SiamFC, AlexNet or both, and track with it. PyTorch need not be installed.

python examples/port_a_checkpoint.py siamfc.pth alexnet.pth --out mfst.safetensors
"""

from pathlib import Path

import tyro
from tyro.conf import Positional

import mfst_jax
import weight_port
from mfst_jax.media import demo_source, open_source

CAR = "158,208,61,44"


def main(checkpoints: Positional[tuple[Path, ...]], out: Path, video: str | None = None, box: str = CAR) -> None:
    """Converts `checkpoints` into one and follows the object in `box`.

    Args:
      checkpoints: what `torch.save` wrote, a state dict or a whole training checkpoint.
      out: the checkpoint to write; `mfst track --weights` takes it too.
      video: a video file or a folder of images; by default the built-in clip.
      box: x,y,w,h of the object in its first frame, in pixels counted from 0.
    """
    weight_port.convert(checkpoints, out)
    params = mfst_jax.load(out)
    print(f"{out} holds {params.contents.describe()}")
    tracker = mfst_jax.Tracker(params)
    frames = (demo_source() if video is None else open_source(video)).frames()
    tracker.init(next(frames), [float(number) for number in box.split(",")])
    for frame in frames:
        print(tracker.update(frame).round(1).tolist(), f"{tracker.score:.2f}")


if __name__ == "__main__":
    tyro.cli(main)
