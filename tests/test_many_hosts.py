"""The arithmetic of many hosts, by numbers that a head can follow, and the table of the documentation."""

import importlib
from pathlib import Path

import pytest

many_hosts = importlib.import_module("many_hosts")  # a tool
PAGE = Path(__file__).parents[1] / "docs" / "many_machines.md"


@pytest.mark.parametrize(
    ("processes", "expected"),
    [(1, (10.0, 10.5)), (10, (1.0, 1.5))],  # 360,000 frames at 10 a second are ten hours; the longest is half an hour
)
def test_frames_are_shared_and_the_longest_video_is_waited_for(processes: int, expected: tuple[float, float]):
    assert many_hosts.hours(1000, 360, 10.0, processes, 18_000, start=0) == expected
    later = many_hosts.hours(1000, 360, 10.0, processes, 18_000, start=1800)
    assert later == tuple(each + 0.5 for each in expected)


@pytest.mark.parametrize("rate", ["33", "12"])
def test_the_page_has_what_the_tool_prints(rate: str, capsys: pytest.CaptureFixture):
    assert many_hosts.main(["--rate", rate]) == 0
    printed = capsys.readouterr().out
    page = PAGE.read_text(encoding="utf-8")
    assert f"python tools/many_hosts.py --rate {rate}\n\n{printed}" in page
