"""Minibatch training: bad problems, batch sizes and step numbers are refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from minibatch_runs import make, raw_examples, start, train

import jaxlin
from jaxlin import normalization
from jaxlin.solvers import interface

BAD_PROBLEMS = {
    "label too large": (
        {"labels": [0, 3]},
        r"labels must be among the 3 classes .*got 3",
    ),
    "too few labels": ({"labels": [0]}, "one entry per example, got 1 for 2"),
    "nan": ({"features": [[np.nan], [0.0]]}, "features must be finite"),
    "negative weight": ({"weights": [1, -1]}, "weights must be .* 0"),
    "too many weights": ({"weights": np.ones(3)}, r"shape \(2,\), got"),
    "sums": ({"labels": [[0.5, 0.5, 0.5], [1, 0, 0]]}, "sum 1.5 at position 0"),
    "below zero": ({"labels": [[1, 0, 0], [1.5, -0.5, 0]]}, "minimum -0.5"),
    "one class": ({"labels": [0, 0], "classes": [0]}, "classes must be at least 2"),
    "labels of one class": ({"labels": [2, 2]}, "at least two classes, got only cla"),
    "one with weight": ({"weights": [0, 1]}, "weights, got only class 2"),
    "distributions of one": (
        {"labels": [[0, 1, 0], [0, 1, 0]]},
        "at least two classes, got only class 1",
    ),
    "width": ({"normalization": normalization.identity(2)}, "for 1 features"),
}


@pytest.mark.parametrize(
    ("change", "message"), BAD_PROBLEMS.values(), ids=BAD_PROBLEMS.keys()
)
def test_bad_problems(change, message):
    good = {"features": [[1.0], [2.0]], "labels": [0, 2], "classes": range(3)}
    arguments = {**good, **change}
    rows, labels = arguments.pop("features"), arguments.pop("labels")
    with pytest.raises(ValueError, match=message):
        jaxlin.problem(rows, labels, **arguments)


def test_a_problem_with_soft_targets_and_weights():
    made = jaxlin.problem(
        np.eye(2, dtype=np.uint8),
        [[0.5, 0.5], [0.0, 1.0]],
        classes=range(2),
        weights=[1, 2],
        normalization=normalization.identity(2),
    ).examples
    assert made.features.dtype == jnp.uint8
    np.testing.assert_array_equal(made.targets, [[0.5, 0.5], [0, 1]])
    np.testing.assert_array_equal(made.example_weights, [1, 2])


@pytest.mark.parametrize("batch_size", [0, -1, 2.5, True])
def test_batch_size_must_be_a_positive_integer(batch_size):
    with pytest.raises(ValueError, match="batch_size must be"):
        make(batch_size=batch_size)


def test_arguments_that_the_loss_lacks_or_needs_are_named():
    settings = interface.Settings(learning_rate=0.1)
    with pytest.raises(ValueError, match=r"have power, .* give .*\{\"power\": ...\}"):
        train(make(loss=powered), settings)
    with pytest.raises(ValueError, match=r"those of powered \(power\), got 'margin'"):
        train(make(loss=powered), settings._replace(loss_arguments={"margin": 1.0}))


def powered(scores, label, *, power):
    return scores[label] ** power


def test_batch_size_must_not_exceed_the_number_of_examples():
    with pytest.raises(ValueError, match="batch_size must be at most 50, got 51"):
        train(make(batch_size=51), interface.Settings(learning_rate=0.1))


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"num_steps": -1}, "num_steps must be at least 0"),
        ({"num_steps": 2, "steps_per_chunk": 0}, "steps_per_chunk must be at least 1"),
        ({"num_steps": 2, "first_step": 3}, "first_step must be at most 2"),
    ],
)
def test_bad_step_numbers_are_refused_when_run_is_called(numbers, message):
    solver, settings = make(), interface.Settings(learning_rate=0.1)
    with pytest.raises(ValueError, match=message):
        interface.run(
            solver,
            jax.random.key(0),
            solver.init(start(), raw_examples(), settings),
            raw_examples(),
            settings,
            **numbers,
        )
