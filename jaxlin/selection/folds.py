"""Fold ids for cross-validation: stratified, grouped, repeated.

A partition into k folds is one int32 array, the fold id of each example; split j holds
out fold j and trains on the other folds. Pure functions of a key and the labels:

  >>> import jax
  >>> from jaxlin.selection import folds
  >>> labels = [0, 1] * 50
  >>> fold_ids = folds.stratified_k_fold(jax.random.key(0), labels, num_folds=5)
  >>> weights = folds.train_weights(fold_ids, num_folds=5)
  >>> weights.shape, weights.sum(axis=1)
  ((5, 100), array([80., 80., 80., 80., 80.], dtype=float32))

As example weights of 0 and 1 all splits have the shape of the full data, so that the
models of all folds share one compiled program and one copy of the features.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxlin import check, class_labels
from jaxlin.selection import group_folds, splitter_folds
from jaxlin.typing import Array


def k_fold(key: Array, num_examples: int, *, num_folds: int) -> np.ndarray:
    """Random folds without stratification.

    Args:
      key: a `jax.random.key`.
      num_examples: n.
      num_folds: k, from 2 to n.

    Returns:
      Fold id of each example, shape ``(examples,)``, int32; fold sizes differ by at
      most one.

    Raises:
      ValueError: if an argument is out of range.
    """
    check.integer("num_examples", num_examples, at_least=2)
    return _stratified(key, np.zeros(num_examples, np.int32), num_folds)


def stratified_k_fold(
    key: Array, labels: Any, *, num_folds: int, allow_missing_classes: bool = False
) -> np.ndarray:
    """Random folds with the same share of every class.

    Args:
      key: a `jax.random.key`.
      labels: integers, booleans, text or whole floats, shape ``(examples,)``; at least
        k examples of each class that occurs.
      num_folds: k, from 2 to n.
      allow_missing_classes: whether a class may have fewer than k examples; its
        examples then go to different folds, at most one per fold.

    Returns:
      Fold id of each example, shape ``(examples,)``, int32. The number of examples per
      fold, in total and of each class, differs by at most one between folds.

    Raises:
      ValueError: if ``num_folds`` is out of range, the labels are no class labels, or a
        class would be missing from a fold and ``allow_missing_classes`` is False.
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
    return _stratified(key, codes, num_folds)


def grouped_k_fold(
    key: Array, groups: Any, *, num_folds: int, labels: Any = None
) -> np.ndarray:
    """Folds that keep groups whole: patients, speakers, images of one scene.

    Without labels, groups are assigned from the largest to the smallest, each to the
    fold that is smallest so far. With labels, groups are assigned from the most uneven
    class counts to the least, each to the fold that makes the shares of every class
    most even. A class of several groups is then in several folds, so that every split
    has training examples of it; a class of a single group cannot be.

    Args:
      key: a `jax.random.key`; breaks ties between equal groups.
      groups: group of each example, integers or strings, shape ``(examples,)``; at
        least k distinct groups.
      num_folds: k, at least 2.
      labels: integers, booleans, text or whole floats, shape ``(examples,)``; None
        balances fold sizes alone.

    Returns:
      Fold id of each example, shape ``(examples,)``, int32; no fold is empty. Without
      labels, fold sizes differ by at most the size of the largest group.

    Raises:
      ValueError: if ``num_folds`` is out of range, the groups are neither integers nor
        strings, or the labels have another length than the groups.
    """
    check.key("key", key)
    groups = group_folds.checked_groups(groups)
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
        check.one_per_example("labels", len(class_of), num_examples=len(groups))
    counts = np.zeros((len(names), len(classes)), np.int64)
    np.add.at(counts, (group_of, class_of), 1)
    order = np.asarray(jax.random.permutation(key, len(names)))
    if labels is None:
        of_group = group_folds.smallest_first(counts[:, 0], order, num_folds=num_folds)
        return of_group[group_of]
    # Random fold ids: else fold 0 always gets the first group.
    ids = np.asarray(jax.random.permutation(jax.random.fold_in(key, 1), num_folds))
    of_group = group_folds.evenly_shared(counts, order, num_folds=num_folds)
    return ids[of_group[group_of]].astype(np.int32)


