"""TensorFlow bundles: ours are read bit by bit, also by TensorFlow; theirs are read, by whichever of their names."""

import struct
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from bundles import EXAMPLE, TYPES, Arrays, Entry, assert_same, crc, field, table, varint, write_bundle
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from weight_port.formats import crc32c, leveldb_table, protobuf, tf1_bundles

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
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
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
