"""Paired comparison of two classifiers on the same test examples, and its conclusion.

The macro ``verdict`` shows what `compare` returns.
"""

import bisect
from typing import Any

import numpy as np

from jaxlin.stats import comparison
from jaxlin.typing import Array

# Level of the exact test that decides.
LEVEL = 0.05


def compare(
    first: np.ndarray, second: np.ndarray, labels: np.ndarray, *, key: Array
) -> dict[str, Any]:
    """Accuracy of the first classifier less that of the second, and what it says.

    Args:
      first: labels predicted by one classifier, shape ``(examples,)``.
      second: labels predicted by the other.
      labels: true labels.
      key: of the bootstrap.

    Returns:
      The difference with its 95 % bootstrap interval and exact McNemar test; ``better``
      is 1, 2 or None where the test does not decide; ``least_difference`` is the
      smallest difference that the test tells with as many discordant examples, None if
      there is none.
    """
    right, other = first == labels, second == labels
    difference = comparison.paired_bootstrap(
        right.astype(float) - other.astype(float), key=key
    )
    test = comparison.mcnemar(right, other)
    # The exact test decides: with few discordant examples the bootstrap is too sure.
    decided = test.p_value < LEVEL
    return {
        "difference": difference.value,
        "interval": list(difference.interval),
        "mcnemar_p": test.p_value,
        "level": LEVEL,
        "discordant": test.discordant,
        "only_first_right": test.only_a,
        "only_second_right": test.only_b,
        "agreement": comparison.agreement(first, second),
        "num_examples": len(labels),
        "better": (1 if difference.value > 0 else 2) if decided else None,
        "least_difference": _least_difference(test.discordant, len(labels)),
    }


def _least_difference(discordant: int, num_examples: int) -> float | None:
    """The smallest difference with p below the level, among so many discordant."""
    examples = np.arange(num_examples)

    def is_told(wins: int) -> bool:
        second_right = (examples >= wins) & (examples < discordant)
        return comparison.mcnemar(examples < wins, second_right).p_value < LEVEL

    wins = range(discordant + 1)
    least = bisect.bisect_left(wins, True, discordant // 2, key=is_told)
    return (2 * least - discordant) / num_examples if least <= discordant else None
