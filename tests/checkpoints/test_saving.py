"""Writing a checkpoint: a failure leaves the old one, and what is no checkpoint is not replaced."""

import errno
import functools
import inspect
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from random_weights import ALL, FORMATS, A, S, assert_same, message, random_arrays

import mfst_jax
from mfst_jax import checkpoints, whole_files
from mfst_jax.checkpoints import weight_names
from mfst_jax.errors import InputError
from mfst_jax.params import Params
from mfst_jax.random_weights import random_params


def save_with_orbax(path: Path, tree: Any) -> None:
    """As another program would."""
    from orbax.checkpoint import v1

    v1.save(str(path), tree)


def test_a_file_is_for_whoever_may_read_the_folder(tmp_path: Path):
    checkpoints.save(random_params(A), tmp_path / "weights.safetensors")
    (tmp_path / "plain").write_text("")
    assert (tmp_path / "weights.safetensors").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("stage", ["writing", "renaming"])
def test_a_failure_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, stage: str):
    checkpoints.save(random_params(A), tmp_path / name)

    def fail(*_args: object, **_options: object):
        raise OSError(errno.ENOSPC, "No space left on device")

    original_rename = Path.rename

    def fail_for_the_new(self: Path, target: Path):
        return fail() if self.name == "new" else original_rename(self, target)

    with monkeypatch.context() as patch:
        if stage == "renaming":
            patch.setattr(whole_files, "_exchange", lambda one, other: False)  # as on systems that cannot
            patch.setattr(Path, "replace", fail)
            patch.setattr(Path, "rename", fail_for_the_new)
        elif name.endswith(".safetensors"):
            patch.setattr(safetensors.numpy, "save_file", fail)
        else:
            from orbax.checkpoint import v1

            def half(path: Path, *_args: object, **_options: object):
                path.mkdir()
                (path / "half").write_text("half")
                fail()

            patch.setattr(v1, "save", half)
        with pytest.raises(InputError, match="No space left on device") as error:
            checkpoints.save(random_params(S), tmp_path / name)
        message(error)
    assert_same(checkpoints.load(tmp_path / name), random_params(A))
    assert [path.name for path in tmp_path.iterdir()] == [name]
    checkpoints.save(random_params(S), tmp_path / name)
    assert_same(checkpoints.load(tmp_path / name), random_params(S))
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_what_orbax_writes_after_its_error_goes_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Orbax raises the error of one file while other threads still write, into folders that they make again."""
    from orbax.checkpoint import v1

    writers = []

    def go_on(folder: Path):
        for number in range(8):
            time.sleep(0.06)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{number}").write_text("late")

    def fail(path: Path, *_args: object, **_options: object):
        writers.append(threading.Thread(target=go_on, args=[path.with_name(f"{path.name}.orbax-checkpoint-tmp")]))
        writers[-1].start()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(v1, "save", fail)
    with pytest.raises(InputError, match="No space left on device"):
        checkpoints.save(random_params(A), tmp_path / "weights")
    [writer] = writers
    writer.join()
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_checkpoint_is_not_replaced(tmp_path: Path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"meow")
    (tmp_path / "file").write_text("hello")
    (tmp_path / "folder.safetensors").mkdir()
    for name in ("photos", "file", "folder.safetensors"):
        with pytest.raises(InputError, match="to replace") as error:
            checkpoints.save(random_params(S), tmp_path / name)
        assert str(tmp_path / name) in message(error)
    assert (tmp_path / "photos" / "cat.jpg").read_bytes() == b"meow"


@pytest.mark.parametrize("there", [True, False])
def test_a_link_to_a_directory_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
):
    from orbax.checkpoint import v1

    monkeypatch.setattr(v1, "save", lambda *_args, **_options: pytest.fail("it writes"))
    (tmp_path / "latest").symlink_to("9")
    if there:
        (tmp_path / "9").mkdir()
    with pytest.raises(InputError, match=r"latest: expected a directory or nothing to replace, found a link to 9$"):
        checkpoints.save(random_params(A), tmp_path / "latest")
    assert (tmp_path / "latest").readlink() == Path("9")
    checkpoints.save(random_params(A), tmp_path / "a.safetensors")
    (tmp_path / "b.safetensors").symlink_to("a.safetensors")
    checkpoints.save(random_params(S), tmp_path / "b.safetensors")  # the link goes, and what it led to stays
    assert_same(checkpoints.load(tmp_path / "a.safetensors"), random_params(A))


@pytest.mark.parametrize("name", ["weights.pth", "weights.NPZ", "net.mat"])
def test_no_directory_gets_the_name_of_another_programs_file(tmp_path: Path, name: str):
    found = f"found {Path(name).suffix}, as of another program's file"
    with pytest.raises(InputError, match=rf"expected a name that ends in \.safetensors, or .* a directory, {found}"):
        checkpoints.save(random_params(A), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_another_programs_orbax_checkpoint_is_not_replaced(tmp_path: Path):
    save_with_orbax(tmp_path / "theirs", {"step": np.zeros(3, np.float32)})
    with pytest.raises(InputError, match="to replace"):
        checkpoints.save(random_params(S), tmp_path / "theirs")
    with pytest.raises(InputError, match="found step"):
        checkpoints.load(tmp_path / "theirs")


def test_another_programs_orbax_checkpoint_of_mfst_loads(tmp_path: Path):
    save_with_orbax(tmp_path / "theirs", weight_names.nest(random_arrays(A)))
    assert_same(checkpoints.load(tmp_path / "theirs"), random_arrays(A))


def test_an_empty_directory_may_be_filled(tmp_path: Path):
    (tmp_path / "new").mkdir()
    checkpoints.save(random_params(S), tmp_path / "new")
    assert_same(checkpoints.load(tmp_path / "new"), random_params(S))


def test_a_place_that_cannot_be_written(tmp_path: Path):
    (tmp_path / "file").write_text("hello")
    with pytest.raises(InputError, match="expected a place to write a checkpoint") as error:
        checkpoints.save(random_params(S), tmp_path / "file" / "x.safetensors")
    message(error)


def test_what_is_no_plain_weights_is_not_saved(tmp_path: Path):
    save = inspect.unwrap(checkpoints.save)  # as it is without the type checks of the tests
    for params, found in ((mfst_jax.prepare(random_params(A)), "PreparedParams"), ("paper", "str"), (None, "NoneType")):
        with pytest.raises(InputError, match=f"^params: expected plain weights, as mfst_jax.load .*, found {found}$"):
            save(params, tmp_path / "x.safetensors")
    assert not list(tmp_path.iterdir())


def test_a_provenance_that_is_none_is_refused(tmp_path: Path):
    itself: dict[str, Any] = {}
    itself["itself"] = itself
    for provenance in ({"tool": Path("x")}, itself, {"digits": 10**5000}, {"a": {("b", 1): 2}}):
        with pytest.raises(InputError, match="provenance: expected JSON values by name, found "):
            checkpoints.save(random_params(A), tmp_path / "x.safetensors", provenance=provenance)
    deep = functools.reduce(lambda inner, _: {"sources": [inner]}, range(99), {})
    checkpoints.save(random_params(A), tmp_path / "x.safetensors", provenance=deep)
    assert checkpoints.provenance(tmp_path / "x.safetensors") == deep
    with pytest.raises(InputError, match="provenance: expected JSON values of at most 199 levels, found more"):
        checkpoints.save(random_params(A), tmp_path / "x.safetensors", provenance={"sources": deep})


def test_weights_unfit_for_use_are_not_saved(tmp_path: Path):
    arrays = random_arrays(S)
    arrays["batch_stats/siamfc/bn1/var"][0] = np.inf
    with pytest.raises(InputError, match="expected finite numbers"):
        checkpoints.save(Params(weight_names.nest(arrays), S), tmp_path / "x.safetensors")
    with pytest.raises(InputError, match="found SiamFC where the contents say SiamFC"):
        checkpoints.save(Params(weight_names.nest(random_arrays(S)), ALL), tmp_path / "x.safetensors")
    assert not list(tmp_path.iterdir())
