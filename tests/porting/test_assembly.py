"""Weights by name: downloaded, checked, merged, kept; and all that can be in the way. Small files, a local server."""

import dataclasses
import errno
import hashlib
import threading
from functools import reduce
from pathlib import Path

import jax
import numpy as np
import pytest
from servers import Server
from sources import A, S, assert_same, names_in, random_arrays

import mfst_jax
import weight_port
from mfst_jax import checkpoints
from mfst_jax.cache import CACHE_VARIABLE
from mfst_jax.checkpoints import files, known_weights, weight_names
from mfst_jax.checkpoints.known_weights import KNOWN, PUBLISHED, WeightSet
from mfst_jax.errors import InputError
from mfst_jax.params import Contents, Params
from mfst_jax.random_weights import random_params
from weight_port.assembly import get

SIAMFC, ALEXNET = "2016-08-17.net.mat", "alexnet-owt-7be5be79.pth"
pytestmark = pytest.mark.usefixtures("cache")


def test_a_set_is_downloaded_once_and_loads_by_its_name(server: Server, cache: Path):
    told: list[str] = []
    path = get("paper", source=server.url, say=told.append)
    assert path == cache / "weights" / "paper.safetensors"
    assert told[0] == f"downloading {server.url}/{SIAMFC}"
    assert [line.split()[0] for line in told] == ["downloading", "downloading"]
    loaded = mfst_jax.load("paper")
    assert loaded.contents == Contents(siamfc=True, alexnet="torchvision")
    assert mfst_jax.load(Path("paper")).contents == loaded.contents
    assert [source["sha256"] for source in checkpoints.provenance("paper")["sources"]] == [
        hashlib.sha256(server.files[name]).hexdigest() for name in (SIAMFC, ALEXNET)
    ]
    assert get("paper", source=server.url, say=told.append) == path
    assert told[2:] == ["paper is here already: nothing to download"]
    assert [name for name, _ in server.asked] == [SIAMFC, ALEXNET]
    assert names_in(cache / "weights") == ["downloads", "paper.safetensors"]
    assert names_in(cache / "weights" / "downloads") == [f"{SIAMFC}.sha256"]  # which holds for the next time


def test_downloads_that_a_killed_process_left_go_at_the_next_start(server: Server, cache: Path):
    path = get("paper", source=server.url)
    left = cache / "weights" / "downloads" / ALEXNET
    left.write_bytes(server.files[ALEXNET])  # killed after the set was complete, before this went
    assert get("paper", source=server.url) == path
    assert not left.exists()
    assert [name for name, _ in server.asked] == [SIAMFC, ALEXNET]


def test_the_formats_of_the_published_files_become_these_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    siamfc, alexnet = random_arrays(S), random_arrays(A)
    for number in range(1, 5):
        np.abs(siamfc[f"batch_stats/siamfc/bn{number}/var"], out=siamfc[f"batch_stats/siamfc/bn{number}/var"])
    files = tmp_path / "files"
    for name, arrays, contents, to in (
        (SIAMFC, siamfc, S, "matconvnet"),
        (ALEXNET, alexnet, A, "torchvision-alexnet"),
    ):
        checkpoints.save(Params(weight_names.nest(arrays), contents), tmp_path / "x.safetensors")
        weight_port.export(tmp_path / "x.safetensors", files / name, to)
    sha256 = hashlib.sha256((files / ALEXNET).read_bytes()).hexdigest()
    monkeypatch.setitem(PUBLISHED, "alexnet", dataclasses.replace(PUBLISHED["alexnet"], sha256=sha256, size=None))
    get("paper", source=files)
    assert_same(mfst_jax.load("paper"), siamfc | alexnet)


