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

from mfst_jax.arrays import AnyArray, AnyNumbers
from mfst_jax.errors import InputError
from mfst_jax.media.decoding import Frame
from mfst_jax.media.drawing import TRUE
from mfst_jax.media.palette import BRIGHT_COLOURS, COLOURS
from mfst_jax.media.writers import AtomicFile, write_all
from mfst_jax.page.data import describe_target, map_share, plain, script_json
from mfst_jax.page.pictures import BUDGET, MAP_SIDE, MOST_MAPS, MOST_PICTURES, FrameEncoder, encode_bytes, encode_map
from mfst_jax.tracks.lost_frames import LOST_BELOW, is_lost
from mfst_jax.validation import check_picture

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
        self._size = tuple(size)
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
        frame: AnyArray,
        boxes: AnyArray | Sequence[AnyNumbers],
        scores: AnyNumbers,
        *,
        lost: Sequence[bool] | None = None,
        responses: Sequence[Float[np.ndarray, "samples samples"]] | None = None,
    ) -> None:
        """Appends the next frame.

        Args:
          frame: the picture, uint8 RGB [height, width, 3], without anything drawn on it.
          boxes: (x, y, w, h) of each target, 0-indexed pixels; [targets, 4], NaN where it has none.
          scores: of each target; [targets], NaN where it has none.
          lost: whether each target is lost; by default as its score says.
          responses: the fused response map of each target; None in the first frame, which is not searched.

        Raises:
          InputError: the frame is of another size or kind, there is not one of all else for each target, or the frame
            cannot be written.
        """
        picture = self._checked_picture(frame)
        rows = self._checked_rows(boxes, scores, lost, responses)
        number = len(self._boxes)
        for kept, row in zip((self._boxes, self._scores, self._lost), rows, strict=True):
            kept.append(row)
        if number % self._every:
            return
        shown: dict[str, Any] = {"frame": number, "picture": encode_bytes(self._encoder.encode(picture))}
        if responses is not None:
            shown["maps"] = [encode_bytes(encode_map(np.asarray(response))) for response in responses]
        block = f'<script type="application/json" class="frame">{script_json(shown)}</script>\n'.encode()
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

    def _checked_picture(self, frame: AnyArray) -> Frame:
        picture = check_picture(f"{self._target.what}, frame", frame)
        if picture.shape[:2] != self._size:
            (height, width), (found_height, found_width) = self._size, picture.shape[:2]
            raise InputError(
                f"{self._target.what}: expected frames of {width}x{height} pixels, found {found_width}x{found_height}"
            )
        return picture

    def _checked_rows(
        self,
        boxes: AnyArray | Sequence[AnyNumbers],
        scores: AnyNumbers,
        lost: Sequence[bool] | None,
        responses: Sequence[Any] | None,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Boxes [targets, 4], scores and whether lost, both [targets]."""
        found = np.asarray(boxes, np.float32), np.asarray(scores, np.float32)
        rows = *found, np.asarray(is_lost(found[1]) if lost is None else lost, bool)
        count = len(self._targets)
        shapes = [list(row.shape) for row in rows]
        if shapes != [[count, 4], [count], [count]]:
            raise InputError(
                f"{self._target.what}: expected boxes [{count}, 4], scores [{count}] and lost [{count}], one for each "
                f"target, found {', '.join(map(str, shapes))}"
            )
        if responses is not None and len(responses) != count:
            raise InputError(f"{self._target.what}: expected {count} responses, found {len(responses)}")
        return rows

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
