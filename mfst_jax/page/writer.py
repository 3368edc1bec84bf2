"""Writer of a page while the video is tracked: every picture goes to the file at once, all else at its end.

The file is HTML: a head, a script element of JSON data for each picture, one for the track, and the program that shows
them. It needs nothing else, and its content security policy lets no other program run.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from jaxtyping import Float, Num

from mfst_jax.media.decoding import Frame
from mfst_jax.media.drawing import TRUE
from mfst_jax.media.palette import BRIGHT_COLOURS, COLOURS
from mfst_jax.media.writers import AtomicFile, write_all
from mfst_jax.page.data import describe_target, map_share, plain, script_json
from mfst_jax.page.pictures import BUDGET, MAP_SIDE, MOST_MAPS, MOST_PICTURES, FrameEncoder, encode_bytes, encode_map
from mfst_jax.tracks.lost_frames import LOST_BELOW, is_lost

HERE = Path(__file__).parent
SCRIPTS = ("pictures.js", "frame.js", "track.js", "controls.js")
"""The page's program, in folder script: all names are known in all of these, which run in this order."""
SUFFIXES = (".html", ".htm")
_BODY, _SCRIPT = "<!--frames and data-->", "<!--program-->"
"""Places at which the template is cut: what goes there is written as it comes."""


@dataclass(frozen=True, eq=False)
class PageTarget:
    """A target that a page shows.

    Attributes:
      name: Name of the target.
      truth: True boxes (x, y, w, h) from the page's first frame on, NaN where it is absent.
    """

    name: str
    truth: Num[np.ndarray, "rows 4"] | None = None


