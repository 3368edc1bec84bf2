"""Fetching: once, checked against what is pinned or was seen first, kept, and clear where it cannot be had."""

import hashlib
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from servers import CONTENT, SHA256, Server
from sources import names_in

from mfst_jax.cache import CACHE_VARIABLE
from mfst_jax.checkpoints.known_weights import PUBLISHED
from mfst_jax.errors import InputError
from weight_port import fetching
from weight_port.__main__ import main
from weight_port.fetching import fetch

NAME = PUBLISHED["siamfc"].name


def test_a_file_is_fetched_once(siamfc_server: Server, url: str, pinned: None, tmp_path: Path):
    told: list[tuple[int, int | None]] = []
    cache = tmp_path / "new" / "cache"
    path = fetch("siamfc", cache=cache, url=url, progress=lambda *step: told.append(step))
    assert path == cache / NAME
    assert path.read_bytes() == CONTENT
    assert told[0] == (0, len(CONTENT))
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert fetch("siamfc", cache=str(cache), url=url) == path
    assert siamfc_server.asked == [(NAME, None)]
    assert names_in(cache) == [NAME]


def test_what_is_not_the_pinned_file_is_refused(siamfc_server: Server, url: str, pinned: None, tmp_path: Path):
    siamfc_server.files[NAME] = bytes(100)
    with pytest.raises(InputError, match=f"^{url}: expected the file of SHA-256 {SHA256}, found one of"):
        fetch("siamfc", cache=tmp_path, url=url)
    assert names_in(tmp_path) == []
    (tmp_path / NAME).write_bytes(b"put there by hand, wrongly")
    with pytest.raises(InputError, match="delete it to try again"):
        fetch("siamfc", cache=tmp_path, url=url)


def test_an_unpublished_digest_is_the_one_seen_first(siamfc_server: Server, url: str, siamfc: bytes, tmp_path: Path):
    siamfc_server.files[NAME] = siamfc
    path, sha256 = fetch("siamfc", cache=tmp_path, url=url), hashlib.sha256(siamfc).hexdigest()
    assert (tmp_path / f"{NAME}.sha256").read_text() == f"{sha256}\n"
    path.write_bytes(b"changed since")
    with pytest.raises(InputError, match=f"{sha256} that {NAME}.sha256 beside it has"):
        fetch("siamfc", cache=tmp_path, url=url)
    path.unlink()
    siamfc_server.files[NAME] = b"another one"
    with pytest.raises(InputError, match=sha256):
        fetch("siamfc", cache=tmp_path, url=url)


def test_a_damaged_record_is_none(siamfc_server: Server, url: str, siamfc: bytes, tmp_path: Path):
    siamfc_server.files[NAME] = siamfc
    (tmp_path / f"{NAME}.sha256").write_text("")
    assert fetch("siamfc", cache=tmp_path, url=url).read_bytes() == siamfc
    assert (tmp_path / f"{NAME}.sha256").read_text() == f"{hashlib.sha256(siamfc).hexdigest()}\n"


def test_what_holds_no_weights_is_not_recorded_as_seen_first(
    siamfc_server: Server, url: str, siamfc: bytes, tmp_path: Path
):
    with pytest.raises(
        InputError, match=rf"^{url}: expected SiamFC-3s in colour.*, found something else: .*first bytes"
    ):
        fetch("siamfc", cache=tmp_path, url=url)
    assert names_in(tmp_path) == []
    siamfc_server.files[NAME] = siamfc
    assert fetch("siamfc", cache=tmp_path, url=url).read_bytes() == siamfc


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


def test_a_user_without_a_home(monkeypatch: pytest.MonkeyPatch):
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(fetching, "cache_folder", no_home)
    with pytest.raises(InputError, match="expected a folder"):
        fetch("siamfc")


# Two at once


def test_two_at_once_download_it_once(siamfc_server: Server, url: str, pinned: None, tmp_path: Path):
    siamfc_server.gate.clear()
    waits, found = threading.Event(), []

    def one() -> None:
        found.append(fetch("siamfc", cache=tmp_path, url=url, waiting=waits.set))

    threads = [threading.Thread(target=one) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert waits.wait(60)
    siamfc_server.gate.set()
    for thread in threads:
        thread.join()
    assert found == [tmp_path / NAME] * 3
    assert siamfc_server.asked == [(NAME, None)]
    assert names_in(tmp_path) == [NAME]


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
