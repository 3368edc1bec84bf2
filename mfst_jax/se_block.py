"""SE-block, Squeeze-and-Excitation: channel means of a feature map to one weight a channel."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

# Sec. IV-A e)
SE_REDUCTION = 4
"""Channel reduction factor r: a hidden layer has a quarter of the channels."""


class SEBlock(nn.Module):
    """SE-block (Hu et al. 2018; paper section III-B b): a feature map to channel weights in (0, 1).

    The dense layers have biases, as in the authors' code; equation 2 of the paper is the case where they are zero.
    """

    @nn.compact
    def __call__(self, features: Float[Array, "n h w c"]) -> Float[Array, "n c"]:
        """Channel weights [n, c] in (0, 1), from features [n, h, w, c]."""
        channels = features.shape[-1]
        init = nn.initializers.xavier_uniform()
        # Fig. 2, Eq. (1): w_sq = mean of v_c(m, n) over m, n
        squeezed = jnp.mean(features, axis=(1, 2))
        # Eq. (2): w_ex = sigmoid(W2 relu(W1 w_sq))
        hidden = nn.relu(nn.Dense(channels // SE_REDUCTION, kernel_init=init, name="squeeze")(squeezed))
        return nn.sigmoid(nn.Dense(channels, kernel_init=init, name="excite")(hidden))


class SEBlocks(nn.Module):
    """SE-blocks of one backbone, one for each layer."""

    @nn.compact
    def __call__(self, features: dict[str, Float[Array, "n _ _ _"]]) -> dict[str, Float[Array, "n _"]]:
        """Channel weights by layer, from features by layer."""
        return {layer: SEBlock(name=layer)(maps) for layer, maps in features.items()}


def recalibrate(features: Float[Array, "n h w c"], weights: Float[Array, "#n c"]) -> Float[Array, "n h w c"]:
    """Recalibrated features: each channel times its weight."""
    # Eq. (3): F* = w_ex . F
    return features * jnp.expand_dims(weights, (1, 2))
