"""The classifier, and what it is as algebra, on a plane and pixel by pixel."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxlin
from experiments.common import slides
from experiments.common.losses import CERTIFIED
from experiments.viewpoints.config import Config
from jaxlin import data, linear, normalization, objective
from jaxlin.geometry import hyperplanes
from jaxlin.linear import Params
from jaxlin.normalization import Normalization


class Trained(NamedTuple):
    """One classifier.

    Attributes:
      fit: parameters on normalised pixels, and their proof.
      normalization: pixel / largest value, less the mean image.
      raw: the same classifier on raw pixels.
      scores: of the test images, shape ``(images, classes)``.
      folding_error: the largest difference of a score by ``raw`` from that.
    """

    fit: jaxlin.Fit
    normalization: Normalization
    raw: Params
    scores: np.ndarray
    folding_error: float


class Plane(NamedTuple):
    """The plane of the two principal axes of the training images.

    Attributes:
      flat: the classifier on it, by coordinates.
      coordinates: of training images, projected, shape ``(images, 2)``.
      labels: of these images.
      variance: share of the variance that each axis has, shape ``(2,)``.
      agreement: share of these images whose label on the plane is that of the whole.
    """

    flat: Params
    coordinates: np.ndarray
    labels: np.ndarray
    variance: np.ndarray
    agreement: float


class Explained(NamedTuple):
    """Why one image got its label.

    Attributes:
      image: raw pixels.
      label: the right one.
      first: the predicted label.
      second: the runner-up.
      lead: of the first over the second, in score units.
      parts: what each pixel adds to the lead, shape ``(height, width)``.
      constant: what does not depend on the image: the difference of biases.
    """

    image: np.ndarray
    label: int
    first: int
    second: int
    lead: float
    parts: np.ndarray
    constant: float


def trained(config: Config, dataset: data.Dataset) -> Trained:
    """Fits the classifier and folds the normalisation into it."""
    fitted = normalization.fit_centered(dataset.train.features, scale=dataset.max_value)
    fit = jaxlin.fit(
        *dataset.train,
        loss=CERTIFIED[config.loss],
        l2=config.l2,
        classes=range(dataset.num_classes),
        stop=jaxlin.Stop(config.relative_gap, config.max_evaluations),
        normalization=fitted,
    )
    scores = _scores(fit.params, dataset.test.features, fitted)
    with jax.enable_x64(True):
        # Both ways in float64, or it would be the rounding of float32 that shows.
        wide = Params(*(jnp.asarray(part, jnp.float64) for part in fit.params))
        exact = Normalization(*(np.asarray(part, np.float64) for part in fitted))
        folded = linear.fold_normalization(wide, exact)
        own = _scores(wide, dataset.test.features, exact)
        error = np.abs(_scores(folded, dataset.test.features, None) - own).max()
        raw = jax.tree.map(np.asarray, folded)
    return Trained(fit, fitted, raw, scores, float(error))


def worked_example() -> dict[str, np.ndarray]:
    """The slides' image of four pixels: contributions and scores."""
    with jax.enable_x64(True):
        params = Params(jnp.asarray(slides.WEIGHTS), jnp.asarray(slides.BIAS))
        pixels = jnp.asarray(slides.PIXELS)
        return {
            "contributions": np.asarray(hyperplanes.contributions(params, pixels)),
            "scores": np.asarray(linear.scores(params, pixels)),
        }


def plane(config: Config, dataset: data.Dataset, classifier: Trained) -> Plane:
    """Restricts the classifier to the principal axes, through the mean image."""
    features, labels = dataset.train
    some = np.linspace(
        0, len(labels) - 1, min(config.shown_points, len(labels))
    ).astype(int)
    axes, variance = _principal_axes(features, classifier.normalization)
    rows = _normalised(features[some], classifier.normalization)
    coordinates = rows @ axes.T
    origin = np.zeros(dataset.num_features, np.float32)
    flat = hyperplanes.restrict(classifier.fit.params, origin, axes)
    on_plane = _scores(flat, coordinates.astype(np.float32), None)
    whole = _scores(classifier.fit.params, features[some], classifier.normalization)
    agreement = float((on_plane.argmax(1) == whole.argmax(1)).mean())
    return Plane(flat, coordinates, np.asarray(labels[some]), variance, agreement)


def explained(dataset: data.Dataset, classifier: Trained, number: int) -> Explained:
    """Contributions of each pixel of a test image to the lead of its label."""
    image = dataset.test.features[number]
    row = normalization.normalize(classifier.normalization, jnp.asarray(image))
    first, second = np.argsort(-classifier.scores[number], kind="stable")[:2]
    parts = np.asarray(
        hyperplanes.contributions(classifier.fit.params, row), np.float64
    )
    bias = np.asarray(classifier.fit.params.bias, np.float64)
    shape = dataset.image_shape
    assert shape is not None
    of_pixels = (parts[first] - parts[second]).reshape(*shape[:2], -1).sum(axis=2)
    return Explained(
        image.reshape(shape),
        int(dataset.test.labels[number]),
        int(first),
        int(second),
        float(classifier.scores[number, first] - classifier.scores[number, second]),
        of_pixels,
        float(bias[first] - bias[second]),
    )


def _scores(params: Params, features: Any, fitted: Normalization | None):
    return np.asarray(_blocked(params, jnp.asarray(features), fitted))


@jax.jit
def _blocked(params, features, fitted):
    return objective.blocked_scores(params, features, normalization=fitted)


def _normalised(features: np.ndarray, fitted: Normalization) -> np.ndarray:
    return (features.astype(np.float32) - fitted.mean) / fitted.scale


def _principal_axes(
    features: np.ndarray, fitted: Normalization
) -> tuple[np.ndarray, np.ndarray]:
    """The two directions of largest variance, and its shares, by subspace iteration.

    Their signs are chosen so that the first pixel that matters counts positive.
    """
    width = features.shape[1]
    some = features[
        np.linspace(0, len(features) - 1, min(len(features), 5000), dtype=int)
    ]
    rows = _normalised(some, fitted).astype(np.float64)
    rows -= rows.mean(axis=0)
    if width <= 500:
        _, lengths, axes = np.linalg.svd(rows, full_matrices=False)
        total = np.square(lengths).sum()
        axes, lengths = axes[:2], lengths[:2]
    else:
        total = np.square(rows).sum()
        axes = np.random.default_rng(0).normal(size=(12, width))
        for _ in range(8):
            axes = np.linalg.qr((axes @ rows.T @ rows).T)[0].T
        _, lengths, turned = np.linalg.svd(rows @ axes.T, full_matrices=False)
        axes, lengths = (turned @ axes)[:2], lengths[:2]
    largest = np.abs(axes).argmax(axis=1)
    axes *= np.sign(axes[[0, 1], largest])[:, None]
    return axes.astype(np.float32), np.square(lengths) / total
