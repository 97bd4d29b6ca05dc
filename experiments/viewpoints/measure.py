"""The numbers: one fit, a worked example, a plane, pixels, smallest perturbations."""

import functools
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse.linalg

import jaxlin
from experiments.common import slides
from experiments.common.losses import CERTIFIED
from experiments.common.study import Measured, Part, Run
from experiments.viewpoints import radii
from experiments.viewpoints.config import Config
from jaxlin import data, linear, normalization
from jaxlin.geometry import hyperplanes
from jaxlin.linear import Params
from jaxlin.normalization import Normalization

# Test images that are scored in float64.
_FLOAT64_ROWS = 1000


def parts(config: Config) -> Mapping[str, Part]:
    """The parts of a run, in their order."""
    return {
        "fit": fit,
        "algebra": algebra,
        "plane": plane,
        "pixels": pixels,
        **{
            f"radii_{name}": functools.partial(_radii_of_run, name=name)
            for name in radii.NORMS
        },
    }


def fit(config: Config, dataset: data.Dataset, run: Run | None) -> Measured:
    """Fits the classifier and scores the test images."""
    made = jaxlin.fit(
        *dataset.train,
        loss=CERTIFIED[config.loss],
        l2=config.l2,
        classes=range(dataset.num_classes),
        stop=jaxlin.Stop(config.relative_gap, config.max_passes),
        normalization=normalization.fit_centered(
            dataset.train.features, scale=dataset.max_value
        ),
    )
    scores = jaxlin.scores(made, dataset.test.features)
    numbers = {
        "primal": made.certificate.primal,
        "dual": made.certificate.dual,
        "relative_gap": made.relative_gap,
        "converged": made.converged,
        "passes": made.passes,
    }
    arrays = {
        "label": dataset.test.labels,
        "prediction": scores.argmax(axis=1),
        "scores": scores,
    }
    named = made._replace(classes=np.array(dataset.class_names))
    return Measured(numbers, arrays, {"model": named})


def raw_params(fit: jaxlin.Fit) -> Params:
    """Parameters on raw pixels, float64: the normalisation is folded in."""
    with jax.enable_x64(True):
        wide, exact = _float64(fit)
        folded = linear.fold_normalization(
            Params(*map(jnp.asarray, wide)), Normalization(*exact)
        )
        return jax.tree.map(np.asarray, folded)


def algebra(config: Config, dataset: data.Dataset, run: Run) -> Measured:
    """The slides' example, and scores with and without the folded normalisation."""
    with jax.enable_x64(True):
        params = Params(jnp.asarray(slides.WEIGHTS), jnp.asarray(slides.BIAS))
        pixels = jnp.asarray(slides.PIXELS)
        numbers = {
            "names": ["cat", "dog", "ship"],
            "pixels": slides.PIXELS,
            "contributions": hyperplanes.contributions(params, pixels),
            "bias": slides.BIAS,
            "scores": linear.scores(params, pixels),
        }
    fit = run.fit("fit", "model")
    rows = dataset.test.features[:_FLOAT64_ROWS]
    error, largest = folding_error(fit, rows)
    compared = {"images": len(rows), "folding_error": error, "largest_score": largest}
    return Measured({**numbers, **compared})


def folding_error(fit: jaxlin.Fit, features: np.ndarray) -> tuple[float, float]:
    """Largest difference between scores of raw and normalised rows, and largest score.

    Both in float64, or it would be the rounding of float32 that shows.
    """
    (weights, bias), (mean, scale) = _float64(fit)
    raw, rows = raw_params(fit), features.astype(np.float64)
    own = (rows - mean) / scale @ weights.T + bias
    folded = rows @ raw.weights.T + raw.bias
    return float(np.abs(folded - own).max()), float(np.abs(own).max())


