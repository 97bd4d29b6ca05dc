"""The four ideas: a sample by hand, bias where there is one, stopped and resumed."""

import dataclasses
import functools
import json

import numpy as np
import pytest
from run_helpers import (
    assert_same,
    nothing_compiled,
    run_study,
    stopped,
    write_data,
)
from run_helpers import table as csv_table

from experiments.cross_validation import measure
from experiments.cross_validation.config import SMOKE, Config, check_samples
from experiments.cross_validation.ideas import ESTIMATES
from jaxlin import data

WORDS = ("idea", "estimate")
run = functools.partial(run_study, "cross_validation", page=False)


def samples(out):
    """The samples measured so far."""
    return json.loads((out / "samples.json").read_text())["rows"]


def table(out):
    """results.csv by column, numbers where there are any."""
    rows = csv_table(out)
    return {
        name: np.array([one[name] for one in rows], str if name in WORDS else float)
        for name in rows[0]
    }


@pytest.fixture(scope="module")
def smoke(finished_study):
    """A run."""
    return finished_study("cross_validation").run


def test_what_a_run_says(smoke):
    out = smoke.folder.path
    assert smoke.numbers("samples")["sweep"].startswith("6 models at once")
    # Kept: three parts of a sample and three folds.
    assert json.loads((out / "config.json").read_text())["slots"] == 6
    found = smoke.numbers("summary")
    assert (found["fits"], found["certified"]) == (36, 36)
    assert found["largest_relative_gap"] <= SMOKE.relative_gap
    page = (out / "report.html").read_text()
    for estimate in ESTIMATES.values():
        assert f"<td>{estimate.title}</td>" in page


def test_conclusions_are_those_of_the_table(smoke):
    found, rows = smoke.numbers("summary"), table(smoke.folder.path)
    for name, one in found["estimates"].items():
        mine = rows["estimate"] == name
        errors = (rows["reported"] - rows["truth"])[mine]
        assert len(errors) == SMOKE.samples
        np.testing.assert_allclose(errors, rows["error"][mine], atol=1e-12)
        assert one["bias"] == pytest.approx(errors.mean())
        assert one["spread"] == pytest.approx(errors.std(ddof=1))
        error = errors.std(ddof=1) / np.sqrt(SMOKE.samples)
        assert one["bias_standard_error"] == pytest.approx(error)
        # 4.303 is the 97.5 % quantile of t with two degrees of freedom.
        ends = [errors.mean() - 4.303 * error, errors.mean() + 4.303 * error]
        assert one["bias_interval"] == pytest.approx(ends, abs=1e-4)
        parts = ("too_good_for_models_measured", "models_measured_less_classifier")
        assert sum(one[part]["mean"] for part in parts) == pytest.approx(one["bias"])
    for name, one in found["choices"].items():
        # An idea's choice is the same in the rows of all its estimates.
        estimates = [key for key, what in ESTIMATES.items() if what.idea == name]
        mine = rows["estimate"] == estimates[0]
        for other in estimates[1:]:
            also = rows["estimate"] == other
            np.testing.assert_array_equal(rows["l2"][mine], rows["l2"][also])
        logs, best = np.log10(rows["l2"][mine]), np.log10(rows["best_l2"][mine])
        assert one["log10_l2"]["spread"] == pytest.approx(logs.std(ddof=1))
        assert one["log10_l2"]["median"] == pytest.approx(sorted(logs)[1])
        assert one["log10_l2_less_best"]["mean"] == pytest.approx((logs - best).mean())
        lost = (rows["truth_at_best_l2"] - rows["truth"])[mine]
        assert (lost >= 0).all()
        assert one["accuracy_lost"]["mean"] == pytest.approx(lost.mean())
    compared, spreads = found["idea_4_less_idea_3"], found["estimates"]
    less = spreads["folds"]["spread"] - spreads["validation"]["spread"]
    assert compared["estimate_spread"]["difference"] == pytest.approx(less)
    low, high = compared["estimate_spread"]["interval"]
    assert low <= high


