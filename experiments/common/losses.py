"""Losses by the names that a command line gives them."""

from typing import Any, Literal

from jaxlin import losses

# Those that can be fitted to a proven gap, on labels.
LossName = Literal[
    "softmax_cross_entropy",
    "weston_watkins_hinge",
    "weston_watkins_squared_hinge",
    "crammer_singer_hinge",
    "one_vs_rest_hinge",
]
CERTIFIED: dict[str, Any] = {
    loss.__name__: loss
    for loss in (
        losses.softmax_cross_entropy,
        losses.weston_watkins_hinge,
        losses.weston_watkins_squared_hinge,
        losses.crammer_singer_hinge,
        losses.one_vs_rest_hinge,
    )
}
