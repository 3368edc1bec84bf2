"""What to follow, as a command line says it: names and boxes, sound or refused in one line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfst_jax.errors import InputError
from mfst_jax.program.box_arguments import parse_targets
from mfst_jax.targets import MOST_TARGETS, Target, check_boxes, default_names, is_unnamed


def test_targets_have_the_names_that_they_are_given_and_else_their_numbers():
    assert parse_targets(["1,2,3,4"]) == [Target("target", (1, 2, 3, 4))]
    assert parse_targets(["car=1,2,3,4"]) == [Target("car", (1, 2, 3, 4))]
    found = parse_targets(["10,20,30,40", "a=50,60,70,80", " b = 1.5,2,3,4"])
    assert found == [Target("1", (10, 20, 30, 40)), Target("a", (50, 60, 70, 80)), Target("b", (1.5, 2, 3, 4))]
    assert parse_targets(["a=b=1,2,3,4"])[0].name == "a=b"
    assert default_names(3) == ("1", "2", "3")


def test_one_target_without_a_name_is_unnamed():
    assert is_unnamed(parse_targets(["1,2,3,4"]))
    assert not is_unnamed(parse_targets(["car=1,2,3,4"]))
    assert not is_unnamed(parse_targets(["1,2,3,4", "1,2,3,4"]))


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["a=1,2,3,4", "a=5,6,7,8"], "--box: expected a name for each target, found 'a' for 1 and 2"),
        (["1,2,3,4", "1=5,6,7,8"], "found '1' for 1 and 2"),
        (["=1,2,3,4"], "--box: expected a name for target 1, found an empty one"),
        (["1,2,3,4", "a,b=1,2,3,4"], "expected a name without a comma for target 2"),
        (["a\nb=1,2,3,4"], "expected a name without a control character for target 1, found 'a\\nb'"),
        (["a\u2028b=1,2,3,4"], "expected a name without a line break for target 1"),
        (["\udcff=1,2,3,4"], "expected a name without half a character for target 1"),
        (["1,2,3"], "--box: expected four numbers x,y,w,h, or name=x,y,w,h, found '1,2,3'"),
        (["a=1,2,3,4", "b=1,2,3,left"], "found 'b=1,2,3,left'"),
        (["a"], "found 'a'"),
        (
            ["1,2,3,4"] * (MOST_TARGETS + 1),
            f"expected 1 to {MOST_TARGETS} targets in one pass, which share its memory, found {MOST_TARGETS + 1}",
        ),
        ([], "found 0"),
    ],
)
def test_what_names_no_targets_is_refused(texts: list[str], said: str):
    with pytest.raises(InputError) as caught:
        parse_targets(texts)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_box_that_is_outside_the_frame_is_named():
    targets = parse_targets(["a=1,2,3,4", "b=900,900,10,10"])
    with pytest.raises(InputError, match=r"box of b: expected it to overlap the frame of 160 x 120 pixels"):
        check_boxes(targets, (120, 160))
    with pytest.raises(InputError, match=r"^box: expected it to overlap"):
        check_boxes(parse_targets(["900,900,10,10"]), (120, 160))
    check_boxes(targets[:1], (120, 160))


@given(st.lists(st.text(max_size=12), min_size=1, max_size=3))
def test_any_texts_are_targets_or_an_input_error(texts: list[str]):
    try:
        targets = parse_targets(texts)
    except InputError as error:
        assert "\n" not in str(error)  # noqa: PT017
    else:
        assert len({target.name for target in targets}) == len(texts)
