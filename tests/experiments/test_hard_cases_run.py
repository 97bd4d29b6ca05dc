"""The hard cases: what a run leaves, by hand; words that follow the numbers."""

import contextlib
import dataclasses
import io
from fractions import Fraction

import numpy as np
import pytest
from run_helpers import compiled_programs, no_pictures, quick_pictures, results

from experiments.common import cli, slides
from experiments.hard_cases import __main__ as command
from experiments.hard_cases import findings, report
from experiments.hard_cases.cases import CASES
from experiments.hard_cases.config import SMOKE, Config, checked


def run(config=SMOKE, *, pictures=True, **options):
    with (
        quick_pictures() if pictures else no_pictures(report),
        contextlib.redirect_stdout(io.StringIO()) as printed,
    ):
        command.run(config, cli.RunOptions(**options))
    return printed.getvalue()


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    out = tmp_path_factory.mktemp("hard_cases") / "run"
    return out, run(out=out)


def test_a_run_leaves_what_it_says(smoke):
    out, printed = smoke
    *lines, page = printed.splitlines()
    assert page == str(out / "report.html")
    assert lines[0].startswith("quadrants    not separable, best line")
    assert lines[1].startswith("half_planes  separable, best line 100.0")
    assert (out / "STATUS").read_text() == "done\n"
    names = {path.name for path in (out / "figures").iterdir()}
    assert names == {"quadrants.png", "half_planes.png"}
    text = (out / "report.html").read_text()
    for name in SMOKE.cases:
        assert CASES[name].title in text
    for words in ("labels proven", "always one label", slides.LECTURE):
        assert words in text
    assert "The proof, digit by digit" in text


def test_the_proof_of_a_run_by_hand(smoke):
    """From the files alone: the same point of either class, in fractions."""
    out, _ = smoke
    saved = np.load(out / "points.npz")
    rows, labels = saved["quadrants_features"], saved["quadrants_labels"]
    proof = results(out)["cases"]["quadrants"]["proof"]
    assert not proof["separable"]
    for label in (0, 1):
        point, total = [Fraction(0), Fraction(0)], Fraction(0)
        for row, text in zip(proof["rows"], proof["weights"], strict=True):
            weight = Fraction(text)
            assert weight > 0
            if labels[row] == label:
                total += weight
                for k in range(2):
                    point[k] += weight * Fraction(float(rows[row, k]))
        assert total == 1
        assert [str(part) for part in point] == proof["point"]


def test_certificates_and_accuracies(smoke):
    cases = results(smoke[0])["cases"]
    assert set(cases) == set(SMOKE.cases)
    hard, easy = cases["quadrants"], cases["half_planes"]
    for fit in [*hard["fits"].values(), *hard["lifted_fits"].values()]:
        assert fit["converged"]
        assert fit["dual"] <= fit["primal"]
        assert fit["primal"] - fit["dual"] < 1e-2 * fit["primal"]
    # Weights of zero are no worse than 1 and log 2, so that the optimum is not either.
    assert hard["fits"]["SVM"]["dual"] < 1
    assert hard["fits"]["softmax"]["dual"] < np.log(2)
    best = hard["best_line"]
    assert all(fit["accuracy"] <= best["accuracy"] for fit in hard["fits"].values())
    assert best["correct"] == round(best["accuracy"] * SMOKE.examples)
    assert hard["lifted_proof"]["separable"]
    assert [fit["accuracy"] for fit in hard["lifted_fits"].values()] == [1.0, 1.0]
    assert easy["proof"]["separable"]
    assert easy["best_line"]["correct"] == SMOKE.examples
    assert easy["lifted_fits"] == {}
    assert hard["one_label"] == easy["one_label"] == 0.5
    for fits in (hard["fits"], hard["lifted_fits"], easy["fits"]):
        at_zero = {loss: fit["at_zero"] for loss, fit in fits.items()}
        assert at_zero == {"SVM": 1, "softmax": pytest.approx(np.log(2))}
    norms = {loss: fit["weights_norm"] for loss, fit in easy["fits"].items()}
    assert min(norms.values()) > 1


@pytest.mark.full
def test_the_gap_of_a_page_proves_nearly_all_labels(tmp_path):
    run(
        dataclasses.replace(Config(), cases=("ring", "three_modes")), out=tmp_path / "r"
    )
    for one in results(tmp_path / "r")["cases"].values():
        for fit in [*one["fits"].values(), *one["lifted_fits"].values()]:
            assert fit["converged"]
            assert fit["optimum"]["certified"] >= 0.99
            assert fit["optimum"]["low"] <= fit["accuracy"] <= fit["optimum"]["high"]


