"""The smallest perturbations of all test images, and accuracy against their size."""

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.viewpoints.config import Config, boxed_images
from experiments.viewpoints.measure import Trained
from jaxlin import data
from jaxlin.geometry import robustness
from jaxlin.geometry.robustness import Perturbation
from jaxlin.linear import Params
from jaxlin.stats import intervals

NORMS = {"L1": 1, "L2": 2, "Linf": math.inf}

# Images at once: each takes a copy of the templates, and a sort in L1.
_IN_A_BLOCK = 50


class Radii(NamedTuple):
    """Radii in one norm, in pixels divided by their largest value.

    Attributes:
      free: of all test images, without bounds.
      boxed: of the first ones, within the pixel range.
      correct: whether each test image is labelled rightly.
      shown: the first image that is labelled rightly, of those in ``boxed``.
      change: of that image within the pixel range: size, new label and change.
    """

    free: np.ndarray
    boxed: np.ndarray
    correct: np.ndarray
    shown: int
    change: Perturbation


def of_norm(
    config: Config, dataset: data.Dataset, classifier: Trained, name: str
) -> Radii:
    """Radii of the test images in a norm, right images or not.

    Raises:
      ValueError: if of those within the pixel range none is right, so that there is
        nothing to sum up.
    """
    raw, scale = _in_units(classifier, dataset)
    rows = dataset.test.features
    free = _radii(raw, rows, scale, norm=NORMS[name])
    count = boxed_images(config, dataset)
    boxed = _boxed(raw, rows[:count], scale, norm=NORMS[name])
    correct = classifier.scores.argmax(axis=1) == dataset.test.labels
    if not correct[:count].any():
        raise ValueError(
            "boxed_images must reach a test image that is labelled rightly, got "
            f"{count}; give more with --boxed-images"
        )
    shown = int(correct[:count].argmax())
    return Radii(
        np.asarray(free),
        np.asarray(boxed.radius),
        correct,
        shown,
        jax.tree.map(lambda leaf: np.asarray(leaf[shown]), boxed),
    )


def curve(radii: Radii, sizes: np.ndarray, *, boxed: bool) -> np.ndarray:
    """Share of images that stay right under every perturbation of each size.

    Of the images that have both radii, so that two curves differ by the bounds alone.
    """
    values = radii.boxed if boxed else radii.free[: len(radii.boxed)]
    share = robustness.robust_accuracy(
        jnp.asarray(values),
        jnp.asarray(radii.correct[: len(values)]),
        jnp.asarray(sizes, values.dtype),
    )
    return np.asarray(share.value)


def summary(radii: Radii) -> dict[str, Any]:
    """Numbers of one norm: accuracy and the radii of the images that are right.

    Returns:
      By kind: ``free`` of all images without bounds; of the first ones ``first_free``
      without bounds and ``boxed`` within the pixel range, which can be compared.
    """
    found: dict[str, Any] = {}
    kinds = {
        "free": radii.free,
        "first_free": radii.free[: len(radii.boxed)],
        "boxed": radii.boxed,
    }
    for kind, values in kinds.items():
        right = radii.correct[: len(values)]
        own = values[right]
        low, high = intervals.proportion_interval(int(right.sum()), len(right))
        found[kind] = {
            "images": len(values),
            "accuracy": float(right.mean()),
            "accuracy_interval": [low, high],
            "median": float(np.median(own)),
            "quartiles": [float(q) for q in np.quantile(own, [0.25, 0.75])],
            "never": float(np.isinf(own).mean()),
        }
    return found


def _in_units(classifier: Trained, dataset: data.Dataset) -> tuple[Params, float]:
    """The classifier on pixels divided by their largest value, float32."""
    scale = float(dataset.max_value)
    weights, bias = classifier.raw
    return (
        Params(
            jnp.asarray(scale * weights, jnp.float32), jnp.asarray(bias, jnp.float32)
        ),
        scale,
    )


@functools.partial(jax.jit, static_argnames=("norm",))
def _radii(params, rows, scale, *, norm):
    def radius(row):
        image = row.astype(params.weights.dtype) / scale
        return robustness.smallest_perturbation(params, image, norm=norm).radius

    return jax.lax.map(radius, rows, batch_size=min(_IN_A_BLOCK, len(rows)))


@functools.partial(jax.jit, static_argnames=("norm",))
def _boxed(params, rows, scale, *, norm):
    def smallest(row):
        image = row.astype(params.weights.dtype) / scale
        return robustness.smallest_perturbation(
            params, image, norm=norm, low=0.0, high=1.0
        )

    return jax.lax.map(smallest, rows, batch_size=min(_IN_A_BLOCK, len(rows)))
