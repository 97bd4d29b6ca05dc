"""Checks of metrics, weightings and local fits given by the caller.

Any function with the signature of the protocol (`jaxlin.typing`) is accepted, with
keywords of its own. Its signature is checked before compilation and its result while it
is traced: an unsuitable function raises a readable ValueError instead of a JAX
traceback.
"""

import inspect
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from jaxlin.typing import Array

# An example function for each role, named in error messages.
_EXAMPLES = {
    "metric": "jaxlin.neighbors.distances.euclidean",
    "weighting": "jaxlin.neighbors.gaussian",
    "fit": "jaxlin.neighbors.weighted_vote",
}


# Positional arguments of each role.
_POSITIONAL = {
    "metric": ("first", "second"),
    "weighting": ("distances",),
    "fit": ("query", "rows", "labels", "weights"),
}


def bound_arguments(
    role: str, function: Any, arguments: Any, *, reserved: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Keyword arguments of a function, checked against its signature.

    Args:
      role: "metric", "weighting" or "fit".
      function: the function given for the role.
      arguments: keyword arguments given with it, by name, or None for none.
      reserved: names of further keywords, which the library passes itself.

    Raises:
      ValueError: if ``function`` is not callable or does not take the data of its role,
        or an argument is missing, unknown or reserved.
    """
    if not callable(function):
        raise ValueError(
            f"{role} must be a function, got {function!r}; for instance "
            f"{_EXAMPLES[role]}"
        )
    if not isinstance(arguments, Mapping | None):
        raise ValueError(
            f"{role}_arguments must be keywords with their values, got {arguments!r}; "
            f'such as {{"power": 3.0}}'
        )
    found = dict(arguments or {})
    name = getattr(function, "__name__", repr(function))
    if taken := sorted(set(found) & set(reserved)):
        raise ValueError(
            f"{role}_arguments must leave out {', '.join(taken)}, which {name} is "
            "given by jaxlin"
        )
    try:
        signature = inspect.signature(function)
    except ValueError:  # raised for some functions not written in Python
        return found
    try:
        signature.bind_partial(*_POSITIONAL[role])
    except TypeError:
        raise ValueError(
            f"{role} must be a function of ({', '.join(_POSITIONAL[role])}), got {name}"
            f"{signature}; if it makes such a function, call it first: "
            f"{role}={name}(...)"
        ) from None
    missing = [keyword for keyword in reserved if not _takes(signature, keyword)]
    if missing:
        raise ValueError(
            f"{role} must take the keyword {missing[0]}, got {name}{signature}"
        )
    try:
        signature.bind(*_POSITIONAL[role], **dict.fromkeys(reserved), **found)
    except TypeError as error:
        raise ValueError(
            f"{role}_arguments must fit {name}, got {sorted(found)}: {error}"
        ) from None
    return found


def call(
    role: str,
    function: Any,
    data: tuple[Any, ...],
    arguments: dict[str, Any],
    *,
    shape: tuple[int, ...],
) -> Array:
    """The result of a function given by the caller, checked while it is traced.

    Raises:
      ValueError: if the result has another shape, or the function needs concrete values
        while it is traced.
    """
    name = getattr(function, "__name__", repr(function))
    try:
        result = function(*data, **arguments)
    except (jax.errors.JAXTypeError, jax.errors.JAXIndexError) as error:
        raise ValueError(
            f"{role} must compute by jax.numpy, because it is traced, got {name}, "
            f"which needs concrete values: {type(error).__name__}"
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
