"""The solver benchmark measures; its peers and its summary are tested apart."""

import csv
import dataclasses
import math
import shutil

import jax
import numpy as np
import pytest
import references
from run_helpers import run_study

from experiments.benchmark_solvers import (
    config,
    growth,
    isolation,
    measure,
    ours,
    rows,
)
from experiments.benchmark_solvers.reached import TOLERANCES
from experiments.studies import STUDIES
from jaxlin import data

SOFTMAX, CRAMMER_SINGER = config.SMOKE.losses
(L2,) = config.SMOKE.l2s
PEERS = {SOFTMAX: "scikit-learn lbfgs", CRAMMER_SINGER: "LIBLINEAR Crammer-Singer"}
LOOPS = {
    SOFTMAX: references.softmax_cross_entropy,
    CRAMMER_SINGER: references.crammer_singer,
}


def part(name, loss):
    return measure.part(name, loss=loss, l2=L2)


@pytest.fixture(scope="module")
def smoke_run(finished_study):
    """The smoke-size run. Tests must not write into it."""
    return finished_study("benchmark_solvers").run


def optimum(loss, digits):
    """The least objective, by scikit-learn in float64, judged by a loop."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import LinearSVC

    train, _ = rows.of(digits)
    x, labels = train.extended().astype(float), train.labels
    share = {"C": 1 / (L2 * len(x)), "fit_intercept": False}
    model = {
        SOFTMAX: LogisticRegression(tol=1e-8, max_iter=5000, **share),
        CRAMMER_SINGER: LinearSVC(
            multi_class="crammer_singer", tol=1e-9, random_state=0, **share
        ),
    }[loss].fit(x, labels)
    weights = model.coef_
    losses = map(LOOPS[loss], x @ weights.T, labels)
    return np.mean([*losses]) + L2 / 2 * (weights**2).sum()


# The whole


def test_there_is_a_part_for_each_solver():
    solvers = ("ours", "reference")
    expected = {growth.part(SOFTMAX, dimension) for dimension in growth.DIMENSIONS}
    expected |= {part(name, loss) for name in solvers for loss in LOOPS}
    expected |= {part("scikit-learn lbfgs", SOFTMAX)}
    expected |= {part("LIBLINEAR Crammer-Singer", CRAMMER_SINGER)}
    assert set(measure.parts(config.SMOKE)) == expected


@pytest.mark.full
@pytest.mark.parametrize("loss", LOOPS)
def test_the_reference_and_its_bound_hold_the_optimum(smoke_run, digits, loss):
    found = smoke_run.numbers(part("reference", loss))
    (fit,) = found["fits"]
    exact = optimum(loss, digits)
    # scikit-learn stops above the optimum, hence the room on the left.
    assert fit["bound"] <= exact * (1 + 1e-9)
    assert found["objective"] == pytest.approx(exact, rel=2e-5)
    assert 0 < fit["relative_gap"] <= config.SMOKE.reference_gap
    # The judge confirms it.
    proven = fit["bound"] / (1 - fit["relative_gap"])
    assert found["objective"] == pytest.approx(proven, rel=1e-7)
    mine = smoke_run.numbers(part("ours", loss))
    proven = mine["fits"][-1]["relative_gap"]
    assert 0 <= mine["distance"] <= mine["gap"] <= proven <= 1e-4
    peer = smoke_run.numbers(part(PEERS[loss], loss))
    assert 0 < peer["distance"] < 1e-4
    assert peer["gap"] > peer["distance"]
    assert abs(peer["test_accuracy"] - mine["test_accuracy"]) < 0.01


@pytest.mark.full
@pytest.mark.parametrize("loss", LOOPS)
def test_fits_of_ours_repeat_and_the_first_compiles(smoke_run, loss):
    mine = smoke_run.numbers(part("ours", loss))
    arrays = smoke_run.arrays(part("ours", loss))
    first, *warm = mine["fits"]
    assert len(warm) == config.SMOKE.repeats
    for fit in warm:
        for name in ("passes", "relative_gap", "bound"):
            assert fit[name] == first[name]
    seconds, gaps = arrays["seconds"], arrays["relative_gaps"]
    assert 0 < warm[-1]["prepare_seconds"] < seconds[0]
    assert (np.diff(seconds) >= 0).all()
    assert gaps[-1] <= 1e-4 < gaps[-2]
    # That of the best certificate so far, which the judge confirms.
    assert arrays["objectives"][-1] == pytest.approx(mine["objective"], rel=1e-6)
    assert mine["times"][0]["compile_seconds"] > seconds[-1]


@pytest.mark.full
def test_the_table_has_a_row_for_each_solver_and_tolerance(smoke_run):
    text = (smoke_run.folder.path / "results.csv").read_text()
    table = [
        row for row in csv.DictReader(text.splitlines()) if row["part"] == "compare"
    ]
    mine = [f"{ours.NAME}, proven gap", f"{ours.NAME}, objective"]
    assert [(row["loss"], row["solver"]) for row in table] == [
        (loss, solver)
        for loss, peer in PEERS.items()
        for solver in (*mine * len(TOLERANCES), *[peer] * len(TOLERANCES))
    ]
    proven, peer = table[2], table[7]
    assert float(proven["within"]) == float(peer["within"]) == 1e-3
    ratio = float(peer["seconds"]) / float(proven["seconds"])
    assert float(peer["ratio_proven.value"]) == pytest.approx(ratio)
    assert peer["ratio_proven.at_least"] == "False"


@pytest.mark.full
def test_growth_has_every_size_proven(smoke_run):
    found = {
        one: smoke_run.numbers(growth.part(SOFTMAX, one))["sizes"]
        for one in growth.DIMENSIONS
    }
    assert [len(sizes) for sizes in found.values()] == [3, 3, 2]
    for one in sum(found.values(), []):
        assert one["relative_gap"] <= 1e-3
        assert one["first_seconds"] > 0
        assert one["seconds"] > one["prepare_seconds"] > 0
    assert [one["classes"] for one in found["classes"]] == [3, 10]
    assert [one["examples"] for one in found["examples"]] == [324, 648, 1297]
    assert [one["features"] for one in found["features"]] == [16, 32, 64]
    same = found["examples"][0], found["features"][2]
    assert same[0]["passes"] == same[1]["passes"], "the same problem"


# Cut and continued


@pytest.mark.full
def test_a_run_that_was_cut_measures_only_what_is_missing(
    smoke_run, tmp_path, monkeypatch
):
    path = shutil.copytree(smoke_run.folder.path, tmp_path / "run")
    missing = [part(peer, loss) for loss, peer in PEERS.items()]
    for name in missing:
        (path / "parts" / f"{name}.json").unlink()
    untouched = {
        one: one.read_bytes()
        for one in (path / "parts").glob("*.json")
        if one.stem not in missing
    }
    asked = []

    def made(solve, *, deadline_s, target):
        loss = solve.keywords["loss"]
        asked.append(loss)
        best = smoke_run.numbers(part("reference", loss))["objective"]
        assert target == pytest.approx((1 + config.SMOKE.stop_at) * best)
        point = isolation.Point(3.0, 7, np.zeros((10, 65), np.float32))
        return isolation.Trace([point], [], "made", True, 1.0)

    monkeypatch.setattr(isolation, "run", made)
    run = run_study("benchmark_solvers", resume=path).run
    assert asked == [SOFTMAX, CRAMMER_SINGER]
    kept = run.numbers(missing[0])
    assert kept["stopped"] == "made"
    # By hand: weights of zero give every class the same chance.
    assert run.arrays(missing[0])["objectives"] == pytest.approx([math.log(10)])
    assert kept["objective"] == pytest.approx(math.log(10))
    for one, content in untouched.items():
        assert one.read_bytes() == content


@pytest.mark.full
def test_peers_may_be_left_out(tmp_path):
    alone = dataclasses.replace(
        config.SMOKE, what=("compare",), losses=(SOFTMAX,), peers=()
    )
    run = run_study("benchmark_solvers", alone, out=tmp_path / "run").run
    assert set(run.folder.read_json("results.json")["parts"]) == {
        part("reference", SOFTMAX),
        part("ours", SOFTMAX),
    }
    assert run.numbers(part("ours", SOFTMAX))["finest"]["within"] == 1e-4
    assert "nearest peer" in (run.folder.path / "report.html").read_text()


def test_the_answer_is_the_last_point_or_the_lowest_of_one_that_was_stopped():
    values = np.array([2.1, np.nan, 2.04, 2.4])
    assert measure.answer(values, finished=True) == 3
    assert measure.answer(values, finished=False) == 2
    assert measure.answer(np.full(2, np.nan), finished=False) == 0


# Parts


def test_slopes_are_exponents():
    sizes = [3.0, 10.0, 40.0]
    assert growth.slope(sizes, [5 * one**1.7 for one in sizes]) == pytest.approx(1.7)


def test_an_accelerator_is_refused(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    made = STUDIES["benchmark_solvers"]
    with pytest.raises(ValueError, match="on the CPU.* got gpu; set JAX_PLATFORMS"):
        made.settle(config.SMOKE, data.load("digits"))


def test_classes_without_a_training_row_are_refused(digits):
    """Peers count the classes that they see."""
    made = STUDIES["benchmark_solvers"]
    lacking = np.where(digits.train.labels == 7, 8, digits.train.labels)
    spoilt = digits._replace(train=digits.train._replace(labels=lacking))
    with pytest.raises(ValueError, match="must name every class, got none of 7"):
        made.settle(config.SMOKE, spoilt)
