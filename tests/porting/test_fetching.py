"""Fetching: resumed, checked against what is pinned, kept, and clear where it cannot be had; over a local server."""

import dataclasses
import hashlib
import subprocess
import sys
import threading
import typing
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from servers import CONTENT, SHA256, Server, running

from mfst_jax.cache import CACHE_VARIABLE
from mfst_jax.errors import InputError
from weight_port import downloads, fetching
from weight_port.__main__ import main
from weight_port.downloads import DownloadError
from weight_port.fetching import PUBLISHED, fetch

NAME = "2016-08-17.net.mat"


@pytest.fixture
def server() -> Iterator[Server]:
    with running() as server:
        server.files[NAME] = CONTENT
        yield server


@pytest.fixture
def url(server: Server) -> str:
    return f"{server.url}/{NAME}"


@pytest.fixture
def pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on the SHA-256 of SiamFC's file is published, and it is that of CONTENT."""
    monkeypatch.setitem(PUBLISHED, "siamfc", dataclasses.replace(PUBLISHED["siamfc"], sha256=SHA256))


@pytest.fixture
def siamfc(published: dict[str, bytes]) -> bytes:
    """A file that holds a SiamFC."""
    return published[NAME]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_fetched_once(server: Server, url: str, pinned: None, tmp_path: Path):
    told: list[tuple[int, int | None]] = []
    cache = tmp_path / "new" / "cache"
    path = fetch("siamfc", cache=cache, url=url, progress=lambda *step: told.append(step))
    assert path == cache / NAME
    assert path.read_bytes() == CONTENT
    assert told[0] == (0, len(CONTENT))
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert fetch("siamfc", cache=cache, url=url) == path
    assert server.asked == [(NAME, None)]
    assert names(cache) == [NAME]


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


@pytest.mark.parametrize("versions", [True, False])
@pytest.mark.parametrize("resumes", [True, False])
def test_a_broken_download_goes_on(
    server: Server, url: str, pinned: None, tmp_path: Path, resumes: bool, versions: bool
):
    server.cut, server.resumes, server.versions = 300_000, resumes, versions
    with pytest.raises(
        DownloadError, match=rf"^{url}: .*300000 of {len(CONTENT)} bytes.*{PUBLISHED['siamfc'].url}.*put it"
    ):
        fetch("siamfc", cache=tmp_path, url=url)
    assert (tmp_path / f"{NAME}.part").read_bytes() == CONTENT[:300_000]
    told: list[tuple[int, int | None]] = []
    path = fetch("siamfc", cache=tmp_path, url=url, progress=lambda *step: told.append(step))
    assert path.read_bytes() == CONTENT
    assert server.asked == [(NAME, None), (NAME, "bytes=300000-")]
    assert told[0] == (300_000 if resumes else 0, len(CONTENT))
    assert names(tmp_path) == [NAME]


def test_a_part_of_a_file_that_has_changed_is_not_gone_on_with(server: Server, url: str, siamfc: bytes, tmp_path: Path):
    server.cut = 1000
    with pytest.raises(DownloadError):
        fetch("siamfc", cache=tmp_path, url=url)
    server.files[NAME] = siamfc
    assert fetch("siamfc", cache=tmp_path, url=url).read_bytes() == siamfc


def test_without_a_digest_or_a_version_a_download_begins_anew(server: Server, url: str, siamfc: bytes, tmp_path: Path):
    server.files[NAME], server.versions, server.cut = siamfc, False, 1000
    with pytest.raises(DownloadError):
        fetch("siamfc", cache=tmp_path, url=url)
    assert fetch("siamfc", cache=tmp_path, url=url).read_bytes() == siamfc
    assert server.asked == [(NAME, None), (NAME, None)]


@pytest.mark.parametrize("more", [b"", b"and more"])
def test_a_complete_partial_file_is_taken_and_a_longer_one_is_not(
    server: Server, url: str, pinned: None, tmp_path: Path, more: bytes
):
    (tmp_path / f"{NAME}.part").write_bytes(CONTENT + more)
    assert fetch("siamfc", cache=tmp_path, url=url).read_bytes() == CONTENT
    beyond = (NAME, f"bytes={len(CONTENT) + len(more)}-")
    assert server.asked == ([beyond, (NAME, None)] if more else [beyond])


def test_a_part_that_was_damaged_on_disk_costs_a_second_download(
    server: Server, url: str, pinned: None, tmp_path: Path
):
    (tmp_path / f"{NAME}.part").write_bytes(bytes(1000))
    assert fetch("siamfc", cache=tmp_path, url=url).read_bytes() == CONTENT
    assert server.asked == [(NAME, "bytes=1000-"), (NAME, None)]


def test_what_is_not_the_pinned_file_is_refused(server: Server, url: str, pinned: None, tmp_path: Path):
    server.files[NAME] = bytes(100)
    with pytest.raises(InputError, match=f"^{url}: expected the file of SHA-256 {SHA256}, found one of"):
        fetch("siamfc", cache=tmp_path, url=url)
    assert names(tmp_path) == []
    (tmp_path / NAME).write_bytes(b"put there by hand, wrongly")
    with pytest.raises(InputError, match="delete it to try again"):
        fetch("siamfc", cache=tmp_path, url=url)