class PageWriter:
    """Writer of a page, with a handful of frames in memory. Without any frame no file is made.

    Leaving the `with` block finishes the file, by an exception too. Where the disk fills up, the page is finished with
    fewer pictures, if that makes enough room.

    >>> with PageWriter("page.html", name="clip", size=(360, 640), fps=25, targets=[PageTarget("car")]) as page:
    ...     page.write(frame, boxes, scores)
    """

    def __init__(
        self,
        path: str | Path,
        *,
        name: str,
        size: tuple[int, int],
        fps: float | int,
        targets: Sequence[PageTarget],
        first: int = 0,
        count: int | None = None,
        config: Mapping[str, Any] | None = None,
        facts: Mapping[str, Any] | None = None,
        maps: bool = False,
    ):
        """Checks all that can be wrong before there is any work to lose.

        Args:
          path: the file to write, `.html`.
          name: the name of the video.
          size: height and width of every frame, in pixels.
          fps: frames per second.
          targets: what is tracked; each has a row in `boxes`.
          first: number of the first frame that will come; the page counts from there.
          count: how many frames will come; None where it is not known.
          config: how they are tracked, as `config.to_dict` writes it; the search regions follow from it.
          facts: what else to say about how the page was made, each in words or as JSON.
          maps: whether response maps will come with the frames.

        Raises:
          InputError: another suffix, no such folder, or one that cannot be written to.
        """
        self._target = AtomicFile("page", path, SUFFIXES)
        self._encoder = FrameEncoder(size, count, maps=len(targets) if maps else 0)
        self._targets, self._config = tuple(targets), dict(config or {})
        self.facts = dict(facts or {})
        self._known = {"name": name, "height": size[0], "width": size[1], "fps": fps, "first": first, "hasMaps": maps}
        self._boxes: list[np.ndarray] = []
        self._scores: list[np.ndarray] = []
        self._lost: list[np.ndarray] = []
        # For each picture in the file: its frame, its offset, and its length.
        self._blocks: list[tuple[int, int, int]] = []
        self._every = 1

    def __enter__(self) -> "PageWriter":
        self._head, self._middle, self._tail = _parts(str(self._known["name"]))
        with self._target.opening() as self._file:
            write_all(self._file, self._head)
        return self

    def write(
        self,
        frame: Frame,
        boxes: Num[np.ndarray, "targets 4"],
        scores: Num[np.ndarray, " targets"],
        *,
        lost: Sequence[bool] | None = None,
        responses: Sequence[Float[np.ndarray, "samples samples"]] | None = None,
    ) -> None:
        """Appends the next frame. Raises `InputError` where it cannot be written.

        Args:
          frame: the picture, without anything drawn on it.
          boxes: (x, y, w, h) of each target, 0-indexed pixels; NaN where it has none.
          scores: of each target, NaN where it has none.
          lost: whether each target is lost; by default as its score says.
          responses: the fused response map of each target; None in the first frame, which is not searched.
        """
        number = len(self._boxes)
        self._boxes.append(np.asarray(boxes, np.float32))
        self._scores.append(np.asarray(scores, np.float32))
        self._lost.append(np.asarray(is_lost(self._scores[-1]) if lost is None else lost, bool))
        if number % self._every:
            return
        picture: dict[str, Any] = {"frame": number, "picture": encode_bytes(self._encoder.encode(frame))}
        if responses is not None:
            picture["maps"] = [encode_bytes(encode_map(np.asarray(response))) for response in responses]
        block = f'<script type="application/json" class="frame">{script_json(picture)}</script>\n'.encode()
        start = self._end()
        with self._target.reported(OSError):
            try:
                write_all(self._file, block)
            except OSError:
                self._file.truncate(start)
                raise
        self._blocks.append((number, start, len(block)))
        if len(self._blocks) > MOST_PICTURES or self._end() - len(self._head) > BUDGET:
            with self._target.reported(OSError):
                self._thin()

    def __exit__(self, *_: object) -> None:
        try:
            with self._target.reported(OSError), self._file:
                if self._blocks:
                    try:
                        self._finish()
                    except OSError:
                        self._thin()
                        self._finish()
            if self._blocks:
                with self._target.reported(OSError):
                    self._target.publish()
        finally:
            self._target.discard()

    def _finish(self) -> None:
        """Writes everything that comes after the pictures."""
        self._file.seek(self._end())
        self._file.truncate()
        data = script_json(self._data())
        write_all(self._file, f'<script type="application/json" id="track">{data}</script>\n'.encode() + self._middle)
        write_all(self._file, self._tail)

    def _data(self) -> dict[str, Any]:
        boxes, scores, lost = (np.stack(rows) for rows in (self._boxes, self._scores, self._lost))
        context = self._config.get("context")
        return {
            **self._known,
            "frames": len(boxes),
            "pictures": [number for number, _, _ in self._blocks],
            "lostBelow": LOST_BELOW,
            "mapSide": MAP_SIDE,
            "mostMaps": MOST_MAPS,
            "mapShare": map_share(self._config.get("upsampling", "half_pixel")),
            "targets": [
                describe_target(
                    target.name, place, boxes[:, place], scores[:, place], lost[:, place], target.truth, context
                )
                for place, target in enumerate(self._targets)
            ],
            "facts": plain(self.facts),
            "config": plain(self._config),
        }

    def _thin(self) -> None:
        """Leaves every second picture in the file, each moved to the end of those before it."""
        self._every *= 2
        kept, self._blocks = self._blocks[::2], []
        for number, start, length in kept:
            self._file.seek(start)
            block = self._file.read(length)
            position = self._end()
            self._file.seek(position)
            write_all(self._file, block)
            self._blocks.append((number, position, length))
        self._file.truncate(self._end())
        self._file.seek(self._end())

    def _end(self) -> int:
        """Offset of the end of the last picture."""
        return sum(self._blocks[-1][1:]) if self._blocks else len(self._head)


def _parts(title: str) -> tuple[bytes, bytes, bytes]:
    """Template in three parts: before the pictures and the data, between them and the program, and the rest."""
    script = "\n".join((HERE / "script" / name).read_text(encoding="utf-8") for name in SCRIPTS)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    page = Template((HERE / "page.html").read_text(encoding="utf-8")).substitute(
        title=escape(title),
        style=_palette() + (HERE / "page.css").read_text(encoding="utf-8"),
        script_hash=f"sha256-{digest}",
    )
    head, rest = page.split(_BODY)
    middle, tail = rest.split(_SCRIPT)
    return head.encode(), middle.encode(), f"<script>{script}</script>{tail}".encode()


def _palette() -> str:
    """Colours of the targets as CSS: always bright on pictures, in charts as the page's background needs them."""

    def variables(colours: Sequence[str]) -> str:
        return "".join(f"--line-{place}:{value};" for place, value in enumerate(colours))

    boxes = "".join(f"--box-{place}:{value};" for place, value in enumerate(BRIGHT_COLOURS))
    truth = "#{:02x}{:02x}{:02x}".format(*TRUE)
    return (
        f":root{{--truth:{truth};{boxes}{variables(COLOURS)}}}\n:root[data-theme=dark]{{{variables(BRIGHT_COLOURS)}}}\n"
    )
