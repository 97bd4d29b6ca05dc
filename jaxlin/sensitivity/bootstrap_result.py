"""Result of a bootstrap: tables with percentile intervals."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from jax.typing import ArrayLike

from jaxlin import predictions
from jaxlin.check.diagnosis import counted
from jaxlin.losses import conjugates
from jaxlin.selection.sweep_result import SweepResult
from jaxlin.sensitivity import estimate_table, linear_functions, sampling_checks
from jaxlin.sensitivity.estimate_table import EstimateTable
from jaxlin.sensitivity.linear_functions import LinearFunctions, Units
from jaxlin.solvers.fitted import Fit

#: Kinds of bootstrap.
Kind = Literal["nonparametric", "parametric"]

# Largest count of probabilities of all resamples that are held at once.
_MAX_NUMBERS = 20_000_000


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Bootstrap:
    """Fits to resamples, and tables of their standard errors and intervals.

    Attributes:
      fit: the fit whose estimates are in the tables.
      kind: ``"nonparametric"`` or ``"parametric"``.
      fits: fits to the resamples.
      num_groups: number of groups that were resampled, or None.
    """

    fit: Fit
    kind: Kind
    fits: SweepResult
    num_groups: int | None

    @property
    def num_unproven(self) -> int:
        """Number of fits that did not prove their gap; they count all the same."""
        return int((~self.fits.converged).sum())

    @property
    def draws(self) -> np.ndarray:
        """Parameters of all fits, ``(resamples, classes, features + 1)``, bias last.

        They sum to 0 over the classes where the loss ignores a shift of all scores.
        """
        return self._centered(linear_functions.folded(self.fits.params))

    def coefficients(
        self,
        *,
        reference: Any = None,
        columns: Sequence[Any] | None = None,
        units: Units = "raw",
        confidence: float = 0.95,
    ) -> EstimateTable:
        """Coefficients of every class; arguments are those of `Covariance`.

        Intervals are those between percentiles of the fits, with no tests beside them.
        """
        functions = linear_functions.of_coefficients(
            self.fit, reference=reference, columns=columns, units=units
        )
        return self._table(functions, confidence=confidence)

    def contrasts(
        self, vectors: ArrayLike, *, units: Units = "raw", confidence: float = 0.95
    ) -> EstimateTable:
        """Linear functions of the coefficients; arguments are those of `Covariance`."""
        functions = linear_functions.of_contrasts(self.fit, vectors, units=units)
        return self._table(functions, confidence=confidence)

    def probabilities(
        self, features: Any, *, confidence: float = 0.95
    ) -> EstimateTable:
        """Probabilities of all classes at rows; arguments are those of `Covariance`."""
        sampling_checks.check_likelihood(self.fit, use="probabilities")
        estimate_table.quantile(confidence)
        rows = predictions.rows_of(self.fit, features)
        folded = self._centered(linear_functions.folded(self.fit.params)[None])[0]
        draws = self.draws

        def of_rows(some: Any) -> tuple[np.ndarray, ...]:
            extended = linear_functions.extended_rows(self.fit, some)
            size = max(1, _MAX_NUMBERS // (draws.shape[0] * draws.shape[1]))
            parts = []
            for start in range(0, len(extended), size):
                block = extended[start : start + size]
                values, found = (
                    linear_functions.probabilities(self.fit, one, block)
                    for one in (folded, draws)
                )
                parts.append(_summary(values, found, confidence=confidence))
            return tuple(map(np.concatenate, zip(*parts, strict=True)))

        values, errors, low, high, bias = predictions.over_blocks(of_rows, rows)
        names = linear_functions.row_names(self.fit, len(values))
        return EstimateTable(
            names,
            values,
            errors,
            None,
            None,
            low,
            high,
            bias,
            confidence,
            ratio_noise=len(draws) ** -0.5,
        )

    def __str__(self) -> str:
        return f"{self._head()}\n{self.coefficients()}"

    def __repr__(self) -> str:
        return f"Bootstrap({self._head()})"

    def _head(self) -> str:
        size = counted(len(self.fits), "resample")
        if self.num_groups is not None:
            size += f" of {counted(self.num_groups, 'group')}"
        unproven = f"{counted(self.num_unproven, 'fit')} unproven"
        return f"{self.kind} bootstrap of {size}, l2 {self.fit.l2:g}, {unproven}"

    def _table(self, functions: LinearFunctions, *, confidence: float) -> EstimateTable:
        vectors, names = functions
        estimate_table.quantile(confidence)
        folded = self._centered(linear_functions.folded(self.fit.params)[None])
        values, draws = (
            np.tensordot(one, vectors, axes=([-2, -1], [-2, -1]))
            for one in (folded, self.draws)
        )
        found, errors, low, high, bias = _summary(
            values[0], draws, confidence=confidence
        )
        return EstimateTable(
            names,
            found,
            errors,
            None,
            None,
            low,
            high,
            bias,
            confidence,
            ratio_noise=len(draws) ** -0.5,
        )

    def _centered(self, folded: np.ndarray) -> np.ndarray:
        if not conjugates.of(self.fits.models.losses[0]).shift_invariant:
            return folded
        return folded - folded.mean(axis=1, keepdims=True)


def _summary(
    values: np.ndarray, draws: np.ndarray, *, confidence: float
) -> tuple[np.ndarray, ...]:
    """Values, standard errors, ends of intervals, and bias; draws come first."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(draws, [tail, 1 - tail], axis=0)
    return values, draws.std(axis=0, ddof=1), low, high, draws.mean(axis=0) - values