def test_a_file_of_another_size_than_the_published_one_is_not_downloaded(
    server: Server, url: str, pinned: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(PUBLISHED, "siamfc", dataclasses.replace(PUBLISHED["siamfc"], size=len(CONTENT) + 1))
    with pytest.raises(DownloadError, match=f"a file of {len(CONTENT)} bytes where the published one has"):
        fetch("siamfc", cache=tmp_path, url=url)
    assert names(tmp_path) == []


@pytest.mark.parametrize("size", [1000, None])
@pytest.mark.parametrize("lengths", [True, False])
def test_no_more_is_kept_of_a_download_than_the_file_may_have(
    server: Server, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int | None, lengths: bool
):
    monkeypatch.setattr(downloads, "LIMIT", 1000)
    server.lengths, told = lengths, []
    with pytest.raises(DownloadError, match=r"^http.*: expected to download it, found .*\b1000\b"):
        downloads.download(url, tmp_path / "part", progress=lambda *step: told.append(step), size=size)
    assert all(done == 0 for done, _ in told)
    assert names(tmp_path) == []


def test_a_download_of_unknown_length_is_whole_or_goes_on(server: Server, url: str, pinned: None, tmp_path: Path):
    server.lengths, server.cut = False, 1000
    with pytest.raises(DownloadError, match=f"the end of the connection after 1000 of {len(CONTENT)} bytes"):
        downloads.download(url, tmp_path / "part", progress=lambda *step: None, size=len(CONTENT))
    downloads.download(url, tmp_path / "part", progress=lambda *step: None, size=len(CONTENT))
    assert (tmp_path / "part").read_bytes() == CONTENT
    assert server.asked == [(NAME, None), (NAME, "bytes=1000-")]
    assert fetch("siamfc", cache=tmp_path, url=url).read_bytes() == CONTENT  # where no size is published either


def test_an_unpublished_digest_is_the_one_seen_first(server: Server, url: str, siamfc: bytes, tmp_path: Path):
    server.files[NAME] = siamfc
    path, sha256 = fetch("siamfc", cache=tmp_path, url=url), hashlib.sha256(siamfc).hexdigest()
    assert (tmp_path / f"{NAME}.sha256").read_text() == f"{sha256}\n"
    path.write_bytes(b"changed since")
    with pytest.raises(InputError, match=f"{sha256} that {NAME}.sha256 beside it has"):
        fetch("siamfc", cache=tmp_path, url=url)
    path.unlink()
    server.files[NAME] = b"another one"
    with pytest.raises(InputError, match=sha256):
        fetch("siamfc", cache=tmp_path, url=url)


def test_a_damaged_record_is_none(server: Server, url: str, siamfc: bytes, tmp_path: Path):
    server.files[NAME] = siamfc
    (tmp_path / f"{NAME}.sha256").write_text("")
    assert fetch("siamfc", cache=tmp_path, url=url).read_bytes() == siamfc
    assert (tmp_path / f"{NAME}.sha256").read_text() == f"{hashlib.sha256(siamfc).hexdigest()}\n"


def test_what_holds_no_weights_is_not_recorded_as_seen_first(server: Server, url: str, siamfc: bytes, tmp_path: Path):
    with pytest.raises(
        InputError, match=rf"^{url}: expected SiamFC-3s in colour.*, found something else: .*first bytes"
    ):
        fetch("siamfc", cache=tmp_path, url=url)
    assert names(tmp_path) == []
    server.files[NAME] = siamfc
    assert fetch("siamfc", cache=tmp_path, url=url).read_bytes() == siamfc


def test_a_page_to_sign_in_is_no_file(server: Server, url: str, tmp_path: Path):
    server.files[NAME], server.kind = b"<html>Welcome to our hotel</html>", "text/html; charset=utf-8"
    with pytest.raises(DownloadError, match="found a web page, as networks show where one has to sign in"):
        fetch("siamfc", cache=tmp_path, url=url)
    assert names(tmp_path) == []


def test_a_file_put_there_by_hand_will_do(siamfc: bytes, tmp_path: Path):
    (tmp_path / NAME).write_bytes(siamfc)
    assert fetch("siamfc", cache=tmp_path, url="http://127.0.0.1:1/").read_bytes() == siamfc


def test_offline_it_says_what_to_fetch_and_where_to_put_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["fetch", "alexnet", "--cache", str(tmp_path), "--url", "http://127.0.0.1:1/x"]) == 2
    told = capsys.readouterr().err.splitlines()[-1]
    assert told.startswith("weight_port: http://127.0.0.1:1/x: expected to download it, found Connection refused; ")
    published = "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth"
    path = tmp_path / "alexnet-owt-7be5be79.pth"
    assert told.endswith(f"fetch {published} by other means, put it at {path}, and try again")
    with pytest.raises(InputError, match=r"expected one of siamfc, .*, found 'vgg'"):
        fetch("vgg", cache=tmp_path)


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
def test_addresses_that_lead_nowhere(server: Server, tmp_path: Path, address: str, found: str):
    with pytest.raises(InputError, match=found) as error:
        fetch("siamfc", cache=tmp_path, url=address.replace("{server}", server.url))
    assert "\n" not in str(error.value)
    assert names(tmp_path) == []


