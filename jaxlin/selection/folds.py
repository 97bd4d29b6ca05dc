"""Folds: which part of the examples each example is held out with.

A partition into k folds is one int32 array, the number of the fold of each example;
split j holds fold j out and trains on the rest. Pure functions of a key and the labels:

  >>> import jax
  >>> from jaxlin.selection import folds
  >>> labels = [0, 1] * 50
  >>> fold_of = folds.stratified_k_fold(jax.random.key(0), labels, num_folds=5)
  >>> weights = folds.train_weights(fold_of, num_folds=5)
  >>> weights.shape, weights.sum(axis=1)
  ((5, 100), array([80., 80., 80., 80., 80.], dtype=float32))

As example weights of 0 and 1 all splits have the shape of the whole, so that the models
of all folds are one compiled program on shared features.
"""

import functools
import heapq
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxlin import check, placement
from jaxlin.typing import Array


def k_fold(key: Array, num_examples: int, *, num_folds: int) -> np.ndarray:
    """Deals examples out to folds, whatever their labels.

    Args:
      key: a `jax.random.key`.
      num_examples: n.
      num_folds: k, from 2 to n.

    Returns:
      The fold of each example, shape ``(examples,)``; sizes differ by at most one.

    Raises:
      ValueError: if an argument is out of range.
    """
    check.integer("num_examples", num_examples, at_least=2)
    return _dealt(key, np.zeros(num_examples, np.int32), num_folds)


def stratified_k_fold(key: Array, labels: Any, *, num_folds: int) -> np.ndarray:
    """Deals the examples of each class out to folds.

    Args:
      key: a `jax.random.key`.
      labels: integers, shape ``(examples,)``; at least k of each class that occurs.
      num_folds: k, at least 2.

    Returns:
      The fold of each example, shape ``(examples,)``. Numbers of examples differ by at
      most one between folds, in all and of each class.

    Raises:
      ValueError: if ``num_folds`` is out of range, the labels are not integers, or some
        class would be missing from a fold.
    """
    labels = check.labels("labels", labels)
    classes, sizes = np.unique(labels, return_counts=True)
    check.integer("num_folds", num_folds, at_least=2, at_most=len(labels))
    if sizes.min() < num_folds:
        smallest = int(np.argmin(sizes))
        raise ValueError(
            f"labels must have at least num_folds = {num_folds} examples of every "
            f"class to be stratified, got {sizes[smallest]} of class "
            f"{classes[smallest]}; drop that class, take fewer folds or use k_fold"
        )
    return _dealt(key, labels, num_folds)


def grouped_k_fold(key: Array, groups: Any, *, num_folds: int) -> np.ndarray:
    """Puts whole groups into folds: patients, speakers, images of one scene.

    The largest groups first, each into the fold that is smallest so far.

    Args:
      key: a `jax.random.key`; settles which of several equally large groups goes where.
      groups: integers, shape ``(examples,)``; at least k different ones.
      num_folds: k, at least 2.

    Returns:
      The fold of each example, shape ``(examples,)``. Sizes differ by at most the size
      of the largest group.

    Raises:
      ValueError: if ``num_folds`` is out of range or the groups are not integers.
    """
    check.key("key", key)
    groups = check.labels("groups", groups)
    names, group_of, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    check.integer("num_folds", num_folds, at_least=2)
    if len(names) < num_folds:
        raise ValueError(
            f"groups must be at least num_folds = {num_folds} different ones, got "
            f"{len(names)}"
        )
    order = np.asarray(jax.random.permutation(key, len(names)))
    order = order[np.argsort(-sizes[order], kind="stable")]
    smallest = [(0, fold) for fold in range(num_folds)]
    fold_of_group = np.zeros(len(names), np.int32)
    for group in order:
        size, fold = heapq.heappop(smallest)
        fold_of_group[group] = fold
        heapq.heappush(smallest, (size + int(sizes[group]), fold))
    return fold_of_group[group_of]


def repeated(
    key: Array, draw: Callable[[Array], np.ndarray], *, num_repeats: int
) -> np.ndarray:
    """Draws folds several times; more repeats keep the first ones.

    Args:
      key: a `jax.random.key`; repeat r draws with ``jax.random.fold_in(key, r)``.
      draw: ``key -> folds``, such as ``lambda key: k_fold(key, 100, num_folds=5)``.
      num_repeats: R, at least 1.

    Returns:
      Shape ``(repeats, examples)``.
    """
    check.key("key", key)
    check.integer("num_repeats", num_repeats, at_least=1)
    return np.stack([draw(jax.random.fold_in(key, i)) for i in range(num_repeats)])