@pytest.mark.full
def test_all_cases_where_classes_do_and_do_not_touch(tmp_path):
    config = dataclasses.replace(SMOKE, cases=tuple(CASES), examples=100)
    run(config, out=tmp_path / "apart")
    apart = results(tmp_path / "apart")["cases"]
    for name, case in CASES.items():
        fits = apart[name]["lifted_fits"] if case.lift else apart[name]["fits"]
        assert [fit["accuracy"] for fit in fits.values()] == [1.0, 1.0], name
    run(dataclasses.replace(config, noise=0.5), out=tmp_path / "noisy")
    noisy = results(tmp_path / "noisy")["cases"]
    for name in ("quadrants", "ring", "three_modes"):
        assert not noisy[name]["proof"]["separable"]
        assert max(f["accuracy"] for f in noisy[name]["lifted_fits"].values()) < 1
    assert "every point of no case rightly" in findings.lead(noisy)


def test_words_follow_the_numbers(smoke):
    cases = results(smoke[0])["cases"]
    said = findings.lead(cases)
    assert said.startswith("No line separates the classes of one case")
    assert "every point of one case rightly" in said
    hard = cases["quadrants"]
    best, svm = hard["best_line"]["accuracy"], hard["fits"]["SVM"]
    for fit in hard["fits"].values():
        fit["optimum"] = {"low": 0.0, "high": best - 0.05, "certified": 0.1}
    # Not what one line got, but what the optimum is proven to get at most.
    svm["accuracy"] = best - 0.2
    assert "fall short" not in findings.lead(cases)
    svm["optimum"]["high"] = best - 0.11
    assert "by more than ten points in 1 of 2 fits" in findings.lead(cases)
    hard["lifted_fits"]["SVM"]["accuracy"] = 0.9999
    assert "every point of no case rightly" in findings.lead(cases)
    assert "the SVM gets 99.9+" in findings.of_case("quadrants", hard)
    svm["optimum"] = {"low": 0.4425, "high": 0.45, "certified": 0.9925}
    words = findings.of_case("quadrants", hard).replace("\N{NO-BREAK SPACE}", " ")
    assert "the exact optimum of its loss 44.25 to 45.00 %, as 99.2 % of" in words
    assert "less than the 50.0 % of one label for all points." in words
    svm["primal"] = 0.97 * svm["at_zero"]
    words = findings.of_case("quadrants", hard).replace("\N{NO-BREAK SPACE}", " ")
    assert "of one label for all points: the weights are nearly 0" in words
    svm["optimum"] = {"low": 0.7, "high": 0.7, "certified": 1.0}
    words = findings.of_case("quadrants", hard)
    assert "all of whose labels are proven" in words
    assert "one label" not in words
    only_easy = {"half_planes": cases["half_planes"]}
    assert findings.lead(only_easy) == "Every case of this run is separable."


def test_a_case_has_the_same_points_in_every_run(smoke, tmp_path):
    names = compiled_programs()
    before = len(names)
    config = dataclasses.replace(SMOKE, cases=("half_planes",))
    run(config, out=tmp_path / "run", pictures=False)
    first, again = (
        np.load(out / "points.npz")["half_planes_features"]
        for out in (smoke[0], tmp_path / "run")
    )
    np.testing.assert_array_equal(first, again)
    # All cases of two classes are fitted by the same programs.
    assert names[before:] == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cases": ()}, "cases must be among quadrants, ring, .* got none"),
        ({"cases": ("spiral",)}, "cases must be one of quadrants, .* got 'spiral'"),
        ({"cases": ("ring", "ring")}, "cases must be distinct, got ring ring"),
        ({"examples": 9}, "examples must be at least 10, got 9"),
        ({"noise": -0.1}, "noise must be at least 0, got -0.1"),
        ({"gap": 0.8}, "gap must be at most 0.7, got 0.8"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"l2": 0.0}, "l2 must be above 0"),
        ({"lifted_l2": 0.0}, "lifted_l2 must be above 0"),
        ({"relative_gap": 1.0}, "relative_gap must be below 1"),
        ({"lifted_relative_gap": 0.0}, "lifted_relative_gap must be above 0"),
        ({"max_evaluations": 0}, "max_evaluations must be at least 1"),
    ],
)
def test_bad_configs(changes, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        checked(Config(**changes))
    with pytest.raises(ValueError, match=words):
        run(Config(**changes), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
