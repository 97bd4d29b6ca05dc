"""One network of the default recipe on all of CIFAR-10 is right on 70 % or more."""

import jax
import jax.numpy as jnp
import pytest

from experiments.common import run_folder
from experiments.common.config import to_dict
from experiments.error_decomposition import deep, network
from experiments.error_decomposition.config import Config
from jaxlin import linear


@pytest.mark.full
@pytest.mark.cifar10
def test_a_network_reaches_70_percent(real_cifar10, tmp_path):
    config = Config()
    train, test = (
        network.images_of(part.features, part.labels, real_cifar10.image_shape)
        for part in (real_cifar10.train, real_cifar10.test)
    )
    test = test._replace(normalization=train.normalization)
    start = network.init(
        jax.random.key(0),
        train,
        num_classes=10,
        width=config.width,
        num_features=config.network_features,
    )
    folder = run_folder.open_run(
        config=to_dict(config),
        experiment="network",
        dataset="cifar10",
        out=tmp_path / "run",
        resume=None,
    )
    made, _ = network.trained(
        folder,
        "network",
        jax.random.key(1),
        start,
        train,
        jnp.arange(len(train.labels)),
        deep.recipe(config),
    )
    rows = network.features(made.body, test)
    predicted = jnp.argmax(jax.vmap(linear.scores, (None, 0))(made.head, rows), axis=1)
    # How long it takes is printed by the training (`-s -n 0`), since machines differ.
    assert jnp.mean(predicted == test.labels) >= 0.70
