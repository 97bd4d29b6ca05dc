"""Fits of numbers at the ends of float32: no proof of another problem."""

import numpy as np
import optima
import pytest
from fitting_problems import (
    EXAMPLES,
    LOSS_OF_CLASSES,
    SOFTMAX,
    WIDTH,
    data,
    extended,
    folded,
)

import jaxlin
from jaxlin import normalization
from jaxlin.certificates import certification, duality
from jaxlin.objective import row_blocks

STOP = jaxlin.Stop(1e-4)


def column_of_size(size, dtype):
    """The rows of three classes, one feature of them of another size; their labels."""
    rows, labels = data(3)
    factors = np.where(np.arange(WIDTH) == 1, size, 1.0)
    return (rows * factors).astype(dtype), labels


@pytest.mark.parametrize(
    ("size", "is_normalized"),
    [
        *((size, False) for size in (1e-13, 1e-29, 1e-36, 1e-37, 1e-40)),
        *((size, True) for size in (1e-13, 1e-29)),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_proven_is_true_of_features_of_any_size(size, is_normalized, dtype):
    rows, labels = column_of_size(size, dtype)
    z = np.float64(rows)
    if is_normalized:
        scaling = normalization.fit_standard(rows)
        z = (z - np.float64(scaling.mean)) / np.float64(scaling.scale)
    settings = {"loss": SOFTMAX, "l2": 1e-2, "stop": STOP}
    if is_normalized:
        # One program with what follows.
        settings |= {"normalization": scaling, "weights": np.ones(EXAMPLES)}
    found = jaxlin.fit(rows, labels, **settings)
    weights = np.full(EXAMPLES, 1 / EXAMPLES)
    truth = optima.Data(extended(z), labels, weights, 3, "softmax_cross_entropy", 1e-2)
    assert found.converged
    value = optima.objective(np.float64(folded(found)), truth)
    np.testing.assert_allclose(found.certificate.primal, value, rtol=1e-5)
    assert value - optima.optimum(truth).value <= duality.bound(found.certificate)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1e-34, 1e-36, 1e-37, 1e-40, 1e32, 1e37])
def test_features_that_float32_would_lose_are_refused(size, dtype):
    rows, labels = column_of_size(size, dtype)
    with pytest.raises(ValueError, match="not constant must have .* for feature 1"):
        normalization.fit_standard(rows)
    scale = np.float64(rows).std(axis=0)
    by_hand = normalization.Normalization(np.zeros(WIDTH), scale)
    for refine in (False, True):
        with pytest.raises(ValueError, match="normalization must have scales from"):
            jaxlin.fit(
                *(rows, labels),
                loss=SOFTMAX,
                l2=1e-2,
                normalization=by_hand,
                refine=refine,
            )
    if size > 1:
        with pytest.raises(ValueError, match="features must have norms below"):
            jaxlin.fit(rows, labels, loss=SOFTMAX, l2=1e-2)


JUNK = {
    "finite": (np.float32, 1e6),
    "norms that overflow": (np.float32, 1e30),
    "beyond float32": (np.float64, 1e300),
}


@pytest.mark.parametrize(("dtype", "value"), JUNK.values(), ids=JUNK.keys())
@pytest.mark.parametrize("num_classes", [3, pytest.param(2, marks=pytest.mark.full)])
def test_rows_of_weight_0_are_as_if_they_were_not_there(dtype, value, num_classes):
    half = EXAMPLES // 2
    rows, labels = (array[:half] for array in data(num_classes))
    junk, their_labels = np.full((half, WIDTH), value), np.arange(half) % num_classes
    places = np.random.default_rng(1).permutation(EXAMPLES)
    rows = rows.astype(dtype)
    given = np.concatenate([rows, junk])[places].astype(dtype)
    targets = np.concatenate([labels, their_labels])[places]
    weights = np.repeat([1.0, 0.0], half)[places]
    # Each of the others twice is the same problem, in as many rows: one program.
    twice = np.repeat(np.flatnonzero(weights), 2)
    settings = {"loss": LOSS_OF_CLASSES[num_classes], "l2": 1e-2, "stop": STOP}
    scaling = normalization.fit_standard(given, example_weights=weights)
    settings["normalization"] = scaling
    alone = jaxlin.fit(given[twice], targets[twice], weights=weights[twice], **settings)
    whole = jaxlin.fit(given, targets, weights=weights, **settings)
    blocks = row_blocks.over(given, targets, example_weights=weights, block_size=half)
    streamed = jaxlin.fit(blocks, **settings)
    assert alone.converged
    for found in (whole, streamed):
        assert found.converged
        np.testing.assert_allclose(
            found.certificate.primal, alone.certificate.primal, rtol=2e-4
        )
        assert abs(found.passes - alone.passes) <= 2
    proof = certification.certificate(
        alone.params,
        *(given, targets),
        loss=settings["loss"],
        l2=1e-2,
        example_weights=weights,
        normalization=scaling,
    )
    np.testing.assert_allclose(proof.primal, alone.certificate.primal, rtol=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_weights_of_another_unit_are_one_problem_or_refused(dtype):
    rows, labels = data(3)
    weights = 1.0 + np.arange(EXAMPLES) % 3
    settings = {"loss": SOFTMAX, "l2": 1e-2, "stop": STOP}
    settings |= {"normalization": normalization.fit_standard(rows)}
    usual = jaxlin.fit(rows, labels, weights=weights, **settings)
    for unit in (1e-10, 1e10):
        given = (unit * weights).astype(dtype)
        found = jaxlin.fit(rows, labels, weights=given, **settings)
        assert found.converged
        np.testing.assert_allclose(
            found.certificate.primal, usual.certificate.primal, rtol=2e-4
        )
    for unit in (1e-20, 1e-38, 1e-40, 1e37):
        given = (unit * weights).astype(dtype)
        with pytest.raises(ValueError, match="divide them by their mean"):
            jaxlin.fit(rows, labels, weights=given, **settings)
