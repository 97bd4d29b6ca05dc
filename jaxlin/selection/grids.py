"""Grids of models for a sweep.

  >>> from jaxlin import losses
  >>> from jaxlin.selection import grids
  >>> models = grids.product(
  ...     losses=(losses.weston_watkins_hinge, losses.softmax_cross_entropy),
  ...     l2s=(1e-2, 1e-1), loss_arguments={"margin": (0.5, 1.0)}, num_weight_sets=5)
  >>> models.size
  30
  >>> models.l2[:3], models.loss_arguments["margin"][:3]
  (array([0.1 , 0.01, 0.1 ]), array([0.5, 0.5, 0.5]))

The softmax cross-entropy, which takes no margin, appears once per l2 and weight set.
"""

import itertools
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from jaxlin import check
from jaxlin.linear import Bias, BiasName
from jaxlin.losses import conjugates
from jaxlin.typing import Loss


class Grid(NamedTuple):
    """Models to fit, as arrays with one entry per model.

    Attributes:
      losses: distinct losses of the grid.
      loss: index of the model's loss in ``losses``, shape ``(models,)``.
      l2: strength of the model's penalty, shape ``(models,)``.
      loss_arguments: values by name, each of shape ``(models,)``; 1 where the loss does
        not take the argument.
      weight_set: index of the model's set of example weights, shape ``(models,)``.
      l2_path: index of the model's regularisation path, shape ``(models,)``; the models
        of a path differ in l2 alone.
      bias: treatment of the bias, the same for all models.
      target_set: index of the model's set of labels, shape ``(models,)``; None where
        all models have the labels of the problem.
    """

    losses: tuple[Loss, ...]
    loss: np.ndarray
    l2: np.ndarray
    loss_arguments: dict[str, np.ndarray]
    weight_set: np.ndarray
    l2_path: np.ndarray
    bias: Bias = Bias.PENALIZED
    target_set: np.ndarray | None = None

    @property
    def size(self) -> int:
        """Number of models."""
        return len(self.l2)

    def arguments_of(self, model: int) -> dict[str, float]:
        """Loss arguments of one model, by name."""
        taken = check.argument_names(self.losses[self.loss[model]])
        return {
            name: float(values[model])
            for name, values in self.loss_arguments.items()
            if name in taken
        }


def product(
    *,
    losses: Sequence[Loss],
    l2s: Sequence[float],
    loss_arguments: Mapping[str, Sequence[float]] | None = None,
    num_weight_sets: int = 1,
    num_target_sets: int | None = None,
    bias: BiasName = "penalized",
) -> Grid:
    """All combinations of losses, l2, loss arguments, target sets and weight sets.

    Args:
      losses: distinct losses with a conjugate (`jaxlin.losses.conjugates`).
      l2s: distinct strengths of the penalty, above 0.
      loss_arguments: values to try by name, above 0, such as ``{"margin": (0.5,
        1.0)}``; None leaves each loss its defaults. A loss is combined only with the
        arguments that it takes.
      num_weight_sets: number of sets of example weights, at least 1.
      num_target_sets: number of sets of labels, at least 1; None is the labels of the
        problem.
      bias: treatment of the bias: ``"penalized"``, ``"free"`` or ``"none"``.

    Returns:
      The grid. l2 varies fastest, from large to small; then weight sets, target sets,
      loss arguments and losses.

    Raises:
      ValueError: if an argument is invalid; the message gives the rule and the value.
    """
    if callable(losses) or not losses or len(set(losses)) < len(losses):
        raise ValueError(
            "losses must be a sequence of distinct losses, at least one, got "
            f"{losses!r}; write (loss,) for one"
        )
    for loss in losses:
        conjugates.of(loss)
    treatment = Bias.named(bias)
    values = sorted(check.numbers_list("l2s", l2s, above=0), reverse=True)
    check.integer("num_weight_sets", num_weight_sets, at_least=1)
    num_targets = 1 if num_target_sets is None else num_target_sets
    check.integer("num_target_sets", num_targets, at_least=1)
    taken = [check.argument_names(loss) for loss in losses]
    tried = _tried_arguments(loss_arguments or {}, taken)
    rows, path = [], 0
    for index in range(len(losses)):
        options = [
            tried_values if name in taken[index] else (1.0,)
            for name, tried_values in tried.items()
        ]
        sets = (range(num_targets), range(num_weight_sets))
        for arguments, *own in itertools.product(itertools.product(*options), *sets):
            rows += [(index, l2, arguments, *own, path) for l2 in values]
            path += 1
    loss_column, l2_column, arguments_column, *set_columns, l2_path_column = zip(
        *rows, strict=True
    )
    target_set, weight_set = np.array(set_columns, np.int32)
    return Grid(
        tuple(losses),
        np.array(loss_column, np.int32),
        np.array(l2_column),
        {
            name: np.array([arguments[i] for arguments in arguments_column])
            for i, name in enumerate(tried)
        },
        weight_set,
        np.array(l2_path_column, np.int32),
        treatment,
        None if num_target_sets is None else target_set,
    )


