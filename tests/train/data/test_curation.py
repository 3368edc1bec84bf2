"""Curation: the right crops, counted, resumed, in parallel; bad data named."""

import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from sequences import write_sequence, write_sequences

from mfst_jax import boxes, crops
from mfst_jax.errors import InputError
from mfst_jax.train.data import curation


@pytest.mark.parametrize("box", [(60, 40, 24, 28), (-9.5, 90.25, 31, 17.5), (0, 0, 150, 110)])
def test_the_middle_of_a_crop_is_what_the_tracker_sees(box):
    frame = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    found = curation.curated_crop(frame, np.array(box, np.float64))
    assert found.shape == (287, 287, 3)
    centre, size = boxes.to_centre(jnp.array(box, jnp.float32))
    frame_size = jnp.array(frame.shape[:2])
    seen = crops.crop(
        jnp.asarray(frame),
        centre,
        boxes.context_side(size, 0.5) * (255 / 127),
        fill=crops.mean_colour(jnp.asarray(frame), frame_size),
        frame_size=frame_size,
    )
    # A sample at the very edge of the frame may fall on either side of it.
    off = np.abs(found[16:271, 16:271] - np.asarray(seen)) > 0.51
    assert off.mean() < 0.01


def test_curation_keeps_what_can_be_used_and_counts_the_rest(tmp_path: Path):
    write_sequence(tmp_path / "data" / "a", 0, frames=8)
    rows = (tmp_path / "data" / "a" / "groundtruth.txt").read_text().splitlines()
    rows[1], rows[2], rows[3] = "0,0,0,0", "10,10,1,1", "500,10,20,20"
    (tmp_path / "data" / "a" / "groundtruth.txt").write_text("\n".join(rows[:7]))
    (tmp_path / "data" / "a" / "absence.label").write_text("0\n" * 6 + "1\n")
    videos, counts = curation.curate(tmp_path / "data", tmp_path / "cache")
    assert counts == curation.Counts(frames=8, crops=3, absent=2, unlabelled=1, tiny=1, outside=1)
    assert counts.describe() == "3 crops of 8 frames (2 absent, 1 unlabelled, 1 tiny, 1 outside)"
    assert videos[0].frames.tolist() == [0, 4, 5]
    # 24 x 28 with context: s_z = sqrt(50 * 54), so that a side of 24 is 24 * 127 / s_z samples.
    np.testing.assert_allclose(videos[0].sizes[0], np.array([24, 28]) * 127 / np.sqrt(50 * 54), rtol=1e-5)


def test_otb_counts_from_one(tmp_path: Path):
    true = write_sequence(tmp_path / "data" / "a", 0)
    write_sequence(tmp_path / "data" / "b", 0)
    (tmp_path / "data" / "b" / "groundtruth.txt").unlink()
    np.savetxt(tmp_path / "data" / "b" / "groundtruth_rect.txt", true + np.array([1, 1, 0, 0]), "%d", delimiter="\t")
    videos, _ = curation.curate(tmp_path / "data", tmp_path / "cache")
    np.testing.assert_array_equal(videos[0].read(2), videos[1].read(2))


def test_what_is_there_is_not_read_again_and_what_changed_is(tmp_path: Path):
    data, cache = write_sequences(tmp_path / "data", 2), tmp_path / "cache"
    first, _ = curation.curate(data, cache)
    stamps = {path.name: path.stat().st_mtime_ns for path in cache.iterdir()}
    (cache / "videob.json").unlink()  # as if the first run had been killed before
    again, counts = curation.curate(data, cache)
    assert counts.crops == 8
    assert [video.key for video in again] == [video.key for video in first]
    later = {path.name: path.stat().st_mtime_ns for path in cache.iterdir()}
    assert {name for name in stamps if later[name] != stamps[name]} == {"videob.json", "videob.npy"}
    with (data / "videoa" / "groundtruth.txt").open() as file:
        rows = file.read().splitlines()
    (data / "videoa" / "groundtruth.txt").write_text("\n".join([*rows[:3], "20,20,30,30"]))
    moved, _ = curation.curate(data, cache)
    assert moved[0].key != first[0].key
    assert (moved[0].read(3) != again[1].read(3)).any()


