"""First iterate of a fit: zeros, given parameters, or an earlier fit."""

from typing import Any

import numpy as np

from jaxlin.linear import BiasName, Params
from jaxlin.solvers.fit_loop import Start
from jaxlin.solvers.fitted import Fit


def make(
    given: Params | Fit | None,
    num_classes: int,
    num_features: int,
    *,
    l2: float,
    bias: BiasName,
) -> Start:
    """Parameters and duals of the first iterate; zeros if none are given.

    Args:
      given: parameters, an earlier fit, or None.
      num_classes: number of classes of the fit.
      num_features: number of features of the fit.
      l2: strength of half the sum of squares of the fit.
      bias: treatment of the bias of the fit.

    Raises:
      ValueError: that names the argument, the rule and the value.
    """
    if not isinstance(given, Params | Fit | None):
        raise ValueError(
            "start must be None, jaxlin.linear.Params or an earlier fit, got a "
            f"{type(given).__name__}"
        )
    shape = (num_classes, num_features)
    params = given.params if isinstance(given, Fit) else given
    if params is None:
        zeros: Any = (np.zeros(shape, np.float32), np.zeros(num_classes, np.float32))
        params = Params(*zeros)
    check_shapes("start", params, shape)
    if not all(np.isfinite(leaf).all() for leaf in params):
        raise ValueError("start must be finite, got parameters with NaN or infinity")
    if bias == "none":
        zeros = (params.weights, np.zeros_like(params.bias))
        params = Params(*zeros)
    if not isinstance(given, Fit) or given.bias != bias:
        return Start(params, None)
    in_float64 = np.asarray(given.params.weights).dtype == np.float64
    return Start(params, given.duals, in_float64 and given.l2 == float(l2))


def check_shapes(name: str, params: Params, shape: tuple[int, int]) -> None:
    """Raises a ValueError unless the parameters are of this shape of weights."""
    found = tuple(map(np.shape, params))
    if found != (shape, shape[:1]):
        remedy = "give one row of weights and one bias per class"
        if found[0] == (1, shape[1]) and shape[0] == 2:
            remedy = (
                "one row w of two classes, as of scikit-learn, is (-w / 2, w / 2): "
                "np.concatenate([-w, w]) / 2, and the bias likewise"
            )
        elif found[0] == shape[::-1]:
            remedy = "transpose the weights"
        raise ValueError(
            f"{name} must have weights {shape} and bias {shape[:1]}, got "
            f"{found[0]} and {found[1]}; {remedy}"
        )
