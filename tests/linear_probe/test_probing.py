"""The probe: the answer of its parts done by hand, and honest about each."""

import jax
import numpy as np
import pytest
from sweep_problems import LABELS, NUM_WEIGHT_SETS, ROWS

import jaxlin
from jaxlin import data, linear_probe, losses, normalization
from jaxlin.linear_probe import calibrated_fit, l2_choice
from jaxlin.selection import rules, splits

KEY = jax.random.key(0)
L2S = (1e-1, 1e-2, 1e-3)


HELD_OUT = {"validation": 0.5, "slots": NUM_WEIGHT_SETS}


@pytest.fixture(scope="module")
def digits():
    return data.load("digits")


@pytest.fixture(scope="module")
def answer():
    return jaxlin.probe(KEY, ROWS, LABELS, ROWS, LABELS, l2s=L2S, **HELD_OUT)


@pytest.mark.full
def test_is_choice_refit_and_test_by_hand(digits):
    answer = jaxlin.probe(KEY, *digits.train, *digits.test, l2s=L2S)
    assert answer.notes == ()
    assert answer.num_held_out == 130
    features, labels = digits.train
    split = splits.stratified_split(KEY, labels, fraction=0.1)
    # The held-out rows have no part in the normalization of the comparison.
    without = normalization.fit_standard(features[split.train])
    fitted = normalization.fit_standard(features)

    def accuracy(fit, features, labels):
        rows = (features - fit.normalization.mean) / fit.normalization.scale
        scores = rows @ np.asarray(fit.params.weights).T + np.asarray(fit.params.bias)
        return np.mean(scores.argmax(axis=1) == labels)

    found = []
    for l2 in L2S:
        fit = jaxlin.fit(
            features[split.train],
            labels[split.train],
            loss=losses.softmax_cross_entropy,
            l2=l2,
            bias="free",
            normalization=without,
        )
        found.append(accuracy(fit, features[split.held_out], labels[split.held_out]))
    np.testing.assert_array_equal(answer.table.fits[0].normalization, without)
    # Fits that have proven the same gap may differ on an image or two.
    np.testing.assert_allclose(answer.table.accuracy[:, 0], found, atol=0.02)
    assert (
        answer.l2
        == answer.table.l2[rules.best(answer.table.accuracy, strength=answer.table.l2)]
    )
    refit = jaxlin.fit(
        features,
        labels,
        loss=losses.softmax_cross_entropy,
        l2=answer.l2,
        bias="free",
        normalization=fitted,
    )
    assert answer.fit.converged
    np.testing.assert_array_equal(answer.fit.normalization, fitted)
    np.testing.assert_allclose(
        answer.fit.certificate.primal, refit.certificate.primal, rtol=1e-3
    )
    np.testing.assert_allclose(
        answer.test.accuracy.value, accuracy(answer.fit, *digits.test), atol=1e-9
    )
    interval = answer.test.accuracy.interval
    assert interval.low < answer.test.accuracy.value < interval.high
    optimum = answer.test.optimum
    assert optimum.low <= answer.test.accuracy.value <= optimum.high
    assert answer.passes >= answer.table.fits.passes.sum() + answer.fit.passes


def test_prints_as_a_line_that_says_what_was_proven(answer):
    line = str(answer)
    assert line.startswith(f"accuracy {100 * answer.test.accuracy.value:.2f} % [")
    assert "; 3 of 3 compared fits proven; " in line
    assert f"; log loss {answer.test.log_loss.value:.4g}, calibration error" in line
    assert f" {100 * answer.test.calibration_error.value:.2f} %; l2" in line
    assert ("edge" in line) == answer.at_edge
    assert "not proven" not in line
    worse = answer._replace(fit=answer.fit._replace(converged=False))
    gap = f"relative gap {answer.fit.relative_gap:.1e}"
    assert f", {gap} (requested gap not proven); 3 of 3" in str(worse)


def test_temperature_makes_held_out_labels_likelier(answer):
    assert answer.temperature.loss_after <= answer.temperature.loss_before
    assert not answer.temperature.at_bound


