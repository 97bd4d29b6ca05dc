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


# Traced keyword arguments of a distance or a weighting, such as ``{"power": 3.0}``.
Arguments = Mapping[str, ArrayLike]


class Distance(Protocol):
    """A distance of one pair.

    Two vectors of one shape ``(features,)`` in, a number of at least 0 out, smaller for
    what is nearer. Handed to a search it must be hashable and the same object each time
    (a function at module level); what may vary (a power) is a traced keyword.
    """

    # ``*_`` asks nothing: without it a type checker wants every keyword of everyone.
    def __call__(
        self, first: Array, second: Array, /, *_: Any, **arguments: Any
    ) -> Array:
        """Returns the distance, shape ``()``."""
        ...

    def __hash__(self) -> int:
        """Functions are hashable by identity."""
        ...


class Weighting(Protocol):
    """Weights of the neighbours of one query, from their distances.

    ``distances`` has shape ``(k,)``, ascending; the result has that shape and is at
    least 0. The weight of a neighbour must not depend on those behind it, except by a
    factor that all share: then one call serves every k. Hashable, like `Distance`.
    """

    def __call__(self, distances: Array, /, *_: Any, **arguments: Any) -> Array:
        """Returns the weights, shape ``(k,)``."""
        ...

    def __hash__(self) -> int:
        """Functions are hashable by identity."""
        ...


class LocalFit(Protocol):
    """A score for each class at one query, from its neighbours.

    ``query`` has shape ``(features,)``, ``rows`` ``(k, features)``, ``labels`` and
    ``weights`` ``(k,)``. Keywords are ``num_classes``, static, and what may vary.
    Hashable, like `Distance`.
    """

    def __call__(
        self,
        query: Array,
        rows: Array,
        labels: Array,
        weights: Array,
        /,
        *_: Any,
        **arguments: Any,
    ) -> Array:
        """Returns the scores, shape ``(num_classes,)``."""
        ...

    def __hash__(self) -> int:
        """Functions are hashable by identity."""
        ...


# Weights in, one number out.
Penalty = Callable[[PyTree], Array]

# A learning rate, possibly traced, in; an optax transformation out.
MakeOptimizer = Callable[[Any], optax.GradientTransformation]