def test_processes_give_what_one_gives(tmp_path: Path):
    data = write_sequences(tmp_path / "data", 2, frames=2)
    one, _ = curation.curate(data, tmp_path / "one")
    two, _ = curation.curate(data, tmp_path / "two", workers=2)
    for a, b in zip(one, two, strict=True):
        assert (a.name, a.key) == (b.name, b.key)
        np.testing.assert_array_equal(a.read(1), b.read(1))


def test_few_corrupt_images_are_skipped_and_counted(tmp_path: Path):
    write_sequence(tmp_path / "data" / "a", 0, frames=101)
    (tmp_path / "data" / "a" / "00000005.png").write_bytes(b"no image")
    for _ in range(2):  # and counted again from the cache
        videos, counts = curation.curate(tmp_path / "data", tmp_path / "cache")
        assert (counts.crops, counts.corrupt) == (100, 1)
    assert 4 not in videos[0].frames


def test_many_corrupt_images_are_refused(tmp_path: Path):
    write_sequence(tmp_path / "data" / "a", 0, frames=8)
    (tmp_path / "data" / "a" / "00000005.png").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"at most 1% .* found 1 of 8; the first is .*00000005\.png"):
        curation.curate(tmp_path / "data", tmp_path / "cache")


def test_a_wrong_layout_says_what_was_looked_for(tmp_path: Path):
    with pytest.raises(InputError, match="nowhere: expected a folder of sequences"):
        curation.curate(tmp_path / "nowhere", tmp_path / "cache")
    (tmp_path / "data" / "a").mkdir(parents=True)
    words = (
        r"expected folders with groundtruth_rect\.txt .*, or .* \(ILSVRC2015-VID\), found a/, where a/ holds nothing$"
    )
    with pytest.raises(InputError, match=words):
        curation.curate(tmp_path / "data", tmp_path / "cache")


def test_what_is_odd_is_told_also_from_the_cache(tmp_path: Path):
    write_sequence(tmp_path / "data" / "a", 0)
    rows = (tmp_path / "data" / "a" / "groundtruth.txt").read_text().splitlines()
    (tmp_path / "data" / "a" / "groundtruth.txt").write_text("\n".join([*rows[:3], "1,1,-1,-1"]))
    for _ in range(2):
        told: list[str] = []
        _, counts = curation.curate(tmp_path / "data", tmp_path / "cache", tell=told.append)
        assert counts == curation.Counts(frames=4, crops=3, absent=1)
        assert [line.split("groundtruth.txt")[1] for line in told] == [
            ", line 4: a negative width or height, which counts as no target there"
        ]


def test_more_boxes_than_images_and_odd_labels_are_refused(tmp_path: Path):
    write_sequence(tmp_path / "data" / "a", 0)
    (tmp_path / "data" / "a" / "absence.label").write_text("0\n1\n")
    with pytest.raises(InputError, match=r"absence\.label: expected 4 labels, one a true box, found 2"):
        curation.curate(tmp_path / "data", tmp_path / "cache")
    (tmp_path / "data" / "a" / "absence.label").unlink()
    (tmp_path / "data" / "a" / "00000004.png").unlink()
    with pytest.raises(InputError, match="line 4: expected 3 lines, one a frame, found 4"):
        curation.curate(tmp_path / "data", tmp_path / "cache")


def test_manifests_are_plain_json(tmp_path: Path):
    curation.curate(write_sequences(tmp_path / "data", 1), tmp_path / "cache")
    manifest = json.loads((tmp_path / "cache" / "videoa.json").read_text())
    assert manifest["counts"]["crops"] == 4
    assert manifest["frames"] == [0, 1, 2, 3]
