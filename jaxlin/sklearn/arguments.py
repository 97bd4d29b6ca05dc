"""Checks of the arguments of both estimators, whose errors name these arguments."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from sklearn.utils.class_weight import compute_class_weight

from jaxlin import check, class_labels, losses
from jaxlin.typing import Loss

#: Losses by the names that the estimators take.
LOSSES: dict[str, Loss] = {
    "softmax": losses.softmax_cross_entropy,
    "weston_watkins_hinge": losses.weston_watkins_hinge,
    "weston_watkins_squared_hinge": losses.weston_watkins_squared_hinge,
    "crammer_singer_hinge": losses.crammer_singer_hinge,
    "one_vs_rest_hinge": losses.one_vs_rest_hinge,
}

# Arguments of the library in errors, and those of the estimators.
_OWN_NAMES = {
    "features": "X",
    "features that are not constant": "X",
    "labels": "y",
    "validation": "cv",
}


@contextlib.contextmanager
def own_names() -> Iterator[None]:
    """Renames arguments in the library's errors to the estimator's."""
    try:
        yield
    except ValueError as error:
        name, _, rule = str(error).partition(" must ")
        if name not in _OWN_NAMES:
            raise
        raise ValueError(f"{_OWN_NAMES[name]} must {rule}") from error


def loss_of(name: str | Loss) -> Loss:
    """Loss of this name; a function is returned unchanged.

    Raises:
      ValueError: if there is no loss of this name.
    """
    if callable(name):
        return name
    if not isinstance(name, str) or name not in LOSSES:
        raise ValueError(
            f"loss must be a function of jaxlin.losses or one of {', '.join(LOSSES)}, "
            f"got {name!r}"
        )
    return LOSSES[name]


def class_weight_numbers(
    class_weight: Any, labels: np.ndarray, *, sample_weight: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Weight of each class, and the class of each example.

    Args:
      class_weight: "balanced" or a dictionary, as scikit-learn takes them, of weights
        above 0.
      labels: labels, shape ``(examples,)``.
      sample_weight: weights of the examples, which "balanced" takes into account; None
        is all ones.

    Returns:
      Weights, shape ``(classes,)``, and codes, shape ``(examples,)``.

    Raises:
      ValueError: naming the argument, the rule and the value.
    """
    codes, classes = class_labels.encode("y", labels)
    own = np.ones(len(codes)) if sample_weight is None else sample_weight
    if isinstance(class_weight, Mapping):
        numbers = _of_labels(class_weight, classes)
    elif isinstance(class_weight, str) and class_weight == "balanced":
        numbers = _balanced(codes, own)
    else:
        raise ValueError(
            'class_weight must be None, "balanced" or a dictionary of labels and '
            f"weights, got {class_weight!r}"
        )
    largest = float(np.max(numbers[codes] * own))
    check.weight_size("sample_weight times class_weight", largest)
    return numbers, codes


def _of_labels(class_weight: Mapping[Any, Any], classes: np.ndarray) -> np.ndarray:
    """Weights of a dictionary; 1 for a class that is not in it.

    As in scikit-learn, labels that do not occur are ignored if all classes have a
    weight: the training examples of a fold may lack a class.
    """
    weights = {label: _weight(label, weight) for label, weight in class_weight.items()}
    known = classes.tolist()
    unknown = [label for label in weights if label not in known]
    if unknown and not weights.keys() >= {*known}:
        raise ValueError(
            f"class_weight must have labels of y as keys ({_listed(known)}), got "
            f"{unknown[0]!r}; write keys and labels alike"
        )
    return np.array([weights.get(label, 1.0) for label in known])


def _weight(label: Any, weight: Any) -> float:
    name = f"class_weight[{label!r}]"
    if check.number(name, weight) == 0:
        raise ValueError(
            f"{name} must be above 0, got {weight}; leave the examples of that class "
            "out, or give them sample_weight 0 and take a penalized bias or none"
        )
    return check.number(name, weight, above=0)


def _balanced(codes: np.ndarray, sample_weight: np.ndarray) -> np.ndarray:
    """Weights of "balanced"; 1 for a class all of whose examples have weight 0."""
    with np.errstate(divide="ignore"):
        numbers = compute_class_weight(
            "balanced",
            classes=np.unique(codes),
            y=codes,
            sample_weight=sample_weight,
        )
    return np.where(np.isfinite(numbers), numbers, 1.0)


def _listed(labels: list[Any]) -> str:
    return f"{', '.join(map(repr, labels[:5]))}{', ...' if len(labels) > 5 else ''}"