def plane(config: Config, dataset: data.Dataset, run: Run) -> Measured:
    """Restricts the classifier to the principal axes, through the mean image."""
    features, labels = dataset.train
    fit, fitted = _model(run)
    count = min(config.shown_points, len(labels))
    some = np.linspace(0, len(labels) - 1, count).astype(int)
    axes, variance = principal_axes(features, fitted)
    coordinates = _normalised(features[some], fitted) @ axes.T
    origin = np.zeros(dataset.num_features, np.float32)
    flat = jax.tree.map(np.asarray, hyperplanes.restrict(fit.params, origin, axes))
    on_plane = (coordinates @ flat.weights.T + flat.bias).argmax(axis=1)
    whole = jaxlin.scores(fit, features[some]).argmax(axis=1)
    # All but the outermost points are drawn.
    low, high = np.quantile(coordinates, [0.005, 0.995], axis=0)
    room = 0.15 * (high - low) + 1e-6
    low, high = low - room, high + room
    polygons = hyperplanes.regions(flat, low=low, high=high)
    numbers = {
        "variance": variance,
        "images": count,
        "agreement": (on_plane == whole).mean(),
        "classes": dataset.num_classes,
        "classes_with_a_region": sum(len(polygon) > 2 for polygon in polygons),
    }
    arrays = {
        "coordinates": coordinates,
        "labels": labels[some],
        "weights": flat.weights,
        "bias": flat.bias,
        "low": low,
        "high": high,
    }
    return Measured(numbers, arrays)


def pixels(config: Config, dataset: data.Dataset, run: Run) -> Measured:
    """Contributions of the pixels of the first test images to the lead of the label."""
    (fit, fitted), shape = _model(run), dataset.image_shape
    scores = run.arrays("fit")["scores"]
    assert shape is not None
    rows, images, parts = [], [], []
    for number in range(config.images):
        image = dataset.test.features[number]
        row = normalization.normalize(fitted, jnp.asarray(image))
        added = np.asarray(hyperplanes.contributions(fit.params, row), np.float64)
        first, second = np.argsort(-scores[number], kind="stable")[:2]
        lead = (added[first] - added[second]).reshape(*shape[:2], -1).sum(axis=2)
        bias = np.asarray(fit.params.bias, np.float64)
        rows.append(
            {
                "label": dataset.class_names[dataset.test.labels[number]],
                "first": dataset.class_names[first],
                "second": dataset.class_names[second],
                "lead": float(scores[number, first] - scores[number, second]),
                "pixels": lead.sum(),
                "bias": bias[first] - bias[second],
            }
        )
        images.append(image.reshape(shape))
        parts.append(lead)
    return Measured(rows, {"images": np.stack(images), "parts": np.stack(parts)})


def _radii_of_run(
    config: Config, dataset: data.Dataset, run: Run, *, name: str
) -> Measured:
    raw = raw_params(run.fit("fit", "model"))
    prediction = run.arrays("fit")["prediction"]
    return radii.measured(config, dataset, raw, prediction, name=name)


def principal_axes(
    features: np.ndarray, fitted: Normalization
) -> tuple[np.ndarray, np.ndarray]:
    """The two directions of largest variance, and its shares.

    Their signs are chosen so that the first pixel that matters counts positive.
    """
    some = np.linspace(0, len(features) - 1, min(len(features), 5000), dtype=int)
    rows = _normalised(features[some], fitted).astype(np.float64)
    rows -= rows.mean(axis=0)
    start = np.random.default_rng(0).normal(size=min(rows.shape))
    _, lengths, axes = scipy.sparse.linalg.svds(rows, k=2, v0=start)
    # The largest comes last.
    axes, lengths = axes[::-1], lengths[::-1]
    largest = np.abs(axes).argmax(axis=1)
    axes = axes * np.sign(axes[[0, 1], largest])[:, None]
    return axes.astype(np.float32), np.square(lengths) / np.square(rows).sum()


def _model(run: Run) -> tuple[jaxlin.Fit, Normalization]:
    """The fit of a run and its normalisation."""
    fit = run.fit("fit", "model")
    assert fit.normalization is not None
    return fit, fit.normalization


def _float64(fit: jaxlin.Fit) -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]:
    """Parameters and normalisation of a fit, float64."""
    params = tuple(np.asarray(part, np.float64) for part in fit.params)
    assert fit.normalization is not None
    return params, tuple(np.asarray(part, np.float64) for part in fit.normalization)


def _normalised(features: np.ndarray, fitted: Normalization) -> np.ndarray:
    return (features.astype(np.float32) - fitted.mean) / fitted.scale
