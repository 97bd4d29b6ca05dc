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
        ({"validation": -0.1}, "validation must be above 0"),
        (
            {"validation": None, "l2s": L2S},
            "validation must be given to choose among 3 settings, got None",
        ),
        ({"validation": np.ones(59, bool)}, r"must be a mask of shape \(60,\), got"),
        ({"validation": np.zeros(60, bool)}, "must hold out an example of positive"),
        (
            {"validation": np.arange(60) < 9, "weights": np.arange(60) >= 9},
            "must hold out an example of positive weight, got none in part 0",
        ),
        (
            {"validation": LABELS == 1},
            "validation must leave an example of every class to train on, but "
            "fold 0 holds out every example of class 1; .* by fold ids with -1",
        ),
        ({"validation": [3, 3]}, r"distinct indices in \[0, 59\], got 2 integers"),
        ({"validation": [3, 60]}, r"distinct indices in \[0, 59\], .* from 3 to 60"),
        ({"validation": [3, -2]}, r"distinct indices in \[0, 59\], .* from -2 to 3"),
        (
            {"validation": np.arange(61)},
            r"validation must be integers \(60,\), one per",
        ),
        (
            {"validation": [(np.arange(40), np.arange(40, 60))] * 2},
            r"validation must be integers \(60,\).* of pairs \(train, test\)",
        ),
        ({"validation": "auto"}, r"validation must be integers \(60,\)"),
        (
            {"validation": (ROWS[:, :2], LABELS)},
            "validation features must have 5 features, got 2",
        ),
        (
            {"validation": (ROWS, LABELS + 1)},
            "validation labels must be among the 3 classes",
        ),
        (
            {"validation": 3, "train_on_validation": False},
            "train_on_validation must be True unless there is one held-out set, .* 3",
        ),
        ({"choose": "best"}, "choose must be a selection rule, .* got 'best'"),
        ({"cs": (1.0,)}, "cs must not be given with l2s"),
        ({"l2s": None, "cs": (1.0, 0.0)}, r"cs\[1\] must be above 0"),
        (
            {"class_weights": "equal"},
            'class_weights must be None, "balanced" or one number per class, got',
        ),
        (
            {"class_weights": (1, 2)},
            r"class_weights must be one number per class, 3 of them in .* shape \(2,\)",
        ),
        ({"class_weights": (1, 0, 2)}, r"class_weights\[1\] must be above 0"),
        (
            {"class_weights": (1, 1e30, 2)},
            "weights times class_weights must have their",
        ),
        (
            {
                "class_weights": "balanced",
                "undo_prior_shift": True,
                "loss": losses.weston_watkins_hinge,
            },
            "undo_prior_shift must be False unless the loss is softmax_cross_entropy.* "
            "got True with weston_watkins_hinge",
        ),
        (
            {"labels": np.linspace(0, 1, 60)},
            r"real-valued targets \(regression\) are out of scope",
        ),
        (
            {"labels": np.random.default_rng(0).normal(size=(60, 2))},
            r"got shape \(60, 2\); real-valued targets \(regression\) are out of scope",
        ),
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
