"""MFST for the VOT toolkit, as a TraX server: the toolkit starts it, sends it images and reads boxes.

    python -m mfst_jax.evaluation.vot [--weights PATH] [--preset NAME] [--set key=value ...]

`trackers.ini` beside this file has the toolkit's entry. The region of an image is a rectangle (x, y, w, h), in
0-indexed pixels; the tracker's score goes along as its confidence. One object at a time.
"""

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import tyro

from mfst_jax import checkpoints
from mfst_jax.errors import MissingExtraError
from mfst_jax.media.images import read_image
from mfst_jax.params import choose_config
from mfst_jax.program.arguments import PresetName, Settings, Weights, exit_status, flatten_settings
from mfst_jax.streaming import Tracker


def serve(*, weights: Weights = None, preset: PresetName = None, set: Settings = ()) -> int:
    """Track what a TraX client sends, until it quits.

    Args:
        weights: A name (see mfst weights), an Orbax directory or a .safetensors file; by default the built-in weights.
        preset: How to track; by default what the weights imply.
        set: Fields of the configuration to change, as key=value; lists by commas.
    """
    try:
        trax, server_module = import_module("trax"), import_module("trax.server")
    except ImportError:
        raise MissingExtraError("vot-trax", "toolkits", "the protocol of the VOT toolkit") from None
    params = checkpoints.load(weights)
    chosen = choose_config(params.contents, preset, flatten_settings(set))
    tracker = Tracker(params, chosen)
    with server_module.Server([trax.Region.RECTANGLE], [trax.Image.PATH], tracker_name=tracker.name) as server:
        while (request := server.wait()).type != trax.TraxStatus.QUIT:
            box = _follow(tracker, request)
            server.status([(trax.Rectangle.create(*map(float, box)), {"confidence": tracker.score})])
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the server, and returns its exit status (`exit_status`)."""
    return exit_status(
        lambda: tyro.cli(serve, args=arguments, prog="mfst_jax.evaluation.vot", description=__doc__), program="mfst"
    )


def _follow(tracker: Tracker, request: Any) -> Any:
    """Box in the image of a request, which may name a new target."""
    image = read_image(request.image["color"].path())
    if request.objects:
        ((region, _),) = request.objects
        tracker.init(image, region.bounds())
        return region.bounds()
    return tracker.update(image)


if __name__ == "__main__":
    sys.exit(main())
