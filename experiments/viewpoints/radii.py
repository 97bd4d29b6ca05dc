"""Smallest perturbations of all test images, and accuracy against their size."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.common.study import Measured
from experiments.viewpoints.config import Config, boxed_images
from jaxlin import data
from jaxlin.geometry import robustness
from jaxlin.linear import Params
from jaxlin.stats import intervals

NORMS = {"L1": 1, "L2": 2, "Linf": math.inf}

# Images at once: each takes a copy of the templates, and a sort in L1.
_IN_A_BLOCK = 50


def measured(
    config: Config,
    dataset: data.Dataset,
    raw: Params,
    prediction: np.ndarray,
    *,
    name: str,
) -> Measured:
    """Smallest perturbations of the test images in a norm, and accuracy against size.

    Args:
      config: of the run.
      dataset: its test images are perturbed.
      raw: the classifier on raw pixels.
      prediction: label of each test image.
      name: of the norm.

    Raises:
      ValueError: if no image with a radius within the pixel range is right, so that
        there is nothing to sum up.
    """
    count, scale = boxed_images(config, dataset), float(dataset.max_value)
    correct = prediction == dataset.test.labels
    if not correct[:count].any():
        raise ValueError(
            "boxed_images must reach a test image that is labelled rightly, got "
            f"{count}; give more with --boxed-images"
        )
    # In units of the pixel range.
    weights, bias = scale * raw.weights, raw.bias
    params = Params(*(jnp.asarray(part, jnp.float32) for part in (weights, bias)))
    rows, norm = dataset.test.features, NORMS[name]
    free = np.asarray(_radii(params, rows, scale, norm=norm))
    found = _perturbations(params, rows[:count], scale, 0.0, 1.0, norm=norm)
    boxed = np.asarray(found.radius)
    shown = int(correct[:count].argmax())
    arrays = {
        "free": free,
        "boxed": boxed,
        **curves(free[:count], boxed, correct[:count], config.sizes),
        "image": rows[shown].reshape(dataset.image_shape) / scale,
        "change": np.asarray(found.change[shown]).reshape(dataset.image_shape),
    }
    numbers = {
        "free": summary(free, correct),
        # Without bounds, of the same images as within them.
        "first_free": summary(free[:count], correct[:count]),
        "boxed": summary(boxed, correct[:count]),
        "shown": {
            "number": shown,
            "radius": boxed[shown],
            "label": dataset.class_names[prediction[shown]],
            "changed": dataset.class_names[int(found.label[shown])],
        },
    }
    return Measured(numbers, arrays)


def curves(
    free: np.ndarray, boxed: np.ndarray, correct: np.ndarray, count: int
) -> dict[str, np.ndarray]:
    """Share of images that stay right under every perturbation of each size.

    Both curves are of the same images, so that they differ by the bounds alone.
    """
    finite = boxed[np.isfinite(boxed)]
    most = float(np.quantile(finite, 0.98)) if len(finite) else 1.0
    sizes = np.linspace(0, most, count)
    shares = {}
    for name, values in (("free", free), ("boxed", boxed)):
        share = robustness.robust_accuracy(
            jnp.asarray(values), jnp.asarray(correct), jnp.asarray(sizes, values.dtype)
        )
        shares[f"{name}_share"] = np.asarray(share.value)
    return {"sizes": sizes, **shares}


def summary(radii: np.ndarray, correct: np.ndarray) -> dict[str, Any]:
    """Accuracy, and quantiles of the radii of the images that are right."""
    own = radii[correct]
    low, high = intervals.proportion_interval(int(correct.sum()), len(correct))
    return {
        "images": len(radii),
        "accuracy": correct.mean(),
        "accuracy_interval": [low, high],
        "median": np.median(own),
        "quartiles": np.quantile(own, [0.25, 0.75]),
        "never": np.isinf(own).mean(),
    }


def _smallest(params, rows, scale, low, high, *, norm):
    def one(row):
        image = row.astype(params.weights.dtype) / scale
        return robustness.smallest_perturbation(
            params, image, norm=norm, low=low, high=high
        )

    return jax.lax.map(one, rows, batch_size=min(_IN_A_BLOCK, len(rows)))


@functools.partial(jax.jit, static_argnames=("norm",))
def _perturbations(params, rows, scale, low, high, *, norm):
    return _smallest(params, rows, scale, low, high, norm=norm)


@functools.partial(jax.jit, static_argnames=("norm",))
def _radii(params, rows, scale, *, norm):
    # Without the changes: they are as large as the images.
    return _smallest(params, rows, scale, None, None, norm=norm).radius
