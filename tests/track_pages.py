"""A short made-up track, each of whose frames can be told by its colour, and the page of it."""

import json
import re
from pathlib import Path

import numpy as np

from mfst_jax.config import to_dict
from mfst_jax.page import PageTarget, PageWriter
from mfst_jax.presets import ALEXNET

SIZE = (120, 160)
COUNT = 12
SCORES = np.array([1.0, 0.9, 0.9, 0.4, 0.3, 0.9, 0.8, 0.2, 0.8, 0.9, 0.45, 0.1])
LOST = [[3, 4], [7, 7], [10, 11]]
"""The stretches in which `SCORES` are below a half."""


def frame_of(number: int) -> np.ndarray:
    """A grey frame, the lighter the later."""
    return np.full((*SIZE, 3), 20 * number, np.uint8)


def box_of(number: int) -> list[float]:
    return [20.0 + 5 * number, 40.0, 30.0, 24.0]


def true_box_of(number: int) -> list[float]:
    return [22.0 + 5 * number, 41.0, 30.0, 24.0]


def response_of(number: int) -> np.ndarray:
    """A map with a square peak, 16 samples wide, that moves to the right."""
    response = np.zeros((272, 272), np.float32)
    response[128:144, 8 * number : 8 * number + 16] = 1
    return response


def write_page(
    path: Path, *, count: int = COUNT, maps: bool = True, name: str = "clip", several: bool = False, first: int = 0
) -> Path:
    """The page of the first `count` frames. The second of several targets is lost all the time, and has no truth."""
    truth = np.array([true_box_of(number) for number in range(COUNT)])
    truth[6] = np.nan
    targets = [PageTarget("car", truth), PageTarget("bike")][: 2 if several else 1]
    with PageWriter(
        path,
        name=name,
        size=SIZE,
        fps=25,
        targets=targets,
        first=first,
        count=count,
        config=to_dict(ALEXNET),
        facts={"weights": "<b>bold</b>"},
        maps=maps,
    ) as page:
        for number in range(count):
            boxes = np.array([box_of(number), [5.0, 5.0, 20.0, 20.0]])[: len(targets)]
            scores = np.array([SCORES[number], 0.0])[: len(targets)]
            responses = [response_of(number)] * len(targets) if maps and number else None
            page.write(frame_of(number), boxes, scores, responses=responses)
    return path


def data_of(page: str) -> dict:
    """What the page knows of the track."""
    (text,) = re.findall(r'<script type="application/json" id="track">(.*?)</script>', page, re.DOTALL)
    return json.loads(text)


def pictures_of(page: str) -> list[dict]:
    """The picture elements of the page."""
    found = re.findall(r'<script type="application/json" class="frame">(.*?)</script>', page, re.DOTALL)
    return [json.loads(text) for text in found]
