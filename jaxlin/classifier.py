"""Front door: a trained classifier is one file, and one call predicts with it.

>>> import os, tempfile
>>> import jax, numpy as np
>>> from jaxlin import classifier, linear, normalization
>>> params = linear.init(jax.random.key(0), num_classes=2, num_features=3, stddev=1.0)
>>> trained = classifier.Classifier(
...     params, normalization.identity(3), ("cat", "dog"),
...     loss="softmax_cross_entropy", l2=1e-3)
>>> path = os.path.join(tempfile.mkdtemp(), "model.npz")
>>> classifier.save(path, trained)
>>> new_rows = np.ones((4, 3), np.float32)
>>> classifier.predict(path, new_rows).shape
(4,)
>>> classifier.load(path).class_names
('cat', 'dog')
"""

import math
import os
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxlin
from jaxlin import check, checkpoint, objective, precision
from jaxlin.linear import Params
from jaxlin.normalization import Normalization
from jaxlin.selection import calibration
from jaxlin.typing import Array

# Format 1 had no temperature, and float32 parameters alone.
_KIND = "jaxlin linear classifier, format 2"


class Classifier(NamedTuple):
    """Everything that is needed to predict on raw features, and where it came from.

    Attributes:
      params: weights ``(classes, features)`` and bias ``(classes,)``, float32, or
        float64 as a polished fit has them.
      normalization: applied to raw features before the scores; of float64 rows in
        float64.
      class_names: one name a class, in the order of the labels.
      loss: name of the loss it was trained with.
      l2: strength of the penalty it was trained with.
      temperature: what scores are divided by before their softmax, above 0; from
        `jaxlin.selection.calibration` or a probe's answer, 1 if nothing was calibrated.
      versions: of jaxlin and jax; filled in by `save`.
    """

    params: Params
    normalization: Normalization
    class_names: tuple[str, ...]
    loss: str
    l2: float
    temperature: float = 1.0
    versions: Mapping[str, str] | None = None


def save(path: str | os.PathLike[str], trained: Classifier) -> None:
    """Writes a classifier to one file, atomically and with a checksum.

    Raises:
      ValueError: if the shapes of parameters, normalisation and class names disagree,
        or the temperature is not above 0.
      OSError: if the file cannot be written; one that was there before is unchanged.
    """
    num_classes, num_features = np.shape(trained.params.weights)
    if len(trained.class_names) != num_classes:
        raise ValueError(
            f"class_names must have one name for each of {num_classes} classes, got "
            f"{len(trained.class_names)}"
        )
    bias = np.shape(trained.params.bias)
    if bias != (num_classes,):
        raise ValueError(f"bias must have shape ({num_classes},), got {bias}")
    mean, scale = map(np.shape, trained.normalization)
    if mean != (num_features,) or scale not in ((), (num_features,)):
        raise ValueError(
            f"normalization must be for {num_features} features, got a mean of shape "
            f"{mean} and a scale of shape {scale}"
        )
    temperature = check.number("temperature", trained.temperature, above=0)
    # A mean of float64 rows keeps its digits, or what is left of them would move.
    arrays = jax.tree.map(_as_float, (trained.params, trained.normalization))
    metadata = {
        "kind": _KIND,
        "class_names": list(trained.class_names),
        "num_features": num_features,
        "scale_shape": list(np.shape(trained.normalization.scale)),
        "dtypes": [leaf.dtype.name for leaf in jax.tree.leaves(arrays)],
        "loss": trained.loss,
        "l2": float(trained.l2),
        "temperature": temperature,
        "versions": {"jaxlin": jaxlin.__version__, "jax": jax.__version__},
    }
    checkpoint.save(pathlib.Path(path), arrays, metadata=metadata)