def test_one_sample_by_hand():
    """Single fits of scikit-learn on rows cut out."""
    linear_model = pytest.importorskip("sklearn.linear_model")
    config = dataclasses.replace(SMOKE, relative_gap=1e-5)
    dataset = data.load("digits")
    population = measure.pool(dataset)
    plan = measure.planned(config, population)
    record = measure.measured(config, population, plan, 1)
    features = np.concatenate([dataset.train.features, dataset.test.features])
    labels = np.concatenate([dataset.train.labels, dataset.test.labels])
    drawn = measure.drawn(config, labels, 1)
    assert len(set(drawn.tolist())) == config.examples
    rows, answers = features[drawn], labels[drawn]
    counts = np.bincount(answers)
    assert counts.max() - counts.min() <= 1
    train, judge = (part > 0 for part in measure.weights(config, answers, 1))
    # A fifth, a fifth and folds of the rest; what is trained on is not judged by.
    assert judge.sum(axis=1).tolist() == [150, 30, 30, 40, 40, 40]
    assert train.sum(axis=1).tolist() == [150, 120, 90, 80, 80, 80]
    assert not (train[1:] & judge[1:]).any()
    assert not (judge[1] & judge[2:]).any()
    assert not (judge[1] & train[1:]).any()
    np.testing.assert_array_equal(judge[3:].sum(axis=0), ~judge[1])
    left = np.setdiff1d(np.arange(len(labels)), drawn)

    def extended(some):
        centered = (some - rows.mean(axis=0)) / 16
        return np.concatenate([centered, np.ones((len(some), 1))], axis=1)

    def model(part, l2):
        """Accuracy where the part is judged, and in truth."""
        mine = train[part]
        fit = linear_model.LogisticRegression(
            C=1 / (l2 * mine.sum()), fit_intercept=False, tol=1e-8, max_iter=5000
        )
        fit.fit(extended(rows[mine]), answers[mine])
        return (
            fit.score(extended(rows[judge[part]]), answers[judge[part]]),
            fit.score(extended(features[left]), labels[left]),
        )

    assert record["l2"] == [1e-1, 1e-3]
    models = [[model(part, l2) for l2 in record["l2"]] for part in range(6)]
    within, truth = np.moveaxis(models, -1, 0)
    found = record["accuracy"]
    np.testing.assert_allclose(
        [found["training"], found["test"], found["validation"], *found["folds"]],
        within,
        atol=0.02,
    )

    # Of equally good values the strongest, which comes first.
    by_validation, by_folds = within[2].argmax(), within[3:].mean(axis=0).argmax()
    expected = {
        "all": truth[0],
        "four_fifths": truth[1],
        "three_fifths": truth[2:3, by_validation],
        "folds": truth[3:, by_folds],
    }
    for name, values in expected.items():
        np.testing.assert_allclose(record["truth"][name], values, atol=0.002)


def test_stopped_in_a_sample_and_resumed_it_is_the_same_run(smoke, tmp_path):
    out = tmp_path / "run"
    with stopped(measure, "measured", now=lambda *what: what[-1] == 1, before=True):
        run(out=out)
    assert len(samples(out)) == 1
    measured, begun = measure.measured, []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            measure, "measured", lambda *what: begun.append(what[-1]) or measured(*what)
        )
        run(resume=out, page=True)
    assert begun == [1, 2]
    assert_same(out, smoke.folder.path)


def test_all_samples_are_one_program():
    population = measure.pool(data.load("digits"))
    plan = measure.planned(SMOKE, population)
    measure.measured(SMOKE, population, plan, 0)
    with nothing_compiled():
        for number in (1, 2):
            measure.measured(SMOKE, population, plan, number)


def test_more_samples_keep_the_first_ones(smoke, tmp_path):
    run(dataclasses.replace(SMOKE, samples=4), out=tmp_path / "run")
    assert samples(tmp_path / "run")[:3] == samples(smoke.folder.path)


@pytest.mark.full
def test_labels_of_noise_show_who_deceives_himself(tmp_path):
    random = np.random.default_rng(0)
    rows = random.normal(size=(1200, 20)).astype(np.float32)
    labels = random.permutation(1200) % 2
    parts = slice(600), slice(600, None)
    train, test = ((rows[part], labels[part]) for part in parts)
    write_data(tmp_path / "noise.npz", *train, test=test)
    config = Config(
        dataset=str(tmp_path / "noise.npz"),
        examples=100,
        samples=120,
        folds=3,
        l2=(1e-3, 1e-2, 1e-1, 1.0, 10.0),
    )
    found = run(config, out=tmp_path / "run").run.numbers("summary")
    in_errors = {
        name: one["bias"] / one["bias_standard_error"]
        for name, one in found["estimates"].items()
    }
    for name in ("training", "test_that_chose", "validation"):
        assert in_errors[name] > 3, in_errors
    for name in ("test_after_validation", "test_after_folds"):
        assert abs(in_errors[name]) < 3, in_errors
    # Nothing can be learned, so that a model fitted on less is no worse.
    for one in found["estimates"].values():
        assert one["truth"] == pytest.approx(0.5, abs=0.02)


def test_sizes_that_are_just_enough():
    """The check says what the draws themselves would say."""
    dataset = data.load("digits")
    labels = np.concatenate([dataset.train.labels, dataset.test.labels])
    few, enough = (dataclasses.replace(SMOKE, examples=size) for size in (36, 37))
    check_samples(enough, dataset)
    measure.weights(enough, labels[measure.drawn(enough, labels, 0)], 0)
    with pytest.raises(ValueError, match="examples"):
        check_samples(few, dataset)
    with pytest.raises(ValueError, match="must"):
        measure.weights(few, labels[measure.drawn(few, labels, 0)], 0)
