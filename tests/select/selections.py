"""Selections in a real browser, of frames that are made up."""

import queue
import time
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest
from browser import Page

from mfst_jax.media.source import Source
from mfst_jax.select import Selection, select_targets


def made_up(count: int = 6, live: bool = False) -> Source:
    def read():
        number = 0
        while live or number < count:
            yield f"frame {number}", np.full((120, 160, 3), number % 250 if live else min(20 * number, 255), np.uint8)
            number += 1
            time.sleep(0.02 * live)

    return Source("made up", (120, 160), None if live else count, 25.0, None, read, live=live)


@contextmanager
def opened(
    page: Page, source: Source, width: int = 1280, height: int = 900, scheme: str = "light"
) -> Generator[Future]:
    """The page of a selection that goes on; what the selection comes to."""
    addresses: queue.Queue[str] = queue.Queue()

    def take(address: str) -> bool:
        addresses.put(address)
        return True

    with ThreadPoolExecutor(1) as pool, pytest.MonkeyPatch.context() as patch:
        patch.setenv("DISPLAY", ":0")
        outcome: Future[Selection] = pool.submit(select_targets, source, opener=take, timeout=30)
        page.resize(width, height, scheme)
        page.open(addresses.get(timeout=10))
        page.wait_for("document.documentElement.dataset.state", "ready")
        yield outcome
        outcome.exception(10)


def at(page: Page, x: float, y: float) -> tuple[float, float]:
    """The place in the window of a place in the frame of 160 x 120."""
    area = page.evaluate("document.getElementById('stage').getBoundingClientRect().toJSON()")
    return area["x"] + x / 160 * area["width"], area["y"] + y / 120 * area["height"]


def draw(page: Page, left: float, top: float, right: float, bottom: float) -> None:
    page.drag(at(page, left, top), at(page, right, bottom))