def load(path: str | os.PathLike[str]) -> Classifier:
    """Reads a classifier that `save` wrote.

    Raises:
      ValueError: if the file is damaged, holds something else or has another format;
        it is named.
      OSError: if the file cannot be read.
    """
    path = pathlib.Path(path)
    metadata = checkpoint.load_metadata(path)
    if metadata.get("kind") != _KIND:
        raise ValueError(
            f"{path} must be a {_KIND}, got {metadata.get('kind', 'a checkpoint')}; "
            "classifiers are written by jaxlin.classifier.save; read this one with the "
            "version of jaxlin that wrote it"
        )
    num_classes, num_features = len(metadata["class_names"]), metadata["num_features"]
    shapes = (
        *((num_classes, num_features), num_classes),
        *(num_features, metadata["scale_shape"]),
    )
    zeros: Any = list(map(np.zeros, shapes, metadata["dtypes"]))
    like = (Params(*zeros[:2]), Normalization(*zeros[2:]))
    params, fitted = checkpoint.load(path, like)
    return Classifier(
        params,
        fitted,
        tuple(metadata["class_names"]),
        metadata["loss"],
        metadata["l2"],
        metadata["temperature"],
        metadata["versions"],
    )


def scores(model: Classifier | str | os.PathLike[str], features: Any) -> np.ndarray:
    """Class scores of raw examples, shape ``(examples, classes)``.

    In the digits of the parameters, float32 or float64, so that labels are those of the
    fit itself.

    Args:
      model: a classifier, or the path of one.
      features: raw examples as in training (pixels 0..255, say), with any shape after
        the first axis that has the right number of features.

    Raises:
      ValueError: if the features are not finite, not numeric or of another width, or
        a score is not finite.
    """
    trained = model if isinstance(model, Classifier) else load(model)
    num_features = np.shape(trained.params.weights)[1]
    # Sparse and ragged input is left for the check to name.
    if getattr(features, "ndim", 2) > 2 and hasattr(features, "reshape"):
        features = features.reshape(len(features), math.prod(features.shape[1:]))
    rows = check.features("features", features, num_features=num_features)
    # From float64 rows the mean is subtracted before they lose digits.
    params = jax.tree.map(_as_float, trained.params)
    with precision.keeping_digits(*params, rows):
        found = np.asarray(_scores(params, rows, trained.normalization))
    if not np.isfinite(found).all():
        raise ValueError(
            "scores must be finite, got some that are not; the features are too large "
            "for float32, or the classifier's training diverged"
        )
    return found


def predict(model: Classifier | str | os.PathLike[str], features: Any) -> np.ndarray:
    """Labels of raw examples, shape ``(examples,)``, int32; arguments as `scores`."""
    return np.argmax(scores(model, features), axis=1).astype(np.int32)


def predict_probabilities(
    model: Classifier | str | os.PathLike[str], features: Any
) -> np.ndarray:
    """Softmax of the scores over the temperature, shape ``(examples, classes)``.

    Calibrated if the classifier has a temperature. With 1 they are the model's own
    probabilities if it was trained with softmax cross-entropy; hinge losses do not make
    scores mean log-probabilities. Arguments as `scores`.

    Raises:
      ValueError: as `scores`, or if the temperature is not above 0.
    """
    trained = model if isinstance(model, Classifier) else load(model)
    return np.asarray(
        calibration.probabilities(
            scores(trained, features), temperature=trained.temperature
        )
    )


def _as_float(leaf: Any) -> np.ndarray:
    """The array as it is if it is float64, else in float32."""
    array = np.asarray(leaf)
    return array if array.dtype == np.float64 else array.astype(np.float32)


@jax.jit
def _scores(params: Params, rows: Array, normalization: Normalization) -> Array:
    # Never in fewer digits than the parameters.
    digits = Normalization(
        *(
            part.astype(jnp.promote_types(part.dtype, params.weights.dtype))
            for part in map(jnp.asarray, normalization)
        )
    )
    return objective.blocked_scores(params, rows, normalization=digits)
