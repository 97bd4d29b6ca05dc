"""Evaluation of a fit on test examples: metrics with intervals, proven bounds.

>>> import numpy as np
>>> import jaxlin
>>> from jaxlin import losses
>>> rows = np.random.default_rng(0).normal(size=(200, 3))
>>> names = np.where(rows[:, 0] > 0, "right", "left")
>>> fit = jaxlin.fit(
...     rows[:100], names[:100], loss=losses.softmax_cross_entropy, l2=1e-2)
>>> found = jaxlin.evaluate(fit, rows[100:], names[100:])
>>> found.accuracy.value > 0.9, found.accuracy.interval.high < 1
(True, True)
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxlin import linear, objective, predictions
from jaxlin.certificates import label_certificates
from jaxlin.certificates.label_certificates import AccuracyInterval
from jaxlin.check.diagnosis import counted
from jaxlin.linear import Params
from jaxlin.normalization import Normalization, normalize
from jaxlin.numerics import precision, processes
from jaxlin.numerics.row_arrays import Rows
from jaxlin.solvers.fitted import Fit
from jaxlin.stats import estimates, metrics
from jaxlin.stats.comparison import Estimate
from jaxlin.typing import Array

# The k of top-k accuracy, reported where there are more classes.
_K = 5


class Evaluation(NamedTuple):
    """Metrics of a fit on test examples, each with a 95 % interval over examples.

    Probabilities are the softmax of the scores over the temperature of the fit, as in
    `jaxlin.probabilities`; the metrics named ``before`` take a temperature of 1. Scores
    of a hinge are no log-probabilities: without a temperature its log loss and
    calibration error say little.

    Attributes:
      accuracy: share of correct predictions; Wilson interval.
      top_5_accuracy: share of examples whose label has one of the five highest scores;
        Wilson interval. None for at most five classes.
      mean_per_class_accuracy: mean over classes of the share of correct predictions
        among the examples of the class, also named balanced accuracy or macro recall.
        Classes without test examples do not count. Normal interval.
      log_loss: mean of minus the logarithm of the label's probability; t interval.
      calibration_error: expected calibration error of the predicted class, 15 bins
        (`jaxlin.stats.estimates.calibration_error` describes the interval).
      log_loss_before: log loss before the temperature.
      calibration_error_before: calibration error before the temperature.
      optimum: proven bounds on the accuracy of the exact optimum on the same examples.
      labels: labels of the test examples, shape ``(examples,)``.
      predictions: predicted labels, shape ``(examples,)``.
      example_log_losses: log loss of each example, shape ``(examples,)``.
    """

    accuracy: Estimate
    top_5_accuracy: Estimate | None
    mean_per_class_accuracy: Estimate
    log_loss: Estimate
    calibration_error: Estimate
    log_loss_before: Estimate
    calibration_error_before: Estimate
    optimum: AccuracyInterval
    labels: np.ndarray
    predictions: np.ndarray
    example_log_losses: np.ndarray

    @property
    def num_examples(self) -> int:
        """Number of test examples."""
        return len(self.labels)

    def __str__(self) -> str:
        low, high = (100 * end for end in self.accuracy.interval)
        return (
            f"accuracy {100 * self.accuracy.value:.2f} % [{low:.2f}, {high:.2f}] of "
            f"{counted(self.num_examples, 'example')}, exact optimum {self.optimum}"
        )


def evaluate(fit: Fit, features: Any, labels: ArrayLike) -> Evaluation:
    """Metrics on test examples, with confidence intervals and proven bounds.

    Args:
      fit: a fit, from `jaxlin.fit`, `jaxlin.certify`, `jaxlin.sweep`, `jaxlin.probe` or
        `jaxlin.load`.
      features: raw features as in training, shape ``(examples, ...)`` with the fit's
        number of features after the first axis. Rows are scored in blocks: the scores
        of all examples are never in memory at once.
      labels: labels of the kind given to the fit, shape ``(examples,)``. In several
        processes, the features and labels that this process has; the result is that of
        all of them, in the order of the processes.

    Raises:
      ValueError: as `jaxlin.scores`, or if a label is not among the fit's classes.
    """
    rows, codes = processes.check_everywhere(
        lambda: predictions.check_examples(
            features,
            labels,
            num_features=np.shape(predictions.check_fit(fit).params.weights)[1],
            classes=fit.classes,
            feature_names=fit.feature_names,
        )
    )
    fit = predictions.of_this_process(fit)
    with processes.alone():
        own = (
            _measured(fit, rows, codes),
            predictions.certified_labels(fit, rows),
            codes,
        )
    found, certified, codes = jax.tree.map(processes.gather_rows, own)
    predictions.check_finite(found.is_finite.all())
    correct = found.prediction == codes
    before, after = (
        (
            estimates.mean(found.log_losses[:, i]),
            estimates.calibration_error(found.confidences[:, i], correct),
        )
        for i in range(2)
    )
    return Evaluation(
        accuracy=estimates.share(correct),
        top_5_accuracy=estimates.share(found.in_top) if len(fit.classes) > _K else None,
        mean_per_class_accuracy=estimates.mean_per_class(correct, codes),
        log_loss=after[0],
        calibration_error=after[1],
        log_loss_before=before[0],
        calibration_error_before=before[1],
        optimum=label_certificates.accuracy_interval(correct, certified),
        labels=fit.classes[codes],
        predictions=fit.classes[found.prediction],
        example_log_losses=found.log_losses[:, 1],
    )


class _PerRow(NamedTuple):
    """Values of each row; the last axis is before and after the temperature."""

    prediction: Array
    is_finite: Array
    in_top: Array
    log_losses: Array
    confidences: Array


def _measured(fit: Fit, rows: Rows, codes: np.ndarray) -> Any:
    """`_PerRow` on the host, computed in the dtype of the parameters."""
    params = jax.tree.map(predictions.as_float, fit.params)
    temperatures = np.array([1.0, fit.temperature], params.weights.dtype)
    # The mean is subtracted from float64 rows before they are rounded to float32.
    with precision.enable_float64_for(*params, rows):
        params, normalization = precision.as_views((params, fit.normalization))
        return predictions.over_blocks(
            lambda *some: _per_row(
                params,
                *some,
                normalization,
                temperatures,
                k=min(_K, len(fit.classes)),
            ),
            rows,
            codes,
        )


@functools.partial(jax.jit, static_argnames=("k",))
@jax.default_matmul_precision("highest")
def _per_row(
    params: Params,
    rows: Array,
    codes: Array,
    normalization: Normalization | None,
    temperatures: Array,
    *,
    k: int,
) -> _PerRow:
    normalization = predictions.promoted(params, normalization)

    def of_row(row_and_code: tuple[Array, Array]) -> _PerRow:
        row, code = row_and_code
        row = row if normalization is None else normalize(normalization, row)
        scores = linear.scores(params, row)
        scaled = scores[None] / temperatures[:, None]
        log_sum = jax.nn.logsumexp(scaled, axis=1)
        return _PerRow(
            jnp.argmax(scores),
            jnp.isfinite(scores).all(),
            metrics.correct(scores[None], code[None], k=k)[0],
            log_sum - scaled[:, code],
            jnp.exp(jnp.max(scaled, axis=1) - log_sum),
        )

    size = min(objective.BLOCK_ROWS, len(rows))
    return jax.lax.map(of_row, (rows, codes), batch_size=size)
