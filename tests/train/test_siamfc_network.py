"""SiamFC's network in training on CPUs: that of the Flax module, batch after batch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfst_jax import backbones
from mfst_jax.train import siamfc_network


@pytest.mark.slow
def test_features_statistics_and_gradients_are_the_modules():
    module = backbones.SiamFC(training=True)
    images = [jax.random.uniform(jax.random.key(n), (2, side, side, 3), maxval=255) for n, side in enumerate((95, 127))]
    variables = jax.jit(module.init)(jax.random.key(2), images[0])

    def by_module(weights, running):
        found = []
        for batch in images:
            seen, moved = module.apply({"params": weights, "batch_stats": running}, batch, mutable=["batch_stats"])
            running = moved["batch_stats"]
            found.append(seen)
        return found, running

    def loss(features):
        return sum(jnp.sum(jnp.sin(maps)) for batch in features for maps in batch.values())

    def summed(function):
        def run(weights, running):
            found, moved = function(weights, running)
            return loss(found), (found, moved)

        return jax.jit(jax.value_and_grad(run, has_aux=True))

    weights, running = variables["params"], variables["batch_stats"]
    (_, theirs), their_gradients = summed(by_module)(weights, running)
    ours_of = summed(lambda weights, running: siamfc_network.features(weights, running, images))
    (_, ours), our_gradients = ours_of(weights, running)
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for one, other in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4 * float(jnp.abs(other).max()))
    # By rounding, another of two nearly equal cells may be the highest of its window, so single numbers may differ.
    for one, other in zip(jax.tree.leaves(our_gradients), jax.tree.leaves(their_gradients), strict=True):
        assert jnp.linalg.norm(one - other) < 5e-3 * jnp.linalg.norm(other)
