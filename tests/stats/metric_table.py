"""The metrics as compiled functions of one batch, and the batch that they share."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlin.stats import metrics

NUM_CLASSES = 6
COUNT = 300
OUT_OF_RANGE = [-1, -7, NUM_CLASSES, 100]


def as_numpy(tree):
    return jax.tree.map(np.asarray, tree)


softmax_of = jax.jit(lambda scores: jax.nn.softmax(scores, axis=1))


# Every metric as a compiled function (scores, labels, **weights) of one batch.
METRICS = {
    "accuracy": jax.jit(metrics.accuracy),
    "top_3": jax.jit(lambda s, y, **w: metrics.top_k_accuracy(s, y, k=3, **w)),
    "confusion": jax.jit(
        lambda s, y, **w: metrics.confusion(
            predictions=jnp.argmax(s, axis=1), labels=y, num_classes=NUM_CLASSES, **w
        )
    ),
    "calibration": jax.jit(
        lambda s, y, **w: metrics.calibration_bins(softmax_of(s), y, **w)
    ),
}
every_metric = pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS.keys())


def scored_batch():
    """Scores without ties, labels and integer weights."""
    random = np.random.default_rng(0)
    scores = random.normal(size=(COUNT, NUM_CLASSES)).astype(np.float32)
    labels = random.integers(NUM_CLASSES, size=COUNT)
    scores[np.arange(COUNT), labels] += 1.0
    # As often as a bootstrap draws them: repeated, the rows are as many again.
    weights = np.bincount(random.integers(COUNT, size=COUNT), minlength=COUNT)
    return scores, labels, weights.astype(np.float32)


def assert_trees_close(actual, expected, rtol=1e-6):
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-6),
        actual,
        expected,
    )