def test_a_folder_on_disk_is_read_and_stays_as_it_is(
    server: Server, published: dict[str, bytes], tmp_path: Path, cache: Path
):
    folder = tmp_path / "here" / "stick"
    folder.mkdir()
    (folder / SIAMFC).write_bytes(published[SIAMFC])
    with pytest.raises(
        InputError, match=rf"^stick: expected a folder with the files {SIAMFC}, {ALEXNET}, found no alex"
    ):
        get("paper", source="stick")
    (folder / ALEXNET).write_bytes(b"x")
    with pytest.raises(InputError, match=rf"{ALEXNET}: expected the file of SHA-256"):
        get("paper", source="stick")
    (folder / ALEXNET).write_bytes(published[ALEXNET])
    assert get("paper", source="stick").exists()
    assert names_in(folder) == [SIAMFC, ALEXNET]
    assert names_in(cache / "weights") == ["paper.safetensors"]
    assert server.asked == []


def test_what_was_fetched_before_is_taken_and_stays(server: Server, published: dict[str, bytes], cache: Path):
    weight_port.fetch("alexnet", url=f"{server.url}/{ALEXNET}")
    for name in (SIAMFC, ALEXNET):
        (cache / name).write_bytes(published[name])
    get("paper")
    assert names_in(cache) == [SIAMFC, f"{SIAMFC}.sha256", ALEXNET, "weights"]
    assert [name for name, _ in server.asked] == [ALEXNET]


def test_what_broke_off_goes_on_with_the_next_try(server: Server, published: dict[str, bytes], cache: Path):
    server.cut = 1000
    with pytest.raises(
        InputError, match=rf"^weights 'paper': expected to download {server.url}/{SIAMFC}, found the end of"
    ):
        get("paper", source=server.url)
    assert names_in(cache / "weights") == ["downloads"]
    with pytest.raises(InputError, match="found nothing there; download them: mfst weights get paper"):
        mfst_jax.load("paper")
    get("paper", source=server.url)
    assert server.asked == [(SIAMFC, None), (SIAMFC, "bytes=1000-"), (ALEXNET, None)]


def test_a_wrong_checksum_is_refused_and_what_was_right_stays(server: Server, published: dict[str, bytes], cache: Path):
    server.files[ALEXNET] = bytes(reversed(published[ALEXNET]))
    with pytest.raises(InputError, match=rf"^{server.url}/{ALEXNET}: expected the file of SHA-256"):
        get("paper", source=server.url)
    assert names_in(cache / "weights" / "downloads") == [SIAMFC, f"{SIAMFC}.sha256"]
    server.files[ALEXNET] = published[ALEXNET]
    get("paper", source=server.url)
    assert [name for name, _ in server.asked] == [SIAMFC, ALEXNET, ALEXNET]


def test_offline_it_says_how_else_the_files_come_here(cache: Path):
    with pytest.raises(InputError) as error:
        get("paper", source="http://127.0.0.1:1/mirror/")
    assert str(error.value) == (
        f"weights 'paper': expected to download http://127.0.0.1:1/mirror/{SIAMFC}, found Connection refused; try "
        f"again, or bring {SIAMFC} and {ALEXNET} in a folder by other means (mfst weights lists their addresses): "
        "mfst weights get paper --from FOLDER"
    )


def test_files_that_do_not_go_together_are_refused(server: Server, published: dict[str, bytes], cache: Path):
    server.files[SIAMFC] = published[ALEXNET]
    with pytest.raises(
        InputError, match=r"^weights 'paper': expected files that make up the set, found params/alexnet"
    ):
        get("paper", source=server.url)
    assert "paper.safetensors" not in names_in(cache / "weights")


