"""Training examples of a probe: rows of both parts, class weights, held-out factors."""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.typing import ArrayLike

from jaxlin import check, class_labels, predictions, problems, sharding
from jaxlin.linear_probe import class_weights as class_weights_of
from jaxlin.normalization import Normalization, fit_standard, fitting
from jaxlin.numerics import processes, row_arrays
from jaxlin.problems import FitNormalization, Problem
from jaxlin.selection import held_out
from jaxlin.typing import Array


class ProbeExamples(NamedTuple):
    """Training examples of a probe, those of a given validation set included.

    Attributes:
      problem: all rows; their weights include the class weights, and the normalization
        is fitted to all of them.
      own_weights: weights of the examples without class weights, float64, shape
        ``(examples,)``.
      class_weights: weight of each class, ones if none are given, shape ``(classes,)``.
      parts: weights of 0 and 1 of the held-out examples, shape ``(parts, examples)``.
      part_problems: problem of each part, whose normalization is fitted without the
        held-out rows; a single problem for all parts where nothing is fitted.
      num_repeats: number of rows of fold ids, each a partition of the examples or a
        split that was drawn; 1 if the validation is of another form.
    """

    problem: Problem
    own_weights: np.ndarray
    class_weights: np.ndarray
    parts: np.ndarray
    part_problems: tuple[Problem, ...]
    num_repeats: int

    @property
    def codes(self) -> np.ndarray:
        """Class of each example, shape ``(examples,)``."""
        return np.asarray(self.problem.whole_rows.targets)

    @property
    def weights(self) -> np.ndarray:
        """Weights of the examples, class weights included, shape ``(examples,)``."""
        return self.own_weights * self.class_weights[self.codes]


def make(
    key: Array,
    features: ArrayLike,
    labels: ArrayLike,
    *,
    validation: Any,
    num_settings: int,
    weights: ArrayLike | None,
    class_weights: str | Sequence[float] | None,
    normalization: Normalization | FitNormalization | None,
    classes: Any,
    strata: ArrayLike | None = None,
) -> ProbeExamples:
    """Checked training examples; arguments are those of `jaxlin.probe`.

    Args:
      key: a `jax.random.key` for the held-out examples.
      features: raw features, shape ``(examples, features)``.
      labels: shape ``(examples,)``.
      validation: examples to hold out.
      num_settings: number of l2 to compare.
      weights: weights of the examples, or None.
      class_weights: factors of the weights by class, or None.
      normalization: normalization, function that fits one, or None.
      classes: labels in the order of the scores, or None.
      strata: integers of the groups within which held-out examples are drawn, shape
        ``(examples,)``, or one for all; None is the labels.

    Raises:
      ValueError: if an argument is invalid; the message gives the rule and the value.
    """
    normalization = _of_all_processes(normalization)
    problem = _problem_of_labels(features, labels, weights=weights, classes=classes)
    if is_set(validation):
        problem, validation = _with_set(problem, validation)
    rows = problem.whole_rows
    own = np.ones(problem.num_examples)
    if rows.example_weights is not None:
        own = np.asarray(rows.example_weights, np.float64)
    drawn_by: np.ndarray = rows.targets
    names: np.ndarray | None = problem.classes
    if strata is not None:
        drawn_by, names = np.broadcast_to(np.asarray(strata), drawn_by.shape), None
    parts = held_out.weights(
        key,
        drawn_by,
        validation=validation,
        example_weights=own,
        num_settings=num_settings,
        classes=names,
    )
    numbers = np.ones(problem.num_classes)
    fitted = fitting.fitted(normalization, rows.features, rows.example_weights)
    if class_weights is not None:
        numbers = class_weights_of.numbers(
            class_weights,
            processes.gather_rows(rows.targets),
            example_weights=processes.gather_rows(own),
            num_classes=problem.num_classes,
        )
        product = (own * numbers[rows.targets]).astype(np.float32)
        largest = np.max(processes.gather_float64(product.max()))
        check.weight_size("weights times class_weights", float(largest))
        rows = rows._replace(example_weights=product)
    problem = dataclasses.replace(problem, rows=rows, normalization=fitted)
    part_problems: tuple[Problem, ...] = (problem,)
    if callable(normalization):
        part_problems = tuple(
            problem.with_normalization(
                normalization(rows.features, example_weights=own * (1 - part))
            )
            for part in parts
        )
    repeats = held_out.num_repeats(validation)
    return ProbeExamples(problem, own, numbers, parts, part_problems, repeats)


def held_out_factors(given: ProbeExamples, *, mean_per_class: bool) -> np.ndarray:
    """Factors of the weights in held-out accuracy and loss, ``(parts, examples)``.

    They leave class weights out; with ``mean_per_class`` all classes of a part count
    alike.

    Args:
      given: training examples.
      mean_per_class: whether means are over classes instead of examples.
    """
    factors = given.parts / given.class_weights[given.codes]
    if not mean_per_class:
        return factors
    counted = given.parts * given.own_weights
    num_classes = given.problem.num_classes
    totals = processes.total(
        [np.bincount(given.codes, one, minlength=num_classes) for one in counted]
    )
    # The largest total instead of 1: factors of at least 1, whatever the weights.
    largest = totals.max(axis=1, keepdims=True)
    of_class = np.divide(largest, totals, out=np.zeros_like(totals), where=totals > 0)
    return factors * of_class[:, given.codes]


def _of_all_processes(
    normalization: Normalization | FitNormalization | None,
) -> Normalization | FitNormalization | None:
    """Normalization, or a function that fits one to the rows of all processes."""
    if jax.process_count() == 1 or not callable(normalization):
        return normalization
    if normalization not in (fit_standard, sharding.fit_standard):
        raise ValueError(
            "normalization must be fit_standard, or fitted already, in several "
            f"processes, got {getattr(normalization, '__name__', normalization)}"
        )
    return sharding.fit_standard


def _problem_of_labels(
    features: ArrayLike, labels: ArrayLike, *, weights: ArrayLike | None, classes: Any
) -> Problem:
    """Problem of the training examples without a normalization."""
    check.concrete("labels", labels)
    processes.check_everywhere(lambda: class_labels.as_labels("labels", labels))
    return problems.problem(features, labels, weights=weights, classes=classes)


def is_set(validation: Any) -> bool:
    """Returns whether a validation is features and labels, not rows of the training."""
    return (
        isinstance(validation, tuple)
        and len(validation) == 2
        and np.ndim(validation[0]) >= 2
    )


def _with_set(
    problem: Problem, validation: tuple[Any, Any]
) -> tuple[Problem, np.ndarray]:
    """Problem with the rows of a validation set at its end, and the mask of these."""
    features, codes = processes.check_everywhere(
        lambda: predictions.check_examples(
            *validation,
            num_features=problem.num_features,
            classes=problem.classes,
            feature_names=problem.feature_names,
            prefix="validation ",
        )
    )
    rows = problem.whole_rows
    own = rows.example_weights
    if own is not None:
        own = np.concatenate([own, np.ones(len(codes), own.dtype)])
    joined = type(rows)(
        np.concatenate(
            [rows.features, row_arrays.block("validation features", features)]
        ),
        np.concatenate([rows.targets, codes]),
        own,
    )
    is_held_out = np.arange(len(joined.targets)) >= problem.num_examples
    return dataclasses.replace(problem, rows=joined), is_held_out
