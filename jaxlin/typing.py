"""The roles that functions play, written once.

A role is a Protocol or an alias: any function of that shape may be passed, and no
registration is needed. `Array` is what JAX computes with; `ArrayLike` is what callers
may hand in (Python numbers and NumPy arrays too).
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import jax
import optax
from jax.typing import ArrayLike

Array = jax.Array
PyTree = Any

# Traced keyword arguments of a loss, such as ``{"margin": 1.0}``.
LossArguments = Mapping[str, ArrayLike]


class Loss(Protocol):
    """A loss of one example.

    ``target`` is an integer label of shape ``()`` or a distribution over classes of
    shape ``(classes,)``, as the loss says. A loss handed to a solver must be hashable
    and the same object each time (a function at module level), because it is a static
    argument of compiled programs; what may vary (a margin) is a traced keyword.
    """

    def __call__(self, scores: Array, target: Any, /, **arguments: Any) -> Array:
        """Returns the loss, shape ``()``."""
        ...

    def __hash__(self) -> int:
        """Functions are hashable by identity."""
        ...


# Weights in, one number out.
Penalty = Callable[[PyTree], Array]

# A learning rate, possibly traced, in; an optax transformation out.
MakeOptimizer = Callable[[Any], optax.GradientTransformation]
