"""TensorFlow bundles: ours are read bit by bit, also by TensorFlow; theirs are read; damage and malice are refused."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from weight_port import crc32c, leveldb_table, protobuf, tf1_bundles

Arrays = dict[str, np.ndarray]
TYPES: dict[str, int] = {
    "float32": 1, "float64": 2, "int32": 3, "uint8": 4, "int16": 5, "int8": 6, "complex64": 8, "int64": 9, "bool": 10,
    "bfloat16": 14, "uint16": 17, "complex128": 18, "float16": 19, "uint32": 22, "uint64": 23,
}  # fmt: skip
EXAMPLE = {
    "conv1/weights": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "conv1/BatchNorm/beta": np.linspace(-1, 1, 5, dtype=np.float32),
    "global_step": np.array(332499, np.int64),
    "nothing": np.zeros((0, 3), np.float32),
}


def assert_same(found: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]) -> None:
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert (found[name].dtype.name, found[name].shape) == (array.dtype.name, array.shape), name
        native = array.astype(array.dtype.newbyteorder("="))
        assert found[name].tobytes() == native.tobytes(), name


# A writer of its own, straight from the documents: bits one by one, shared prefixes, several blocks and data files


def crc(data: bytes) -> int:
    """Masked."""
    register = 0xFFFFFFFF
    for octet in data:
        register ^= octet
        for _ in range(8):
            register = register >> 1 ^ (0x82F63B78 if register & 1 else 0)
    register ^= 0xFFFFFFFF
    return ((register >> 15 | register << 17) + 0xA282EAD8) % 2**32


def varint(value: int) -> bytes:
    value %= 2**64
    return bytes([value]) if value < 128 else bytes([value % 128 + 128]) + varint(value // 128)


def field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def block(entries: list[tuple[bytes, bytes]], interval: int = 3) -> bytes:
    content, restarts, last = b"", [], b""
    for i, (key, value) in enumerate(entries):
        shared = 0
        if i % interval == 0:
            restarts.append(len(content))
        else:
            while shared < min(len(key), len(last)) and key[shared] == last[shared]:
                shared += 1
        content += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        last = key
    restarts = restarts or [0]
    return content + struct.pack(f"<{len(restarts) + 1}I", *restarts, len(restarts))


def table(entries: list[tuple[bytes, bytes]], per_block: int = 4, compression: int = 0) -> bytes:
    data, handles = b"", []

    def append(content: bytes) -> bytes:
        nonlocal data
        handle = varint(len(data)) + varint(len(content))
        content += bytes([compression])
        data += content + struct.pack("<I", crc(content))
        return handle

    for start in range(0, len(entries), per_block):
        part = entries[start : start + per_block]
        handles.append((part[-1][0] + b"\xff", append(block(part))))
    footer = append(block([])) + append(block(handles, interval=1))
    return data + footer.ljust(40, b"\0") + bytes.fromhex("57fb808b247547db")


@dataclass(frozen=True)
class Entry:
    """What an index says of a tensor."""

    dtype: int
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    crc: int
    more: bytes = b""

    def dumps(self) -> bytes:
        shape = b"".join(field(2, field(1, side)) for side in self.shape)
        start = field(1, self.dtype) + field(2, shape) + field(3, self.shard) + field(4, self.offset)
        return start + field(5, self.size) + varint(6 << 3 | 5) + struct.pack("<I", self.crc) + self.more


def write_bundle(
    folder: Path, arrays: Mapping[str, np.ndarray], *, shards: int = 1, big_endian: bool = False, **changes: Any
) -> Path:
    """`changes` are fields of the entry of `conv1/weights`; returns the index."""
    header = field(1, shards) + field(2, int(big_endian)) + field(3, field(1, 1))
    entries = [(b"", header)]
    contents = [b""] * shards
    for i, (name, array) in enumerate(sorted(arrays.items())):
        data = array.tobytes()
        if big_endian:
            data = array.view(f"u{array.itemsize}").byteswap().tobytes()
        entry = Entry(TYPES[array.dtype.name], array.shape, i % shards, len(contents[i % shards]), len(data), crc(data))
        contents[i % shards] += data
        if name == "conv1/weights":
            entry = replace(entry, **changes)
        entries.append((name.encode(), entry.dumps()))
    for number, content in enumerate(contents):
        (folder / f"model.ckpt-0.data-{number:05}-of-{shards:05}").write_bytes(content)
    index = folder / "model.ckpt-0.index"
    index.write_bytes(table(entries))
    return index


# Checksums and encodings


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
        (b"123456789", 0xE3069283),
        (b"", 0),
    ],
)
def test_crc32c_of_rfc_3720(data: bytes, expected: int):
    assert crc32c.checksum(data) == expected


@given(data=st.binary(max_size=300), chunk=st.sampled_from([4, 32, 2**20]))
def test_crc32c_bit_by_bit(data: bytes, chunk: int):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(crc32c, "_CHUNK", chunk)
        assert crc32c.masked(data) == crc(data)
        assert crc32c.masked(np.frombuffer(data, np.uint8)) == crc(data)


@given(value=st.integers(0, 2**64 - 1), before=st.binary(max_size=3))
def test_varints(value: int, before: bytes):
    data = before + protobuf.dump_varint(value)
    assert data == before + varint(value)
    assert protobuf.load_varint(data, len(before)) == (value, len(data))


@pytest.mark.parametrize("data", ["ff" * 10 + "01", "80", "08", "0a05aa", "0d0000", "0b", "0c"])
def test_broken_messages(data: str):
    with pytest.raises(ValueError, match="expected"):
        protobuf.loads(bytes.fromhex(data))


def test_messages_of_unknown_fields():
    message = protobuf.loads(bytes.fromhex("0801 0896 01 1102000000000000 00 1a020803 2d04000000".replace(" ", "")))
    assert message == {1: [1, 150], 2: [2], 3: [b"\x08\x03"], 5: [4]}
    assert protobuf.integer(message, 1) == 150
    assert protobuf.messages(message, 3) == [{1: [3]}]
    with pytest.raises(ValueError, match="field 3"):
        protobuf.integer(message, 3)
    with pytest.raises(ValueError, match="field 1"):
        protobuf.messages(message, 1)


@given(entries=st.dictionaries(st.binary(min_size=1, max_size=20), st.binary(max_size=9), max_size=30))
def test_tables(entries: dict[bytes, bytes]):
    ordered = dict(sorted(entries.items()))
    assert leveldb_table.loads(leveldb_table.dumps(entries)) == ordered
    assert leveldb_table.loads(table(list(ordered.items()))) == ordered


# Round trips


names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20)
dtypes = st.sampled_from([*TYPES, ">f4", ">i2", ">c8"]).map(lambda name: np.dtype(getattr(ml_dtypes, name, name)))


@st.composite
def tensors(draw: st.DrawFn) -> np.ndarray:
    dtype, shape = draw(dtypes), draw(hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
    if dtype == np.bool_:
        return draw(hnp.arrays(dtype, shape))
    octets = draw(hnp.arrays(np.uint8, (*shape, dtype.itemsize)))
    array = np.ascontiguousarray(octets).view(dtype)[..., 0]
    return np.asfortranarray(array) if draw(st.booleans()) else array


@given(arrays=st.dictionaries(names, tensors(), min_size=1, max_size=6))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_round_trip(tmp_path: Path, arrays: Arrays):
    tf1_bundles.write(tmp_path / "m", arrays)
    assert_same(tf1_bundles.read(tmp_path / "m.index"), arrays)


@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("shards", [1, 3, 12])
def test_several_data_files_and_byte_orders(tmp_path: Path, shards: int, big_endian: bool):
    arrays = EXAMPLE | {
        f"of/{name}": np.array([0, 1, 100], getattr(ml_dtypes, name, name)) for name in TYPES if "complex" not in name
    }
    index = write_bundle(tmp_path, arrays, shards=shards, big_endian=big_endian)
    assert_same(tf1_bundles.read(index), arrays)
    assert [path.name for path in tf1_bundles.files(index)] == [
        "model.ckpt-0.index",
        *(f"model.ckpt-0.data-{number:05}-of-{shards:05}" for number in range(shards)),
    ]


def test_big_endian_complex_numbers(tmp_path: Path):
    data = struct.pack(">4f", 1, 2, 3, 4)
    (tmp_path / "c.data-00000-of-00001").write_bytes(data)
    entries = [(b"", field(1, 1) + field(2, 1)), (b"c", Entry(8, (2,), 0, 0, 16, crc(data)).dumps())]
    (tmp_path / "c.index").write_bytes(table(entries))
    np.testing.assert_array_equal(tf1_bundles.read(tmp_path / "c.index")["c"], [1 + 2j, 3 + 4j])


def test_the_same_bytes_in_any_order(tmp_path: Path):
    for folder, arrays in (("1", EXAMPLE), ("2", dict(reversed(EXAMPLE.items())))):
        (tmp_path / folder).mkdir()
        tf1_bundles.write(tmp_path / folder / "model.ckpt-0", arrays)
    for name in ("model.ckpt-0.index", "model.ckpt-0.data-00000-of-00001", "checkpoint"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()
    assert (tmp_path / "1" / "checkpoint").read_text() == (
        'model_checkpoint_path: "model.ckpt-0"\nall_model_checkpoint_paths: "model.ckpt-0"\n'
    )


@pytest.mark.parametrize(("name", "dtype"), [("", "f4"), ("x", "U3"), ("x", "datetime64[s]")])
def test_what_has_no_place_in_a_bundle(tmp_path: Path, name: str, dtype: str):
    with pytest.raises(ValueError, match="expected a name and a type of numbers"):
        tf1_bundles.write(tmp_path / "m", {name: np.zeros(2, dtype)})


# Finding it


def test_a_bundle_has_many_names(tmp_path: Path):
    index = write_bundle(tmp_path, EXAMPLE, shards=2)
    (tmp_path / "model.ckpt-0.meta").write_bytes(b"a graph")
    (tmp_path / "other.index").write_bytes(b"a book's")
    for name in ("", ".index", ".meta", ".data-00000-of-00002", ".data-00001-of-00002"):
        assert tf1_bundles.locate(tmp_path / f"model.ckpt-0{name}") == index
    assert tf1_bundles.locate(tmp_path) == index
    renamed = index.rename(tmp_path / "renamed")
    assert tf1_bundles.is_index(renamed)
    assert tf1_bundles.locate(renamed) == renamed
    for name in ("model.ckpt-0", "model.ckpt-0.meta", "other.index", "nowhere/model", "checkpoint"):
        assert tf1_bundles.locate(tmp_path / name) is None
    assert tf1_bundles.locate(tmp_path) is None


def test_a_file_that_is_no_part_of_the_bundle_beside_it(tmp_path: Path):
    write_bundle(tmp_path, EXAMPLE)
    (tmp_path / "model.ckpt-0").write_bytes(b"something else")
    assert tf1_bundles.locate(tmp_path / "model.ckpt-0") is None


def test_several_bundles_in_a_folder(tmp_path: Path):
    for name in ("a", "b"):
        tf1_bundles.write(tmp_path / name, EXAMPLE)
    with pytest.raises(ValueError, match=r"expected one bundle in this folder, found a\.index, b\.index"):
        tf1_bundles.locate(tmp_path)


def test_a_missing_data_file(tmp_path: Path):
    index = write_bundle(tmp_path, EXAMPLE, shards=3)
    (tmp_path / "model.ckpt-0.data-00001-of-00003").unlink()
    for use in (tf1_bundles.read, tf1_bundles.files):
        with pytest.raises(ValueError, match=r"expected the data file model\.ckpt-0\.data-00001-of-00003"):
            use(index)


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


# TensorFlow itself


@pytest.mark.slow
def test_tensorflow_writes_and_we_read(tmp_path: Path):
    tf = pytest.importorskip("tensorflow")
    rng = np.random.default_rng(0)
    arrays = {f"layer{i}/w": rng.standard_normal((3, 4, i), np.float32) for i in range(50)}
    numbers = {name: rng.integers(0, 100, (2, 3)).astype(getattr(ml_dtypes, name, name)) for name in TYPES}
    v1 = tf.compat.v1
    with v1.Graph().as_default(), v1.Session() as session:
        variables = [v1.get_variable(name, initializer=array) for name, array in arrays.items()]
        pieces = v1.get_variable("p", [10, 4], partitioner=v1.fixed_size_partitioner(2), use_resource=False)
        session.run(v1.global_variables_initializer())
        for sharded in (False, True):
            v1.train.Saver(variables, sharded=sharded).save(session, str(tmp_path / "model.ckpt"), global_step=7)
            assert_same(tf1_bundles.read(tmp_path / "model.ckpt-7.index"), arrays)
        v1.train.Saver([pieces]).save(session, str(tmp_path / "pieces"))
    with pytest.raises(ValueError, match="p: expected variables in one piece"):
        tf1_bundles.read(tmp_path / "pieces.index")
    tf.raw_ops.SaveV2(
        prefix=str(tmp_path / "raw"),
        tensor_names=[*numbers, "text"],
        shape_and_slices=[""] * (len(numbers) + 1),
        tensors=[*map(tf.constant, numbers.values()), tf.constant(["a", "bc"])],
    )
    assert_same(tf1_bundles.read(tmp_path / "raw.index"), numbers)
    objects = tf.train.Checkpoint(w=tf.Variable(arrays["layer3/w"])).save(str(tmp_path / "objects"))
    found = tf1_bundles.read(Path(f"{objects}.index"))
    np.testing.assert_array_equal(found["w/.ATTRIBUTES/VARIABLE_VALUE"], arrays["layer3/w"])


@pytest.mark.slow
def test_we_write_and_tensorflow_reads(tmp_path: Path):
    tf = pytest.importorskip("tensorflow")
    rng = np.random.default_rng(0)
    arrays: Arrays = {
        f"of/{name}": rng.integers(0, 100, (2, 3)).astype(getattr(ml_dtypes, name, name)) for name in TYPES
    }
    arrays |= {f"layer{i}/w": rng.standard_normal((3, 4, i), np.float32) for i in range(2000)}
    arrays |= {"scalar": np.array(3.5), "naïve": np.ones(2, np.float32)}
    tf1_bundles.write(tmp_path / "model.ckpt-7", arrays)
    latest = tf.train.latest_checkpoint(str(tmp_path))
    assert latest == str(tmp_path / "model.ckpt-7")
    reader = tf.train.load_checkpoint(latest)
    assert_same({name: np.asarray(reader.get_tensor(name)) for name in reader.get_variable_to_shape_map()}, arrays)
    v1 = tf.compat.v1
    with v1.Graph().as_default(), v1.Session() as session:
        variable = v1.get_variable("layer9/w", [3, 4, 9])
        v1.train.Saver([variable]).restore(session, latest)
        np.testing.assert_array_equal(session.run(variable), arrays["layer9/w"])