@pytest.mark.full
def test_folds_choose_by_all_examples(digits):
    found = jaxlin.probe(
        KEY,
        *digits.train,
        *digits.test,
        loss=losses.weston_watkins_hinge,
        l2s=L2S[:2],
        validation=3,
        choose=rules.one_standard_error,
    )
    assert found.table.accuracy.shape == (2, 3)
    assert (
        found.l2
        == found.table.l2[
            rules.one_standard_error(found.table.accuracy, strength=found.table.l2)
        ]
    )
    assert found.at_edge


def test_single_examples_stay_in_training_and_are_named():
    labels = np.where(np.arange(60) == 37, 2, np.arange(60) % 2)
    for settings, held_out in ((HELD_OUT, 30), ({"validation": 3}, 59)):
        found = jaxlin.probe(KEY, ROWS, labels, ROWS, labels, l2s=L2S, **settings)
        assert found.single_classes == (2,)
        assert found.num_held_out == held_out
        single, few = found.notes
        assert single == (
            "1 class has a single training example, which is not held out"
        )
        assert few.startswith(f"l2 is chosen on {found.num_held_out} examples")
        is_one_part = settings == HELD_OUT
        hint = "; folds (validation=5) hold each example out once"
        assert (hint in few) == is_one_part
        assert all(note in str(found) for note in found.notes)
        # The fit has seen all: each class has a template of its own.
        assert found.fit.converged
        assert found.fit.params.bias.shape == (3,)


def test_many_scores_are_thinned_for_the_temperature(monkeypatch):
    """60 examples of three classes, in three folds: 180 scores, at most 90."""
    seen = []
    whole = calibrated_fit.calibration.temperature

    def watched(scores, labels, **weights):
        seen.append((scores, labels))
        return whole(scores, labels, **weights)

    monkeypatch.setattr(calibrated_fit.calibration, "temperature", watched)
    for most in (180, 90):
        monkeypatch.setattr(calibrated_fit, "_MAX_SCORES", most)
        jaxlin.probe(KEY, ROWS, LABELS, ROWS, LABELS, l2s=(0.1,), validation=3)
    (scores, labels), (thinned, some) = seen
    assert scores.shape == (60, 3)
    assert 27 <= len(thinned) <= 30
    assert len(some) == len(thinned)
    # A part of the same scores, in the same order, up to rounding.
    near = np.abs(thinned[:, None] - scores).max(axis=2) < 1e-5
    near &= np.asarray(some)[:, None] == np.asarray(labels)
    assert near.any(axis=1).all()
    assert (np.diff(near.argmax(axis=1)) > 0).all()


def test_rows_of_unit_length_are_made_before_the_probe():
    with pytest.raises(ValueError, match=r"give unit_rows\(features\) as the features"):
        jaxlin.probe(
            *(KEY, ROWS, LABELS, ROWS, LABELS),
            normalization=normalization.unit_rows,
        )


def test_classes_without_a_test_example_are_named():
    labels = np.array(["ant", "bee", "cat"])[LABELS]
    tested = np.flatnonzero(labels != "bee")
    found = jaxlin.probe(
        *(KEY, ROWS, labels, ROWS[tested], labels[tested]), l2s=(0.1,), validation=None
    )
    note = "means over classes leave out those without a test example: bee"
    assert note in found.notes


def test_one_example_a_class_and_one_l2_is_a_fit():
    labels = np.arange(5)
    found = jaxlin.probe(KEY, ROWS[:5], labels, ROWS[:5], labels, l2s=(1e-3,))
    assert found.test.accuracy.value == 1
    assert (found.table, found.num_held_out, found.at_edge) == (None, 0, False)
    assert float(found.temperature.value) == 1
    assert found.single_classes == (0, 1, 2, 3, 4)
    assert found.notes == (
        "5 classes have a single training example, which is not held out",
        "nothing was held out: the temperature is 1, not calibrated",
    )
    assert "0 of 0 compared fits proven" in str(found)
    expected = jaxlin.fit(
        ROWS[:5],
        labels,
        loss=losses.softmax_cross_entropy,
        l2=1e-3,
        bias="free",
        normalization=normalization.fit_standard(ROWS[:5]),
    )
    np.testing.assert_allclose(
        found.fit.certificate.primal, expected.certificate.primal, rtol=2e-3
    )


def test_a_choice_on_enough_examples_has_no_note(answer):
    assert answer.num_held_out == 30
    (few,) = answer.notes
    assert few.startswith("l2 is chosen on 30 examples held out")
    assert answer.effective_held_out == 30
    assert answer._replace(effective_held_out=99).notes != ()
    assert answer._replace(effective_held_out=100).notes == ()


