"""Cross-validation against scikit-learn on the same folds, and against plain loops."""

import jax
import numpy as np
import pytest
import sklearn.linear_model
import sklearn.model_selection

from jaxlin import data, losses, normalization
from jaxlin.selection import choice, cross_validation, folds
from jaxlin.solvers import base, certified

KEY = jax.random.key(0)
NUM_FOLDS = 4
L2S = (1e-1, 1e-2)


@pytest.fixture(scope="module")
def digits():
    """Rows as scikit-learn and we see them, labels, folds, our problem."""
    loaded = data.load("digits")
    fitted = normalization.fit_centered(loaded.train.features, scale=loaded.max_value)
    rows = (loaded.train.features - fitted.mean) / fitted.scale
    labels = loaded.train.labels
    fold_of = folds.stratified_k_fold(KEY, labels, num_folds=NUM_FOLDS)
    problem = certified.prepare(
        base.problem(
            loaded.train.features, labels, num_classes=10, normalization=fitted
        )
    )
    return rows, labels, fold_of, problem


@pytest.fixture(scope="module")
def table(digits):
    *_, fold_of, problem = digits
    return cross_validation.cross_validate(
        problem,
        num_classes=10,
        losses=(losses.weston_watkins_hinge,),
        l2s=L2S,
        fold_of=fold_of,
        relative_gap=1e-4,
    )


def test_scores_are_those_of_grid_search(digits):
    rows, labels, fold_of, problem = digits
    # Folds of one size, so that one C is one l2.
    kept = np.sort(
        np.concatenate([np.flatnonzero(fold_of == i)[:300] for i in range(4)])
    )
    fold_of = fold_of[kept]
    problem = certified.prepare(
        base.problem(
            np.asarray(problem.features)[kept],
            labels[kept],
            num_classes=10,
            normalization=problem.normalization,
        )
    )
    table = cross_validation.cross_validate(
        problem,
        num_classes=10,
        losses=(losses.softmax_cross_entropy,),
        l2s=L2S,
        fold_of=fold_of,
        # Images that lie on a border may fall to either side of it in a wider gap.
        relative_gap=1e-6,
    )
    search = sklearn.model_selection.GridSearchCV(
        # The bias trick, since scikit-learn does not penalise its own bias.
        sklearn.linear_model.LogisticRegression(
            fit_intercept=False, tol=1e-8, max_iter=5000
        ),
        {"C": [1 / (l2 * 900) for l2 in table.l2]},
        cv=sklearn.model_selection.PredefinedSplit(fold_of),
    ).fit(np.hstack([rows[kept], np.ones((len(kept), 1))]), labels[kept])
    for fold in range(NUM_FOLDS):
        np.testing.assert_allclose(
            table.accuracy[:, fold], search.cv_results_[f"split{fold}_test_score"]
        )


def test_accuracy_and_loss_are_those_of_the_fold_held_out(digits, table):
    rows, labels, fold_of, _ = digits
    for setting in range(len(table.l2)):
        for fold in range(NUM_FOLDS):
            model = setting * NUM_FOLDS + fold
            weights = table.fits.params.weights[model]
            scores = rows @ weights.T + table.fits.params.bias[model]
            out = fold_of == fold
            np.testing.assert_allclose(
                table.accuracy[setting, fold],
                np.mean(scores.argmax(axis=1)[out] == labels[out]),
                atol=1e-6,
            )
            each = jax.vmap(table.losses[setting])(
                scores[out].astype(np.float32), labels[out]
            )
            np.testing.assert_allclose(
                table.loss[setting, fold], np.mean(each), rtol=1e-4
            )


def test_table_is_tidy(table):
    rows = table.rows()
    assert [(row["loss"], row["l2"]) for row in rows] == [
        ("weston_watkins_hinge", l2) for l2 in L2S
    ]
    for i, row in enumerate(rows):
        np.testing.assert_allclose(row["accuracy"], table.accuracy[i].mean())
        np.testing.assert_allclose(
            row["accuracy_standard_error"], table.accuracy[i].std(ddof=1) / 2
        )
        assert row["largest_relative_gap"] == table.relative_gap[i].max() <= 1e-4


@pytest.mark.full
def test_repeats_and_margins_have_parts_and_settings_of_their_own():
    rows = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    labels = (rows[:, 0] > 0).astype(int)
    fold_of = folds.repeated(
        KEY,
        lambda key: folds.stratified_k_fold(key, labels, num_folds=3),
        num_repeats=2,
    )
    problem = certified.prepare(base.problem(rows, labels, num_classes=2))
    found = cross_validation.cross_validate(
        problem,
        num_classes=2,
        losses=(losses.weston_watkins_hinge,),
        l2s=L2S,
        loss_arguments={"margin": (1.0, 2.0)},
        fold_of=fold_of,
    )
    assert found.accuracy.shape == (4, 6)
    assert [one["margin"] for one in found.loss_arguments] == [1.0, 1.0, 2.0, 2.0]
    for part in range(6):
        out = fold_of[part // 3] == part % 3
        for setting in range(4):
            weights = found.fits.params.weights[setting * 6 + part]
            bias = found.fits.params.bias[setting * 6 + part]
            right = (rows @ weights.T + bias).argmax(axis=1) == labels
            np.testing.assert_allclose(
                found.accuracy[setting, part], right[out].mean(), atol=1e-6
            )
    hinge = losses.weston_watkins_hinge
    best = found.chosen(hinge)
    assert best == choice.best(found.accuracy, strength=found.l2)
    with pytest.raises(ValueError, match="choose must not be one_standard_error for"):
        found.chosen(hinge, choose=choice.one_standard_error)
    with pytest.raises(ValueError, match="loss must be one of the table's, got cross"):
        found.chosen(losses.cross_entropy)
    # Of one margin, with an error of three parts.
    one = found._replace(loss_arguments=({},) * 4)
    assert one.chosen(hinge, choose=choice.one_standard_error) == (
        choice.one_standard_error(found.accuracy, strength=found.l2, num_repeats=2)
    )
    for row, accuracy in zip(found.rows(), found.accuracy, strict=True):
        # Two repeats of three folds: three parts' worth of data.
        error = np.std(accuracy, ddof=1) / np.sqrt(3)
        assert row["accuracy_standard_error"] == pytest.approx(error)


def test_a_class_that_is_missing_where_one_trains_is_named():
    rows, labels = np.zeros((9, 2), np.float32), np.repeat([0, 1, 2], 3)
    problem = base.problem(rows, labels, num_classes=3)
    how = {"num_classes": 3, "losses": (losses.softmax_cross_entropy,), "l2s": L2S}
    with pytest.raises(ValueError, match="without part 1 there is none of class 1"):
        cross_validation.cross_validate(
            problem, fold_of=np.array([0, 2, 0, 1, 1, 1, 2, 0, 2]), **how
        )
    # A class without examples is missing everywhere, and so nowhere.
    wider = base.problem(rows, np.where(labels == 1, 3, labels), num_classes=4)
    train = np.ones((1, 9), np.float32)
    cross_validation.check_parts(wider, train)
