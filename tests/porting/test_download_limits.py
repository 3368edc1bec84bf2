"""Downloads: no more is kept than the file may have, and the disk has room for."""

import dataclasses
from pathlib import Path

import pytest
from servers import CONTENT, Server
from sources import names_in

from mfst_jax.checkpoints.known_weights import PUBLISHED
from mfst_jax.errors import InputError
from weight_port import downloads
from weight_port.downloads import DownloadError
from weight_port.fetching import fetch

NAME = PUBLISHED["siamfc"].name


def test_a_file_of_another_size_than_the_published_one_is_not_downloaded(
    siamfc_server: Server, url: str, pinned: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(PUBLISHED, "siamfc", dataclasses.replace(PUBLISHED["siamfc"], size=len(CONTENT) + 1))
    with pytest.raises(DownloadError, match=f"a file of {len(CONTENT)} bytes where the published one has"):
        fetch("siamfc", cache=tmp_path, url=url)
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("size", [1000, None])
@pytest.mark.parametrize("lengths", [True, False])
def test_no_more_is_kept_of_a_download_than_the_file_may_have(
    siamfc_server: Server, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int | None, lengths: bool
):
    monkeypatch.setattr(downloads, "LIMIT", 1000)
    siamfc_server.lengths, told = lengths, []
    with pytest.raises(DownloadError, match=r"^http.*: expected to download it, found .*\b1000\b"):
        downloads.download(url, tmp_path / "part", progress=lambda *step: told.append(step), size=size)
    assert all(done == 0 for done, _ in told)
    assert names_in(tmp_path) == []


def test_a_disk_that_has_no_room_is_told_before_anything_is_downloaded(
    siamfc_server: Server, url: str, pinned: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    usage = downloads.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(downloads.shutil, "disk_usage", lambda path: usage._replace(free=200_000))
    with pytest.raises(InputError, match=rf"^{tmp_path}: .*room for .*, found 0\.2 MB free of 0\.8 MB.*MFST_JAX_CACHE"):
        fetch("siamfc", cache=tmp_path, url=url)
    assert names_in(tmp_path) == []


def test_a_download_of_unknown_length_does_not_fill_the_disk(
    siamfc_server: Server, url: str, pinned: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    siamfc_server.lengths, usage = False, downloads.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(downloads.shutil, "disk_usage", lambda path: usage._replace(free=downloads._RESERVE))
    with pytest.raises(InputError, match=rf"^{tmp_path}: .*room for .*, found .* free, and a server that does not say"):
        fetch("siamfc", cache=tmp_path, url=url)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_disk_that_fills_meanwhile(siamfc_server: Server, url: str, pinned: None, tmp_path: Path):
    (tmp_path / f"{NAME}.part").symlink_to("/dev/full")
    with pytest.raises(InputError, match=r"room for .*, found No space left on device") as error:
        fetch("siamfc", cache=tmp_path, url=url)
    assert not isinstance(error.value, DownloadError)


def test_a_folder_that_cannot_be_written_to(siamfc_server: Server, url: str, tmp_path: Path):
    for cache in (tmp_path / "file", Path("/proc/self/cache")):
        (tmp_path / "file").write_text("")
        with pytest.raises(InputError, match=rf"^{cache}: expected a folder to write to"):
            fetch("siamfc", cache=cache, url=url)
    assert siamfc_server.asked == []
