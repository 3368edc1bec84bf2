"""Rows of a pool: the same as by indexing, and where a CPU device takes them without a copy."""

import jax
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from mfst_jax.padding import ALIGNMENT
from mfst_jax.train.correlation_pools import Pool, maps_file

CHANNELS = {"conv3": 5, "conv4": 3, "conv5": 2}


@pytest.fixture(params=[np.float32, np.float16])
def pool(tmp_path, request) -> tuple[Pool, dict[str, np.ndarray], np.ndarray]:
    draws = np.random.default_rng(0)
    maps = {layer: draws.normal(size=(7, 289, count)).astype(request.param) for layer, count in CHANNELS.items()}
    means = draws.normal(size=(7, 2, 10)).astype(np.float32)
    for layer, of_layer in maps.items():
        np.save(tmp_path / maps_file(layer), of_layer)
    np.save(tmp_path / "means.npy", means)
    return Pool(tmp_path, CHANNELS), maps, means


@pytest.mark.parametrize("rows", [[0], [6, 0, 3, 3], [[1, 2], [5, -1]], []])
def test_a_batch_has_the_rows_that_were_asked_for(pool, rows):
    kept, maps, means = pool
    rows = np.array(rows, int)
    batch = kept.batch(rows)
    for layer, of_layer in maps.items():
        np.testing.assert_array_equal(batch.maps[layer], of_layer[rows])
        assert batch.maps[layer].dtype == of_layer.dtype
    np.testing.assert_array_equal(np.concatenate([*batch.exemplar.values()], axis=-1), means[rows][..., 0, :])
    np.testing.assert_array_equal(np.concatenate([*batch.search.values()], axis=-1), means[rows][..., 1, :])


def test_a_row_that_is_not_there(pool):
    with pytest.raises(IndexError):
        pool[0].batch(np.array([0, 7]))


def test_a_device_takes_them_as_they_are(pool):
    batch = pool[0].batch(np.array([[4, 1]]))
    sharding = NamedSharding(Mesh(np.array(jax.devices("cpu")[:1]), ("data",)), PartitionSpec(None, "data"))
    for maps in batch.maps.values():
        assert maps.ctypes.data % ALIGNMENT == 0
        on_device = jax.make_array_from_process_local_data(sharding, maps, maps.shape)
        assert on_device.addressable_shards[0].data.unsafe_buffer_pointer() == maps.ctypes.data
