"""Cross-validation against scikit-learn on the same folds, and against plain loops."""

import functools

import jax
import numpy as np
import pytest
import references
import scipy.special
import sklearn.linear_model
import sklearn.model_selection
import sweep_problems
from sweep_problems import FOLD_IDS, HINGE, LABELS, SOFTMAX

import jaxlin
from jaxlin import linear, losses
from jaxlin.certificates import duality
from jaxlin.selection import (
    cross_validation,
    folds,
    grids,
    held_out_metrics,
    rules,
    sweep_result,
)
from jaxlin.solvers import interface

KEY = jax.random.key(0)
NUM_FOLDS = 3
L2S = (1e-1, 1e-2)
# float32 proves hinges to about 1e-5.
GAPS = {SOFTMAX: 1e-6, HINGE: 1e-4}
REFERENCES = {SOFTMAX: "softmax_cross_entropy", HINGE: "weston_watkins"}
# As scikit-learn sees them; folds of one size, so that one C is one l2.
ROWS = (
    np.float64(sweep_problems.ROWS) - sweep_problems.NORMALIZATION.mean
) / sweep_problems.NORMALIZATION.scale
# A sweep of the hinge compiles for ten seconds and repeats what that of the softmax
# shows.
BOTH = pytest.mark.parametrize(
    "loss",
    [SOFTMAX, pytest.param(HINGE, marks=pytest.mark.full)],
)


@functools.cache
def tabulated(loss):
    return jaxlin.cross_validate(
        sweep_problems.problem(),
        losses=(loss,),
        l2s=L2S,
        folds=FOLD_IDS,
        # Rows that lie on a border may fall to either side of it in a wider gap.
        stop=jaxlin.Stop(GAPS[loss]),
    )


def fits_of(problem, models, params):
    """Any parameters as what a sweep would return, of which nothing is proven."""
    nothing = np.zeros(models.size)
    return sweep_result.SweepResult(
        models,
        params,
        certificate=duality.Certificate(*(nothing,) * 4),
        relative_gap=nothing,
        converged=nothing > 0,
        stalled=nothing > 0,
        passes=nothing.astype(int),
        float64_passes=nothing.astype(int),
        bias_radius=nothing,
        slot_passes=0,
        normalization=problem.normalization,
        classes=problem.classes,
    )


def test_scores_are_those_of_grid_search():
    table = tabulated(SOFTMAX)
    search = sklearn.model_selection.GridSearchCV(
        # The bias trick, since scikit-learn does not penalise its own bias.
        sklearn.linear_model.LogisticRegression(
            fit_intercept=False, tol=1e-8, max_iter=5000
        ),
        {"C": [1 / (l2 * 40) for l2 in table.l2]},
        cv=sklearn.model_selection.PredefinedSplit(FOLD_IDS),
    ).fit(np.hstack([ROWS, np.ones((len(ROWS), 1))]), LABELS)
    for fold in range(NUM_FOLDS):
        np.testing.assert_allclose(
            table.accuracy[:, fold], search.cv_results_[f"split{fold}_test_score"]
        )


def test_scores_of_splits_that_leave_examples_out_are_those_of_grid_search():
    splitter = sklearn.model_selection.StratifiedShuffleSplit(
        NUM_FOLDS, train_size=20, test_size=30, random_state=0
    )
    table = jaxlin.cross_validate(
        sweep_problems.problem(),
        losses=(SOFTMAX,),
        l2s=L2S,
        folds=folds.from_splitter(splitter, LABELS),
        stop=jaxlin.Stop(GAPS[SOFTMAX]),
    )
    search = sklearn.model_selection.GridSearchCV(
        sklearn.linear_model.LogisticRegression(
            fit_intercept=False, tol=1e-8, max_iter=5000
        ),
        {"C": [1 / (l2 * 20) for l2 in table.l2]},
        cv=splitter,
    ).fit(np.hstack([ROWS, np.ones((len(ROWS), 1))]), LABELS)
    assert table.num_repeats == NUM_FOLDS
    for part in range(NUM_FOLDS):
        np.testing.assert_allclose(
            table.accuracy[:, part], search.cv_results_[f"split{part}_test_score"]
        )


