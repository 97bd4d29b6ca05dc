"""Held-out examples of a probe: drawn or given, and never in the fits they judge."""

import jax
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from splitters import GROUPS, OF_PROBES, SPLITTERS
from splitters import LABELS as SPLIT_LABELS
from sweep_problems import FOLD_IDS, LABELS, NUM_CLASSES, ROWS

import jaxlin
from jaxlin import fits, losses, normalization
from jaxlin.objective import penalties
from jaxlin.selection import folds, rules, splits

KEY = jax.random.key(0)
L2S = (1e-1, 1e-2, 1e-3)
# The last 20 rows have all classes, as have the first 40.
HELD_OUT = np.arange(60) >= 40
CS = (0.1, 1.0, 10.0)


def probe(validation, *, rows=ROWS, labels=LABELS, **changes):
    options = {"l2s": L2S, "validation": validation, **changes}
    return jaxlin.probe(KEY, rows, labels, ROWS, LABELS, **options)


@pytest.fixture(scope="module")
def masked():
    return probe(HELD_OUT)


def assert_same(found, expected):
    np.testing.assert_array_equal(found.table.accuracy, expected.table.accuracy)
    np.testing.assert_array_equal(
        found.table.fits.params.weights, expected.table.fits.params.weights
    )
    np.testing.assert_array_equal(found.fit.params.weights, expected.fit.params.weights)
    assert found.fit.temperature == expected.fit.temperature
    assert found.num_held_out == expected.num_held_out == 20


@pytest.mark.parametrize(
    "validation",
    [
        HELD_OUT.tolist(),
        np.arange(40, 60),
        np.where(HELD_OUT, 0, -1),
        splits.TrainHeldOutSplit(np.arange(40), np.arange(40, 60)),
    ],
    ids=["mask", "indices", "fold ids", "split"],
)
def test_forms_of_the_same_held_out_rows(masked, validation):
    assert_same(probe(validation), masked)


def test_a_validation_set_of_its_own_is_the_end_of_one_array(masked):
    given = ROWS[HELD_OUT], LABELS[HELD_OUT]
    assert_same(probe(given, rows=ROWS[:40], labels=LABELS[:40]), masked)


def test_weights_of_a_validation_set_are_one(masked):
    names = np.array(["ant", "bee", "cat"])[LABELS]
    weights = np.where(HELD_OUT, 1, 2.5)
    expected = probe(HELD_OUT, weights=weights)
    found = jaxlin.probe(
        KEY,
        ROWS[:40],
        names[:40],
        ROWS,
        names,
        l2s=L2S,
        weights=np.full(40, 2.5),
        validation=(ROWS[40:], names[40:]),
    )
    assert_same(found, expected)
    assert found.fit.certificate.primal != masked.fit.certificate.primal


def test_fits_are_compared_under_a_normalization_without_the_held_out_rows(masked):
    without = normalization.fit_standard(ROWS[:40])
    for fit in masked.table.fits:
        np.testing.assert_array_equal(fit.normalization, without)
    for part, name in zip(
        masked.fit.normalization, normalization.fit_standard(ROWS), strict=True
    ):
        np.testing.assert_array_equal(part, name)


def test_each_fold_has_a_normalization_and_is_scored_by_its_own_fits():
    found = probe(FOLD_IDS)
    assert found.table.accuracy.shape == (3, 3)
    assert found.num_held_out == 60
    assert found.table.fits.converged.all()
    for setting in range(3):
        for fold in range(3):
            fit = found.table.fits[3 * setting + fold]
            out = np.equal(FOLD_IDS, fold)
            without = normalization.fit_standard(ROWS[~out])
            np.testing.assert_array_equal(fit.normalization, without)
            assert fit.l2 == found.table.l2[setting]
            right = jaxlin.predict(fit, ROWS[out]) == LABELS[out]
            assert found.table.accuracy[setting, fold] == pytest.approx(right.mean())
            assert found.table.relative_gap[setting, fold] == fit.relative_gap
            alone = jaxlin.fit(
                ROWS[~out],
                LABELS[~out],
                loss=losses.softmax_cross_entropy,
                l2=fit.l2,
                bias="free",
                normalization=without,
            )
            # Both are within the gap of the same optimum.
            assert fit.certificate.primal == pytest.approx(
                alone.certificate.primal, rel=2e-3
            )