def train_weights(fold_of: Any, *, num_folds: int) -> np.ndarray:
    """Example weights of every split's training part: 0 for what is held out, else 1.

    Args:
      fold_of: shape ``(..., examples)``, from any function here.
      num_folds: k.

    Returns:
      float32, shape ``(..., folds, examples)``.

    Raises:
      ValueError: if a fold's number is not in [0, num_folds), or a fold is empty.
    """
    fold_of = np.asarray(fold_of)
    if fold_of.dtype.kind not in "iu" or fold_of.ndim < 1:
        raise ValueError(
            f"fold_of must be integers (..., examples), got {fold_of.dtype} of shape "
            f"{fold_of.shape}"
        )
    check.integer("num_folds", num_folds, at_least=2)
    if fold_of.min() < 0 or fold_of.max() >= num_folds:
        raise ValueError(
            f"fold_of must lie in [0, {num_folds - 1}], got {fold_of.min()} to "
            f"{fold_of.max()}"
        )
    weights = fold_of[..., None, :] != np.arange(num_folds)[:, None]
    if weights.all(axis=-1).any():
        raise ValueError(
            f"fold_of must put an example into each of {num_folds} folds, got an empty "
            "fold; give num_folds as the folds were drawn"
        )
    return weights.astype(np.float32)


def train_weights_of_all(fold_of: Any, *, num_examples: int) -> np.ndarray | Array:
    """`train_weights` where the folds themselves say how many there are.

    Of folds that are spread over devices (`jaxlin.sharding.folds`) so are the weights.

    Raises:
      ValueError: if ``fold_of`` is not one number an example, or some fold up to the
        largest number is empty.
    """
    is_spread = placement.is_spread(fold_of)
    if not is_spread:
        fold_of = np.asarray(fold_of)
    is_shaped = fold_of.ndim in (1, 2) and fold_of.shape[-1] == num_examples
    if fold_of.dtype.kind not in "iu" or not is_shaped:
        raise ValueError(
            f"fold_of must be integers ({num_examples},), one an example, or (repeats, "
            f"{num_examples}), got {fold_of.dtype} of shape {fold_of.shape}"
            + placement.remedy("jaxlin.sharding.folds")
        )
    named = _named(fold_of.reshape(-1, num_examples), is_spread)
    num_folds = len(named[0])
    for one in named:
        if len(one) != num_folds:
            raise ValueError(
                "fold_of must have the same number of folds in each repeat, got "
                f"{num_folds} and {len(one)}"
            )
        if not np.array_equal(one, np.arange(num_folds)) or num_folds < 2:
            raise ValueError(
                "fold_of must name folds 0, 1, ... without gaps, at least two, got "
                f"{one.tolist()[:9]}"
            )
    if is_spread:
        return _train_weights(fold_of, num_folds=num_folds)
    return train_weights(fold_of, num_folds=num_folds)


def _named(repeats: Any, is_spread: bool) -> list[np.ndarray]:
    """The folds that each repeat names, ascending."""
    if not is_spread:
        return [np.unique(one) for one in repeats]
    # No process sees all of them.
    least, most = int(jnp.min(repeats)), int(jnp.max(repeats)) + 1
    if least < 0 or most > repeats.shape[1]:
        raise ValueError(
            f"fold_of must lie in [0, {repeats.shape[1] - 1}], got {least} to "
            f"{most - 1}"
        )
    counts = np.asarray(_counts(repeats, most=most))
    return [np.flatnonzero(one) for one in counts]


@functools.partial(jax.jit, static_argnames=("most",))
def _counts(repeats: Array, *, most: int) -> Array:
    is_in = repeats[:, :, None] == jnp.arange(most)[None, None]
    return placement.whole(jnp.sum(is_in, axis=1))


@functools.partial(jax.jit, static_argnames=("num_folds",))
def _train_weights(fold_of: Array, *, num_folds: int) -> Array:
    numbers = jnp.arange(num_folds).reshape((1,) * (fold_of.ndim - 1) + (num_folds, 1))
    return (fold_of[..., None, :] != numbers).astype(jnp.float32)


def _dealt(key: Array, labels: np.ndarray, num_folds: int) -> np.ndarray:
    """Examples in random order, class after class, dealt to the folds in turn."""
    num_examples = len(labels)
    check.key("key", key)
    check.integer("num_folds", num_folds, at_least=2, at_most=num_examples)
    order_key, name_key = jax.random.split(key)
    order = np.asarray(jax.random.permutation(order_key, num_examples))
    order = order[np.argsort(labels[order], kind="stable")]
    # So that none of them is always among the larger ones.
    names = np.asarray(jax.random.permutation(name_key, num_folds))
    fold_of = np.empty(num_examples, np.int32)
    fold_of[order] = names[np.arange(num_examples) % num_folds]
    return fold_of
