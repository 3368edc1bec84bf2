"""Selection of targets, drawn by hand in a page that is served on loopback (docs/select.md)."""

import os
import sys
import webbrowser
from collections.abc import Callable
from dataclasses import dataclass

from mfst_jax.media.source import Source
from mfst_jax.select.frames import open_frames
from mfst_jax.select.server import TIMEOUT, Server
from mfst_jax.targets import Target


@dataclass(frozen=True)
class Selection:
    """Selected targets, and the source from the frame in which they were drawn.

    Attributes:
      first_frame: Number of the frame in which they were drawn.
      targets: Targets, with boxes in that frame.
      source: Source from that frame on. For a webcam it is the stream from the frozen frame on, which can be read once.
    """

    first_frame: int
    targets: list[Target]
    source: Source


def select_targets(
    source: Source,
    *,
    open_browser: bool = True,
    timeout: float | int = TIMEOUT,
    port: int = 0,
    opener: Callable[[str], bool] = webbrowser.open,
) -> Selection:
    """Targets that a user draws in a browser, which this opens, or whose address it prints to standard error.

    Args:
      source: the frames.
      open_browser: whether to open one; where there is no display, the address is printed instead.
      timeout: seconds without a sign of life from the page after which to give up.
      port: of 127.0.0.1; 0 for a free one.
      opener: opens a browser at an address, and says whether it could.

    Raises:
      InputError: a port in use, a page that never opens or goes away, a choice that is cancelled, a frame that cannot
        be read.
    """
    with open_frames(source) as frames, Server(frames, port) as server:
        opened = open_browser and _has_display() and opener(server.address)
        print(f"draw the targets at {server.address}", file=sys.stderr)
        if not opened:
            print(
                f"elsewhere: ssh -L {server.port}:127.0.0.1:{server.port} THIS-MACHINE, then open the same address",
                file=sys.stderr,
            )
        first_frame, targets = server.wait(timeout)
        return Selection(first_frame, targets, frames.source_from(first_frame))


def _has_display() -> bool:
    return sys.platform in ("darwin", "win32") or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))
