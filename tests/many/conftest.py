"""What all tests of many sources share: clips, and what an undisturbed run makes of them."""

from pathlib import Path

import pytest
from short_clips import content, track_all, write_clips


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clips(tmp_path_factory.mktemp("many") / "clips")


@pytest.fixture(scope="module")
def whole(clips: Path) -> dict[str, bytes]:
    """What a run leaves that nothing disturbs."""
    assert track_all(clips, "--out", clips.parent / "whole") == 0
    return content(clips.parent / "whole")
