"""Sweeps of more classes than a dense Hessian in the classes is used for."""

import numpy as np
import pytest

import jaxlin
from jaxlin import losses
from jaxlin.selection import grids, plans
from jaxlin.solvers import class_hessian

NUM_CLASSES = class_hessian.LARGEST_DENSE + 6
NUM_ROWS, NUM_FEATURES = 3 * NUM_CLASSES, 8
MODELS = {"losses": (losses.crammer_singer_hinge,), "l2s": (1e-1, 1e-2)}


class _StoppedError(Exception):
    """Raised to stop a sweep after its first state."""


@pytest.fixture(scope="module")
def problem():
    generator = np.random.default_rng(0)
    labels = np.arange(NUM_ROWS) % NUM_CLASSES
    means = generator.normal(size=(NUM_CLASSES, NUM_FEATURES))
    rows = means[labels] + generator.normal(size=(NUM_ROWS, NUM_FEATURES))
    return jaxlin.problem(rows.astype(np.float32), labels)


@pytest.fixture(scope="module")
def whole(problem):
    return jaxlin.sweep(problem, **MODELS, refine=False)


def test_a_sweep_goes_on_bit_for_bit(problem, whole, tmp_path):
    def stop(_):
        raise _StoppedError

    path = tmp_path / "sweep.npz"
    with pytest.raises(_StoppedError):
        jaxlin.sweep(problem, **MODELS, refine=False, checkpoint=path, callback=stop)
    resumed = jaxlin.sweep(problem, **MODELS, refine=False, checkpoint=path)
    assert whole.converged.all()
    for name in ("weights", "bias"):
        np.testing.assert_array_equal(
            getattr(resumed.params, name), getattr(whole.params, name)
        )


def test_little_memory_finds_the_same_optima(problem, whole):
    """Fewer pairs of L-BFGS change the number of passes, not what is proven."""
    of_weights = 4 * NUM_CLASSES * (NUM_FEATURES + 1)
    of_duals = 4 * NUM_ROWS * NUM_CLASSES
    # Two states of five pairs, with room for arrays that are not of the weights' size.
    memory = 2 * (17 * of_weights + of_duals)
    plan = plans.plan(
        grids.product(**MODELS),
        problem.examples,
        num_classes=NUM_CLASSES,
        memory_bytes=memory,
    )
    assert plan.num_pairs == 5
    assert 2 * plan.bytes <= memory
    few = jaxlin.sweep(problem, **MODELS, refine=False, memory_bytes=memory)
    assert few.converged.all()
    lowest, highest = (
        np.maximum(
            *(one.certificate.primal * (1 - one.relative_gap) for one in (few, whole))
        ),
        np.minimum(few.certificate.primal, whole.certificate.primal),
    )
    assert (lowest <= highest).all()
