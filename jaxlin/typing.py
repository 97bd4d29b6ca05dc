"""Protocols and aliases for the functions that the library takes as arguments.

Any function with the signature of a protocol may be passed; no registration is needed.
`Array` is the array type of JAX; `ArrayLike` also admits Python numbers and NumPy
arrays.
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
    """Loss of one example.

    ``target`` is an integer label of shape ``()`` or a distribution over classes of
    shape ``(classes,)``; each loss documents which. A loss passed to a solver must be
    hashable and the same object in every call (a function at module level), because it
    is a static argument of compiled programs. Parameters that vary, such as a margin,
    are traced keyword arguments.
    """

    # Both starred: for type checkers a loss may then take any keywords, or none.
    def __call__(
        self, scores: Array, target: Any, /, *_: Any, **arguments: Any
    ) -> Array:
        """Returns the loss, shape ``()``."""
        ...

    def __hash__(self) -> int:
        """Functions are hashable by identity."""
        ...


# Traced keyword arguments of a `Distance` or `Weighting`, such as ``{"power": 3.0}``.
Arguments = Mapping[str, ArrayLike]


class Distance(Protocol):
    """Distance between two vectors.

    Both vectors have shape ``(features,)``; the result is at least 0 and smaller for
    nearer vectors. A distance passed to a search must be hashable and the same object
    in every call (a function at module level). Parameters that vary, such as a power,
    are traced keyword arguments.
    """

    # ``*_`` adds no requirement: without it a type checker demands that every
    # implementation accept every keyword.
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
    least 0. The weight of a neighbour must not depend on farther neighbours, except by
    a factor common to all weights: then one call serves every k. Hashable, like
    `Distance`.
    """

    def __call__(self, distances: Array, /, *_: Any, **arguments: Any) -> Array:
        """Returns the weights, shape ``(k,)``."""
        ...

    def __hash__(self) -> int:
        """Functions are hashable by identity."""
        ...


class LocalFit(Protocol):
    """Class scores of one query, from its neighbours.

    ``query`` has shape ``(features,)``, ``rows`` ``(k, features)``, ``labels`` and
    ``weights`` ``(k,)``. The keyword ``num_classes`` is static; all other keywords are
    traced. Hashable, like `Distance`.
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


# Maps a tree of weights to one number.
Penalty = Callable[[PyTree], Array]

# Maps a learning rate, possibly traced, to an optax transformation.
MakeOptimizer = Callable[[Any], optax.GradientTransformation]
