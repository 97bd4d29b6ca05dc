"""Random problems for certified solvers, awkward ones among them."""

import numpy as np
import pytest
from optima import HINGES, Data

from jaxlin import losses, normalization

LOSSES = {
    loss.__name__: loss
    for loss in (
        losses.weston_watkins_hinge,
        losses.weston_watkins_squared_hinge,
        losses.crammer_singer_hinge,
        losses.one_vs_rest_hinge,
        losses.softmax_cross_entropy,
        losses.cross_entropy,
    )
}
SMOOTH = [name for name in LOSSES if name not in HINGES]
KINDS = (
    "noisy",
    "separable",
    "duplicated columns",
    "constant features",
    "weighted",
    "one example",
    "few examples",
    "large scores",
    "soft margin",
    "one class",
)


def over_losses(*default, names=tuple(LOSSES)):
    """Parametrises a test over losses, of which these are in the default run."""
    others = [name for name in names if name not in default]
    full = [pytest.param(name, marks=pytest.mark.full) for name in others]
    return pytest.mark.parametrize("name", [*default, *full])


def arguments_of(name, margin):
    """The loss's traced keywords."""
    return {"margin": margin} if "hinge" in name else {}


def make(generator, kind, name, shape, *, dtype=np.float32, l2=None):
    """A problem ``(features, targets, settings, data)`` of that kind.

    Args:
      generator: of NumPy.
      kind: one of `KINDS`.
      name: of the loss.
      shape: examples, features, classes.
      dtype: of the features; uint8 comes with a normalization.
      l2: strength; None draws it.

    Returns:
      Fields of ``Examples`` and the number of classes, keywords of ``Settings``, and
      `optima.Data`.
    """
    examples, width, classes = shape
    rows = generator.normal(size=(examples, width))
    if kind == "duplicated columns":
        rows[:, 1:] = rows[:, :1]
    elif kind == "constant features":
        rows[:, 0], rows[:, -1] = 3, 0
    elif kind == "large scores":
        rows *= 30
    teacher = generator.normal(size=(classes, width))
    scores = rows @ teacher.T
    if kind != "separable":
        scores += 3 * generator.normal(size=scores.shape)
    labels = np.argmax(scores, axis=1).astype(np.int32)
    if kind == "one class":
        labels[:] = classes - 1
    weights = np.ones(examples, np.float32)
    if kind == "weighted":
        weights = 10 ** generator.uniform(-3, 1, size=examples)
        weights[generator.uniform(size=examples) < 0.3] = 0
        weights[0] = 1
    elif kind in ("one example", "few examples"):
        weights[1 if kind == "one example" else 4 :] = 0
    weights = weights.astype(np.float32)

    fitted = None
    features = rows.astype(np.float32 if dtype == np.uint8 else dtype)
    if dtype == np.uint8:
        features = np.clip(128 + 50 * rows, 0, 255).astype(np.uint8)
        fitted = normalization.fit_centered(features, scale=50.0)
    exact = np.asarray(features, np.float64)
    if fitted is not None:
        exact = (exact - np.float64(fitted.mean)) / np.float64(fitted.scale)
    targets = labels
    if name == "cross_entropy":
        targets = generator.dirichlet(np.full(classes, 0.5), size=examples)
        targets[::3] = np.eye(classes)[labels[::3]]
        targets = targets.astype(np.float32)
    drawn = float(10 ** generator.uniform(-4, 0))
    l2 = drawn if l2 is None else l2
    margin = 0.1 if kind == "soft margin" else float(generator.uniform(0.5, 2))
    if "hinge" not in name:
        margin = 1.0
    data = Data(
        np.c_[exact, np.ones(examples)],
        targets,
        np.float64(weights) / np.float64(weights).sum(),
        classes,
        name,
        l2,
        margin,
    )
    if targets.ndim == 2:
        exact_targets = np.float64(targets)
        data = data._replace(
            targets=exact_targets / exact_targets.sum(axis=1, keepdims=True)
        )
    given = {
        "features": features,
        "targets": targets,
        "num_classes": classes,
        "example_weights": weights,
        "normalization": fitted,
    }
    return given, {"l2": l2, "loss_arguments": arguments_of(name, margin)}, data
