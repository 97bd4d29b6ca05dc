"""Mean loss plus penalty: constants, weights, blocks."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import references
from problems import LABEL_LOSSES

from jaxlin import linear, losses, normalization, objective
from jaxlin.normalization import Normalization
from jaxlin.objective import row_blocks

DRAW = np.random.default_rng(0)
ROWS = DRAW.normal(size=(12, 5)).astype(np.float32)
LABELS = np.arange(12) % 3
PARAMS = linear.Params(
    DRAW.normal(size=(3, 5)).astype(np.float32), np.float32([0.5, -0.5, 0.25])
)
STATIC = ("loss", "penalize_bias")
compiled = jax.jit(objective.objective, static_argnames=STATIC)
mean_loss = jax.jit(objective.mean_loss, static_argnames="loss")
value_and_gradient = jax.jit(
    objective.value_and_gradient, static_argnames=(*STATIC, "block_size")
)
batch_scores = jax.jit(objective.batch_scores)
blocked_scores = jax.jit(objective.blocked_scores, static_argnames="block_size")
folded = jax.jit(linear.fold_normalization)
balanced = jax.jit(objective.balanced_class_weights, static_argnames="num_classes")
from_sums = jax.jit(objective.from_sums, static_argnames="penalize_bias")
by_autodiff = jax.jit(jax.value_and_grad(objective.objective), static_argnames=STATIC)
every_loss = pytest.mark.parametrize(
    "entry", LABEL_LOSSES.values(), ids=LABEL_LOSSES.keys()
)


@every_loss
def test_equals_loops_over_examples_and_weights(entry):
    value = compiled(PARAMS, ROWS, LABELS, loss=entry.loss, l2=0.3, l1=0.2)
    weights, bias, rows = (np.asarray(a, np.float64) for a in (*PARAMS, ROWS))
    total = 0.0
    for x, y in zip(rows, np.asarray(LABELS), strict=True):
        total += entry.reference(weights @ x + bias, y)
    everything = [*weights.ravel(), *bias]
    expected = total / 12
    expected += 0.3 / 2 * sum(w * w for w in everything)
    expected += 0.2 * sum(abs(w) for w in everything)
    np.testing.assert_allclose(value, expected, rtol=1e-5)


def test_the_bias_is_penalised_unless_told_otherwise():
    given = {"loss": losses.softmax_cross_entropy, "l2": 2.0, "l1": 0.0}
    told = compiled(PARAMS, ROWS, LABELS, penalize_bias=False, **given)
    lead = float(compiled(PARAMS, ROWS, LABELS, **given)) - float(told)
    np.testing.assert_allclose(lead, 0.5**2 + 0.5**2 + 0.25**2, 1e-5)


def test_integer_weights_are_repetition():
    weights = np.array([0, 1, 2, 3, 0, 1, 2, 3, 0, 0, 0, 0], np.float32)
    repeated = np.repeat(np.arange(12), weights.astype(int))
    loss = losses.weston_watkins_hinge
    weighted = mean_loss(PARAMS, ROWS, LABELS, loss=loss, example_weights=weights)
    plain = mean_loss(PARAMS, ROWS[repeated], LABELS[repeated], loss=loss)
    np.testing.assert_allclose(weighted, plain, rtol=1e-6)


def test_a_fold_by_weights_is_a_fold_by_cutting_rows_out():
    kept = np.array([i for i in range(12) if i % 4])
    fold = np.isin(np.arange(12), kept).astype(np.float32)

    @jax.jit
    def gradient(rows, labels, weights):
        def value(params):
            return objective.objective(
                params,
                rows,
                labels,
                loss=losses.softmax_cross_entropy,
                l2=0.1,
                example_weights=weights,
            )

        return jax.grad(value)(PARAMS)

    by_weights = gradient(ROWS, LABELS, fold)
    by_cutting = gradient(ROWS[kept], LABELS[kept], None)
    for a, b in zip(by_weights, by_cutting, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_an_example_taken_out_stays_out_even_if_its_loss_is_infinite():
    values, weights = np.float32([1, np.inf]), np.float32([1, 0])
    assert jax.jit(objective.weighted_mean)(values, example_weights=weights) == 1


def test_nor_does_it_reach_the_gradient():
    """Scores of 1e38 overflow in the difference of two of them."""
    params = linear.Params(np.float32([[2e38], [-2e38]]), np.zeros(2, np.float32))
    rows, labels = np.float32([[1.0], [0.0]]), np.array([1, 0])

    @jax.jit
    @jax.grad
    def gradient_of(params, weights):
        return objective.mean_loss(
            params,
            rows,
            labels,
            loss=losses.softmax_cross_entropy,
            example_weights=weights,
        )

    for weights, finite in ([1.0, 1.0], False), ([0.0, 1.0], True):
        gradient = gradient_of(params, np.float32(weights))
        assert np.isfinite(gradient.weights).all() == finite


def test_soft_targets():
    targets = np.full((12, 3), 1 / 3, np.float32)
    value = mean_loss(PARAMS, ROWS, targets, loss=losses.cross_entropy)
    scores = np.asarray(ROWS) @ np.asarray(PARAMS.weights).T + np.asarray(PARAMS.bias)
    expected = np.mean([references.cross_entropy(s, [1 / 3] * 3) for s in scores])
    np.testing.assert_allclose(value, expected, rtol=1e-5)


def test_margin_reaches_the_loss():
    zero = linear.Params(np.zeros((3, 5), np.float32), np.zeros(3, np.float32))
    value = mean_loss(
        zero,
        ROWS,
        LABELS,
        loss=losses.weston_watkins_hinge,
        loss_arguments={"margin": 2.5},
    )
    assert value == 2 * 2.5


@pytest.mark.parametrize("block_size", [1, 5, 12, 100])
def test_blocked_scores_equal_unblocked_ones(block_size):
    raw = np.random.default_rng(2).integers(0, 256, (12, 5), np.uint8)
    fitted = normalization.fit_centered(raw, scale=255.0)
    blocked = blocked_scores(PARAMS, raw, normalization=fitted, block_size=block_size)
    whole = batch_scores(PARAMS, raw, normalization=fitted)
    np.testing.assert_allclose(blocked, whole, rtol=1e-5, atol=1e-5)
    of_folded = batch_scores(folded(PARAMS, fitted), raw)
    np.testing.assert_allclose(whole, of_folded, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("block_size", [1, 7, 300])
def test_blocked_sums_are_sums(block_size):
    """Counts to the last one, and digits that a plain float32 sum would lose."""
    values = np.full(20_000, 0.1, np.float32)

    @jax.jit
    def sums(values):
        return objective.blocked_sums(
            lambda rows: (jnp.sum(rows["x"] > 0), jnp.sum(rows["x"])),
            {"x": values},
            block_size=block_size,
        )

    count, total = sums(values)
    assert count == 20_000
    assert count.dtype == jnp.int32
    np.testing.assert_allclose(total, np.sum(np.asarray(values, float)), rtol=5e-7)


def test_balanced_class_weights_equal_scikit_learns():
    from sklearn.utils.class_weight import compute_class_weight

    labels = np.array([0, 0, 0, 0, 1, 1, 2])
    ours = balanced(labels, num_classes=3)
    theirs = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    # Each class then has the same total.
    totals = np.bincount(labels, weights=np.asarray(ours)[labels])
    np.testing.assert_allclose(totals, 7 / 3, rtol=1e-6)


def test_a_class_that_does_not_occur_has_weight_zero():
    weights = balanced(np.array([0, 2, 2, 2, 2, 2, 2]), num_classes=3)
    np.testing.assert_allclose(weights, [7 / 2, 0, 7 / 12], rtol=1e-6)


class TestOnePass:
    """Value and gradient from blocks, against autodiff of the whole."""

    settings = {
        "loss": losses.weston_watkins_hinge,
        "loss_arguments": {"margin": 0.7},
        "l2": 0.3,
        "penalize_bias": False,
    }

    def problem(self):
        draw = np.random.default_rng(3)
        rows = draw.integers(0, 255, (23, 5), np.uint8)
        labels = draw.integers(0, 3, 23).astype(np.int32)
        weights = draw.uniform(size=23).astype(np.float32)
        weights[4] = 0.0
        params = linear.Params(
            draw.normal(size=(3, 5)).astype(np.float32), np.zeros(3, np.float32)
        )
        fitted = Normalization(np.full(5, 120.0, np.float32), np.float32(60.0))
        return params, rows, labels, weights, fitted

    @pytest.mark.parametrize(
        "block_size", [None, pytest.param(1, marks=pytest.mark.full), 7, 23, 100]
    )
    def test_blocks_of_any_size_give_value_and_gradient(self, block_size):
        params, rows, labels, weights, fitted = self.problem()
        arguments = {
            "example_weights": weights,
            "normalization": fitted,
            **self.settings,
        }
        value, gradient = by_autodiff(params, rows, labels, **arguments)
        found, slope = value_and_gradient(
            params, rows, labels, block_size=block_size, **arguments
        )
        np.testing.assert_allclose(found, value, rtol=1e-6)
        chex.assert_trees_all_close(slope, gradient, rtol=1e-5, atol=1e-6)

    def test_a_host_loop_over_blocks_gives_the_same(self):
        params, rows, labels, weights, fitted = self.problem()
        sums = None
        blocks = row_blocks.over(rows, labels, example_weights=weights, block_size=12)
        for block in blocks:
            sums = objective.accumulate(
                sums,
                params,
                *block[:2],
                loss=self.settings["loss"],
                loss_arguments=self.settings["loss_arguments"],
                example_weights=block.example_weights,
                normalization=fitted,
            )
        found = from_sums(sums, params, l2=0.3, penalize_bias=False)
        expected = value_and_gradient(
            params,
            rows,
            labels,
            example_weights=weights,
            normalization=fitted,
            **self.settings,
        )
        chex.assert_trees_all_close(found, expected, rtol=1e-5, atol=1e-6)