@BOTH
def test_accuracy_and_loss_are_those_of_the_fold_held_out(loss):
    table = tabulated(loss)
    each = getattr(references, REFERENCES[loss])
    for setting in range(len(table.l2)):
        for fold in range(NUM_FOLDS):
            model = setting * NUM_FOLDS + fold
            weights = table.fits.params.weights[model]
            scores = ROWS @ weights.T + table.fits.params.bias[model]
            out = fold == FOLD_IDS
            np.testing.assert_allclose(
                table.accuracy[setting, fold],
                np.mean(scores.argmax(axis=1)[out] == LABELS[out]),
                atol=1e-6,
            )
            expected = [
                each(*one) for one in zip(scores[out], LABELS[out], strict=True)
            ]
            np.testing.assert_allclose(
                table.loss[setting, fold], np.mean(expected), rtol=1e-4
            )


def test_any_parameters_are_tested_by_the_loss_of_the_grid():
    """Those of the softmax, by the hinge: what a comparison of losses rests on."""
    models = grids.product(losses=(HINGE,), l2s=L2S, num_weight_sets=NUM_FOLDS)
    params = tabulated(SOFTMAX).fits.params
    held_out = 1 - folds.train_weights(FOLD_IDS, num_folds=NUM_FOLDS)
    problem = sweep_problems.problem()
    accuracy, loss = held_out_metrics.accuracy_and_loss(
        problem, fits_of(problem, models, params), held_out=held_out
    )
    for model in range(models.size):
        scores = ROWS @ params.weights[model].T + params.bias[model]
        out = models.weight_set[model] == FOLD_IDS
        right = scores.argmax(axis=1)[out] == LABELS[out]
        np.testing.assert_allclose(accuracy[model], right.mean(), atol=1e-6)
        pairs = zip(scores[out], LABELS[out], strict=True)
        expected = [references.weston_watkins(*pair) for pair in pairs]
        np.testing.assert_allclose(loss[model], np.mean(expected), rtol=1e-4)


def test_a_test_holds_no_scores_of_all_rows():
    """The compiler's count of temporaries, where all scores would take 256 MB."""
    shape = jax.ShapeDtypeStruct
    program = held_out_metrics._accuracy_and_loss.lower(
        linear.Params(shape((1, 1000, 4), np.float32), shape((1, 1000), np.float32)),
        {},
        shape((1,), np.int32),
        interface.Examples(shape((64_000, 4), np.float32), shape((64_000,), np.int32)),
        shape((1, 64_000), np.float32),
        loss=SOFTMAX,
    )
    memory = program.compile().memory_analysis()
    assert memory.temp_size_in_bytes < 64e6


@pytest.mark.parametrize(
    "count", [2, pytest.param(2047, marks=pytest.mark.full), 2048, 5000]
)
def test_counts_are_exact_in_blocks_of_any_number_of_rows(count):
    """Against NumPy in float64, with weights that leave most rows out."""
    random = np.random.default_rng(count)
    rows, labels = random.normal(size=(count, 3)).astype("f4"), np.arange(count) % 4
    weights = random.normal(size=(2, 4, 3)).astype("f4")
    params = linear.Params(weights, random.normal(size=(2, 4)).astype("f4"))
    held_out = (random.random((2, count)) < 0.3).astype(np.float32)
    held_out[:, 0] = 1
    models = grids.product(losses=(SOFTMAX,), l2s=(0.1,), num_weight_sets=2)
    problem = jaxlin.problem(rows, labels, classes=range(4))
    fits = fits_of(problem, models, params)
    accuracy, loss = held_out_metrics.accuracy_and_loss(
        problem, fits, held_out=held_out
    )
    for model in range(2):
        scores = rows.astype(float) @ weights[model].T.astype(float)
        scores += params.bias[model]
        out = held_out[model] > 0
        right = scores.argmax(axis=1)[out] == labels[out]
        assert accuracy[model] == right.sum() / out.sum()
        each = scipy.special.logsumexp(scores, axis=1) - scores[range(count), labels]
        np.testing.assert_allclose(loss[model], each[out].mean(), rtol=1e-6)


