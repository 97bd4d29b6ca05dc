"""Checks of what is to be certified: loss, l2, parameters, examples."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxlin import check, losses
from jaxlin.linear import Bias, Params
from jaxlin.losses import conjugates
from jaxlin.normalization import Normalization, check_normalization
from jaxlin.normalization.rounding import check_rounding, without_overflow
from jaxlin.numerics import precision
from jaxlin.typing import Loss, LossArguments


def check_certifiable(
    *, loss: Loss, l2: Any, loss_arguments: LossArguments | None
) -> None:
    """Raises a ValueError, with the reason, if no certificate exists."""
    conjugates.of(loss)
    if check.number("l2", l2) == 0:
        raise ValueError(
            "l2 must be above 0, got 0; without it the optimum may not exist and no "
            "certificate does"
        )
    check.number("l2", l2, above=0)
    if not isinstance(loss_arguments, Mapping | None):
        raise ValueError(
            "loss_arguments must be keywords with their values, got "
            f'{loss_arguments!r}; such as {{"margin": 1.0}}'
        )
    check.loss_arguments(loss, loss_arguments or {})
    for name, value in (loss_arguments or {}).items():
        check.number(f"loss_arguments[{name!r}]", value, above=0)


def check_rank(loss: Loss, rank: int, *, name: str = "targets") -> None:
    """Raises a ValueError if the loss does not take targets of this rank."""
    if rank == 2 and loss is not losses.cross_entropy:
        raise ValueError(
            f"{name} must be integers (examples,) for {_name(loss)}, got an array of "
            "rank 2; for distributions over classes use jaxlin.losses.cross_entropy, "
            f"for one-hot rows give {name}.argmax(axis=1)"
        )
    if rank != 2 and loss is losses.cross_entropy:
        raise ValueError(
            f"{name} must be distributions (examples, classes) for cross_entropy, got "
            f"an array of rank {rank}; for integer labels use "
            "jaxlin.losses.softmax_cross_entropy"
        )


def checked_params(params: Params, *, bias: Bias = Bias.PENALIZED) -> Params:
    """Returns parameters in one dtype, float32 or float64, with checked shapes.

    Without a bias that of the parameters must be 0.
    """
    weights, offset = map(np.asarray, params)
    if weights.ndim != 2 or offset.shape != weights.shape[:1]:
        raise ValueError(
            "params must have weights (classes, features) and bias (classes,), got "
            f"{weights.shape} and {offset.shape}; give one row of weights and one bias "
            "per class"
        )
    if bias is Bias.NONE and np.any(offset):
        raise ValueError(
            f'params must have a bias of 0 for bias="none", got {offset!s:.80}; take '
            '"penalized" or "free"'
        )
    dtype = np.float64 if weights.dtype == np.float64 else np.float32
    return Params(weights.astype(dtype), offset.astype(dtype))  # type: ignore[arg-type]


def checked_data(
    params: Params,
    features: Any,
    targets: Any,
    example_weights: Any,
    normalization: Normalization | None,
) -> tuple[Any, Any, Any, Normalization | None]:
    """Returns features, targets, weights and normalisation, checked for the params."""
    num_classes, num_features = params.weights.shape
    features, targets, example_weights = check.examples(
        features,
        targets,
        example_weights,
        num_classes=num_classes,
        num_features=num_features,
    )
    if normalization is not None:
        normalization = check_normalization(normalization, num_features=num_features)
    with precision.enable_float64_for(*params):
        check_rounding(
            "features", features, normalization, example_weights=example_weights
        )
    features = without_overflow(features, example_weights, normalization)
    return features, targets, example_weights, normalization


def _name(loss: Loss) -> str:
    return getattr(loss, "__name__", str(loss))
