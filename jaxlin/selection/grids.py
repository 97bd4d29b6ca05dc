"""What a sweep fits: grids of models.

  >>> from jaxlin import losses
  >>> from jaxlin.selection import grids
  >>> models = grids.product(
  ...     losses=(losses.weston_watkins_hinge, losses.softmax_cross_entropy),
  ...     l2s=(1e-2, 1e-1), loss_arguments={"margin": (0.5, 1.0)}, num_weight_sets=5)
  >>> models.size
  30
  >>> models.l2[:3], models.loss_arguments["margin"][:3]
  (array([0.1 , 0.01, 0.1 ]), array([0.5, 0.5, 0.5]))

The softmax, which has no margin, is not repeated for it.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from jaxlin import check
from jaxlin.certificates import duality
from jaxlin.losses import conjugates
from jaxlin.typing import Loss


class Grid(NamedTuple):
    """What is to be fitted, one entry a model.

    Attributes:
      losses: the distinct losses.
      loss: number of the model's loss, shape ``(models,)``.
      l2: shape ``(models,)``.
      loss_arguments: by name, shape ``(models,)`` each; 1 where the loss takes none.
      weight_set: number of the model's example weights, shape ``(models,)``.
      l2_path: models of one number differ by l2 alone, shape ``(models,)``.
    """

    losses: tuple[Loss, ...]
    loss: np.ndarray
    l2: np.ndarray
    loss_arguments: dict[str, np.ndarray]
    weight_set: np.ndarray
    l2_path: np.ndarray

    @property
    def size(self) -> int:
        """Number of models."""
        return len(self.l2)

    def arguments_of(self, model: int) -> dict[str, float]:
        """The loss arguments of one model."""
        taken = duality.argument_names(self.losses[self.loss[model]])
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
) -> Grid:
    """Every combination, l2 fastest and from large to small.

    Args:
      losses: distinct, each one that has a conjugate.
      l2s: distinct, above 0.
      loss_arguments: values to try of each, such as ``{"margin": (0.5, 1.0)}``, above
        0. A loss that does not take one is not repeated for it.
      num_weight_sets: how many vectors of example weights there are.

    Raises:
      ValueError: that names the argument, the rule and the value.
    """
    if callable(losses) or not losses or len(set(losses)) < len(losses):
        raise ValueError(
            "losses must be a sequence of distinct losses, at least one, got "
            f"{losses!r}; write (loss,) for one"
        )
    for loss in losses:
        conjugates.of(loss)
    values = sorted(check.numbers_list("l2s", l2s, above=0), reverse=True)
    check.integer("num_weight_sets", num_weight_sets, at_least=1)
    tried = {
        name: check.numbers_list(f"loss_arguments[{name!r}]", some, above=0)
        for name, some in (loss_arguments or {}).items()
    }
    taken = [duality.argument_names(loss) for loss in losses]
    for name in tried:
        if not any(name in names for names in taken):
            known = ", ".join(sorted(frozenset().union(*taken))) or "nothing"
            raise ValueError(
                "loss_arguments must be taken by one of the losses, which take "
                f"{known}, got {name!r}"
            )
    rows, l2_paths = [], 0
    for number in range(len(losses)):
        options = [
            some if name in taken[number] else (1.0,) for name, some in tried.items()
        ]
        for arguments in itertools.product(*options):
            for weight_set in range(num_weight_sets):
                rows += [(number, l2, arguments, weight_set, l2_paths) for l2 in values]
                l2_paths += 1
    loss_of, l2_of, arguments_of, weighting_of, l2_path_of = zip(*rows, strict=True)
    return Grid(
        tuple(losses),
        np.array(loss_of, np.int32),
        np.array(l2_of),
        {
            name: np.array([given[place] for given in arguments_of])
            for place, name in enumerate(tried)
        },
        np.array(weighting_of, np.int32),
        np.array(l2_path_of, np.int32),
    )


def subset(models: Grid, numbers: Sequence[int] | np.ndarray) -> Grid:
    """The grid of some of the models, in this order.

    Args:
      models: from `product`.
      numbers: of models of it, at least one.

    Raises:
      ValueError: if there is none, or one is no model of the grid.
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
    )
