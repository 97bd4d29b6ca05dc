"""Example weights of the folds that fold ids describe."""

from typing import Any, NamedTuple

import numpy as np

from jaxlin.numerics import processes


class FoldWeights(NamedTuple):
    """Weights of 0 and 1, float32, shape ``(..., folds, examples)``.

    Attributes:
      train: weights of the training examples of each fold.
      held_out: weights of the held-out examples of each fold.
    """

    train: np.ndarray
    held_out: np.ndarray


def of_ids(
    fold_ids: Any, *, num_examples: int, name: str = "folds", least: int = -1
) -> FoldWeights:
    """Weights of training and held-out examples of all folds that occur.

    Args:
      fold_ids: integers 0, 1, ... without gaps, shape ``(examples,)`` or ``(repeats,
        examples)``; -1 marks examples that are never held out, as in scikit-learn's
        `PredefinedSplit`. In several processes: those of the examples of this process;
        ids are without gaps over all processes.
      num_examples: number of examples, in this process.
      name: name of the fold ids in error messages.
      least: least id that is allowed: -1, or -2, which marks examples that are neither
        trained on nor held out.

    Returns:
      Weights, shape ``(folds, examples)`` or ``(repeats, folds, examples)``.

    Raises:
      ValueError: if ``fold_ids`` has another shape or type, or a fold below the largest
        id is empty.
    """

    def checked() -> np.ndarray:
        try:
            array = np.asarray(fold_ids)
        except ValueError:  # lists of different lengths, such as pairs of indices
            array = np.empty(0, object)
        is_shaped = array.ndim in (1, 2) and array.shape[-1] == num_examples
        if array.dtype.kind not in "iu" or not is_shaped:
            raise ValueError(
                f"{name} must be integers ({num_examples},), one per example, or "
                f"(repeats, {num_examples}), got {array.dtype} of shape {array.shape}; "
                "jaxlin.selection.folds draws them; of pairs (train, test) of indices, "
                "ids[test] = number of the pair"
            )
        if array.min() < least:
            raise ValueError(
                f"{name} must be at least 0, or -1 for examples that are never held "
                f"out, got {array.min()}"
            )
        return array

    array = processes.check_everywhere(checked)
    processes.check_equal(rank=array.ndim, repeats=int(np.prod(array.shape[:-1])))
    repeats = array.reshape(-1, num_examples)
    num_folds = int(np.max(processes.gather_float64(array.max()))) + 1
    _check_no_gaps(name, repeats, num_folds)
    held_out = array[..., None, :] == np.arange(num_folds)[:, None]
    train = ~held_out & (array[..., None, :] != -2)
    return FoldWeights(train.astype(np.float32), held_out.astype(np.float32))


def _check_no_gaps(name: str, repeats: np.ndarray, num_folds: int) -> None:
    """Raises a ValueError if a fold is empty in some repeat, over all processes.

    A single fold is enough where other examples are never held out.
    """
    least = 1 if processes.total(np.count_nonzero(repeats < 0)) else 2
    of_folds = [fold_ids[fold_ids >= 0] for fold_ids in repeats]
    occurring = [np.unique(fold_ids) for fold_ids in of_folds]
    # More folds than examples always have gaps: counting, which needs memory for each
    # fold, is skipped.
    if 0 < num_folds <= processes.total(repeats.shape[1]):
        counts = processes.total(
            [np.bincount(fold_ids, minlength=num_folds) for fold_ids in of_folds]
        )
        occurring = [np.flatnonzero(count) for count in counts]
    for ids in occurring:
        if len(ids) != len(occurring[0]):
            raise ValueError(
                f"{name} must be the same number in each repeat, got "
                f"{len(occurring[0])} and {len(ids)}"
            )
        if not np.array_equal(ids, np.arange(len(ids))) or len(ids) < least:
            raise ValueError(
                f"{name} must be named 0, 1, ... without gaps, at least two, got "
                f"{ids.tolist()[:9]}; np.unique(fold_ids, return_inverse=True)[1] "
                "renumbers them"
            )