def test_one_sweep_fits_all_folds_where_nothing_is_fitted_to_rows():
    calls = []
    found = probe(FOLD_IDS, normalization=None, callback=calls.append)
    assert calls[-1].finished.keys() == set(range(9))
    assert found.fit.normalization is None
    assert found.table.fits[0].normalization is None


def test_groups_stay_together_and_some_rows_in_training():
    groups = np.arange(60) // 4
    ids = folds.grouped_k_fold(KEY, groups, num_folds=3, labels=LABELS)
    ids[groups == 0] = -1
    found = probe(ids, normalization=None)
    assert found.table.accuracy.shape == (3, 3)
    assert found.num_held_out == 56
    for fold in range(3):
        right = jaxlin.predict(found.table.fits[fold], ROWS[ids == fold])
        share = np.mean(right == LABELS[ids == fold])
        assert found.table.accuracy[0, fold] == pytest.approx(share)
    expected = jaxlin.cross_validate(
        jaxlin.problem(ROWS, LABELS),
        losses=(losses.softmax_cross_entropy,),
        l2s=L2S,
        bias="free",
        folds=ids,
    )
    np.testing.assert_array_equal(found.table.accuracy, expected.accuracy)


def test_repeats_count_once_in_errors():
    ids = np.stack([FOLD_IDS, (FOLD_IDS + np.arange(60) // 30) % 3])
    found = probe(ids, normalization=None)
    assert found.table.accuracy.shape == (3, 6)
    assert found.table.num_repeats == 2
    assert (found.num_held_out, found.effective_held_out) == (60, 60)


SPLIT_ROWS = np.random.default_rng(0).normal(size=(24, 3)).astype(np.float32)


@pytest.mark.parametrize("name", OF_PROBES)
def test_folds_of_every_splitter_are_those_of_cross_validation(name):
    """Scores, repeats and standard errors."""
    splitter, _ = SPLITTERS[name]
    groups = GROUPS if "Group" in type(splitter).__name__ else None
    ids = folds.from_splitter(splitter, SPLIT_LABELS, groups=groups)
    options = {
        "l2s": (0.1, 1.0),
        "bias": "penalized",
        "stop": jaxlin.Stop(1e-3),
        "slots": 1,
    }
    found = jaxlin.probe(
        KEY,
        *(SPLIT_ROWS, SPLIT_LABELS, SPLIT_ROWS, SPLIT_LABELS),
        validation=ids,
        normalization=None,
        choose=rules.one_standard_error,
        **options,
    ).table
    expected = jaxlin.cross_validate(
        jaxlin.problem(SPLIT_ROWS, SPLIT_LABELS),
        losses=(losses.softmax_cross_entropy,),
        folds=ids,
        **options,
    )
    np.testing.assert_array_equal(found.accuracy, expected.accuracy)
    assert found.num_repeats == expected.num_repeats == len(np.atleast_2d(ids))
    errors = [
        [row["accuracy_standard_error"] for row in table.rows()]
        for table in (found, expected)
    ]
    np.testing.assert_array_equal(*errors)


def test_without_validation_a_single_l2_is_fitted_and_tested():
    found = probe(None, l2s=(0.1,))
    assert (found.table, found.num_held_out, found.fit.temperature) == (None, 0, 1)


def test_the_final_fit_may_leave_the_validation_out(masked):
    found = probe(HELD_OUT, train_on_validation=False)
    np.testing.assert_array_equal(found.table.accuracy, masked.table.accuracy)
    assert found.l2 == masked.l2
    without = normalization.fit_standard(ROWS[:40])
    np.testing.assert_array_equal(found.fit.normalization, without)
    problem = jaxlin.problem(ROWS[:40], LABELS[:40], normalization=without)
    again = jaxlin.certify(
        problem,
        found.fit.params,
        loss=losses.softmax_cross_entropy,
        l2=found.l2,
        bias="free",
    )
    # On the other rows it is what was proven on these; on all rows it is not.
    assert again.certificate.primal == pytest.approx(found.fit.certificate.primal)
    assert found.fit.converged
    assert found.fit.certificate.primal != pytest.approx(masked.fit.certificate.primal)


def test_labels_are_certified_without_the_validation():
    """By the distance of the free bias on the rows of the final fit alone."""
    stop = jaxlin.Stop(1e-8)
    found = probe(HELD_OUT, l2s=(0.1,), train_on_validation=False, stop=stop)
    problem = jaxlin.problem(
        ROWS[:40], LABELS[:40], normalization=normalization.fit_standard(ROWS[:40])
    )
    alone = fits.bias_radius(problem, found.fit)
    assert 0 < alone < 1
    assert found.fit.bias_radius == pytest.approx(alone, rel=1e-6)


def test_c_counts_the_examples_that_a_fit_trains_on():
    def l2_of(total):
        return penalties.l2_of_c(CS, total_weight=total, num_classes=NUM_CLASSES)

    weights = np.where(HELD_OUT, 3, 2)  # 80 to train on, 140 in all
    for options, compared, final in (
        ({}, 40, 60),
        ({"train_on_validation": False}, 40, 40),
        ({"weights": weights}, 80, 140),
        # Weights 80 * 1 + 60 * 2 with class weights of these shares, in the end.
        ({"class_weights": (2, 2, 2)}, 80, 120),
    ):
        found = probe(HELD_OUT, l2s=None, cs=CS, **options)
        np.testing.assert_allclose(found.table.l2, l2_of(compared))
        assert found.l2 == pytest.approx(l2_of(final)[found.setting])
        best = found.table.accuracy[found.setting, 0]
        assert best == found.table.accuracy.max()


def test_c_is_scikit_learns():
    """Its fits at C on 40 rows, and on all 60: its intercept is free, too."""
    found = probe(HELD_OUT, l2s=None, cs=CS, normalization=None, stop=jaxlin.Stop(1e-7))
    for setting, c in enumerate(sorted(CS)):
        theirs = LogisticRegression(C=c, tol=1e-8)
        theirs.fit(ROWS[:40], LABELS[:40])
        fit = found.table.fits[setting]
        expected = theirs.predict_proba(ROWS)
        np.testing.assert_allclose(jaxlin.probabilities(fit, ROWS), expected, atol=2e-4)
    theirs.set_params(C=sorted(CS)[found.setting]).fit(ROWS, LABELS)
    np.testing.assert_allclose(
        jaxlin.probabilities(found.fit._replace(temperature=1.0), ROWS),
        theirs.predict_proba(ROWS),
        atol=2e-4,
    )


def test_mean_per_class_is_a_mean_over_classes():
    labels = np.where(LABELS == 2, 2, 0)
    labels[LABELS == 1] = np.arange((LABELS == 1).sum()) % 4 // 3
    found = probe(0.5, labels=labels, mean_per_class=True, weights=1 + FOLD_IDS)
    plain = probe(0.5, labels=labels, weights=1 + FOLD_IDS)
    out = splits.stratified_split(KEY, labels, fraction=0.5).held_out
    weights, of_class = (1 + FOLD_IDS)[out], labels[out]
    for setting, fit in enumerate(found.table.fits):
        right = jaxlin.predict(fit, ROWS[out]) == of_class
        shares = [
            np.average(right[of_class == c], weights=weights[of_class == c])
            for c in range(3)
        ]
        assert found.table.accuracy[setting, 0] == pytest.approx(np.mean(shares))
        assert plain.table.accuracy[setting, 0] == pytest.approx(
            np.average(right, weights=weights)
        )
    assert not np.allclose(found.table.accuracy, plain.table.accuracy)


def test_each_fold_goes_on_from_its_file(tmp_path):
    path = tmp_path / "sweep.npz"
    found = probe(FOLD_IDS, checkpoint=path)
    names = [f"sweep-{fold}.npz" for fold in range(3)]
    assert sorted(file.name for file in tmp_path.iterdir()) == names
    seen = []
    again = probe(FOLD_IDS, checkpoint=path, callback=lambda s: seen.append(s.finished))
    # Each is over, and read once.
    assert [len(finished) for finished in seen] == [3, 3, 3]
    np.testing.assert_array_equal(again.table.accuracy, found.table.accuracy)


def test_memory_is_that_of_the_plan():
    with pytest.raises(ValueError, match="memory_bytes must hold a slot"):
        probe(0.5, memory_bytes=100)
