"""The second look's regions: which of them a step searches, and which place it takes; with a search made up for it."""

from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfst_jax import second_look
from mfst_jax.localisation import CELL
from mfst_jax.model import Exemplar
from mfst_jax.params import Contents
from mfst_jax.presets import ALEXNET
from mfst_jax.second_look import DISTANCE, LEAST_SCORE, MARGIN, NEIGHBOURS, Again, search_until_found
from mfst_jax.state import Output, State

LOOK = replace(ALEXNET, second_look=0.1)
CENTRE, SIZE, FRAME = (500.0, 400.0), (127 / 2, 127 / 2), (1000, 1200)
"""The search region of a target of this size has a side of 255 pixels: a sample is a pixel."""

BACKGROUND = 0.25
"""Mean similarity in every region."""


def state(centre: tuple[float, float] = CENTRE, frame: tuple[int, int] = FRAME, lost_frames: int = 0) -> State:
    return State(
        Exemplar({}, {}),
        recent={"alexnet": {"conv3": jnp.zeros((1, 1, 1))}},
        templates={"pool1": jnp.zeros((1, 1, 1))},
        centre=jnp.array(centre),
        size=jnp.array(SIZE),
        scale=jnp.float32(1),
        fill=jnp.zeros(3),
        searches_centre=jnp.array(True),
        background=jnp.float32(0),
        lost_frames=jnp.int32(lost_frames),
        frame_size=jnp.array(frame, jnp.int32),
        config=LOOK,
        contents=Contents(False, "torchvision"),
        frame_shape=(*frame, 3),
    )


SEARCHED: list[tuple[float, float, bool]] = []
"""Searches of a step: their centres, and whether they are second ones."""


def note(
    centre: np.ndarray, is_second: np.ndarray, background: np.ndarray, searches_centre: np.ndarray, before: np.ndarray
) -> None:
    # What is found has to stand out from the region of the first search too.
    assert float(background) == pytest.approx(BACKGROUND if is_second else -1)
    assert searches_centre == (before and not is_second)  # of a region around, the whole
    SEARCHED.append((*map(float, centre), bool(is_second)))


@partial(jax.jit, static_argnames="least_score")
def step(before: State, places: jax.Array, scores: jax.Array, elsewhere: jax.Array, least_score: float) -> Any:
    """State and output of a step in a `Scene`: one compilation for each value that a test gives `LEAST_SCORE`."""
    assert least_score == second_look.LEAST_SCORE

    def search(state: State, again: Again) -> tuple[State, Output]:
        jax.debug.callback(note, state.centre, *again, state.searches_centre, before.searches_centre, ordered=True)
        centre, score = state.centre, elsewhere
        for place, its_score in zip(places, scores, strict=True):
            is_near = jnp.all(jnp.abs(place - state.centre) <= 64)
            centre, score = jnp.where(is_near, place, centre), jnp.where(is_near, its_score, score)
        following = replace(state, centre=centre, searches_centre=jnp.array(True), background=jnp.float32(BACKGROUND))
        learned = jax.tree.map(lambda maps: maps + score, (state.recent, state.templates))
        following = replace(following, recent=learned[0], templates=learned[1])
        following = replace(following, scale=state.scale + jnp.where(score < 0.5, 0, score))
        return following, Output(jnp.concatenate([centre, state.size]), score, jnp.full((272, 272), score))

    return search_until_found(search, before, LOOK)


class Scene:
    """Scene in which each search sees what is near its centre.

    Args:
      targets: score of each target, at most three, by its place, (x, y) in pixels.
      elsewhere: score where no target is near.
    """

    def __init__(self, targets: dict[tuple[float, float], float], elsewhere: float = 0.05):
        far = [(1e6, 1e6)] * (3 - len(targets))
        self.places, self.scores = jnp.array([*targets, *far]), jnp.array([*targets.values(), *[0.0] * len(far)])
        self.elsewhere = jnp.float32(elsewhere)
        self.searched: list[tuple[float, float, bool]] = []

    def step(self, before: State) -> tuple[State, Output]:
        """State and output of a step. `searched` then holds the searches that it took."""
        SEARCHED.clear()
        found = step(before, self.places, self.scores, self.elsewhere, second_look.LEAST_SCORE)
        jax.effects_barrier()
        self.searched = list(SEARCHED)
        return found

    @property
    def regions(self) -> list[int]:
        """Numbers of the regions around that were searched, after the search region itself."""
        first, *others = self.searched
        assert first == (*CENTRE, False)
        places = [tuple(CENTRE + each) for each in NEIGHBOURS]
        assert all(is_second for *_, is_second in others)
        return [places.index((x, y)) for x, y, _ in others]


def test_the_regions_around_leave_no_place_between_them_unseen():
    reach = 64
    places = np.stack(np.meshgrid(*[np.arange(-DISTANCE - reach, DISTANCE + reach + 1)] * 2), -1).reshape(-1, 2)
    centres = np.concatenate([np.zeros((1, 2)), NEIGHBOURS])
    is_seen = (np.abs(places[:, None] - centres) <= reach).all(-1).any(1)
    assert is_seen.all()
    assert len({tuple(each) for each in NEIGHBOURS}) == 8
    assert DISTANCE == 14 * CELL


def test_a_sure_target_is_searched_for_once():
    scene = Scene({(510.0, 395.0): 0.9})
    following, output = scene.step(state())
    assert scene.regions == []
    assert (following.centre == jnp.array([510.0, 395.0])).all()
    assert float(output.score) == pytest.approx(0.9)
    assert following.searches_centre
    assert float(following.background) == BACKGROUND
    assert_learned(following, 0.9)


