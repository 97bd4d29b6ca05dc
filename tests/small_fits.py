"""A fit of images of 12 pixels that no solver has made, and its rows."""

import numpy as np

import jaxlin
from jaxlin import linear, losses, normalization
from jaxlin.certificates import duality

RAW = np.random.default_rng(0).integers(0, 256, size=(20, 12)).astype(np.uint8)


def trained(scale="scalar", **changes):
    fitted = {
        "scalar": lambda rows: normalization.fit_centered(rows, scale=255.0),
        "vector": normalization.fit_standard,
        "none": lambda rows: None,
    }[scale](RAW)
    weights = np.random.default_rng(1).normal(size=(3, 12)).astype(np.float32)
    fit = jaxlin.Fit(
        params=linear.Params(weights, np.zeros(3, np.float32)),
        certificate=duality.Certificate(0.5, 0.25, 0.125, 0.0625),
        relative_gap=0.375,
        converged=False,
        stalled=True,
        passes=7,
        float64_passes=2,
        duals=None,
        loss=losses.weston_watkins_hinge,
        l2=1e-2,
        loss_arguments={"margin": 0.5},
        normalization=fitted,
        classes=np.array(["cat", "car", "frog"]),
    )
    return fit._replace(**changes)
