"""Problems from arrays and from blocks of rows."""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ParamSpec, TypeVar

import jax
import numpy as np
from jax.typing import ArrayLike

from jaxlin import check, class_labels
from jaxlin.normalization import Normalization, check_normalization, fitting
from jaxlin.normalization.fitting import FitNormalization
from jaxlin.numerics import processes, row_arrays
from jaxlin.objective import row_blocks
from jaxlin.objective.row_blocks import Block
from jaxlin.problems.checked import Problem

_Args = ParamSpec("_Args")
_Result = TypeVar("_Result")


def problem(
    features: ArrayLike | Iterable[Block],
    labels: ArrayLike | None = None,
    *,
    weights: ArrayLike | None = None,
    normalization: Normalization | FitNormalization | None = None,
    classes: Any = None,
) -> Problem:
    """Checks examples, once, and encodes their labels.

    Args:
      features: raw rows of finite numbers, shape ``(examples, features)``: an array,
        a table (pandas, polars, PyArrow), a tensor (PyTorch, CuPy, JAX). uint8 and
        floats are kept, booleans, other integers and lists are converted; arrays on the
        device stay there. Or rows of scipy.sparse, which a fit makes dense block by
        block: a pass takes as long as over dense rows, and the host converts them anew;
        sweeps, probes and training make all rows dense. Or blocks of rows and labels
        (`jaxlin.objective.row_blocks`), without ``labels``.
      labels: integers, booleans, text or whole floats, shape ``(examples,)`` or
        ``(examples, 1)``; for `jaxlin.losses.cross_entropy` distributions ``(examples,
        classes)``. At least two classes with a positive weight.
      weights: shape ``(examples,)``, non-negative with a positive sum; None is all
        ones. A row of weight 0 has no effect, but must be finite.
      normalization: applied to each row; or a function such as
        `jaxlin.normalization.fit_standard` that fits one to these rows; or None.
        Features that are not normalized should be of size about 1. In several processes
        `jaxlin.sharding` fits it before.
      classes: all labels, in the order of the scores; None takes those that occur, in
        ascending order. In several processes it must be given.

    Raises:
      ValueError: that names the argument, the rule and the value.
    """
    for name, value in {"features": features, "labels": labels}.items():
        check.concrete(name, value)
    check.concrete("weights", weights)
    if labels is None:
        _check_is_blocks(features, weights)
        return _from_blocks(features, normalization, classes)  # type: ignore[arg-type]
    several = jax.process_count() > 1
    if several and classes is None:
        raise ValueError(
            "classes must be given in several processes, none of which sees all labels"
        )
    if several and check.is_sparse(features):
        raise ValueError(
            "features must be dense in several processes, got sparse rows; call "
            ".toarray() on those of each process"
        )
    if several and callable(normalization):
        raise ValueError(
            "normalization must be fitted already in several processes, got a function "
            "that would see those of one; give jaxlin.sharding.fit_standard(features)"
        )

    def checked() -> tuple[Block, np.ndarray, Normalization | None]:
        codes, known_classes = _encoded(labels, classes)
        rows = check.examples(
            features,
            codes,
            weights,
            num_classes=max(2, len(known_classes)),
            names=("features", "labels", "weights"),
            # A property of all rows need not hold for those of one process.
            is_part=several,
            check_features=row_arrays.rows,
        )
        fitted = fitting.fitted(normalization, rows[0], rows[2])
        return Block(*rows), known_classes, fitted

    rows, known_classes, fitted = processes.check_everywhere(checked)
    _check_classes_of_all(rows, known_classes)
    if check.is_sparse(rows.features):
        blocks = row_blocks.over(*rows[:2], example_weights=rows.example_weights)
        return Problem(blocks, known_classes, fitted)
    return Problem(rows, known_classes, fitted, check.column_names(features))


def as_problem(
    features: Problem | ArrayLike | Iterable[Block],
    labels: ArrayLike | None = None,
    **options: Any,
) -> Problem:
    """Returns a `Problem` as it is, or makes one from arrays or blocks.

    Args:
      features: a problem, raw rows or blocks.
      labels: labels of raw rows; None with a problem or blocks.
      **options: keywords of `problem`, all None with a problem.

    Raises:
      ValueError: if labels or options are given beside a problem.
    """
    if not isinstance(features, Problem):
        return problem(features, labels, **options)
    for name, value in {"labels": labels, **options}.items():
        if value is not None:
            raise ValueError(
                f"{name} must be given to jaxlin.problem, got some beside a Problem"
            )
    return features


