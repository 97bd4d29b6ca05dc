"""Nearest neighbours: parts by hand, words that follow numbers, killed and resumed."""

import contextlib
import copy
import dataclasses
import io
import json
import shutil

import numpy as np
import pytest
from run_helpers import metrics, results, table

from experiments.common import cli
from experiments.common import report as pages
from experiments.nearest_neighbor import __main__ as command
from experiments.nearest_neighbor import (
    choosing,
    contrast,
    findings,
    local,
    noise,
    parts,
)
from experiments.nearest_neighbor.config import SMOKE, fitted_to
from jaxlin import data, losses, neighbors
from jaxlin.neighbors import distances
from jaxlin.selection import folds

# The program of a run takes half a minute to compile.
pytestmark = pytest.mark.full

PARTS = (
    "choose euclidean on all",
    "choose manhattan on all",
    "test",
    "time",
    "noise 0",
    "noise 1",
    "contrast",
)


def run(config=SMOKE, **options):
    """The report that a run returns, and what it printed."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        built = command.run(config, cli.RunOptions(**options))
    return built, printed.getvalue()


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    out = tmp_path_factory.mktemp("nearest_neighbor") / "run"
    return out, *run(out=out)


@pytest.fixture(scope="module")
def small():
    """The data of the smoke run."""
    dataset = data.load("digits")
    return parts.reduced(fitted_to(SMOKE, dataset), dataset)


def brute_force(rows, queries, power):
    """Distances one pair at a time, float64."""
    apart = np.abs(queries[:, None].astype(float) - rows[None].astype(float))
    return np.sum(apart**power, axis=2) ** (1 / power)


def voted(distances, labels, k, weigh):
    """What the k nearest of each query say, one query after the other."""
    found = []
    for row in distances:
        order = np.argsort(row, kind="stable")[:k]
        votes = np.bincount(labels[order], weights=weigh(row[order]), minlength=10)
        found.append(votes.argmax())
    return np.array(found)


def by_inverse(some):
    return (some == 0) * 1.0 if some[0] == 0 else 1 / some


def test_a_run_leaves_what_it_says(smoke):
    out, built, printed = smoke
    assert printed.splitlines()[-1] == str(out / "report.html")
    assert (out / "STATUS").read_text() == "done\n"
    assert [one["part"] for one in metrics(out)] == list(PARTS)
    page = (out / "report.html").read_text()
    assert pages.render(built) == page
    names = "metrics weightings confusion neighbors time noise contrast"
    found = {path.name for path in (out / "figures").iterdir()}
    assert found == {f"{name}.png" for name in names.split()}
    for title in findings.TITLES.values():
        assert f"<td>{title}</td>" in page
    # Numbers of examples that were used, not those that were asked for.
    config = json.loads((out / "config.json").read_text())
    assert config["subsample"] == 300
    rows = table(out)
    assert len(rows) == 2 * 3 * len(SMOKE.ks)
    best = max(rows, key=lambda row: float(row["accuracy"]))
    (chosen,) = (row for row in rows if row["chosen"] == "True")
    assert chosen["accuracy"] == best["accuracy"]


@pytest.mark.parametrize(("metric", "power"), [("euclidean", 2), ("manhattan", 1)])
def test_cross_validation_by_hand(smoke, small, metric, power):
    """Rows of the other folds cut out, every pair, query after query."""
    rows, labels = small.train
    key = parts.key_of(SMOKE, parts.FOLDS)
    fold_ids = folds.stratified_k_fold(key, labels, num_folds=SMOKE.folds)
    record = metrics(smoke[0])[PARTS.index(f"choose {metric} on all")]
    apart = brute_force(rows, rows, power)
    inside = [
        np.min(apart[i][fold_ids != fold_ids[i]], initial=np.inf)
        for i in range(len(rows))
    ]
    scale = np.median([one for one in inside if one > 0])
    assert record["scale"] == pytest.approx(scale)
    width = 0.3 * scale
    weighings = {
        "uniform": np.ones_like,
        "inverse distance": by_inverse,
        "Gaussian, bandwidth 0.3": lambda some: np.exp(
            -(some**2 - some[0] ** 2) / (2 * width**2)
        ),
    }
    assert record["weightings"] == list(weighings)
    for place, weigh in enumerate(weighings.values()):
        for number, k in enumerate(SMOKE.ks):
            for fold in range(SMOKE.folds):
                held_out = fold_ids == fold
                answers = voted(
                    apart[held_out][:, ~held_out], labels[~held_out], k, weigh
                )
                expected = np.mean(answers == labels[held_out])
                assert record["accuracy"][place][number][fold] == pytest.approx(
                    expected
                )


def test_the_test_by_hand(smoke, small):
    stats = pytest.importorskip("scipy.stats")
    linear_model = pytest.importorskip("sklearn.linear_model")
    found = results(smoke[0])
    train, test = small.train, small.test
    with np.load(smoke[0] / "per_example.npz") as stored:
        answers = dict(stored)
    np.testing.assert_array_equal(answers["label"], test.labels)
    apart = {
        power: brute_force(train.features, test.features, power) for power in (1, 2)
    }
    for power, name in ((2, "1-NN euclidean"), (1, "1-NN manhattan")):
        nearest = apart[power].argmin(axis=1)
        np.testing.assert_array_equal(answers[name], train.labels[nearest])
    chosen = found["chosen"]
    power = {"euclidean": 2, "manhattan": 1}[chosen["metric"]]
    order = np.argsort(apart[power], axis=1, kind="stable")
    np.testing.assert_array_equal(answers["shown"], order[:, :6])
    for name, one in found["test"].items():
        right = int((answers[name] == test.labels).sum())
        assert one["right"] == right
        interval = stats.binomtest(right, len(test.labels)).proportion_ci(
            method="wilson"
        )
        assert one["interval"] == pytest.approx(list(interval))
    # The bias is that of a column of ones, penalised.
    mean = train.features.mean(axis=0)
    rows, queries = (
        np.hstack([(some - mean) / 16, np.ones((len(some), 1))])
        for some in (train.features, test.features)
    )
    fit = linear_model.LogisticRegression(
        C=1 / (SMOKE.l2 * len(rows)), fit_intercept=False, tol=1e-8, max_iter=5000
    ).fit(rows, train.labels)
    expected = fit.score(queries, test.labels)
    assert found["test"]["linear"]["accuracy"] == pytest.approx(expected, abs=0.011)
    assert found["linear"]["converged"]


def test_noise_by_hand(smoke, small):
    """Level 0 and the last of the first repeat, by scikit-learn."""
    knn = pytest.importorskip("sklearn.neighbors")
    linear_model = pytest.importorskip("sklearn.linear_model")
    record = metrics(smoke[0])[PARTS.index("noise 0")]
    everything = noise.drawn(fitted_to(SMOKE, data.load("digits")), small, 0)
    assert everything.rows.shape == (100, 64 + 64)
    assert everything.is_held_out.sum() == 20
    size = np.sqrt(np.mean(everything.rows[:, :64] ** 2))
    assert everything.rows[:, 64:].std() == pytest.approx(size, rel=0.05)
    for place, amount in enumerate(SMOKE.noise_features):
        level = noise.with_noise(everything, 64, amount)
        np.testing.assert_array_equal(level.rows[:, :64], everything.rows[:, :64])
        width = 64 + amount
        assert not level.rows[:, width:].any()
        rows, tests = level.rows[:, :width], level.tests[:, :width]
        part = ~level.is_held_out

        def score(k, some, judged, rows=rows, level=level):
            model = knn.KNeighborsClassifier(k).fit(rows[some], level.labels[some])
            return model.score(*judged)

        held_out = (rows[~part], level.labels[~part])
        k = max(SMOKE.ks, key=lambda k: (score(k, part, held_out), -k))
        assert record["k"][place] == k
        truth = (tests, level.test_labels)
        all_of_them = slice(None)
        assert record["nearest"][place] == pytest.approx(score(k, all_of_them, truth))
        one = score(1, all_of_them, truth)
        assert record["one_nearest"][place] == pytest.approx(one)
        ones = np.ones((len(rows), 1))
        fit = linear_model.LogisticRegression(
            C=1 / (record["l2"][place] * len(rows)), fit_intercept=False, max_iter=5000
        ).fit(np.hstack([rows, ones]), level.labels)
        expected = fit.score(np.hstack([tests, ones[: len(tests)]]), level.test_labels)
        assert record["linear"][place] == pytest.approx(expected, abs=0.021)


def test_contrast_by_hand():
    random = np.random.default_rng(0)
    points, queries = random.normal(size=(100, 64)), random.normal(size=(20, 64))
    points, queries = points.astype(np.float32), queries.astype(np.float32)
    apart = brute_force(points, queries, 2)
    expected = np.sort((apart.max(axis=1) - apart.min(axis=1)) / apart.min(axis=1))
    found = contrast.of_rows(points, queries)
    assert found["low"] == pytest.approx(expected[5], rel=1e-5)
    assert np.isclose(found["median"], expected[9:11], rtol=1e-5).any()
    assert found["high"] == pytest.approx(expected[14], rel=1e-5)
    queries[:11] = points[:11]
    assert contrast.of_rows(points, queries)["median"] == np.inf


def test_words_follow_numbers(smoke):
    found = copy.deepcopy(results(smoke[0]))
    linear = found["test"]["linear"]
    for lead, p_value, words in (
        (0.02, 0.01, "The choice is 2.00 points better than the linear classifier"),
        (-0.02, 0.01, "The choice is 2.00 points worse than the linear classifier"),
        (0.02, 0.2, "2.00 points apart, which these examples do not tell from chance"),
    ):
        linear.update(chosen_less_this=lead, p_value=p_value)
        assert words in findings.paragraphs(found)["test"]
    more = found["noise"]["nearest_loses_more"]
    for interval, words in (
        ([0.01, 0.03], "the nearest neighbours lose more"),
        ([-0.03, -0.01], "the linear classifier loses more"),
        ([-0.01, 0.03], "which of the two loses more cannot be told"),
    ):
        more["interval"] = interval
        assert words in findings.paragraphs(found)["noise"]
    assert "local" not in findings.paragraphs(found)
    found["local"] = fits = {
        "metric": "euclidean",
        "ks": [5, 9],
        "queries": 50,
        "accuracy": {"majority": [0.1, 0.2], "weighted vote": [0.4, 0.3]},
    }
    fits["accuracy"]["linear classifier"] = [0.5, 0.6]
    for lead, p_value, words in (
        (0.02, 0.01, "The linear one is 2.00 points better than the weighted vote"),
        (-0.02, 0.01, "The linear one is 2.00 points worse than the weighted vote"),
        (0.02, 0.2, "do not tell from chance"),
    ):
        fits.update(linear_less_vote=lead, p_value=p_value)
        said = findings.paragraphs(found)["local"]
        assert words in said
        assert (
            "weighted vote 40.00 % (k = 5), linear classifier 60.00 % (k = 9)" in said
        )
    found["chosen"]["at_largest_k"] = True
    assert "try larger ones" in findings.paragraphs(found)["choice"]
    found["contrast"]["whole"]["median"] = None
    assert "have a copy" in findings.paragraphs(found)["contrast"]


@pytest.mark.full
def test_stopped_and_resumed_it_is_the_same_run(smoke, tmp_path, monkeypatch):
    out, expected = tmp_path / "run", smoke[0]
    measured, begun = noise.measured, []

    def watched(config, dataset, repeat):
        begun.append(repeat)
        if begun == [0, 1]:
            raise OSError("the machine is gone")
        return measured(config, dataset, repeat)

    monkeypatch.setattr(noise, "measured", watched)
    with pytest.raises(OSError, match="the machine is gone"):
        run(out=out)
    assert (out / "STATUS").read_text().startswith("failed")
    assert [one["part"] for one in metrics(out)] == list(PARTS[:5])
    # As a kill in the middle of a line leaves it.
    with open(out / "metrics.jsonl", "a") as file:
        file.write('{"k": [1,')
    run(resume=out)
    assert begun == [0, 1, 1]
    apart = ("time", "linear")
    same = [
        {name: one for name, one in results(path).items() if name not in apart}
        for path in (out, expected)
    ]
    assert same[0] == same[1]
    for name in ("results.csv", "config.json", "data.json", "per_example.npz"):
        assert (out / name).read_bytes() == (expected / name).read_bytes()
    lines = (out / "metrics.jsonl").read_text().splitlines(keepends=True)
    (out / "metrics.jsonl").write_text("".join(lines[1:]))
    with pytest.raises(ValueError, match="must hold the parts of this run in order"):
        run(resume=out)


def test_a_resumed_run_keeps_its_data(smoke, tmp_path):
    out = shutil.copytree(smoke[0], tmp_path / "run")
    facts = json.loads((out / "data.json").read_text())
    facts["test"]["features"]["sha256"] = "another"
    (out / "data.json").write_text(json.dumps(facts))
    with pytest.raises(ValueError, match="--resume must keep the data of"):
        run(resume=out)


@pytest.mark.full
def test_local_fits_by_hand(small, tmp_path):
    """The votes query after query; the linear one as the library's with k cut off."""
    config = dataclasses.replace(
        fitted_to(SMOKE, data.load("digits")), local_queries=30, local_ks=(2, 12)
    )
    record = local.measured(
        config, small, choosing.Setting("euclidean", "uniform", 1, 1.0)
    )
    rows, labels = small.train
    asked = np.zeros(300, bool)
    asked[parts.any_of(parts.key_of(config, parts.LOCAL), 300, 30)] = True
    apart = brute_force(rows[~asked], rows[asked], 2)
    width = config.local_bandwidth * np.median(apart.min(axis=1))
    assert record["bandwidth"] == pytest.approx(width)
    found = neighbors.nearest(
        rows[~asked], rows[asked], metric=distances.euclidean, k=12
    )

    def gaussian(some):
        return np.exp(-(some**2 - some[0] ** 2) / (2 * width**2))

    for place, k in enumerate((2, 12)):
        for name, weigh in ((local.MAJORITY, np.ones_like), (local.VOTE, gaussian)):
            answers = voted(apart, labels[~asked], k, weigh)
            expected = (answers == labels[asked]).astype(int)
            assert record["right"][name][place] == expected.tolist()
        scores = neighbors.local_fit(
            neighbors.Neighbors(*(some[:, :k] for some in found)),
            rows[~asked].astype(np.float32) / 16,
            labels[~asked],
            rows[asked].astype(np.float32) / 16,
            num_classes=10,
            fit=neighbors.linear_classifier(loss=losses.softmax_cross_entropy),
            fit_arguments={"l2": config.local_l2},
            weighting=neighbors.gaussian,
            weighting_arguments={"bandwidth": width},
        )
        expected = scores.argmax(axis=1) == labels[asked]
        assert np.mean(record["right"][local.LINEAR][place] != expected) <= 1 / 30


@pytest.mark.full
def test_rows_that_are_no_images(tmp_path):
    """Float features; whole copies of test rows among the training rows."""
    random = np.random.default_rng(0)
    rows = random.normal(size=(300, 8)).astype(np.float32)
    labels = np.arange(300) % 3
    rows[:, 0] += 3 * labels
    np.savez(
        tmp_path / "vectors.npz",
        x_train=rows,
        y_train=labels,
        x_test=rows[:100],
        y_test=labels[:100],
    )
    config = dataclasses.replace(
        SMOKE,
        dataset=str(tmp_path / "vectors.npz"),
        metrics=("cosine", "mahalanobis"),
        on_all=(),
        local_ks=(2, 5),
        contrast_examples=300,
    )
    _, printed = run(config, out=tmp_path / "run")
    assert "chosen: " in printed
    assert (tmp_path / "run" / "figures" / "local.png").exists()
    found = results(tmp_path / "run")
    assert found["test"]["1-NN euclidean"]["accuracy"] == 1.0
    assert found["contrast"]["whole"]["median"] is None
    page = (tmp_path / "run" / "report.html").read_text()
    assert "The rows of this data set are not images." in page
    assert "have a copy among the training rows" in page
