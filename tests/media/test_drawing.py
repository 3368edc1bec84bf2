"""What `drawing` draws."""

import jax.numpy as jnp
import numpy as np
import pytest

from mfst_jax.errors import InputError
from mfst_jax.media.drawing import GAP, TRACKED, TRUE, contact_sheet, draw, draw_targets
from mfst_jax.media.palette import on_pictures

GREY = np.full((90, 120, 3), 128, np.uint8)
NAN = float("nan")


def is_colour(frame, colour):
    return (frame == np.array(colour, np.uint8)).all(axis=-1)


# Drawing


def test_the_line_covers_the_outermost_pixels_of_the_box():
    frame = draw(GREY, (20, 30, 40, 25))
    ys, xs = np.nonzero(is_colour(frame, TRACKED))
    assert (xs.min(), xs.max(), ys.min(), ys.max()) == (20, 59, 30, 54)
    np.testing.assert_array_equal(frame[31:54, 21:59], 128)
    np.testing.assert_array_equal(GREY, 128)
    assert frame.dtype == np.uint8


def test_the_line_grows_with_the_frame():
    frame = draw(np.zeros((720, 1280, 3), np.uint8), (100, 100, 400, 300))
    assert is_colour(frame, TRACKED)[250, 90:200].sum() == 4


def test_truth_has_its_own_colour_and_lies_below():
    frame = draw(GREY, (20, 20, 30, 30), truth=(20, 20, 60, 50))
    assert is_colour(frame, TRACKED)[20, 20:50].all()
    assert is_colour(frame, TRUE)[20, 52:80].all()


def test_the_box_of_a_lost_target_is_dashed_with_its_corners_drawn():
    frame = draw(GREY, (20, 30, 44, 25), lost=True)
    line = is_colour(frame, TRACKED)
    # 44 pixels are 11 dashes of 4, 25 are 7 (rounded): every second one is drawn, the first and the last among them.
    assert np.flatnonzero(line[30]).tolist() == [20 + x for x in range(44) if x // 4 % 2 == 0]
    np.testing.assert_array_equal(line[54], line[30])
    column = [30 + y for first, after in [(0, 4), (7, 11), (14, 18), (21, 25)] for y in range(first, after)]
    assert np.flatnonzero(line[:, 20]).tolist() == column
    np.testing.assert_array_equal(line[:, 63], line[:, 20])
    assert (frame[30, 25:27] == 128).all()  # a gap shows the picture
    np.testing.assert_array_equal(draw(GREY, (20, 30, 44, 25), lost=False), draw(GREY, (20, 30, 44, 25)))


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 5), (9, 2)])
def test_a_box_too_small_for_dashes_is_drawn_whole(size: tuple[int, int]):
    w, h = size
    frame = draw(GREY, (20, 30, w, h), lost=True)
    assert is_colour(frame, TRACKED)[[30, 30, 29 + h, 29 + h], [20, 19 + w, 20, 19 + w]].all()


@pytest.mark.parametrize("background", [0, 128, 255])
def test_labels_read_on_any_background(background):
    plain = np.full((180, 240, 3), background, np.uint8)
    frame = draw(plain, (60, 60, 80, 60), score=0.5, number=7)
    corner = frame[:14, :14].astype(int).sum(axis=-1)
    assert corner.max() > 600
    assert corner.min() < 60
    above = frame[46:60, 60:80]
    assert is_colour(above, TRACKED).sum() > 60
    assert (above.astype(int).sum(axis=-1) < 120).any()


@pytest.mark.parametrize(
    "box",
    [(-30, -20, 60, 50), (100, 70, 500, 500), (-1e9, 3, 2e9, 20), (500, 500, 9, 9), (3, 3, 0, 0), (50, 50, 0.2, 4)],
)
def test_boxes_may_leave_the_frame(box):
    frame = draw(GREY, box, score=0.25)
    assert frame.shape == GREY.shape
    assert (frame != GREY).any()  # its label stays visible


@pytest.mark.parametrize("box", [(NAN, 1, 2, 3), (1, 2, float("inf"), 3)])
def test_a_box_without_numbers_is_left_out(box):
    np.testing.assert_array_equal(draw(GREY, box, score=NAN, truth=box), GREY)


def test_numpy_jax_and_sequences_draw_alike():
    box = [10.0, 12.0, 30.0, 20.0]
    for same in (np.array(box, np.float32), jnp.array(box), tuple(box)):
        np.testing.assert_array_equal(draw(GREY, same, score=jnp.float32(0.5)), draw(GREY, box, score=0.5))


BOXES = np.float32([[20, 30, 44, 25], [70, 40, 30, 40], [5, 72, 20, 14]])


def test_each_of_several_targets_has_its_colour_and_the_lost_one_is_dashed():
    lost = np.array([False, True, False])
    frame = draw_targets(GREY, BOXES, ["a", "b", "c"], scores=np.array([0.9, 0.2, 0.8]), lost=lost)
    for place, (x, y, w, h) in enumerate(BOXES.astype(int)):
        bottom = is_colour(frame, on_pictures(place))[y + h - 1, x : x + w]  # no label is there
        assert bottom[[0, -1]].all()
        assert bottom.all() != lost[place]
    assert len({on_pictures(place) for place in range(3)}) == 3


def test_the_label_of_a_target_has_its_name():
    flags = {"scores": np.array([0.5]), "lost": np.array([False])}
    plain = np.full((180, 240, 3), 128, np.uint8)
    short, long = (draw_targets(plain, np.float32([[40, 90, 50, 40]]), [name], **flags) for name in ("i", "wwwwww"))
    plates = [is_colour(frame, on_pictures(0))[88].sum() for frame in (short, long)]  # right above the box
    assert plates[1] > plates[0] + 20
    endless = draw_targets(plain, np.float32([[40, 90, 50, 40]]), ["w" * 100_000], **flags)
    assert endless.shape == plain.shape


def test_a_target_without_numbers_is_left_out_and_the_others_keep_their_colours():
    boxes = BOXES[:2].copy()
    boxes[0] = NAN
    flags = {"scores": np.array([NAN, 0.9]), "lost": np.array([True, False])}
    frame = draw_targets(GREY, boxes, ["a", "b"], **flags)
    assert not is_colour(frame, on_pictures(0)).any()
    assert is_colour(frame, on_pictures(1))[79, 70:100].all()


# Contact sheet


def test_contact_sheet_layout():
    frames = [(number, np.full((90, 160, 3), 20 * number + 40, np.uint8)) for number in range(5)]
    sheet = contact_sheet(frames, columns=2, width=326)
    assert sheet.mode == "RGB"
    assert sheet.size == (326, 3 * 90 + 2 * GAP)
    pixels = np.asarray(sheet)
    for place, (number, _) in enumerate(frames):
        row, column = divmod(place, 2)
        assert (pixels[row * 96 + 60, column * 166 + 100] == 20 * number + 40).all()
    assert (pixels[-10, -10] == 255).all()  # an empty place


def test_contact_sheet_input():
    with pytest.raises(InputError, match="at least one frame"):
        contact_sheet([])
    with pytest.raises(InputError, match="columns"):
        contact_sheet([(0, GREY)], columns=0)
    with pytest.raises(InputError, match="columns"):
        contact_sheet([(0, GREY)], columns=4, width=50)
