"""Result of `jaxlin.covariance`: tables of coefficients, contrasts, probabilities."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from jax.typing import ArrayLike

from jaxlin import predictions
from jaxlin.check.diagnosis import counted
from jaxlin.linear import Params
from jaxlin.numerics.row_arrays import Rows
from jaxlin.sensitivity import (
    estimate_table,
    function_covariance,
    linear_functions,
    sampling_checks,
)
from jaxlin.sensitivity.estimate_table import EstimateTable
from jaxlin.sensitivity.linear_functions import LinearFunctions, Units
from jaxlin.solvers import hessian_system
from jaxlin.solvers.fitted import Fit
from jaxlin.solvers.hessian_system import HessianSystem

#: Kinds of covariance.
Kind = Literal["model", "sandwich"]

# Largest count of numbers in the derivatives of probabilities that are held at once.
_MAX_NUMBERS = 20_000_000


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Covariance:
    """Sampling covariance of the parameters of a fit, and what follows from it.

    Attributes:
      fit: the fit.
      kind: ``"model"`` or ``"sandwich"``.
      num_examples: sample size: the sum of the weights for ``"model"``, the number of
        rows of positive weight for ``"sandwich"``.
      num_groups: number of groups of examples, or None.
      params: the optimum in float64, to which Newton steps lead from the fit; of a fit
        with more than 6,000 parameters its own.
      shift: shift of the parameters by the penalty, from the optimum without one, to
        first order.
      matrix_of_params: covariance of the parameters with the bias as last column,
        flattened; shape ``(parameters, parameters)``; None for more than 6,000
        parameters, where each table solves systems of its own.
      system: the Hessian for these systems, or None.
      groups: index of the group of each example, shape ``(examples,)``, or None.
    """

    fit: Fit
    kind: Kind
    num_examples: int
    num_groups: int | None
    params: Params
    shift: Params
    matrix_of_params: np.ndarray | None
    system: HessianSystem | None
    groups: np.ndarray | None

    def coefficients(
        self,
        *,
        reference: Any = None,
        columns: Sequence[Any] | None = None,
        units: Units = "raw",
        confidence: float = 0.95,
    ) -> EstimateTable:
        """Coefficients of every class, as they are or relative to a reference class.

        Without a reference they are those that sum to 0 over the classes, as the
        penalty chooses them. With one they are the differences that `MNLogit` of
        statsmodels and `multinom` of R report.

        Args:
          reference: label of the reference class, or None.
          columns: names or indices of features; None is all of them and the bias.
          units: ``"raw"`` for coefficients of the features as they were given,
            ``"normalized"`` for those of ``fit.params``. Without a normalization they
            are the same.
          confidence: coverage of the intervals, in (0, 1).

        Returns:
          A table of shape ``(classes, columns)``, the bias last.

        Raises:
          ValueError: that names the argument, the rule and the value; also for all
            coefficients of a fit with more than 6,000.
        """
        functions = self._coefficients(reference, columns, units)
        return self._table(functions, confidence=confidence)

    def matrix(
        self,
        *,
        reference: Any = None,
        columns: Sequence[Any] | None = None,
        units: Units = "raw",
    ) -> np.ndarray:
        """Covariance matrix of `coefficients`, in the order of the flattened table.

        Arguments and errors are those of `coefficients`.
        """
        vectors, _ = self._coefficients(reference, columns, units)
        left, right = self._factors(vectors.reshape(-1, *vectors.shape[-2:]))
        return (left @ right.T + right @ left.T) / 2

    def contrasts(
        self, vectors: ArrayLike, *, units: Units = "raw", confidence: float = 0.95
    ) -> EstimateTable:
        """Linear functions of the coefficients.

        Args:
          vectors: factors of the coefficients, shape ``(contrasts, classes, features +
            1)``, the bias last.
          units: features that the coefficients multiply, as in `coefficients`.
          confidence: coverage of the intervals, in (0, 1).

        Returns:
          A table of shape ``(contrasts,)``.

        Raises:
          ValueError: that names the argument, the rule and the value.
        """
        functions = linear_functions.of_contrasts(self.fit, vectors, units=units)
        return self._table(functions, confidence=confidence)

    def probabilities(
        self, features: Any, *, confidence: float = 0.95
    ) -> EstimateTable:
        """Probabilities of all classes at given rows, by the delta method.

        Intervals are symmetric in the log odds of each probability, and so within [0,
        1]. A temperature of the fit counts as known.

        Args:
          features: raw features, as in `jaxlin.probabilities`.
          confidence: coverage of the intervals, in (0, 1).

        Returns:
          A table of shape ``(examples, classes)``.

        Raises:
          ValueError: as `jaxlin.probabilities`, or for another loss than softmax or
            cross-entropy.
        """
        sampling_checks.check_likelihood(self.fit, use="probabilities")
        half = estimate_table.quantile(confidence)
        rows = predictions.rows_of(self.fit, features)
        values, errors, shift = predictions.over_blocks(self._of_rows, rows)
        low, high = _log_odds_interval(values, half * errors)
        names = linear_functions.row_names(self.fit, len(values))
        return EstimateTable(
            names, values, errors, None, None, low, high, shift, confidence
        )

    def __str__(self) -> str:
        size = counted(self.num_examples, "example")
        if self.num_groups is not None:
            size += f" in {counted(self.num_groups, 'group')}"
        head = f"{self.kind} covariance of {size}, l2 {self.fit.l2:g}"
        if self.matrix_of_params is None:
            return f"{head}; .coefficients(columns=...) has tables of some features"
        return f"{head}\n{self.coefficients()}"

    def __repr__(self) -> str:
        return f"Covariance({str(self).splitlines()[0]})"

    def _coefficients(
        self, reference: Any, columns: Sequence[Any] | None, units: Units
    ) -> LinearFunctions:
        if columns is None and self.matrix_of_params is None:
            raise ValueError(
                "columns must be given for a fit with more than "
                f"{hessian_system.MAX_DENSE:,} parameters, got None for "
                f"{self.fit.params.weights.size:,} weights, whose full covariance is "
                "not computed; name features, or give contrasts or rows"
            )
        return linear_functions.of_coefficients(
            self.fit, reference=reference, columns=columns, units=units
        )

    def _table(self, functions: LinearFunctions, *, confidence: float) -> EstimateTable:
        vectors, names = functions
        flat = vectors.reshape(-1, *vectors.shape[-2:])
        shape = vectors.shape[:-2]
        estimate_table.quantile(confidence)
        return estimate_table.normal(
            names,
            linear_functions.values(vectors, self.params),
            self._standard_errors(flat).reshape(shape),
            estimated_bias=linear_functions.values(vectors, self.shift),
            confidence=confidence,
        )

    def _of_rows(self, rows: Rows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Probabilities, standard errors and shifts of raw rows, in blocks."""
        fit = self.fit
        folded = linear_functions.folded(self.params)
        extended = linear_functions.extended_rows(fit, rows)
        size = max(1, _MAX_NUMBERS // (len(folded) * folded.size))
        parts = []
        for start in range(0, len(extended), size):
            some = extended[start : start + size]
            values = linear_functions.probabilities(fit, folded, some)
            vectors = linear_functions.of_probabilities(
                values, some, temperature=fit.temperature
            )
            errors = self._standard_errors(vectors.reshape(-1, *folded.shape))
            shift = linear_functions.values(vectors, self.shift)
            parts.append((values, errors.reshape(values.shape), shift))
        values, errors, shift = map(np.concatenate, zip(*parts, strict=True))
        return values, errors, shift

    def _standard_errors(self, vectors: np.ndarray) -> np.ndarray:
        left, right = self._factors(vectors)
        # Rounding may leave a negative variance where it is 0.
        return np.sqrt(np.maximum(np.sum(left * right, axis=1), 0))

    def _factors(self, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Factors of the covariance matrix L R^T of linear functions."""
        if self.matrix_of_params is not None:
            flat = vectors.reshape(len(vectors), -1)
            return flat @ self.matrix_of_params, flat
        assert self.system is not None
        return function_covariance.factors(
            self.system,
            vectors,
            loss=self.fit.loss,  # type: ignore[arg-type]
            num_examples=self.num_examples if self.kind == "model" else None,
            groups=self.groups,
        )


def _log_odds_interval(
    values: np.ndarray, half: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Intervals of probabilities, symmetric in their log odds."""
    spread = values * (1 - values)
    is_inside = spread > 0
    half = np.where(is_inside, half / np.where(is_inside, spread, 1), 0)
    with np.errstate(divide="ignore", over="ignore"):
        odds = values / (1 - values)
        low, high = (1 / (1 + np.exp(sign * half) / odds) for sign in (1, -1))
    return np.where(is_inside, low, values), np.where(is_inside, high, values)
