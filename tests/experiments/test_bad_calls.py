"""Bad input to functions of the library is refused by name; files stay as they were."""

import jax
import numpy as np
import optax
import pytest
import small_fits
from bad_input_rows import X, assert_refused, call

import jaxlin
from experiments import benchmark_training
from jaxlin import check, linear, losses, normalization
from jaxlin.certificates import label_certificates
from jaxlin.data import toy
from jaxlin.selection import splits
from jaxlin.solvers import interface, minibatch

KEY = jax.random.key(0)


def model():
    """A fit of 3 classes and 4 features."""
    made = small_fits.trained(
        params=linear.Params(np.ones((3, 4)), np.zeros(3)),
        normalization=normalization.identity(4),
    )
    jaxlin.save("model.npz", made)


def predict(features):
    return lambda: jaxlin.predict(jaxlin.load("model.npz"), features)


def without_torch():
    """The benchmark against PyTorch where that is not installed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("importlib.util.find_spec", lambda name: None)
        benchmark_training.settle(benchmark_training.Config())


ROWS = {
    # Fits and checkpoints
    "predict another width": call(
        predict(X[:, :3]), "features must have 4 features, got 3", model
    ),
    "fit missing": call(predict(X), "model.npz"),
    # Functions that users call
    "weights negative": call(
        lambda: check.example_weights("weights", -np.ones(3), num_examples=3),
        "weights must be finite and at least 0, got -1.0 at row 0; give 0",
    ),
    "weights a word": call(
        lambda: check.example_weights("weights", "balanced", num_examples=3),
        "weights must be numbers, got 'balanced'",
    ),
    "normalization a word": call(
        lambda: normalization.check_normalization("standard", num_features=4),
        "normalization must be Normalization or None, got 'standard' fit_standard",
    ),
    "labels of another width": call(
        lambda: label_certificates.same_labels(
            linear.Params(X[:2], X[:2, 0]), X[:, :3], radius=0.1
        ),
        "features must have shape (rows, 4) got (40, 3)",
    ),
    "PyTorch not installed": call(
        without_torch, "peer must be False PyTorch not installed --no-peer"
    ),
    "loss unknown": call(
        lambda: check.choice("loss", "hinge", ("softmax_cross_entropy",)),
        "loss must be one of softmax_cross_entropy, got 'hinge'",
    ),
    "solver batch size 0": call(
        lambda: minibatch.solver(
            loss=losses.softmax_cross_entropy, make_optimizer=None, batch_size=0
        ),
        "batch_size must be at least 1, got 0",
    ),
    "solver without an optimiser's maker": call(
        lambda: minibatch.solver(
            loss=losses.softmax_cross_entropy,
            make_optimizer=optax.sgd(0.1),
            batch_size=1,
        ),
        "make_optimizer function of the learning rate optax.sgd",
    ),
    "solver without a learning rate": call(
        lambda: minibatch.solver(
            loss=losses.softmax_cross_entropy, make_optimizer=optax.sgd, batch_size=1
        ).init(None, None, interface.Settings(l2=0.1)),
        "settings.learning_rate must be a number, got None",
    ),
    "split of one": call(
        lambda: splits.random_split(KEY, 1, fraction=0.5), "num_examples at least 2"
    ),
    "a gap wider than the ring": call(
        lambda: toy.ring(KEY, num_examples=4, gap=1.5), "gap must be at most 0.99"
    ),
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_bad_input(row, compiled, tmp_path):
    assert_refused(row, compiled, tmp_path)
