"""A small grid of two losses."""

from jaxlin import losses
from jaxlin.selection import grids

SOFTMAX, HINGE = losses.softmax_cross_entropy, losses.weston_watkins_hinge


def product(**changes):
    arguments = {
        "losses": (SOFTMAX, HINGE),
        "l2s": (1e-3, 1e-1, 1e-2),
        "loss_arguments": {"margin": (1.0, 2.0)},
        "num_weight_sets": 2,
    }
    return grids.product(**{**arguments, **changes})
