"""Functions that somebody gives for a role: a metric, a weighting, a local fit.

Any function of the right shape plays a role (`jaxlin.typing`), with keywords of its
own. What it takes is looked at before it is compiled, and what it returns while it is
traced, so that a wrong one is refused by a sentence instead of a stack of JAX's.
"""

import inspect
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from jaxlin.typing import Array

# One function of each role, for who has given its name.
_INSTANCES = {
    "metric": "jaxlin.neighbors.distances.euclidean",
    "weighting": "jaxlin.neighbors.gaussian",
    "fit": "jaxlin.neighbors.weighted_vote",
}


# Positional arguments of each role.
_DATA = {
    "metric": ("first", "second"),
    "weighting": ("distances",),
    "fit": ("query", "rows", "labels", "weights"),
}


def bound(
    role: str, function: Any, arguments: Any, *, ours: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Keyword arguments that fit a function of the role.

    Args:
      role: metric, weighting or fit.
      function: given for it.
      arguments: given with it, by name, or None.
      ours: names of further keywords, which are not asked of who gives the others.

    Raises:
      ValueError: if the function is none, does not take the data of its role, or an
        argument is missing or unknown.
    """
    if not callable(function):
        raise ValueError(
            f"{role} must be a function, got {function!r}; for instance "
            f"{_INSTANCES[role]}"
        )
    if not isinstance(arguments, Mapping | None):
        raise ValueError(
            f"{role}_arguments must be keywords with their values, got {arguments!r}; "
            f'such as {{"power": 3.0}}'
        )
    found = dict(arguments or {})
    name = getattr(function, "__name__", repr(function))
    if taken := sorted(set(found) & set(ours)):
        raise ValueError(
            f"{role}_arguments must leave out {', '.join(taken)}, which {name} is "
            "given anyway"
        )
    try:
        signature = inspect.signature(function)
    except ValueError:  # of some functions that are not written in Python
        return found
    try:
        signature.bind_partial(*_DATA[role])
    except TypeError:
        raise ValueError(
            f"{role} must be a function of ({', '.join(_DATA[role])}), got {name}"
            f"{signature}; if it makes such a function, call it first: "
            f"{role}={name}(...)"
        ) from None
    missing = [own for own in ours if not _takes(signature, own)]
    if missing:
        raise ValueError(
            f"{role} must take the keyword {missing[0]}, got {name}{signature}"
        )
    try:
        signature.bind(*_DATA[role], **dict.fromkeys(ours), **found)
    except TypeError as error:
        raise ValueError(
            f"{role}_arguments must fit {name}, got {sorted(found)}: {error}"
        ) from None
    return found


def applied(
    role: str,
    function: Any,
    data: tuple[Any, ...],
    arguments: dict[str, Any],
    *,
    shape: tuple[int, ...],
) -> Array:
    """The result of a function of somebody's, looked at while it is traced.

    Raises:
      ValueError: if it has another shape, or needs numbers where there are none yet.
    """
    name = getattr(function, "__name__", repr(function))
    try:
        result = function(*data, **arguments)
    except (jax.errors.JAXTypeError, jax.errors.JAXIndexError) as error:
        raise ValueError(
            f"{role} must compute by jax.numpy, whose arrays it is given while it is "
            f"compiled, got {name}, which needs their numbers: {type(error).__name__}"
        ) from error
    try:
        array = jnp.asarray(result)
    except (TypeError, ValueError, jax.errors.JAXTypeError):
        raise ValueError(
            f"{role} must return one array, got {type(result).__name__} of {name}"
        ) from None
    if array.shape != shape:
        raise ValueError(
            f"{role} must return shape {shape} for one example, got shape "
            f"{array.shape} of {name}"
        )
    return array


def _takes(signature: inspect.Signature, keyword: str) -> bool:
    kinds = {parameter.kind for parameter in signature.parameters.values()}
    return keyword in signature.parameters or inspect.Parameter.VAR_KEYWORD in kinds
