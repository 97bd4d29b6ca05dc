"""Two probes on the same test rows."""

import jax
import numpy as np
import pytest
from sweep_problems import LABELS, ROWS

import jaxlin
from jaxlin.linear_probe import compare
from jaxlin.stats import comparison

KEY = jax.random.key(0)
L2S = (1e-1, 1e-2, 1e-3)
OPTIONS = {"l2s": L2S, "validation": np.arange(60) >= 40}


@pytest.fixture(scope="module")
def probes():
    """Probes of the features, and of features of which one is noise."""
    names = np.array(["ant", "bee", "cat"])[LABELS]
    other = ROWS.copy()
    other[:, 0] = np.random.default_rng(1).normal(size=60)
    return [
        jaxlin.probe(KEY, rows, names, rows, names, **OPTIONS) for rows in (ROWS, other)
    ]


def test_is_the_paired_comparison_of_what_was_predicted(probes):
    good, bad = probes
    found = compare(KEY, good, bad)
    right = [probe.test.predictions == probe.test.labels for probe in probes]
    assert found.mcnemar == comparison.mcnemar(*right)
    assert found.accuracy.value == pytest.approx(
        good.test.accuracy.value - bad.test.accuracy.value
    )
    assert found.accuracy.interval.high > found.accuracy.value > 0
    assert found.log_loss.value == pytest.approx(
        good.test.log_loss.value - bad.test.log_loss.value
    )
    assert 0 > found.log_loss.interval.high > found.log_loss.value
    same = good.test.predictions == bad.test.predictions
    assert found.agreement == same.mean() < 1
    assert (
        f"first less second: accuracy {100 * found.accuracy.value:+.2f} points ["
        in str(found)
    )


def test_swapped_it_is_the_negative(probes):
    good, bad = probes
    one, other = compare(KEY, good, bad), compare(KEY, bad, good)
    assert other.accuracy.value == -one.accuracy.value
    assert other.accuracy.interval == pytest.approx(
        (-one.accuracy.interval.high, -one.accuracy.interval.low), abs=0.02
    )
    assert other.mcnemar.p_value == one.mcnemar.p_value


def test_a_probe_beside_itself_says_that_nothing_varies(probes):
    found = compare(KEY, probes[0], probes[0])
    assert found.accuracy.interval == (0, 0)
    assert "accuracy +0.00 points [+0.00, +0.00] (width zero: " in str(found)
    assert "width zero" not in str(compare(KEY, *probes))


def test_other_rows_are_refused(probes):
    first, _ = probes
    names = np.array(["ant", "bee", "cat"])[LABELS]
    other = jaxlin.probe(KEY, ROWS, names, ROWS[::-1], names[::-1], **OPTIONS)
    with pytest.raises(ValueError, match="first and second must be tested on the same"):
        compare(KEY, first, other)
    with pytest.raises(
        ValueError, match="second must be a jaxlin.ProbeResult, got a Fit"
    ):
        compare(KEY, first, other.fit)
