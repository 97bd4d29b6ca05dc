"""A probe of bad arguments raises a readable ValueError."""

import jax
import numpy as np
import pytest
from sweep_problems import LABELS, ROWS

import jaxlin
from jaxlin import losses

KEY = jax.random.key(0)
L2S = (1e-1, 1e-2, 1e-3)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"features": ROWS * np.nan}, "features must be finite"),
        ({"test_features": ROWS[:, :2]}, "test_features must have 5 features, got 2"),
        ({"labels": LABELS + 0.5}, "labels must be integers"),
        (
            {"labels": LABELS.astype(str)},
            "test_labels must be text, as the classes are",
        ),
        ({"test_labels": LABELS - 1}, "test_labels must be among the 3 classes"),
        ({"classes": range(2)}, "labels must be among the 2 classes"),
        ({"labels": LABELS * 0}, "labels must name at least two classes"),
        ({"l2s": ()}, "l2s must not be empty"),
        ({"l2s": (0.0,)}, "must be above 0"),
        ({"l2s": 0.1}, "l2s must be a sequence of numbers"),
        (
            {"validation": 1.5},
            "validation must be a fraction below 1, got 1.5; a number",
        ),
        ({"validation": 1}, "validation must be at least 2"),
        ({"validation": 61}, "validation must be at most 60"),
        (
            {
                "features": ROWS[:2],
                "labels": np.arange(2),
                "test_labels": LABELS % 2,
                "l2s": L2S,
            },
            "labels must have two examples of some class.* got 2 examples of as many "
            "classes; give a single setting",
        ),
        (
            {
                "labels": np.arange(60) % 2,
                "test_labels": LABELS % 2,
                "weights": np.arange(60) < 2,
                "l2s": L2S,
            },
            "labels must have two examples of some class.* got 2 examples of as many",
        ),
        ({"weights": np.ones(59)}, r"weights must have shape \(60,\), got shape \(59"),
        ({"weights": -np.ones(60)}, "weights must be finite and at least 0, got"),
        ({"weights": np.zeros(60)}, "weights must have a positive sum"),
        (
            {"weights": LABELS == 1},
            "two classes with positive weights, got only class 1",
        ),
        ({"stop": 1e-3}, "stop must be a jaxlin.Stop"),
        ({"loss": losses.cross_entropy}, "labels must be distributions"),
    ],
)
def test_bad_input(changes, words):
    given = {
        "features": ROWS,
        "labels": LABELS,
        "test_features": ROWS,
        "test_labels": LABELS,
        "l2s": (0.1,),
        **changes,
    }
    parts = [given.pop(name) for name in ("features", "labels")]
    parts += [given.pop(name) for name in ("test_features", "test_labels")]
    with pytest.raises(ValueError, match=words):
        jaxlin.probe(KEY, *parts, **given)


def test_keys_are_keys():
    with pytest.raises(ValueError, match="key must be a key, got 0"):
        jaxlin.probe(0, ROWS, LABELS, ROWS, LABELS)