def repeat(
    key: Array, draw: Callable[[Array], np.ndarray], *, num_repeats: int
) -> np.ndarray:
    """Repeated folds: independent partitions of the same examples.

    Args:
      key: a `jax.random.key`; repeat r draws with ``jax.random.fold_in(key, r)``, so
        that a larger ``num_repeats`` keeps the first repeats.
      draw: function ``key -> fold ids``, such as ``lambda key: k_fold(key, 100,
        num_folds=5)``.
      num_repeats: number of repeats R, at least 1.

    Returns:
      Fold ids, shape ``(repeats, examples)``.
    """
    check.key("key", key)
    check.integer("num_repeats", num_repeats, at_least=1)
    return np.stack([draw(jax.random.fold_in(key, i)) for i in range(num_repeats)])


def from_splitter(splitter: Any, labels: Any, *, groups: Any = None) -> np.ndarray:
    """Fold ids of the splits of a splitter of scikit-learn.

    Args:
      splitter: an object with ``split(features, labels, groups)``, such as
        `sklearn.model_selection.StratifiedGroupKFold`; or pairs of indices (train,
        test).
      labels: labels, shape ``(examples,)``.
      groups: group of each example, for a splitter that keeps groups together.

    Returns:
      Fold ids, int32, in the order of the splits: shape ``(examples,)`` for one
      partition, as of ``KFold`` and ``PredefinedSplit``; else ``(repeats,
      examples)``, as of ``RepeatedKFold``. Splits that do not hold out every example
      once have a row each, as those of ``ShuffleSplit``, even if they are disjoint. -1
      marks examples that a row never holds out; -2, for `jaxlin.cross_validate` alone,
      those that it does not train on either, as of ``TimeSeriesSplit``.

    Raises:
      ValueError: if the splitter is none, there is no split, an example is twice in
        one, or one has other values than indices of the examples.
    """
    splitter_folds.check_splitter(splitter)
    num_examples = len(labels)
    pairs = splitter
    if hasattr(splitter, "split"):
        # Splitters count the rows of the features and ignore what is in them.
        pairs = splitter.split(np.zeros((num_examples, 1)), labels, groups)
    # PredefinedSplit: the folds that its user named, which are disjoint.
    are_disjoint = hasattr(splitter, "test_fold")
    return splitter_folds.from_pairs(
        pairs, num_examples=num_examples, are_disjoint=are_disjoint
    )


def train_weights(fold_ids: Any, *, num_folds: int) -> np.ndarray:
    """Example weights of the training set of each split: 0 if held out, else 1.

    Args:
      fold_ids: integers in [0, k), shape ``(..., examples)``, from any function here.
      num_folds: k, at least 2.

    Returns:
      Weights of 0 and 1, float32, shape ``(..., folds, examples)``.

    Raises:
      ValueError: if a fold id is not in [0, num_folds), or a fold is empty.
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


def _stratified(key: Array, labels: np.ndarray, num_folds: int) -> np.ndarray:
    """Fold ids by round robin over the examples, in random order, sorted by class."""
    num_examples = len(labels)
    check.key("key", key)
    check.integer("num_folds", num_folds, at_least=2, at_most=num_examples)
    order_key, id_key = jax.random.split(key)
    order = np.asarray(jax.random.permutation(order_key, num_examples))
    order = order[np.argsort(labels[order], kind="stable")]
    # Random fold ids: else the first folds are always the larger ones.
    ids = np.asarray(jax.random.permutation(id_key, num_folds))
    fold_ids = np.empty(num_examples, np.int32)
    fold_ids[order] = ids[np.arange(num_examples) % num_folds]
    return fold_ids