@BOTH
def test_table_is_tidy(loss):
    table = tabulated(loss)
    rows = table.rows()
    name = loss.__name__
    assert [(row["loss"], row["l2"]) for row in rows] == [(name, l2) for l2 in L2S]
    for i, row in enumerate(rows):
        np.testing.assert_allclose(row["accuracy"], table.accuracy[i].mean())
        np.testing.assert_allclose(
            row["accuracy_standard_error"],
            table.accuracy[i].std(ddof=1) / np.sqrt(NUM_FOLDS),
        )
        assert row["largest_relative_gap"] == table.relative_gap[i].max() <= GAPS[loss]


@pytest.mark.full
def test_repeats_and_margins_have_parts_and_settings_of_their_own():
    rows = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    labels = (rows[:, 0] > 0).astype(int)
    fold_ids = folds.repeat(
        KEY,
        lambda key: folds.stratified_k_fold(key, labels, num_folds=3),
        num_repeats=2,
    )
    found = jaxlin.cross_validate(
        jaxlin.problem(rows, labels),
        losses=(HINGE,),
        l2s=L2S,
        loss_arguments={"margin": (1.0, 2.0)},
        folds=fold_ids,
    )
    assert found.accuracy.shape == (4, 6)
    assert [one["margin"] for one in found.loss_arguments] == [1.0, 1.0, 2.0, 2.0]
    for part in range(6):
        out = fold_ids[part // 3] == part % 3
        for setting in range(4):
            weights = found.fits.params.weights[setting * 6 + part]
            bias = found.fits.params.bias[setting * 6 + part]
            right = (rows @ weights.T + bias).argmax(axis=1) == labels
            np.testing.assert_allclose(
                found.accuracy[setting, part], right[out].mean(), atol=1e-6
            )
    hinge = HINGE
    best = found.chosen(hinge)
    assert best == rules.best(found.accuracy, strength=found.l2)
    with pytest.raises(ValueError, match="choose must not be one_standard_error for"):
        found.chosen(hinge, choose=rules.one_standard_error)
    with pytest.raises(ValueError, match="loss must be one of the table's, got cross"):
        found.chosen(losses.cross_entropy)
    # Of one margin, with an error of three parts.
    one = found._replace(loss_arguments=({},) * 4)
    assert one.chosen(hinge, choose=rules.one_standard_error) == (
        rules.one_standard_error(found.accuracy, strength=found.l2, num_repeats=2)
    )
    for row, accuracy in zip(found.rows(), found.accuracy, strict=True):
        # Two repeats of three folds: three parts' worth of data.
        error = np.std(accuracy, ddof=1) / np.sqrt(3)
        assert row["accuracy_standard_error"] == pytest.approx(error)


def test_a_class_that_is_missing_where_one_trains_is_named():
    rows, labels = np.zeros((9, 2), np.float32), np.repeat([0, 1, 2], 3)
    settings = {"losses": (SOFTMAX,), "l2s": L2S}
    first, second = [0, 2, 0, 1, 1, 1, 2, 0, 2], [0, 2, 0, 2, 1, 1, 2, 0, 2]
    with pytest.raises(ValueError, match="fold 1 leaves none of class 1"):
        jaxlin.cross_validate(jaxlin.problem(rows, labels), folds=first, **settings)
    # Nor does an example of weight 0 teach it.
    weights = np.float32([1, 1, 1, 0, 1, 1, 1, 1, 1])
    weighted = jaxlin.problem(rows, labels, weights=weights)
    with pytest.raises(ValueError, match="fold 1 leaves none of class 1"):
        jaxlin.cross_validate(weighted, folds=second, **settings)
    named = jaxlin.problem(rows, np.array(["ant", "bee", "cat"])[labels])
    with pytest.raises(ValueError, match="fold 1 leaves none of class bee"):
        jaxlin.cross_validate(named, folds=first, **settings)
    # A class without examples is missing everywhere, and so nowhere.
    wider = jaxlin.problem(rows, np.where(labels == 1, 3, labels), classes=range(4))
    train = np.ones((1, 9), np.float32)
    assert cross_validation.check_parts(wider, train).all()


def test_goes_on_from_its_file_and_labels_may_be_names(tmp_path):
    names = np.array(["ant", "bee", "cat"])[LABELS]
    problem = jaxlin.problem(
        sweep_problems.ROWS, names, normalization=sweep_problems.NORMALIZATION
    )
    settings = {
        "losses": (SOFTMAX,),
        "l2s": L2S,
        "folds": FOLD_IDS,
        "stop": jaxlin.Stop(GAPS[SOFTMAX]),
        "checkpoint": tmp_path / "sweep.npz",
    }

    def callback(state):
        if len(state.finished) >= 3:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        jaxlin.cross_validate(problem, **settings, callback=callback)
    found, expected = jaxlin.cross_validate(problem, **settings), tabulated(SOFTMAX)
    np.testing.assert_array_equal(found.accuracy, expected.accuracy)
    np.testing.assert_array_equal(found.loss, expected.loss)
    assert found.fits.classes.tolist() == ["ant", "bee", "cat"]
    assert str(found) == (
        "2 settings on 3 parts, 6 of 6 fits proven; best mean accuracy "
        f"{100 * found.accuracy.mean(axis=1).max():.2f} % with "
        f"softmax_cross_entropy, l2 {found.l2[found.accuracy.mean(axis=1).argmax()]:g}"
    )


def test_distributions_cannot_be_validated():
    problem = jaxlin.problem(ROWS, np.full((60, 3), 1 / 3))
    settings = {"losses": (losses.cross_entropy,), "l2s": L2S, "folds": FOLD_IDS}
    with pytest.raises(ValueError, match="problem must have labels to be validated"):
        jaxlin.cross_validate(problem, **settings)


def test_a_class_that_is_missing_where_one_trains_is_wrong_on_request():
    """Sorted folds: what is held out was never seen. Then a class of one example."""
    settings = {
        "losses": (SOFTMAX,),
        "l2s": L2S,
        "allow_missing_classes": True,
    }
    sorted_folds = jaxlin.cross_validate(
        sweep_problems.problem(), folds=LABELS, **settings
    )
    np.testing.assert_array_equal(sorted_folds.accuracy, 0)
    assert np.isfinite(sorted_folds.loss).all()
    assert sorted_folds.fits.converged.all()
    single = np.flatnonzero(LABELS == 2)[-1]
    rare = np.where((LABELS == 2) & (np.arange(len(ROWS)) != single), 0, LABELS)
    fold_ids = folds.stratified_k_fold(
        KEY, rare, num_folds=NUM_FOLDS, allow_missing_classes=True
    )
    found = jaxlin.cross_validate(
        sweep_problems.problem_of(rare), folds=fold_ids, **settings
    )
    for setting in range(2):
        for fold in range(NUM_FOLDS):
            weights, bias = (
                np.asarray(leaf[NUM_FOLDS * setting + fold], float)
                for leaf in found.fits.params
            )
            scores = ROWS @ weights.T + bias
            right = scores.argmax(axis=1) == rare
            right[single] = False
            each = scipy.special.logsumexp(scores, axis=1)
            each = each - scores[range(len(ROWS)), rare]
            out = fold_ids == fold
            np.testing.assert_allclose(
                found.accuracy[setting, fold], right[out].mean(), rtol=1e-7
            )
            np.testing.assert_allclose(
                found.loss[setting, fold], each[out].mean(), rtol=1e-5
            )