def _tried_arguments(
    loss_arguments: Mapping[str, Sequence[float]], taken: Sequence[Collection[str]]
) -> dict[str, tuple[float, ...]]:
    """Checked values to try of each loss argument; some loss takes each of them."""
    tried = {
        name: check.numbers_list(f"loss_arguments[{name!r}]", values, above=0)
        for name, values in loss_arguments.items()
    }
    for name in tried:
        if not any(name in names for names in taken):
            known = ", ".join(sorted(frozenset().union(*taken))) or "nothing"
            raise ValueError(
                "loss_arguments must be taken by one of the losses, which take "
                f"{known}, got {name!r}"
            )
    return tried


def subset(models: Grid, numbers: Sequence[int] | np.ndarray) -> Grid:
    """Grid of selected models, in the order of their indices.

    Args:
      models: grid from `product`.
      numbers: indices of models, in [0, models.size), at least one.

    Raises:
      ValueError: if ``numbers`` is empty, or an index is out of range.
    """
    chosen = np.asarray(numbers, np.int32)
    if not chosen.size or chosen.min() < 0 or chosen.max() >= models.size:
        raise ValueError(
            f"numbers must be of models, 0 to {models.size - 1}, at least one, got "
            f"{chosen.tolist()!r:.80}"
        )
    used = np.unique(models.loss[chosen])
    _, l2_path = np.unique(models.l2_path[chosen], return_inverse=True)
    return Grid(
        tuple(models.losses[i] for i in used),
        np.searchsorted(used, models.loss[chosen]).astype(np.int32),
        models.l2[chosen],
        {name: values[chosen] for name, values in models.loss_arguments.items()},
        models.weight_set[chosen],
        l2_path.astype(np.int32),
        models.bias,
        None if models.target_set is None else models.target_set[chosen],
    )


def path_pieces(
    models: Grid, paths: Sequence[int] | np.ndarray, *, pieces: int
) -> list[np.ndarray]:
    """Regularisation paths, each cut into pieces; the l2 of a piece descend.

    A path in k pieces gives every k-th l2 to each piece, so that all pieces start at a
    large l2, where fits are easy.

    Args:
      models: grid from `product`.
      paths: indices of the paths, as in ``models.l2_path``.
      pieces: number of pieces per path, at least 1; a shorter path has fewer.

    Returns:
      Indices of the models of each piece.
    """
    cut = []
    for path in paths:
        own = np.flatnonzero(models.l2_path == path)
        own = own[np.argsort(-models.l2[own], kind="stable")]
        cut += [own[i::pieces] for i in range(min(pieces, len(own)))]
    return cut


def parts(models: Grid, count: int) -> list[np.ndarray]:
    """Parts of a grid, each a sweep of its own.

    Regularisation paths are dealt to the parts in turn. Where there are more parts than
    paths, each path is cut into the smallest number of pieces that gives every part
    one. Parts are of equal size where ``count`` divides the number of paths, or of
    pieces.

    Args:
      models: grid from `product`.
      count: number of parts, from 1 to the number of models.

    Returns:
      Indices of the models of each part, ascending.

    Raises:
      ValueError: if ``count`` is out of range.
    """
    check.integer("count", count, at_least=1, at_most=models.size)
    paths, lengths = np.unique(models.l2_path, return_counts=True)
    pieces = 1
    while np.minimum(lengths, pieces).sum() < count:
        pieces += 1
    cut = path_pieces(models, paths, pieces=pieces)
    return [np.sort(np.concatenate(cut[i::count])) for i in range(count)]


def by_setting(models: Grid) -> np.ndarray:
    """Indices that order the models of a product by setting; parts vary fastest."""
    names = sorted(models.loss_arguments)
    return np.lexsort(
        (
            models.weight_set,
            -models.l2,
            *(models.loss_arguments[name] for name in names),
            models.loss,
        )
    )