def assert_learned(following: State, score: float) -> None:
    """What one search with this score has changed of a first state beside its place, and no other."""
    for found in (following.recent["alexnet"]["conv3"], following.templates["pool1"], following.scale - 1):
        assert float(jnp.squeeze(found)) == pytest.approx(score, abs=1e-6)


def test_in_the_first_lost_frame_all_regions_are_searched_and_later_one_in_turns():
    scene, following, searched = Scene({}), state(), []
    for _ in range(10):
        following, _ = scene.step(following)
        searched.append(scene.regions)
    assert searched == [[0, 1, 2, 3, 4, 5, 6, 7], *([turn] for turn in (1, 2, 3, 4, 5, 6, 7, 0, 1))]
    assert int(following.lost_frames) == 10
    assert (following.centre == jnp.array(CENTRE)).all()


@pytest.mark.parametrize(("score", "lost_frames"), [(0.49, 3), (0.5, 0)])
def test_once_it_is_surely_seen_again_all_regions_are_searched_the_next_time(score: float, lost_frames: int):
    following, _ = Scene({CENTRE: score}).step(state(lost_frames=3))
    assert int(following.lost_frames) == lost_frames


def test_the_regions_lie_as_far_apart_as_the_target_is_large():
    scene = Scene({})
    scene.step(replace(state(), scale=jnp.float32(1.5)))
    centres = [place for *place, _ in scene.searched]
    np.testing.assert_allclose(centres, [CENTRE, *(np.array(CENTRE) + 1.5 * NEIGHBOURS)], rtol=1e-6)


@pytest.mark.parametrize("region", range(8))
def test_a_target_in_any_region_is_found_at_once(region: int):
    place = tuple(map(float, CENTRE + NEIGHBOURS[region] * 1.5))
    following, output = Scene({place: 0.8}).step(state())
    assert tuple(map(float, following.centre)) == place
    assert float(output.score) == pytest.approx(0.8)
    assert float(output.response[0, 0]) == pytest.approx(0.8)
    assert int(following.lost_frames) == 0
    assert not following.searches_centre  # it may well be moving


def test_of_several_places_the_best_is_taken():
    places = [tuple(map(float, CENTRE + NEIGHBOURS[number])) for number in (1, 2, 5)]
    following, _ = Scene(dict(zip(places, (0.7, 0.9, 0.8), strict=True))).step(state())
    assert tuple(map(float, following.centre)) == places[1]
    assert_learned(following, 0.9)
    following, _ = Scene(dict(zip(places, (0.7, 0.9, 0.9), strict=True))).step(state())
    assert tuple(map(float, following.centre)) == places[1]  # the first of equals


@pytest.mark.parametrize(
    ("first", "second", "is_taken"),
    [
        (0.05, LEAST_SCORE, True),
        (0.05, LEAST_SCORE - 0.01, False),
        (0.099, 0.099 + MARGIN + 0.01, True),
        (0.09375, float(np.float32(0.09375) + np.float32(MARGIN)), False),
        (0.1, 0.99, False),  # no second look
        (0.0, 0.99, False),  # nothing is visible around the last place
    ],
)
def test_a_place_has_to_look_like_the_target_and_surely_more_so(
    first: float, second: float, is_taken: bool, monkeypatch: pytest.MonkeyPatch
):
    if first > 0.09:
        monkeypatch.setattr(second_look, "LEAST_SCORE", 0.3)  # so that the margin alone decides
    place = (612.0, 400.0)
    following, output = Scene({CENTRE: first, place: second}).step(state())
    assert (tuple(map(float, following.centre)) == place) == is_taken
    assert float(output.score) == pytest.approx(second if is_taken else first)


def test_regions_and_places_beyond_the_frame_are_left_out():
    # The frame ends 100 pixels right of the target, and 150 below it.
    small = (551, 601)
    scene = Scene({(610.0, 400.0): 0.9})
    following, _ = scene.step(state(frame=small))
    assert scene.regions == [0, 2, 3, 4, 7]
    assert tuple(map(float, following.centre)) == CENTRE
    inside = Scene({(600.0, 500.0): 0.9}).step(state(frame=small))[0]  # of the region below
    assert tuple(map(float, inside.centre)) == CENTRE
    below = Scene({(560.0, 500.0): 0.9}).step(state(frame=small))[0]
    assert tuple(map(float, below.centre)) == (560.0, 500.0)
    beyond = Scene({(510.0, 555.0): 0.9}).step(state(frame=small))[0]
    assert tuple(map(float, beyond.centre)) == CENTRE


@pytest.mark.parametrize(
    ("place", "is_inside"),
    [
        *(((0, 0), True), ((0.5, 0.5), True), ((-0.5, 1), False), ((1, -0.5), False)),
        *(((599, 549), True), ((599.5, 1), False), ((1, 549.5), False), ((560, 560), False)),
    ],
)
def test_a_frame_reaches_from_its_first_pixel_to_its_last(place: tuple[float, float], is_inside: bool):
    assert bool(second_look.is_in_frame(jnp.array(place, jnp.float32), state(frame=(550, 600)))) == is_inside


def test_a_target_whose_turn_has_not_come_is_not_searched_for():
    place = tuple(map(float, CENTRE + NEIGHBOURS[2]))
    scene = Scene({place: 0.9})
    following, _ = scene.step(state(lost_frames=1))
    assert scene.regions == [1]
    assert tuple(map(float, following.centre)) == CENTRE
    following, _ = scene.step(following)
    assert scene.regions == [2]
    assert tuple(map(float, following.centre)) == place
