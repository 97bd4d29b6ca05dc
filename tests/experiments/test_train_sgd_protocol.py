"""Both losses are trained alike, in one program, before the test set is touched."""

import dataclasses

import jax
import numpy as np
import pytest
import run_helpers
import sealed_data
from run_helpers import METHODS, SOFTMAX

import jaxlin
from experiments.svm_vs_softmax import protocol
from experiments.train_sgd import measure
from experiments.train_sgd.config import SMOKE


@pytest.fixture(scope="module")
def trainings(digits, tmp_path_factory):
    """Other l2 and learning rates, the same shapes, a sealed test set."""
    # A run of its own: programs of an earlier one may have been dropped since.
    run_helpers.run_study("train_sgd", out=tmp_path_factory.mktemp("first") / "run")
    config = dataclasses.replace(
        SMOKE,
        hinge_l2=(1e-4, 3e-3),
        hinge_learning_rates=(0.1, 2.0),
        softmax_l2=(3e-5, 3e-3),
        softmax_learning_rates=(0.2, 0.9),
    )
    calls, train, names = [], jaxlin.train, run_helpers.compiled_programs()
    del names[:]

    def watched(key, problem, **arguments):
        calls.append((key, problem, arguments))
        return train(key, problem, **arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jaxlin, "train", watched)
        out = tmp_path_factory.mktemp("watched") / "run"
        seen = sealed_data.watched_run(
            "train_sgd", digits, out, module=measure, config=config
        )
    return calls, seen, [*names]


def test_other_settings_of_the_same_shapes_compile_nothing(trainings):
    assert trainings[2] == []


def test_the_test_set_is_touched_once_after_all_training(trainings):
    """The seal did not break the run, and it was opened after the last refit."""
    assert trainings[1] == [set(METHODS)]


def test_both_losses_have_the_same_start_order_and_examples(trainings):
    """Both are drawn from a key and the seed, and from nothing else."""
    calls = trainings[0]
    assert [len(arguments["l2s"]) for _, _, arguments in calls] == [2, 1, 2, 1]
    keys = [jax.random.key_data(key) for key, _, _ in calls]
    for key in keys[1:]:
        np.testing.assert_array_equal(key, keys[0])
    for _, _, arguments in calls:
        assert (arguments["num_epochs"], arguments["num_seeds"]) == (4, 2)
    sizes = [problem.num_examples for _, problem, _ in calls]
    assert sizes == [1297 - 130, 1297] * 2
    for of_hinge, of_softmax in ((0, 2), (1, 3)):
        first, second = (calls[i][1].examples for i in (of_hinge, of_softmax))
        np.testing.assert_array_equal(first.features, second.features)
        np.testing.assert_array_equal(first.targets, second.targets)


def test_a_seal_can_tell(digits):
    sealed = sealed_data.SealedDataset(digits, lambda: False).test.labels
    assert len(sealed) == 500
    looks = (np.asarray, jax.numpy.asarray, lambda x: x == 1, lambda x: x[0])
    for look in (*looks, lambda x: x.max):
        with pytest.raises(AssertionError, match="touched early"):
            look(sealed)


def test_a_grid_is_one_program(digits, compiled):
    """One for 4 settings x 2 seeds."""
    split = protocol.split(SMOKE, digits.train.labels)
    problem = protocol.problem(digits, split.train)
    measure._trained(SMOKE, problem, SOFTMAX, [0.1, 0.2], [1e-3, 1e-2])
    assert len([name for name in compiled if "_advance" in name]) == 1
