"""Saving and loading of a fit, in one file.

>>> import os, tempfile
>>> import numpy as np
>>> import jaxlin
>>> from jaxlin import losses
>>> rows = np.random.default_rng(0).normal(size=(60, 3))
>>> names = np.where(rows[:, 0] > 0, "cat", "dog")
>>> fit = jaxlin.fit(rows, names, loss=losses.softmax_cross_entropy, l2=1e-2)
>>> path = os.path.join(tempfile.mkdtemp(), "fit.npz")
>>> jaxlin.save(path, fit)
>>> print(*jaxlin.predict(jaxlin.load(path), rows[:3]))
cat cat cat
"""

import os
import pathlib
from typing import Any

import jax
import numpy as np

import jaxlin
from jaxlin import check, class_labels
from jaxlin.certificates.duality import Certificate
from jaxlin.fits import Fit
from jaxlin.io import checkpoint
from jaxlin.linear import Params
from jaxlin.losses import conjugates
from jaxlin.normalization import Normalization
from jaxlin.predictions import as_float, check_fit
from jaxlin.typing import Loss

# Formats 1 and 2 held classifiers without a certificate.
_KIND = "jaxlin fit, format 3"


def save(path: str | os.PathLike[str], fit: Fit) -> None:
    """Writes a fit to one file, atomically and with a checksum.

    The file holds the parameters, the normalization, the classes, the temperature and
    the certificate, but not the dual variables of a hinge, which have one row per
    example.

    Args:
      path: the file; an existing file is replaced.
      fit: a fit, from `jaxlin.fit`, `jaxlin.certify`, `jaxlin.sweep` or `jaxlin.probe`.

    Raises:
      ValueError: if the shapes of parameters, normalization and classes disagree, or
        the temperature is not above 0.
      OSError: if the file cannot be written; an existing file is then unchanged.
    """
    _check_shapes(check_fit(fit))
    classes = class_labels.as_classes(fit.classes)
    # A float64 mean stays float64: rounded, it would shift the centred rows.
    arrays = jax.tree.map(as_float, (fit.params, fit.normalization))
    metadata = {
        "kind": _KIND,
        "classes": classes.tolist(),
        "classes dtype": classes.dtype.str,
        "shapes": [np.shape(leaf) for leaf in jax.tree.leaves(arrays)],
        "dtypes": [leaf.dtype.name for leaf in jax.tree.leaves(arrays)],
        "loss": getattr(fit.loss, "__name__", str(fit.loss)),
        "loss arguments": {
            name: float(np.asarray(value))
            for name, value in dict(fit.loss_arguments).items()
        },
        "l2": float(fit.l2),
        # As text: an unproven gap is infinite, and JSON has no infinity.
        "certificate": [repr(float(value)) for value in fit.certificate],
        "relative gap": repr(float(fit.relative_gap)),
        "converged": bool(fit.converged),
        "stalled": bool(fit.stalled),
        "passes": [int(fit.passes), int(fit.float64_passes)],
        "temperature": check.number("temperature", fit.temperature, above=0),
        "bias": fit.bias,
        "bias radius": repr(float(fit.bias_radius)),
        "feature names": fit.feature_names,
        "versions": {"jaxlin": jaxlin.__version__, "jax": jax.__version__},
    }
    checkpoint.save(pathlib.Path(path), arrays, metadata=metadata)


def load(path: str | os.PathLike[str]) -> Fit:
    """Reads a fit that `save` wrote.

    Args:
      path: the file.

    Returns:
      The fit, without dual variables.

    Raises:
      ValueError: if the file is damaged, is no fit or has another format; the message
        names the file.
      OSError: if the file cannot be read.
    """
    path = pathlib.Path(path)
    metadata = checkpoint.load_metadata(path)
    if metadata.get("kind") != _KIND:
        raise ValueError(
            f"{path} must be a {_KIND}, got {metadata.get('kind', 'a checkpoint')}; "
            "fits are written by jaxlin.save; read this one with the version of jaxlin "
            "that wrote it"
        )
    zeros: Any = list(map(np.zeros, metadata["shapes"], metadata["dtypes"]))
    normalization = Normalization(*zeros[2:]) if len(zeros) > 2 else None
    params, normalization = checkpoint.load(path, (Params(*zeros[:2]), normalization))
    passes, float64_passes = metadata["passes"]
    names = metadata.get("feature names")
    return Fit(
        params=params,
        certificate=Certificate(*map(float, metadata["certificate"])),  # type: ignore[arg-type]
        relative_gap=float(metadata["relative gap"]),
        converged=metadata["converged"],
        stalled=metadata["stalled"],
        passes=passes,
        float64_passes=float64_passes,
        duals=None,
        loss=_loss_named(metadata["loss"]),
        l2=metadata["l2"],
        loss_arguments=metadata["loss arguments"],
        normalization=normalization,
        classes=np.array(metadata["classes"], metadata["classes dtype"]),
        temperature=metadata["temperature"],
        # Fits of version 0.1.0 do not say it.
        bias=metadata.get("bias", "penalized"),
        bias_radius=float(metadata.get("bias radius", 0.0)),
        feature_names=tuple(names) if names else None,
    )


def _loss_named(name: str) -> Loss | str:
    """Loss of a given name, or the name if no loss with a conjugate has it."""
    known = {getattr(loss, "__name__", ""): loss for loss in conjugates.known_losses()}
    return known.get(name, name)


def _check_shapes(fit: Fit) -> None:
    """Raises a ValueError if parameters, normalization and classes disagree."""
    num_classes, num_features = np.shape(fit.params.weights)
    if len(fit.classes) != num_classes:
        raise ValueError(
            f"classes must have one label for each of {num_classes} classes, got "
            f"{len(fit.classes)}"
        )
    bias = np.shape(fit.params.bias)
    if bias != (num_classes,):
        raise ValueError(f"bias must have shape ({num_classes},), got {bias}")
    if fit.normalization is None:
        return
    mean, scale = map(np.shape, fit.normalization)
    if mean != (num_features,) or scale not in ((), (num_features,)):
        raise ValueError(
            f"normalization must be for {num_features} features, got a mean of shape "
            f"{mean} and a scale of shape {scale}"
        )