def test_no_room_for_the_result_leaves_the_downloads(server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(files, "write_safetensors", full)
        with pytest.raises(InputError, match=r"paper\.safetensors: expected a place to write.*No space left on device"):
            get("paper", source=server.url)
    assert names_in(cache / "weights") == ["downloads"]
    get("paper", source=server.url)
    assert [name for name, _ in server.asked] == [SIAMFC, ALEXNET]


def test_a_cache_that_cannot_be_written_to(server: Server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(CACHE_VARIABLE, "/proc/self/cache")
    with pytest.raises(InputError, match=r"^/proc/self/cache/weights: expected a folder to write to, .*MFST_JAX_CACHE"):
        get("paper", source=server.url)
    assert server.asked == []


def test_a_set_that_is_there_needs_neither_a_network_nor_a_cache_to_write_to(server: Server, cache: Path):
    path = get("paper", source=server.url)
    mode = path.parent.stat().st_mode
    path.parent.chmod(0o500)
    try:
        assert get("paper", source="http://127.0.0.1:1") == path
        assert mfst_jax.load("paper").contents.siamfc
    finally:
        path.parent.chmod(mode)


def test_a_damaged_set_says_how_to_mend_it_and_is_put_together_again(server: Server):
    path, told = get("paper", source=server.url), []
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    with pytest.raises(InputError, match=r"damaged one .*; download them again: mfst weights get paper$"):
        mfst_jax.load("paper")
    get("paper", source=server.url, say=told.append)
    assert told[0] == f"{path}: damaged, so it is put together again"
    assert path.read_bytes() == whole


def test_two_at_once_download_a_set_once(server: Server, cache: Path):
    server.gate.clear()
    waits, found = threading.Event(), []

    def say(line: str) -> None:
        if "waiting" in line:
            waits.set()

    threads = [
        threading.Thread(target=lambda: found.append(get("paper", source=server.url, say=say))) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    assert waits.wait(60)
    server.gate.set()
    for thread in threads:
        thread.join()
    assert found == [cache / "weights" / "paper.safetensors"] * 2
    assert [name for name, _ in server.asked] == [SIAMFC, ALEXNET]
    assert names_in(cache / "weights") == ["downloads", "paper.safetensors"]


def test_a_further_set_is_one_more_entry(server: Server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(
        KNOWN, "siamfc-only", WeightSet("a test", Contents(True, None, siamfc_se=True), sources=("siamfc",))
    )
    get("siamfc-only", source=server.url)
    assert mfst_jax.load("siamfc-only").contents == Contents(True, None)
    assert [name for name, _ in server.asked] == [SIAMFC]


def test_a_set_of_the_package_is_there_already():
    assert get("builtin", source="http://127.0.0.1:1") == checkpoints.BUILT_IN == known_weights.place("builtin")


def test_a_name_that_nobody_knows():
    with pytest.raises(
        InputError, match=r"^weights 'papre': expected one of builtin, paper, found no such name; did you mean"
    ):
        get("papre")


def test_sources_go_by_name_too(tmp_path: Path):
    params = weight_port.convert(["builtin"], tmp_path / "copy.safetensors")
    assert params.contents.describe() == "SiamFC (AlexNet's layers), AlexNet (torchvision)"
    assert params.contents == KNOWN["builtin"].contents
    with pytest.raises(InputError, match="mfst weights get paper"):
        weight_port.read("paper")


@pytest.mark.parametrize("order", [1, -1])
def test_the_built_in_weights_fill_in_what_other_sources_lack(tmp_path: Path, order: int):
    own = random_params(Contents(True, None, siamfc_se=True))
    mfst_jax.save(own, tmp_path / "own.safetensors")
    params = weight_port.convert([str(tmp_path / "own.safetensors"), "builtin"][::order], tmp_path / "both.safetensors")
    assert params.contents == Contents(True, "torchvision", siamfc_se=True)
    built_in = mfst_jax.load().variables["params"]["alexnet"]
    for found, expected in ((params.variables["params"]["alexnet"], built_in), (params.variables, own.variables)):
        for path, leaf in jax.tree_util.tree_leaves_with_path(expected):
            np.testing.assert_array_equal(reduce(lambda tree, key: tree[key.key], path, found), leaf)
    (note,) = [
        note for source in checkpoints.provenance(tmp_path / "both.safetensors")["sources"] for note in source["notes"]
    ]
    assert note == "left out siamfc, which another source holds"