def takes_problem(function: Callable[_Args, _Result]) -> Callable[_Args, _Result]:
    """Decorates a function so that other values of its ``problem`` are refused.

    The check comes before Python counts the arguments: arrays in place of a problem are
    usually two, features and labels.

    Raises:
      ValueError: if ``problem`` is not a `Problem`.
    """

    @functools.wraps(function)
    def checked(*args: _Args.args, **options: _Args.kwargs) -> _Result:
        place = list(inspect.signature(function).parameters).index("problem")
        given = args[place] if len(args) > place else options.get("problem")
        if given is not None and not isinstance(given, Problem):
            raise ValueError(
                f"problem must be a jaxlin.Problem, got a {type(given).__name__}; give "
                "jaxlin.problem(features, labels)"
            )
        return function(*args, **options)

    return checked


def _encoded(labels: Any, classes: Any) -> tuple[Any, np.ndarray]:
    """Codes of labels and their classes; distributions are returned unchanged."""
    check.one_label_each("labels", labels)
    array = check.dense("labels", labels)
    if array.ndim != 2 or array.shape[1] == 1:
        return class_labels.encode("labels", labels, classes=classes)
    width = array.shape[1]
    known = np.arange(width) if classes is None else class_labels.as_classes(classes)
    if len(known) != width:
        raise ValueError(
            f"classes must be one a column of the labels, {width} of them, got "
            f"{len(known)}"
        )
    return array, known


def _check_classes_of_all(rows: Block, classes: np.ndarray) -> None:
    """Raises a ValueError in all processes if their examples are of one class."""
    features, targets, weights = rows
    processes.check_rows_of_processes()
    processes.check_equal(
        width=features.shape[1], dtype=features.dtype.num, rank=targets.ndim
    )
    present = check.present_classes(targets, example_weights=weights)
    found = np.flatnonzero(
        processes.total(np.isin(np.arange(max(2, len(classes))), present))
    )
    if not found.size:
        raise ValueError("weights of all processes must have a positive sum, got 0")
    if len(found) < 2:
        weighted = "" if weights is None else " with positive weights"
        raise ValueError(
            f"labels must name at least two classes{weighted}, got only class "
            f"{classes[found[0]]!s}; a classifier has nothing to tell apart"
        )


@dataclasses.dataclass(frozen=True)
class _EncodedBlocks:
    """Blocks whose labels are encoded at each read."""

    blocks: Iterable[Block]
    classes: np.ndarray

    def __iter__(self) -> Iterator[Block]:
        for number, block in enumerate(row_blocks.each_as_arrays(self.blocks)):
            if np.ndim(block.targets) == 1:
                codes, _ = class_labels.encode(
                    f"blocks[{number}].targets", block.targets, classes=self.classes
                )
                block = block._replace(targets=codes)
            yield block


def _from_blocks(
    blocks: Iterable[Block],
    normalization: Normalization | FitNormalization | None,
    classes: Any,
) -> Problem:
    first = row_blocks.first_of(blocks)
    if callable(normalization):
        raise ValueError(
            "normalization must be fitted already where rows come in blocks, got a "
            "function; fit_standard takes memory maps"
        )
    if classes is not None:
        known_classes = class_labels.as_classes(classes)
    elif np.ndim(first.targets) == 2:
        known_classes = np.arange(np.shape(first.targets)[1])
    else:
        found: set[Any] = set()
        for number, block in enumerate(blocks):
            name = f"blocks[{number}].targets"
            found.update(class_labels.as_labels(name, block[1]).tolist())
        known_classes = class_labels.as_labels("targets", np.array(sorted(found)))
    if normalization is not None:
        normalization = check_normalization(
            normalization, num_features=np.shape(first.features)[1]
        )
    return Problem(
        _EncodedBlocks(blocks, known_classes),
        known_classes,
        normalization,
        row_blocks.column_names(blocks),
    )


def _check_is_blocks(features: Any, weights: Any) -> None:
    """Raises a ValueError for arrays without labels, or weights beside blocks."""
    if hasattr(features, "dtype") or check.is_table(features):
        raise ValueError(
            "labels must be given with features, got None; only blocks of rows "
            "(jaxlin.objective.row_blocks) bring their own"
        )
    if weights is not None:
        raise ValueError("weights must be in the blocks, got some beside them")
