"""Paired comparison of two probes on the same test examples."""

from typing import NamedTuple

import numpy as np

from jaxlin.linear_probe.result import ProbeResult
from jaxlin.stats import comparison
from jaxlin.stats.comparison import Estimate, McNemar
from jaxlin.typing import Array


class ProbeComparison(NamedTuple):
    """First probe less the second, on the same test examples.

    Attributes:
      accuracy: accuracy of the first less that of the second, with its paired 95 %
        bootstrap interval over examples; above 0 where the first is better.
      log_loss: log loss of the first less that of the second, likewise; below 0 where
        the first is better.
      mcnemar: exact test that both are equally often right; ``only_a`` is the first.
      agreement: share of the examples to which both give the same label.
    """

    accuracy: Estimate
    log_loss: Estimate
    mcnemar: McNemar
    agreement: float

    def __str__(self) -> str:
        low, high = (100 * end for end in self.accuracy.interval)
        note = self.accuracy.interval.note and f" ({self.accuracy.interval.note})"
        return (
            f"first less second: accuracy {100 * self.accuracy.value:+.2f} points "
            f"[{low:+.2f}, {high:+.2f}]{note}, p = {self.mcnemar.p_value:.3g}; "
            f"log loss {self.log_loss.value:+.4g}; "
            f"{100 * self.agreement:.2f} % equal labels"
        )


def compare(key: Array, first: ProbeResult, second: ProbeResult) -> ProbeComparison:
    """Compares two probes, of two representations for example, example by example.

    Intervals and test are over test examples, for these two classifiers.

    Args:
      key: a `jax.random.key` for the bootstrap.
      first: result of a probe.
      second: result of a probe with the same test labels in the same order.

    Raises:
      ValueError: if the test labels differ.
    """
    for name, result in (("first", first), ("second", second)):
        if not isinstance(result, ProbeResult):
            raise ValueError(
                f"{name} must be a jaxlin.ProbeResult, got a {type(result).__name__}"
            )
    a, b = first.test, second.test
    if not np.array_equal(a.labels, b.labels):
        raise ValueError(
            "first and second must be tested on the same examples in the same order, "
            f"got {a.num_examples} and {b.num_examples} whose labels differ"
        )
    right_a, right_b = a.predictions == a.labels, b.predictions == b.labels
    return ProbeComparison(
        comparison.paired_bootstrap(right_a.astype(float) - right_b, key=key),
        comparison.paired_bootstrap(
            a.example_log_losses - b.example_log_losses, key=key
        ),
        comparison.mcnemar(right_a, right_b),
        float(np.mean(a.predictions == b.predictions)),
    )
