"""Held-out sets: single examples stay in training, and weight 0 is no example."""

import jax
import numpy as np
import pytest

from jaxlin.selection import held_out

KEY = jax.random.key(0)
LABELS = np.array([0] * 12 + [1] * 8 + [2, 2, 3])
# One example of class 2 counts, and one of class 3; a fourth of the others does not.
WEIGHTS = np.where(np.arange(23) % 4 == 3, 0, 1.5)
WEIGHTS[[20, 21, 22]] = 0, 2, 1


@pytest.mark.parametrize("validation", [0.3, 3])
def test_weight_zero_is_no_example(validation):
    kept = np.flatnonzero(WEIGHTS)
    found = held_out.weights(
        KEY, LABELS, example_weights=WEIGHTS, validation=validation
    )
    alone = held_out.weights(KEY, LABELS[kept], validation=validation)
    np.testing.assert_array_equal(found[:, kept], alone)
    assert found.sum() == alone.sum() > 0
    assert not found[:, 21:].any()


def test_positive_weights_do_not_change_the_draw():
    weights = 1 + np.arange(23) % 3
    np.testing.assert_array_equal(
        held_out.weights(KEY, LABELS, example_weights=weights),
        held_out.weights(KEY, LABELS),
    )


def test_one_counted_example_per_class_is_refused_where_a_choice_is_to_be_made():
    weights = np.isin(np.arange(23), (0, 12))
    with pytest.raises(ValueError, match="got 2 examples of as many classes"):
        held_out.weights(KEY, LABELS, example_weights=weights)
    none = held_out.weights(KEY, LABELS, example_weights=weights, num_settings=1)
    assert none.shape == (0, 23)


def test_weights_are_checked():
    with pytest.raises(ValueError, match=r"example_weights must have shape \(23,\)"):
        held_out.weights(KEY, LABELS, example_weights=np.ones(22))
    with pytest.raises(ValueError, match="example_weights must be finite and at least"):
        held_out.weights(KEY, LABELS, example_weights=-np.ones(23))
