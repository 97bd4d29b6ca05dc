"""Folds: which part of the examples each example is held out with.

A partition into k folds is one int32 array, the number of the fold of each example;
split j holds fold j out and trains on the rest. Pure functions of a key and the labels:

  >>> import jax
  >>> from jaxlin.selection import folds
  >>> labels = [0, 1] * 50
  >>> fold_ids = folds.stratified_k_fold(jax.random.key(0), labels, num_folds=5)
  >>> weights = folds.train_weights(fold_ids, num_folds=5)
  >>> weights.shape, weights.sum(axis=1)
  ((5, 100), array([80., 80., 80., 80., 80.], dtype=float32))

As example weights of 0 and 1 all splits have the shape of the whole, so that the models
of all folds are one compiled program on shared features.
"""

import heapq
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxlin import check, class_labels
from jaxlin.numerics import processes
from jaxlin.typing import Array

# Times that each group may move to a better fold. On 300 random problems the mean
# deviation of a class's shares between folds is .0404 without, as with scikit-learn,
# .0361 with two and .0360 with five.
_MOVES = 2


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


def stratified_k_fold(
    key: Array, labels: Any, *, num_folds: int, allow_missing_classes: bool = False
) -> np.ndarray:
    """Deals the examples of each class out to folds.

    Args:
      key: a `jax.random.key`.
      labels: of any kind that a fit takes, shape ``(examples,)``; at least k of each
        class that occurs.
      num_folds: k, from 2 to n.
      allow_missing_classes: whether a class may have fewer than k examples, which are
        then dealt out as far as they go, at most one a fold.

    Returns:
      The fold of each example, shape ``(examples,)``. Numbers of examples differ by at
      most one between folds, in all and of each class.

    Raises:
      ValueError: if ``num_folds`` is out of range, the labels are no class labels, or
        some class would be missing from a fold, unless that is allowed.
    """
    codes, classes = class_labels.encode("labels", labels)
    sizes = np.bincount(codes)
    check.integer("num_folds", num_folds, at_least=2, at_most=len(codes))
    if sizes.min() < num_folds and not allow_missing_classes:
        smallest = int(np.argmin(sizes))
        raise ValueError(
            f"labels must have at least num_folds = {num_folds} examples of every "
            f"class to be stratified, got {sizes[smallest]} of class "
            f"{classes[smallest]}; allow_missing_classes=True deals them out as far as "
            "they go; or drop that class or take fewer folds"
        )
    return _dealt(key, codes, num_folds)


def grouped_k_fold(
    key: Array, groups: Any, *, num_folds: int, labels: Any = None
) -> np.ndarray:
    """Puts whole groups into folds: patients, speakers, images of one scene.

    Without labels the largest groups come first, each into the fold that is smallest so
    far. With labels those come first whose classes are the most uneven, each into the
    fold that leaves the shares of every class the most even. A class of several groups
    is then put into several folds, so that each split has some of it to train on; a
    class of one group cannot be.

    Args:
      key: a `jax.random.key`; settles which of several equal groups goes where.
      groups: integers or strings, shape ``(examples,)``; at least k different ones.
      num_folds: k, at least 2.
      labels: of any kind that a fit takes, shape ``(examples,)``, or None.

    Returns:
      The fold of each example, shape ``(examples,)``, none empty. Without labels sizes
      differ by at most the size of the largest group.

    Raises:
      ValueError: if ``num_folds`` is out of range, the groups are neither integers nor
        strings, or the labels are not one an example.
    """
    check.key("key", key)
    groups = _group_names(groups)
    names, group_of = np.unique(groups, return_inverse=True)
    check.integer("num_folds", num_folds, at_least=2)
    if len(names) < num_folds:
        raise ValueError(
            f"groups must be at least num_folds = {num_folds} different ones, got "
            f"{len(names)}"
        )
    if labels is None:
        classes, class_of = np.unique(np.zeros(len(groups)), return_inverse=True)
    else:
        class_of, classes = class_labels.encode("labels", labels)
        if len(class_of) != len(groups):
            raise ValueError(
                f"labels must have one entry per example, got {len(class_of)} for "
                f"{len(groups)} groups"
            )
    counts = np.zeros((len(names), len(classes)), np.int64)
    np.add.at(counts, (group_of, class_of), 1)
    order = np.asarray(jax.random.permutation(key, len(names)))
    if labels is None:
        return _smallest_first(counts[:, 0], order, num_folds)[group_of]
    # So that none of them always has the first group.
    names = np.asarray(jax.random.permutation(jax.random.fold_in(key, 1), num_folds))
    return names[_evenly_shared(counts, order, num_folds)[group_of]].astype(np.int32)


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


def train_weights(fold_ids: Any, *, num_folds: int) -> np.ndarray:
    """Example weights of every split's training part: 0 for what is held out, else 1.

    Args:
      fold_ids: shape ``(..., examples)``, from any function here.
      num_folds: k.

    Returns:
      float32, shape ``(..., folds, examples)``.

    Raises:
      ValueError: if a fold's number is not in [0, num_folds), or a fold is empty.
    """
    fold_ids = np.asarray(fold_ids)
    if fold_ids.dtype.kind not in "iu" or fold_ids.ndim < 1:
        raise ValueError(
            f"fold_ids must be integers (..., examples), got {fold_ids.dtype} of shape "
            f"{fold_ids.shape}"
        )
    check.integer("num_folds", num_folds, at_least=2)
    if fold_ids.min() < 0 or fold_ids.max() >= num_folds:
        raise ValueError(
            f"fold_ids must lie in [0, {num_folds - 1}], got {fold_ids.min()} to "
            f"{fold_ids.max()}"
        )
    weights = fold_ids[..., None, :] != np.arange(num_folds)[:, None]
    if weights.all(axis=-1).any():
        raise ValueError(
            f"fold_ids must put an example into each of {num_folds} folds, got an "
            "empty fold; give num_folds as the folds were drawn"
        )
    return weights.astype(np.float32)


