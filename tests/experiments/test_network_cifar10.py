"""One network of the default recipe on all of CIFAR-10 is right on 70 % or more."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.common import run_folder
from experiments.error_decomposition import network
from experiments.error_decomposition.config import Config
from jaxlin import linear


@pytest.mark.full
@pytest.mark.cifar10
def test_a_network_reaches_70_percent(real_cifar10, tmp_path):
    config = Config()
    train, test = network.images_of(real_cifar10)
    folder = run_folder.create(tmp_path / "run", config={})
    everything = np.arange(len(train.labels))
    made, _ = network.trained(
        folder, "network", config, jax.random.key(1), train, 10, everything
    )
    rows = network.features(made.body, test)
    predicted = jnp.argmax(jax.vmap(linear.scores, (None, 0))(made.head, rows), axis=1)
    # How long it takes is printed by the training (`-s -n 0`), since machines differ.
    assert jnp.mean(predicted == test.labels) >= 0.70
