"""Downloads: what a broken connection has left is gone on with, and never joined to another version of the file."""

import typing
import urllib.error
import urllib.request
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


@pytest.mark.parametrize("versions", [True, False])
@pytest.mark.parametrize("resumes", [True, False])
def test_a_broken_download_goes_on(
    siamfc_server: Server, url: str, pinned: None, tmp_path: Path, resumes: bool, versions: bool
):
    siamfc_server.cut, siamfc_server.resumes, siamfc_server.versions = 300_000, resumes, versions
    with pytest.raises(
        DownloadError, match=rf"^{url}: .*300000 of {len(CONTENT)} bytes.*{PUBLISHED['siamfc'].url}.*put it"
    ):
        fetch("siamfc", cache=tmp_path, url=url)
    assert (tmp_path / f"{NAME}.part").read_bytes() == CONTENT[:300_000]
    told: list[tuple[int, int | None]] = []
    path = fetch("siamfc", cache=tmp_path, url=url, progress=lambda *step: told.append(step))
    assert path.read_bytes() == CONTENT
    assert siamfc_server.asked == [(NAME, None), (NAME, "bytes=300000-")]
    assert told[0] == (300_000 if resumes else 0, len(CONTENT))
    assert names_in(tmp_path) == [NAME]


def test_a_kill_never_leaves_an_older_versions_bytes_under_the_note_of_a_newer_one(
    url: str, tmp_path: Path, pinned: None, monkeypatch: pytest.MonkeyPatch
):
    partial, sizes = tmp_path / f"{NAME}.part", []
    partial.write_bytes(bytes(1000))
    partial.with_name(f"{NAME}.part.version").write_text('"older"')
    version = downloads._version

    def noted(response: typing.Any) -> str | None:
        sizes.append(partial.stat().st_size)
        return version(response)

    monkeypatch.setattr(downloads, "_version", noted)
    fetch("siamfc", cache=tmp_path, url=url)
    assert sizes[-1] == 0


def test_a_part_of_a_file_that_has_changed_is_not_gone_on_with(
    siamfc_server: Server, url: str, siamfc: bytes, tmp_path: Path
):
    siamfc_server.cut = 1000
    with pytest.raises(DownloadError):
        fetch("siamfc", cache=tmp_path, url=url)
    siamfc_server.files[NAME] = siamfc
    assert fetch("siamfc", cache=tmp_path, url=url).read_bytes() == siamfc


def test_without_a_digest_or_a_version_a_download_begins_anew(
    siamfc_server: Server, url: str, siamfc: bytes, tmp_path: Path
):
    siamfc_server.files[NAME], siamfc_server.versions, siamfc_server.cut = siamfc, False, 1000
    with pytest.raises(DownloadError):
        fetch("siamfc", cache=tmp_path, url=url)
    assert fetch("siamfc", cache=tmp_path, url=url).read_bytes() == siamfc
    assert siamfc_server.asked == [(NAME, None), (NAME, None)]


@pytest.mark.parametrize("more", [b"", b"and more"])
def test_a_complete_partial_file_is_taken_and_a_longer_one_is_not(
    siamfc_server: Server, url: str, pinned: None, tmp_path: Path, more: bytes
):
    (tmp_path / f"{NAME}.part").write_bytes(CONTENT + more)
    assert fetch("siamfc", cache=tmp_path, url=url).read_bytes() == CONTENT
    beyond = (NAME, f"bytes={len(CONTENT) + len(more)}-")
    assert siamfc_server.asked == ([beyond, (NAME, None)] if more else [beyond])


def test_a_part_that_was_damaged_on_disk_costs_a_second_download(
    siamfc_server: Server, url: str, pinned: None, tmp_path: Path
):
    (tmp_path / f"{NAME}.part").write_bytes(bytes(1000))
    assert fetch("siamfc", cache=tmp_path, url=url).read_bytes() == CONTENT
    assert siamfc_server.asked == [(NAME, "bytes=1000-"), (NAME, None)]


def test_a_download_of_unknown_length_is_whole_or_goes_on(
    siamfc_server: Server, url: str, pinned: None, tmp_path: Path
):
    siamfc_server.lengths, siamfc_server.cut = False, 1000
    with pytest.raises(DownloadError, match=f"the end of the connection after 1000 of {len(CONTENT)} bytes"):
        downloads.download(url, tmp_path / "part", progress=lambda *step: None, size=len(CONTENT))
    downloads.download(url, tmp_path / "part", progress=lambda *step: None, size=len(CONTENT))
    assert (tmp_path / "part").read_bytes() == CONTENT
    assert siamfc_server.asked == [(NAME, None), (NAME, "bytes=1000-")]
    assert fetch("siamfc", cache=tmp_path, url=url).read_bytes() == CONTENT  # where no size is published either


def test_a_page_to_sign_in_is_no_file(siamfc_server: Server, url: str, tmp_path: Path):
    siamfc_server.files[NAME], siamfc_server.kind = b"<html>Welcome to our hotel</html>", "text/html; charset=utf-8"
    with pytest.raises(DownloadError, match="found a web page, as networks show where one has to sign in"):
        fetch("siamfc", cache=tmp_path, url=url)
    assert names_in(tmp_path) == []


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("{server}/nothing/of/the/kind", "HTTP status 404"),
        ("http://no.such.host.invalid/x", "found "),
        ("http://[half/x", "found "),
        ("http://127.0.0.1/a b", "found "),
        ("ftp://127.0.0.1/x", "expected an address that begins with https:// or http://"),
        ("/etc/passwd", "expected an address that begins with https:// or http://"),
        ("file:///etc/passwd", "expected an address that begins with https:// or http://"),
    ],
)
def test_addresses_that_lead_nowhere(siamfc_server: Server, tmp_path: Path, address: str, found: str):
    with pytest.raises(InputError, match=found) as error:
        fetch("siamfc", cache=tmp_path, url=address.replace("{server}", siamfc_server.url))
    assert "\n" not in str(error.value)
    assert names_in(tmp_path) == []


def test_a_server_that_is_silent_is_given_up(
    siamfc_server: Server, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    siamfc_server.gate.clear()
    monkeypatch.setattr(downloads, "_TIMEOUT", 0.05)
    with pytest.raises(DownloadError, match=r"no answer for 0\.05 seconds"):
        fetch("siamfc", cache=tmp_path, url=url)


def test_redirections_are_followed_but_not_out_of_https(siamfc_server: Server, pinned: None, tmp_path: Path):
    assert fetch("siamfc", cache=tmp_path, url=f"{siamfc_server.url}/away/{NAME}").read_bytes() == CONTENT
    request = urllib.request.Request("https://example.org/x")
    with pytest.raises(urllib.error.URLError, match="redirection from HTTPS"):
        downloads._NoDowngrade().redirect_request(request, None, 302, "Found", {}, "http://example.org/x")