def test_a_server_that_is_silent_is_given_up(server: Server, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    server.gate.clear()
    monkeypatch.setattr(downloads, "_TIMEOUT", 0.05)
    with pytest.raises(DownloadError, match=r"no answer for 0\.05 seconds"):
        fetch("siamfc", cache=tmp_path, url=url)


def test_redirections_are_followed_but_not_out_of_https(server: Server, pinned: None, tmp_path: Path):
    assert fetch("siamfc", cache=tmp_path, url=f"{server.url}/away/{NAME}").read_bytes() == CONTENT
    request = urllib.request.Request("https://example.org/x")
    with pytest.raises(urllib.error.URLError, match="redirection from HTTPS"):
        downloads._NoDowngrade().redirect_request(request, None, 302, "Found", {}, "http://example.org/x")


# Disks


def test_a_disk_that_has_no_room_is_told_before_anything_is_downloaded(
    server: Server, url: str, pinned: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    usage = downloads.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(downloads.shutil, "disk_usage", lambda path: usage._replace(free=200_000))
    with pytest.raises(InputError, match=rf"^{tmp_path}: .*room for .*, found 0\.2 MB free of 0\.8 MB.*MFST_JAX_CACHE"):
        fetch("siamfc", cache=tmp_path, url=url)
    assert names(tmp_path) == []


def test_a_download_of_unknown_length_does_not_fill_the_disk(
    server: Server, url: str, pinned: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    server.lengths, usage = False, downloads.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(downloads.shutil, "disk_usage", lambda path: usage._replace(free=downloads._RESERVE))
    with pytest.raises(InputError, match=rf"^{tmp_path}: .*room for .*, found .* free, and a server that does not say"):
        fetch("siamfc", cache=tmp_path, url=url)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_disk_that_fills_meanwhile(server: Server, url: str, pinned: None, tmp_path: Path):
    (tmp_path / f"{NAME}.part").symlink_to("/dev/full")
    with pytest.raises(InputError, match=r"room for .*, found No space left on device") as error:
        fetch("siamfc", cache=tmp_path, url=url)
    assert not isinstance(error.value, DownloadError)


def test_a_folder_that_cannot_be_written_to(server: Server, url: str, tmp_path: Path):
    for cache in (tmp_path / "file", Path("/proc/self/cache")):
        (tmp_path / "file").write_text("")
        with pytest.raises(InputError, match=rf"^{cache}: expected a folder to write to"):
            fetch("siamfc", cache=cache, url=url)
    assert server.asked == []


def test_a_user_without_a_home(monkeypatch: pytest.MonkeyPatch):
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(fetching, "cache_folder", no_home)
    with pytest.raises(InputError, match="expected a folder"):
        fetch("siamfc")


# Two at once


def test_two_at_once_download_it_once(server: Server, url: str, pinned: None, tmp_path: Path):
    server.gate.clear()
    waits, found = threading.Event(), []

    def one() -> None:
        found.append(fetch("siamfc", cache=tmp_path, url=url, waiting=waits.set))

    threads = [threading.Thread(target=one) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert waits.wait(60)
    server.gate.set()
    for thread in threads:
        thread.join()
    assert found == [tmp_path / NAME] * 3
    assert server.asked == [(NAME, None)]
    assert names(tmp_path) == [NAME]


# The command, and what is pinned


def test_the_command_prints_the_path(
    url: str, pinned: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    assert main(["fetch", "siamfc", "--url", url]) == 0
    assert capsys.readouterr().out == f"{tmp_path / NAME}\n"


def test_what_is_pinned_looks_like_a_digest():
    digests = [published.sha256 for published in PUBLISHED.values() if published.sha256]
    assert len(digests) == len(set(digests)) == 2
    assert all(len(digest) == 64 and int(digest, 16) for digest in digests)
    assert all(published.url.startswith("https://") for published in PUBLISHED.values())
    assert PUBLISHED["alexnet"].sha256.startswith("7be5be79")  # which is what the name of the file says


def test_the_command_knows_whatever_is_published(capsys: pytest.CaptureFixture[str]):
    script = (
        "from mfst_jax.checkpoints.known_weights import PUBLISHED; PUBLISHED['new'] = PUBLISHED['alexnet']; "
        "import sys; from weight_port.__main__ import main; sys.exit(main(['fetch', *sys.argv[1:]]))"
    )
    told = subprocess.run([sys.executable, "-c", script, "--help"], capture_output=True, text=True, check=True).stdout
    assert f"{{{','.join([*PUBLISHED, 'new'])}}}" in told
    assert main(["fetch", "vgg"]) == 2
    assert capsys.readouterr().err == f"weight_port: fetch: expected one of {', '.join(PUBLISHED)}, found 'vgg'\n"
