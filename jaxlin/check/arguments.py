"""Checks of arguments: numbers, options, keys, shape of one example, loss arguments."""

import inspect
import math
import numbers
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np


def number(
    name: str,
    value: Any,
    *,
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
    below: float | None = None,
) -> float:
    """Returns a finite number, or array of shape ``()``, as a float within bounds."""
    concrete(name, value)
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise ValueError(
            f"{name} must be a number, got {value!r}; {_conversion(value, 'float')}"
        )
    found = float(value)
    rules = {
        "finite": math.isfinite(found),
        f"at least {at_least}": at_least is None or found >= at_least,
        f"above {above}": above is None or found > above,
        f"at most {at_most}": at_most is None or found <= at_most,
        f"below {below}": below is None or found < below,
    }
    for rule, holds in rules.items():
        if not holds:
            raise ValueError(f"{name} must be {rule}, got {value}")
    return found


def integer(
    name: str, value: Any, *, at_least: int | None = None, at_most: int | None = None
) -> int:
    """Returns an integer within the given bounds."""
    concrete(name, value)
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise ValueError(
            f"{name} must be an integer, got {value!r}; {_conversion(value, 'int')}"
        )
    return int(number(name, value, at_least=at_least, at_most=at_most))


def _conversion(value: Any, kind: str) -> str:
    """Returns the remedy for a value of another type than ``int`` or ``float``."""
    if isinstance(value, str | float):
        return f"convert it by {kind}()"
    return f"give one {kind}"


def numbers_list(name: str, value: Any, **bounds: float) -> tuple[float, ...]:
    """Returns a non-empty tuple of distinct finite numbers within the bounds."""
    concrete(name, value)
    if np.ndim(value) != 1:
        remedy = f"; write ({value},) for one" if np.ndim(value) == 0 else ""
        raise ValueError(f"{name} must be a sequence of numbers, got {value!r}{remedy}")
    values = tuple(value)
    if not values:
        raise ValueError(f"{name} must not be empty, got {value!r}")
    checked = tuple(
        number(f"{name}[{i}]", entry, **bounds) for i, entry in enumerate(values)
    )
    if len(set(checked)) < len(checked):
        raise ValueError(f"{name} must be distinct, got {value!r}")
    return checked


def concrete(name: str, *values: Any) -> None:
    """Raises a ValueError for traced values, whose numbers are not known.

    Args:
      name: name of the values in the error message.
      *values: values of any type; lists and tuples are checked entry by entry.
    """
    for value in values:
        if isinstance(value, list | tuple):
            concrete(name, *value)
        elif is_traced(value):
            raise ValueError(
                f"{name} must be of concrete numbers, got a traced {value.aval}; call "
                "this outside jax.jit and jax.vmap: a fit stops at a proof, for which "
                "numbers must be known. First derivatives pass, by jax.grad, through "
                "jaxlin.fit alone, of raw rows or a problem, in features, weights, l2 "
                "and loss_arguments; other values stay outside, or are differentiated "
                "in jaxlin.objective at fixed parameters"
            )


def is_traced(value: Any) -> bool:
    """Returns whether a value is traced by JAX, and has no known numbers."""
    # By the name of the type, so that a check of data does not import JAX.
    return any(kind.__name__ == "Tracer" for kind in type(value).__mro__)


def choice(name: str, value: str, allowed: tuple[str, ...]) -> str:
    """Returns ``value`` if it is one of ``allowed``."""
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {value!r}")
    return value


def one_example(
    name: str, value: Any, *, num_dimensions: int = 1, size: int | None = None
) -> None:
    """Raises a ValueError unless an array has the shape of one example.

    Args:
      name: name of the array in the error message.
      value: array, traced or not; only its shape is checked.
      num_dimensions: required number of axes, at least 0; default 1.
      size: required number of entries; None, the default, accepts any.
    """
    if np.ndim(value) != num_dimensions:
        axes = "axis" if num_dimensions == 1 else "axes"
        raise ValueError(
            f"{name} must be of one example, with {num_dimensions or 'no'} {axes}, got "
            f"shape {np.shape(value)}; jax.vmap applies a function to many"
        )
    if size is not None and np.size(value) != size:
        raise ValueError(f"{name} must have {size} entries, got {np.size(value)}")


def key(name: str, value: Any) -> Any:
    """Returns ``value`` if it is one `jax.random` key, typed or raw uint32."""
    dtype, shape = getattr(value, "dtype", None), getattr(value, "shape", None)
    # By the name of the dtype, so that a check of data does not import JAX.
    is_typed = str(dtype).startswith("key<")
    if (is_typed and shape == ()) or (dtype == np.uint32 and shape == (2,)):
        return value
    found = f"{dtype} of shape {shape}" if dtype is not None else repr(value)
    raise ValueError(f"{name} must be a key, got {found}; make one: jax.random.key(0)")


def argument_names(loss: Callable[..., Any]) -> frozenset[str]:
    """Returns the names of the arguments of a loss, such as ``margin``."""
    return frozenset(
        name
        for name, parameter in _after_target(loss).items()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    )


def loss_arguments(loss: Callable[..., Any], names: Iterable[str]) -> None:
    """Raises a ValueError unless a loss can be called with arguments of these names.

    Args:
      loss: loss of one example; its first two parameters are scores and target.
      names: names of the given arguments.
    """
    known, parameters, given = argument_names(loss), _after_target(loss), list(names)
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    of_loss = getattr(loss, "__name__", str(loss))
    for name in given:
        if name not in known and not takes_any:
            raise ValueError(
                f"loss_arguments must be among those of {of_loss} "
                f"({', '.join(sorted(known)) or 'none'}), got {name!r}; leave it out"
            )
    for name in known:
        if parameters[name].default is inspect.Parameter.empty and name not in given:
            raise ValueError(
                f"loss_arguments must have {name}, for which {of_loss} has no default, "
                f"got {', '.join(given) or 'none'}; give "
                f'loss_arguments={{"{name}": ...}}'
            )


def _after_target(loss: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Parameters of a loss after scores and target, by name."""
    return dict(list(inspect.signature(loss).parameters.items())[2:])
