"""Bad input to functions of the library is refused by name; files stay as they were."""

from pathlib import Path

import jax
import numpy as np
import optax
import pytest
import scipy.sparse
import small_fits
from bad_input_rows import X, assert_refused, call, full_disk, write

import jaxlin
from experiments import benchmark_training
from jaxlin import check, linear, losses, normalization
from jaxlin.certificates import label_certificates
from jaxlin.data import toy
from jaxlin.geometry import best_line, hyperplanes, robustness, separability
from jaxlin.io import checkpoint
from jaxlin.selection import splits
from jaxlin.solvers import interface, minibatch
from jaxlin.stats import comparison

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


def tree():
    checkpoint.save("tree.npz", {"w": np.ones(3, np.float32)})


def cut_tree():
    tree()
    write("tree.npz", Path("tree.npz").read_bytes()[:-99])


def load_tree(like):
    return lambda: checkpoint.load("tree.npz", like)


def save_tree():
    checkpoint.save("tree.npz", {"w": np.zeros(3, np.float32)})


def without_torch():
    """The benchmark against PyTorch where that is not installed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("importlib.util.find_spec", lambda name: None)
        benchmark_training.settle(benchmark_training.Config())


ROWS = {
    # Fits and checkpoints
    "predict sparse": call(
        predict(scipy.sparse.eye_array(4)), "features dense sparse .toarray()", model
    ),
    "predict ragged": call(predict([[1.0], [1.0, 2.0]]), "features rectangular", model),
    "predict another width": call(
        predict(X[:, :3]), "features must have 4 features, got 3", model
    ),
    "predict a NaN": call(predict(X * np.nan), "features finite nan row 0", model),
    "predict nothing": call(predict(X[:0]), "features must not be empty", model),
    "fit missing": call(predict(X), "model.npz"),
    "fit of another kind": call(
        lambda: jaxlin.load("tree.npz"), "tree.npz jaxlin.save", tree
    ),
    "checkpoint of other leaves": call(
        load_tree({"v": np.ones(3, np.float32)}), "tree.npz has no leaf ['v']", tree
    ),
    "checkpoint of another shape": call(
        load_tree({"w": np.ones(4, np.float32)}), "tree.npz ['w'] shape (3,) (4,)", tree
    ),
    "checkpoint cut short": call(load_tree({"w": X}), "tree.npz is damaged", cut_tree),
    "checkpoint on a full disk": call(
        full_disk(save_tree), "cannot write tree.npz No space left intact", tree
    ),
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
    "a single class to score": call(
        lambda: linear.init(KEY, num_classes=1, num_features=4), "num_classes least 2"
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
    "solver beyond its end": call(
        lambda: interface.run(None, None, None, None, None, num_steps=3, first_step=4),
        "first_step must be at most 3, got 4",
    ),
    "split of one": call(
        lambda: splits.random_split(KEY, 1, fraction=0.5), "num_examples at least 2"
    ),
    "split by float labels": call(
        lambda: splits.stratified_split(KEY, [0.5, 1.0], fraction=0.5),
        "labels must be integers",
    ),
    "scale 0": call(
        lambda: normalization.fit_centered(X, scale=0), "scale must be above 0, got 0"
    ),
    "a radius in another norm": call(
        lambda: robustness.smallest_perturbation(None, X[0], norm=3),
        "norm must be 1, 2 or infinity, got 3",
    ),
    "half a box": call(
        lambda: robustness.smallest_perturbation(None, X[0], norm=2, high=1.0),
        "low and high must be given together or not at all, got None and 1.0",
    ),
    "regions of four features": call(
        lambda: hyperplanes.regions(linear.Params(X[:3], X[:3, 0]), low=0, high=1),
        "params.weights must have 2 features, got 4",
    ),
    "a proof about one class": call(
        lambda: separability.prove(X, np.zeros(40, int)),
        "labels must name at least two classes, got only class 0",
    ),
    "a line in four dimensions": call(
        lambda: best_line.find(X, np.arange(40) % 2), "features 2 features, got 4"
    ),
    "a gap wider than the ring": call(
        lambda: toy.ring(KEY, num_examples=4, gap=1.5), "gap must be at most 0.99"
    ),
    "comparison of other examples": call(
        lambda: comparison.mcnemar([True], [True, False]), "same examples 1 and 2"
    ),
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_bad_input(row, compiled, tmp_path):
    assert_refused(row, compiled, tmp_path)
