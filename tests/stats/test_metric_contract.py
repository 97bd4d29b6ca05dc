"""The contract of every metric: labels out of range, adding up, weights, padding."""

import jax
import numpy as np
import pytest
from metric_table import (
    COUNT,
    NUM_CLASSES,
    OUT_OF_RANGE,
    as_numpy,
    assert_trees_close,
    every_metric,
    scored_batch,
)

from jaxlin.stats import metrics

MERGE = jax.jit(metrics.merge)


@pytest.fixture(scope="module")
def batch():
    return scored_batch()


@every_metric
@pytest.mark.parametrize("label", OUT_OF_RANGE)
def test_labels_that_are_no_classes(metric, label, batch):
    """Refused where they can be looked at; compiled they are right for no prediction.

    Whatever the class that a wrapped or clamped index would name, its score is best.
    """
    scores, labels, _ = batch
    wrong, best = labels.copy(), scores.copy()
    wrong[3] = label
    best[3, [label % NUM_CLASSES, -1]] = 9.0
    with pytest.raises(ValueError, match=rf"labels must lie in .* got {label} at pos"):
        metric.__wrapped__(best, wrong)
    found = as_numpy(metric(best, wrong))
    kept = np.arange(COUNT) != 3
    others = as_numpy(metric(best, labels, example_weights=kept.astype(np.float32)))
    if isinstance(found, np.ndarray):
        np.testing.assert_array_equal(found, others)
    elif isinstance(found, metrics.Ratio):
        assert (found.total, found.count) == (others.total, others.count + 1)
    else:
        np.testing.assert_array_equal(found.correct, others.correct)
        assert found.count.sum() == others.count.sum() + 1
    # Of weight 0, as padding has it, any label will do.
    padded = metric.__wrapped__(best, wrong, example_weights=kept)
    assert_trees_close(padded, others)


@every_metric
def test_merged_batches_are_the_whole(metric, batch):
    """The last batch has 20 examples, the others 70."""
    scores, labels, weights = batch
    whole = metric(scores, labels, example_weights=weights)
    parts = [
        metric(
            *(each[some] for each in (scores, labels)), example_weights=weights[some]
        )
        for some in (slice(i, i + 70) for i in range(0, COUNT, 70))
    ]
    merged = parts[0]
    for part in parts[1:]:
        merged = MERGE(merged, part)
    assert type(merged) is type(whole)
    assert_trees_close(merged, whole)


@every_metric
def test_weights_are_repetition(metric, batch):
    scores, labels, weights = batch
    weighted = metric(scores, labels, example_weights=weights)
    times = np.asarray(weights, int)
    repeated = metric(np.repeat(scores, times, axis=0), np.repeat(labels, times))
    assert_trees_close(weighted, repeated)


@every_metric
def test_padding_of_weight_zero_changes_nothing(metric, batch):
    scores, labels, _ = batch
    is_one = np.arange(COUNT) < 70
    padded = metric(
        np.where(is_one[:, None], scores, np.float32(np.nan)),
        np.where(is_one, labels, 0),
        example_weights=is_one.astype(np.float32),
    )
    # With weights that change nothing, as the batches above are: the same program.
    alone = metric(scores[:70], labels[:70], example_weights=np.ones(70, np.float32))
    assert_trees_close(padded, alone)


@every_metric
def test_jit_and_vmap_are_a_loop(metric, batch):
    """Three models on the same labels; the loop runs op by op."""
    scores, labels, _ = batch
    stack = np.stack([scores, -scores, scores[:, ::-1]])
    mapped = as_numpy(jax.vmap(metric, in_axes=(0, None))(stack, labels))
    for i in range(3):
        one = metric.__wrapped__(stack[i], labels)
        assert_trees_close(jax.tree.map(lambda leaf, i=i: leaf[i], mapped), one)