def train_weights_of_all(fold_ids: Any, *, num_examples: int) -> np.ndarray:
    """`train_weights` where the folds themselves say how many there are.

    In several processes, of the examples of this one; all of them together name the
    folds.

    Raises:
      ValueError: if ``fold_ids`` is not one number per example, or some fold up to the
        largest number is empty.
    """

    def checked() -> np.ndarray:
        array = np.asarray(fold_ids)
        is_shaped = array.ndim in (1, 2) and array.shape[-1] == num_examples
        if array.dtype.kind not in "iu" or not is_shaped:
            raise ValueError(
                f"folds must be integers ({num_examples},), one per example, or "
                f"(repeats, {num_examples}), got {array.dtype} of shape {array.shape}"
            )
        if array.min() < 0:
            raise ValueError(f"folds must be at least 0, got {array.min()}")
        return array

    array = processes.check_everywhere(checked)
    processes.check_equal(rank=array.ndim, repeats=int(np.prod(array.shape[:-1])))
    repeats = array.reshape(-1, num_examples)
    most = int(np.max(processes.gathered_float64(array.max()))) + 1
    _check_named(repeats, most)
    return (array[..., None, :] != np.arange(most)[:, None]).astype(np.float32)


def _check_named(repeats: np.ndarray, most: int) -> None:
    """Raises a ValueError if the folds below ``most`` are not all there, in all."""
    named = [np.unique(one) for one in repeats]
    # More folds than examples cannot be without gaps: nothing need be counted.
    if most <= processes.total(repeats.shape[1]):
        counts = processes.total([np.bincount(one, minlength=most) for one in repeats])
        named = [np.flatnonzero(one) for one in counts]
    for one in named:
        if len(one) != len(named[0]):
            raise ValueError(
                "folds must be the same number in each repeat, got "
                f"{len(named[0])} and {len(one)}"
            )
        if not np.array_equal(one, np.arange(len(one))) or len(one) < 2:
            raise ValueError(
                "folds must be named 0, 1, ... without gaps, at least two, got "
                f"{one.tolist()[:9]}; np.unique(folds, return_inverse=True)[1] "
                "numbers them so"
            )


def _group_names(groups: Any) -> np.ndarray:
    """Integers or strings, one an example."""
    names = np.asarray(groups)
    if names.dtype == object and all(isinstance(name, str) for name in names.flat):
        names = names.astype(str)
    if names.ndim != 1 or names.dtype.kind not in "iuUS" or not names.size:
        raise ValueError(
            "groups must be integers or strings, one an example, got "
            f"{names.dtype} of shape {names.shape}"
        )
    return names


def _smallest_first(sizes: np.ndarray, order: np.ndarray, num_folds: int) -> np.ndarray:
    """The fold of each group: the largest first, into the smallest fold."""
    smallest = [(0, fold) for fold in range(num_folds)]
    fold_ids = np.zeros(len(sizes), np.int32)
    for group in order[np.argsort(-sizes[order], kind="stable")]:
        size, fold = heapq.heappop(smallest)
        fold_ids[group] = fold
        heapq.heappush(smallest, (size + int(sizes[group]), fold))
    return fold_ids


def _evenly_shared(counts: np.ndarray, order: np.ndarray, num_folds: int) -> np.ndarray:
    """The fold of each group, given its examples of each class.

    As scikit-learn's StratifiedGroupKFold: the groups with the largest deviation
    between classes first, each where the deviation of the folds' shares of a class,
    mean over classes, is least. Two things more: a class of several groups is kept out
    of a single fold, without which nobody could train on it; and groups may move once
    all others have their place.
    """
    totals = counts.sum(axis=0)
    is_divisible = (counts > 0).sum(axis=0) > 1
    held = np.zeros((num_folds, len(totals)), np.int64)
    fold_ids = np.zeros(len(counts), np.int32)
    order = order[np.argsort(-counts[order].std(axis=1), kind="stable")]
    for number, group in enumerate(np.tile(order, 1 + _MOVES)):
        if number >= len(order):
            held[fold_ids[group]] -= counts[group]
        after = held + counts[group]
        is_whole = (after == totals) & is_divisible & (counts[group] > 0)
        # Shares of the fold that the group goes to; the mean over folds is the same.
        gained = np.square(after / totals) - np.square(held / totals)
        squares = np.square(held / totals).sum(axis=0) + gained
        mean = (held.sum(axis=0) + counts[group]) / totals / num_folds
        variance = squares / num_folds - np.square(mean)
        deviation = np.sqrt(np.maximum(variance, 0)).mean(axis=1)
        # Rounded, so that equal ones tie and the smaller fold is taken.
        best = np.lexsort(
            (held.sum(axis=1), deviation.round(12), is_whole.sum(axis=1))
        )[0]
        held[best] += counts[group]
        fold_ids[group] = best
    return fold_ids


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
    fold_ids = np.empty(num_examples, np.int32)
    fold_ids[order] = names[np.arange(num_examples) % num_folds]
    return fold_ids
