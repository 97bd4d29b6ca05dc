"""Estimates with standard errors, tests and intervals, as a table."""

import math
import statistics
from typing import Any, NamedTuple

import numpy as np

from jaxlin import check

# Largest ratio of bias and standard error that leaves intervals about right: one of
# 95 % covers 94.3 % (Efron and Tibshirani, An Introduction to the Bootstrap, 1993,
# section 10.3).
_IGNORABLE = 0.25
# Largest number of printed rows.
_MAX_ROWS = 60


class EstimateTable(NamedTuple):
    """Estimates and their uncertainty, as arrays of one shape.

    ``print`` shows a table, cut after 60 rows.

    Attributes:
      names: one tuple of names per axis.
      values: estimates.
      standard_errors: their standard errors; not finite where nothing is known.
      z: values over standard errors; None for probabilities and for a bootstrap.
      p_values: two-sided p values of the hypothesis that a value is 0, by the normal
        distribution; None where z is.
      low: lower ends of the intervals.
      high: upper ends.
      estimated_bias: estimated expectation of each value minus what it estimates. That
        of `jaxlin.covariance` is the shift from the optimum without penalty, to first
        order, and too small where the penalty shrinks strongly. That of a bootstrap is
        the mean over the resamples minus the value. It takes the shrunk fit for the
        truth, and so has the smaller shift of a shrunk model.
      confidence: coverage of the intervals.
      ratio_noise: standard deviation of a ratio of estimated bias and standard error,
        by the random resamples of a bootstrap; 0 without.
    """

    names: tuple[tuple[str, ...], ...]
    values: np.ndarray
    standard_errors: np.ndarray
    z: np.ndarray | None
    p_values: np.ndarray | None
    low: np.ndarray
    high: np.ndarray
    estimated_bias: np.ndarray
    confidence: float
    ratio_noise: float = 0.0

    @property
    def bias_ratio(self) -> float:
        """Largest ratio of estimated bias and standard error; 0 if none is known."""
        ratios = self._ratios()
        return float(np.max(ratios)) if ratios.size else 0.0

    @property
    def note(self) -> str:
        """Warning about bias that intervals ignore; "" where it is small."""
        ratio = self.bias_ratio
        if not ratio > _IGNORABLE + 3 * self.ratio_noise:
            return ""
        where = np.unravel_index(int(np.argmax(self._ratios())), self.values.shape)
        name = ", ".join(names[i] for names, i in zip(self.names, where, strict=True))
        ignorant = "intervals" if self.z is None else "intervals and p values"
        return (
            f"biased by up to {ratio:.2g} standard errors ({name}), above "
            f"{_IGNORABLE}: {ignorant} leave that out"
        )

    def __str__(self) -> str:
        lines = _lines(self)
        return "\n".join([*lines, f"note: {self.note}"] if self.note else lines)

    def _ratios(self) -> np.ndarray:
        errors = self.standard_errors
        is_known = np.isfinite(errors) & (errors > 0)
        safe = np.where(is_known, errors, 1)
        return np.where(is_known, np.abs(self.estimated_bias) / safe, 0)


def normal(
    names: tuple[tuple[str, ...], ...],
    values: np.ndarray,
    standard_errors: np.ndarray,
    *,
    estimated_bias: np.ndarray,
    confidence: float,
) -> EstimateTable:
    """Table with normal tests and intervals.

    Args:
      names: one tuple of names per axis.
      values: estimates.
      standard_errors: same shape.
      estimated_bias: same shape.
      confidence: coverage of the intervals, in (0, 1).
    """
    half = quantile(confidence) * standard_errors
    z, p_values = _tests(values, standard_errors)
    return EstimateTable(
        names,
        values,
        standard_errors,
        z,
        p_values,
        values - half,
        values + half,
        estimated_bias,
        confidence,
    )


def _tests(
    values: np.ndarray, standard_errors: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Standardised values and two-sided p values; NaN where the standard error is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(standard_errors > 0, values / standard_errors, np.nan)
    p_values = [math.erfc(abs(one) / math.sqrt(2)) for one in z.ravel()]
    return z, np.reshape(p_values, z.shape)


def quantile(confidence: float) -> float:
    """Half the length of a normal interval of this coverage, in standard errors.

    Raises:
      ValueError: if the coverage is not in (0, 1).
    """
    check.number("confidence", confidence, above=0, below=1)
    return statistics.NormalDist().inv_cdf((1 + confidence) / 2)


def _lines(table: EstimateTable) -> list[str]:
    head = ["", "estimate", "std. error", "z", "p"]
    if table.z is None:
        head = head[:3]
    head += [f"{100 * table.confidence:g} % interval"]
    rows = [(where, _row(table, where)) for where in _places(table)]
    texts = [row for _, row in rows]
    widths = [max(map(len, column)) for column in zip(head, *texts, strict=True)]
    lines = [_aligned(head, widths)]
    for number, (where, row) in enumerate(rows):
        if len(where) == 2 and where[1] == 0:
            lines.append(table.names[0][where[0]])
        lines.append(_aligned(row, widths))
        if number + 1 == len(rows) < table.values.size:
            lines.append(f"... and {table.values.size - len(rows):,} more rows")
    return lines


def _places(table: EstimateTable) -> list[tuple[int, ...]]:
    return list(np.ndindex(*table.values.shape))[:_MAX_ROWS]


def _row(table: EstimateTable, where: tuple[int, ...]) -> list[str]:
    indent = "  " * (len(where) - 1)
    row = [
        indent + table.names[-1][where[-1]],
        f"{table.values[where]:.4g}",
        f"{table.standard_errors[where]:.3g}",
    ]
    if table.z is not None and table.p_values is not None:
        row += [f"{table.z[where]:.2f}", f"{table.p_values[where]:.2g}"]
    return [*row, f"[{table.low[where]:.4g}, {table.high[where]:.4g}]"]


def _aligned(row: list[Any], widths: list[int]) -> str:
    first, *others = zip(row, widths, strict=True)
    cells = [first[0].ljust(first[1]), *(text.rjust(width) for text, width in others)]
    return "  ".join(cells).rstrip()
