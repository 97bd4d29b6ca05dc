"""One W seen three ways: what a run leaves, by hand."""

import contextlib
import dataclasses
import io

import numpy as np
import pytest
from run_helpers import compiled_programs, results

import jaxlin
from experiments.common import cli
from experiments.viewpoints import __main__ as command
from experiments.viewpoints import findings, measure, radii
from experiments.viewpoints.config import (
    SMOKE,
    Config,
    boxed_images,
    check_fits,
    checked,
)
from jaxlin import data, linear, normalization


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
    """From the saved fit, a loop over classes in float64."""
    out, _ = smoke
    saved, model = np.load(out / "per_example.npz"), jaxlin.load(out / "model.npz")
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
        count = len(boxed)
        assert count == SMOKE.boxed_images
        # Bounds leave fewer perturbations.
        assert (boxed >= free[: len(boxed)] * (1 - 1e-4)).all()
        assert one["free"]["median"] == pytest.approx(np.median(free[correct]))
        assert one["free"]["accuracy"] == pytest.approx(correct.mean())
        # What is compared is of the same images.
        for kind, values in (("first_free", free[:count]), ("boxed", boxed)):
            median = np.median(values[correct[:count]])
            assert one[kind]["images"] == count
            assert one[kind]["median"] == pytest.approx(median)
        assert one["boxed"]["accuracy"] == one["first_free"]["accuracy"]


@pytest.mark.full
def test_algebra_and_contributions(smoke):
    found = results(smoke[0])
    assert found["folding_error"] < 1e-10
    digits = data.load("digits")
    model = jaxlin.load(smoke[0] / "model.npz")
    scores = jaxlin.scores(model, digits.test.features)
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
    assert "within a relative" in findings.lead(found)
    assert "of the first 100 test images" in findings.of_radii(found)
    for one in found["radii"].values():
        one["free"]["images"] = 100
    assert "of the test images" in findings.of_radii(found)
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


@pytest.mark.parametrize(
    ("flags", "expected"), [("--dataset digits", 500), ("--smoke", 100)]
)
def test_documented_commands_fit_their_data(flags, expected):
    config, _ = cli.parse(Config(), smoke=SMOKE, arguments=flags.split())
    digits = data.load(checked(config).dataset)
    check_fits(config, digits)
    assert boxed_images(config, digits) == expected


def test_radii_with_and_without_bounds_are_of_the_same_images():
    """Two images, of which the second has a radius without bounds alone."""
    found = radii.Radii(
        free=np.array([0.1, 0.9], np.float32),
        boxed=np.array([0.2], np.float32),
        correct=np.array([True, True]),
        shown=0,
        change=None,
    )
    sizes = np.array([0.0, 0.15, 0.5])
    np.testing.assert_array_equal(radii.curve(found, sizes, boxed=False), [1, 0, 0])
    np.testing.assert_array_equal(radii.curve(found, sizes, boxed=True), [1, 1, 0])
    summary = radii.summary(found)
    assert summary["free"]["median"] == pytest.approx(0.5)
    assert summary["first_free"]["median"] == pytest.approx(0.1)
    assert summary["boxed"]["median"] == pytest.approx(0.2)


def test_the_change_shown_is_of_the_first_image_that_is_right():
    """Class 1 where the left pixel is brighter; image 0 has the wrong label."""
    images = np.array([[9, 1], [2, 8], [1, 9]], np.float32)
    part = data.Split(images, np.array([0, 0, 0], np.int32))
    dataset = data.Dataset("two", part, part, ("dark", "bright"), (1, 2), 10.0)
    raw = linear.Params(np.array([[0.0, 0.0], [1.0, -1.0]]), np.zeros(2))
    scores = images @ raw.weights.T
    one = radii.of_norm(
        Config(), dataset, measure.Trained(None, None, raw, scores, 0.0), "Linf"
    )
    with pytest.raises(ValueError, match="boxed_images must reach .*, got 1; give"):
        radii.of_norm(
            Config(boxed_images=1),
            dataset,
            measure.Trained(None, None, raw, scores, 0.0),
            "Linf",
        )
    assert one.shown == 1
    assert one.correct.tolist() == [False, True, True]
    # Both pixels meet in the middle: 0.2 and 0.8 at 0.5.
    np.testing.assert_allclose(one.change.change, [0.3, -0.3], atol=1e-6)
    assert int(one.change.label) == 1


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
