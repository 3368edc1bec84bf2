"""TensorFlow bundles that hold something else than numbers, are damaged or mean harm: what is left out or refused."""

import struct
from pathlib import Path
from typing import Any

import pytest
from bundles import EXAMPLE, assert_same, block, crc, field, table, varint, write_bundle

from weight_port.formats import leveldb_table, tf1_bundles

# What is not numbers


@pytest.mark.parametrize("dtype", [7, 20, 21])
def test_tensors_without_numbers_are_left_out(tmp_path: Path, dtype: int):
    index = write_bundle(tmp_path, EXAMPLE, dtype=dtype)
    assert tf1_bundles.read(index).keys() == EXAMPLE.keys() - {"conv1/weights"}
    alone = write_bundle(tmp_path, {"conv1/weights": EXAMPLE["conv1/weights"]}, dtype=dtype)
    with pytest.raises(ValueError, match="expected tensors of numbers, found none"):
        tf1_bundles.read(alone)


def test_partitioned_variables(tmp_path: Path):
    index = write_bundle(tmp_path, EXAMPLE, more=field(7, field(1, b"")))
    with pytest.raises(ValueError, match="conv1/weights: expected variables in one piece"):
        tf1_bundles.read(index)


def test_other_tables(tmp_path: Path):
    for entries, message in (
        ([(b"a", b"b")], "expected the index of a TensorFlow bundle"),
        ([(b"", field(1, 1) + field(3, field(2, 2)))], "expected a bundle of version 1"),
        ([(b"", field(1, 1) + field(3, 2))], "expected messages in field 3"),
    ):
        (tmp_path / "x.index").write_bytes(table(entries))
        with pytest.raises(ValueError, match=message):
            tf1_bundles.read(tmp_path / "x.index")
    (tmp_path / "x.index").write_bytes(table([(b"", field(1, 1))], compression=1))
    with pytest.raises(ValueError, match="expected an uncompressed table"):
        tf1_bundles.read(tmp_path / "x.index")


# Damage and malice


def test_every_flipped_bit_is_found(tmp_path: Path):
    index = write_bundle(tmp_path, EXAMPLE)
    expected = tf1_bundles.read(index)
    padding = 0
    for path in tf1_bundles.files(index):
        data = path.read_bytes()
        for at in range(len(data)):
            path.write_bytes(data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :])
            try:
                assert_same(tf1_bundles.read(index), expected)
                padding += 1
            except ValueError:
                pass
        path.write_bytes(data)
    assert padding < 64, "only the footer's padding and the empty metaindex may change unseen"


def test_a_shortened_data_file(tmp_path: Path):
    index = write_bundle(tmp_path, EXAMPLE)
    data = index.with_name("model.ckpt-0.data-00000-of-00001")
    data.write_bytes(data.read_bytes()[:-1])
    with pytest.raises(ValueError, match="global_step: expected bytes between"):
        tf1_bundles.read(index)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"crc": 1}, "the tensor conv1/weights: expected the masked CRC-32C 0x00000001"),
        ({"dtype": 25}, r"conv1/weights: expected one of TensorFlow's types \[1, .*found 25"),
        ({"dtype": 2}, r"expected the bytes of float64\[2, 3, 4\], found 96"),
        ({"shape": (2, 3, 5)}, r"expected the bytes of float32\[2, 3, 5\], found 96"),
        ({"shape": (-1, -24)}, "expected the bytes of"),
        ({"shape": (2**40, 2**40), "size": 2**62}, "expected the bytes of"),
        ({"shape": (2**40,), "size": 2**42}, "expected at most 1073741824 bytes of tensors"),
        ({"shape": (2**60, 2**60, 0), "size": 0, "crc": crc(b"")}, "cannot reshape|too big"),
        ({"shape": (1,) * 100 + (24,)}, "dimension"),
        ({"shape": (), "size": -96}, "expected the bytes of"),
        ({"offset": 0}, "expected bytes between 20 and 124 of model.ckpt-0.data-00000-of-00001, found 96 at 0"),
        ({"offset": 21}, "the tensor conv1/weights: expected the masked CRC-32C"),
        ({"offset": 29}, "expected bytes between 20 and 124"),
        ({"offset": 2**63}, "expected bytes between"),
        ({"offset": -96}, "expected bytes between"),
        ({"shard": 1}, "expected one of 1 data files, found number 1"),
        ({"shard": -1}, "expected one of 1 data files"),
        ({"more": field(1, b"x")}, "expected an integer in field 1"),
    ],
)
def test_hostile_entries(tmp_path: Path, changes: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        tf1_bundles.read(write_bundle(tmp_path, EXAMPLE, **changes))


def test_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    index = write_bundle(tmp_path, EXAMPLE)
    assert_same(tf1_bundles.read(index, limit=124), EXAMPLE)
    with pytest.raises(ValueError, match="expected at most 123 bytes of tensors, found 124"):
        tf1_bundles.read(index, limit=123)
    monkeypatch.setattr(tf1_bundles, "_LARGEST_INDEX", 100)
    with pytest.raises(ValueError, match="expected an index of at most 100 bytes"):
        tf1_bundles.read(index)


def test_hostile_tables(monkeypatch: pytest.MonkeyPatch):
    many = [(f"{i:03}".encode(), b"") for i in range(9)]
    monkeypatch.setattr(leveldb_table, "_MOST_ENTRIES", 8)
    with pytest.raises(ValueError, match="at most 8 entries"):
        leveldb_table.loads(table(many))
    with pytest.raises(ValueError, match="expected keys in order"):
        leveldb_table.loads(table([(b"b", b""), (b"a", b"")]))
    with pytest.raises(ValueError, match="expected entries of a block"):
        leveldb_table.loads(table([(b"k" * 5000, b"")]))
    for data in (b"", bytes(48), table(many)[:-1], table(many)[-48:]):
        with pytest.raises(ValueError, match="expected"):
            leveldb_table.loads(data)


def test_a_block_that_is_read_again_and_again():
    """Its index names one block of no entries many times: a small file, and a lot of checksums."""
    content = block([]) + b"\0"
    data = content + struct.pack("<I", crc(content))
    index = block([(f"{i:03}".encode(), varint(0) + varint(len(content) - 1)) for i in range(9)]) + b"\0"
    footer = varint(0) + varint(len(content) - 1) + varint(len(data)) + varint(len(index) - 1)
    data += index + struct.pack("<I", crc(index)) + footer.ljust(40, b"\0") + leveldb_table.MAGIC
    with pytest.raises(ValueError, match="expected blocks one after the other"):
        leveldb_table.loads(data)
