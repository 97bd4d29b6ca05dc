"""Smooth losses and treatments of the bias; the quick ones have each of both."""

import itertools

import pytest

from jaxlin import losses
from jaxlin.problems import fit_hessian

_QUICK = {
    (losses.softmax_cross_entropy, "free"),
    (losses.cross_entropy, "none"),
    (losses.weston_watkins_squared_hinge, "penalized"),
}


def cases(*biases):
    """Parameters for each loss and bias; all but the quick ones are marked full."""
    return [
        pytest.param(
            loss,
            bias,
            marks=() if (loss, bias) in _QUICK else pytest.mark.full,
            id=f"{loss.__name__}-{bias}",
        )
        for loss, bias in itertools.product(fit_hessian.SMOOTH, biases)
    ]


LOSS_AND_BIAS = cases("penalized", "free", "none")
