"""One W seen three ways: what a run leaves, by hand."""

import contextlib
import dataclasses
import io

import numpy as np
import pytest
from run_helpers import compiled_programs, results

from experiments.common import cli
from experiments.viewpoints import __main__ as command
from experiments.viewpoints import findings, measure
from experiments.viewpoints.config import SMOKE, Config, checked
from jaxlin import classifier, data, normalization


def run(config=SMOKE, **options):
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        command.run(config, cli.RunOptions(**options))
    return printed.getvalue()


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    out = tmp_path_factory.mktemp("viewpoints") / "run"
    return out, run(out=out)


@pytest.mark.full
def test_a_run_leaves_what_it_says(smoke):
    out, printed = smoke
    assert printed.splitlines()[-1] == str(out / "report.html")
    assert (out / "STATUS").read_text() == "done\n"
    names = {path.stem for path in (out / "figures").iterdir()}
    assert names == {"templates", "plane", "contributions", "changes", "accuracy"}
    found = results(out)
    assert found["fit"]["converged"]
    assert found["fit"]["relative_gap"] <= SMOKE.relative_gap
    page = (out / "report.html").read_text()
    for text in ("437.90", "60.75", "One linear classifier of digits"):
        assert text in page


@pytest.mark.full
def test_radii_of_a_run_by_hand(smoke):
    """From the saved classifier, a loop over classes in float64."""
    out, _ = smoke
    saved, model = np.load(out / "per_example.npz"), classifier.load(out / "model.npz")
    digits = data.load("digits")
    weights, bias = (np.asarray(part, np.float64) for part in model.params)
    rows = (digits.test.features - model.normalization.mean.astype(np.float64)) / 16
    scores = rows @ weights.T + bias
    np.testing.assert_array_equal(saved["prediction"], scores.argmax(axis=1))
    for number in range(0, 500, 25):
        top = scores[number].argmax()
        leads = {
            j: (scores[number, top] - scores[number, j], weights[top] - weights[j])
            for j in range(10)
            if j != top
        }
        for name, dual in (("L1", np.inf), ("L2", 2), ("Linf", 1)):
            expected = min(
                lead / np.linalg.norm(step, ord=dual) for lead, step in leads.values()
            )
            assert saved[f"radius_{name}"][number] == pytest.approx(expected, rel=1e-3)
    correct = saved["prediction"] == digits.test.labels
    for name, one in results(out)["radii"].items():
        free = saved[f"radius_{name}"]
        boxed = saved[f"radius_{name}_within_range"]
        assert len(boxed) == SMOKE.boxed_images
        # Bounds leave fewer perturbations.
        assert (boxed >= free[: len(boxed)] * (1 - 1e-4)).all()
        assert one["free"]["median"] == pytest.approx(np.median(free[correct]))
        assert one["free"]["accuracy"] == pytest.approx(correct.mean())


@pytest.mark.full
def test_algebra_and_contributions(smoke):
    found = results(smoke[0])
    assert found["folding_error"] < 1e-10
    digits = data.load("digits")
    model = classifier.load(smoke[0] / "model.npz")
    scores = classifier.scores(model, digits.test.features)
    trained = measure.Trained(None, model.normalization, None, scores, 0.0)
    trained = trained._replace(fit=_Fit(model.params))
    one = measure.explained(digits, trained, 3)
    assert one.parts.shape == (8, 8)
    first, second = np.sort(scores[3])[::-1][:2]
    assert one.lead == pytest.approx(first - second, abs=1e-6)
    assert one.parts.sum() + one.constant == pytest.approx(one.lead, abs=1e-4)


class _Fit:
    def __init__(self, params):
        self.params = params


def test_principal_axes_of_many_and_of_few_pixels():
    """Subspace iteration against the eigenvectors of the covariance matrix."""
    random = np.random.default_rng(0)
    for width in (30, 600):
        rows = random.normal(size=(200, width)) * 0.3
        rows[:, :3] *= [40.0, 20.0, 5.0]
        rows = rows.astype(np.float32)
        axes, shares = measure._principal_axes(rows, normalization.identity(width))
        values, vectors = np.linalg.eigh(np.cov(rows.T.astype(np.float64)))
        assert shares == pytest.approx(values[:-3:-1] / values.sum(), rel=1e-4)
        overlaps = np.abs(axes @ vectors[:, :-3:-1])
        np.testing.assert_allclose(overlaps, np.eye(2), atol=1e-4)


@pytest.mark.full
def test_words_follow_the_numbers(smoke):
    found = results(smoke[0])
    assert "One W, test accuracy" in findings.lead(found)
    found["plane"]["classes_with_a_region"] = 10
    assert "Every class has a region" in findings.of_plane(found)
    found["plane"]["classes_with_a_region"] = 7
    assert "7 of 10 classes have a region" in findings.of_plane(found)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"loss": "hinge"}, "loss must be one of softmax_cross_entropy"),
        ({"l2": 0.0}, "l2 must be above 0"),
        ({"relative_gap": 0.0}, "relative_gap must be above 0"),
        ({"max_evaluations": 0}, "max_evaluations must be at least 1"),
        ({"images": 0}, "images must be at least 1"),
        ({"images": 11}, "images must be at most 10"),
        ({"shown_points": 0}, "shown_points must be at least 1"),
        ({"boxed_images": 0}, "boxed_images must be at least 1"),
        ({"sizes": 1}, "sizes must be at least 2"),
    ],
)
def test_bad_configs(changes, words):
    with pytest.raises(ValueError, match=words):
        checked(Config(**changes))


def test_data_that_are_no_images_or_too_few(tmp_path):
    rows, labels = np.eye(12, 5, dtype=np.float32), np.arange(12) % 3
    np.savez(
        tmp_path / "rows.npz", x_train=rows, y_train=labels, x_test=rows, y_test=labels
    )
    names = compiled_programs()
    before = len(names)
    for changes, words in (
        ({"dataset": str(tmp_path / "rows.npz")}, "dataset must hold images"),
        ({"boxed_images": 501}, "boxed_images must be at most 500"),
    ):
        with pytest.raises(ValueError, match=words):
            run(dataclasses.replace(SMOKE, **changes), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    assert names[before:] == []