def test_strengths_of_c():
    assert len(linear_probe.CS) == 45
    np.testing.assert_allclose([linear_probe.CS[0], linear_probe.CS[-1]], [1e-6, 1e5])


def test_the_default_grid_counts_classes_in(monkeypatch):
    """Two classes: l2 = 2 / (C n), for the 54 of 60 examples that are not held out."""
    seen = []

    def fit_models(problem, models, **_):
        seen.append(models.l2)
        raise InterruptedError

    monkeypatch.setattr(l2_choice.sweep, "fit_models", fit_models)
    for num_classes, factor in ((2, 2), (4, 1)):
        labels = np.arange(60) % num_classes
        with pytest.raises(InterruptedError):
            jaxlin.probe(KEY, ROWS, labels, ROWS, labels)
        expected = np.sort(factor / (54 * np.array(linear_probe.CS)))
        np.testing.assert_allclose(np.sort(seen.pop()), expected)
        weights = np.where(np.arange(60) < 30, 0.5, 7)  # 225 in all
        with pytest.raises(InterruptedError):
            jaxlin.probe(KEY, ROWS, labels, ROWS, labels, weights=weights)
        np.testing.assert_allclose(np.sort(seen.pop()), expected * 60 / 225)


def test_the_test_is_unweighted(answer):
    weights = 1.0 + np.arange(60) % 2
    found = jaxlin.probe(
        KEY, ROWS, LABELS, ROWS, LABELS, l2s=L2S, weights=weights, **HELD_OUT
    )
    right = jaxlin.predict(found.fit, ROWS) == LABELS
    assert found.test.accuracy.value == pytest.approx(right.mean())
    assert found.num_held_out == answer.num_held_out
    assert found.fit.certificate.primal != answer.fit.certificate.primal


def test_labels_may_be_names(answer):
    names = np.array(["ant", "bee", "cat"])[LABELS]
    found = jaxlin.probe(KEY, ROWS, names, ROWS, names, l2s=L2S, **HELD_OUT)
    assert found.test.accuracy == answer.test.accuracy
    assert found.l2 == answer.l2
    np.testing.assert_array_equal(found.table.accuracy, answer.table.accuracy)
    assert found.fit.classes.tolist() == ["ant", "bee", "cat"]
    right = jaxlin.predict(found.fit, ROWS) == names
    assert found.test.accuracy.value == pytest.approx(right.mean())


def test_names_of_single_classes_are_those_given():
    names = np.where(np.arange(60) == 37, "cat", np.where(LABELS == 0, "ant", "bee"))
    found = jaxlin.probe(KEY, ROWS, names, ROWS, names, l2s=L2S, **HELD_OUT)
    assert found.single_classes == ("cat",)


def test_the_fit_has_the_temperature_and_the_normalization(answer):
    assert answer.fit.temperature == float(answer.temperature.value) != 1
    fitted = normalization.fit_standard(ROWS)
    for one, other in zip(answer.fit.normalization, fitted, strict=True):
        np.testing.assert_array_equal(one, other)
    scores = np.asarray(jaxlin.scores(answer.fit, ROWS)) / answer.fit.temperature
    expected = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(
        jaxlin.probabilities(answer.fit, ROWS), expected, rtol=1e-4
    )


def test_goes_on_from_its_file(answer, tmp_path):
    path, seen = tmp_path / "sweep.npz", []

    def callback(state):
        seen.append(len(state.finished))
        if seen[-1] == 3:
            raise InterruptedError

    settings = {"l2s": L2S, "checkpoint": path, **HELD_OUT}
    with pytest.raises(InterruptedError):
        jaxlin.probe(KEY, ROWS, LABELS, ROWS, LABELS, callback=callback, **settings)
    assert seen[-1] == 3
    seen.clear()
    found = jaxlin.probe(
        KEY,
        ROWS,
        LABELS,
        ROWS,
        LABELS,
        callback=lambda state: seen.append(len(state.finished)),
        **settings,
    )
    # All were over: they are read, and yielded once.
    assert seen == [3]
    np.testing.assert_array_equal(found.fit.params.weights, answer.fit.params.weights)
    assert found.passes == answer.passes
