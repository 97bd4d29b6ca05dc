"""One W seen three ways: the numbers of a run, by hand."""

import numpy as np
import pytest

import jaxlin
from experiments.common import cli
from experiments.common.config import check
from experiments.viewpoints import measure, radii
from experiments.viewpoints.config import SMOKE, Config, boxed_images, settle
from jaxlin import data, linear, normalization


@pytest.fixture(scope="module")
def smoke(finished_study):
    """Folder, parts and model of a run."""
    run = finished_study("viewpoints").run
    parts = run.folder.read_json("results.json")["parts"]
    return run, parts, run.fit("fit", "model")


@pytest.mark.full
def test_the_fit_reaches_its_gap_and_the_slides_their_scores(smoke):
    run, parts, _ = smoke
    assert parts["fit"]["converged"]
    assert parts["fit"]["relative_gap"] <= SMOKE.relative_gap
    # Scores of the slides' dog and ship.
    page = (run.folder.path / "report.html").read_text()
    assert "437.90" in page
    assert "60.75" in page


@pytest.mark.full
def test_radii_of_a_run_by_hand(smoke):
    """From the saved fit, a loop over classes in float64."""
    run, parts, model = smoke
    saved = run.arrays("fit")
    found = {name: run.arrays(f"radii_{name}") for name in radii.NORMS}
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
            assert found[name]["free"][number] == pytest.approx(expected, rel=1e-3)
    correct = saved["prediction"] == digits.test.labels
    for name in radii.NORMS:
        one = parts[f"radii_{name}"]
        free, boxed = found[name]["free"], found[name]["boxed"]
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
        for kind in ("free", "boxed"):
            share = found[name][f"{kind}_share"]
            assert share[0] == pytest.approx(correct[:count].mean())
            assert len(share) == SMOKE.sizes


@pytest.mark.full
def test_algebra_and_contributions(smoke):
    run, parts, model = smoke
    assert parts["algebra"]["folding_error"] < 1e-10
    scores = jaxlin.scores(model, data.load("digits").test.features)
    assert parts["algebra"]["largest_score"] == pytest.approx(np.abs(scores).max())
    np.testing.assert_array_equal(run.arrays("fit")["scores"], scores)
    one, drawn = parts["pixels"][1], run.arrays("pixels")["parts"][1]
    assert drawn.shape == (8, 8)
    assert drawn.sum() == pytest.approx(one["pixels"])
    first, second = np.sort(scores[1])[::-1][:2]
    assert one["lead"] == pytest.approx(first - second, abs=1e-6)
    assert one["pixels"] + one["bias"] == pytest.approx(one["lead"], abs=1e-4)


@pytest.mark.full
def test_the_plane_by_hand(smoke):
    """Scores on the plane are those of the points on it, in all dimensions."""
    run, parts, model = smoke
    train = data.load("digits").train
    found = run.arrays("plane")
    axes, variance = measure.principal_axes(train.features, model.normalization)
    assert parts["plane"]["variance"] == pytest.approx(variance)
    on_plane = found["coordinates"] @ axes
    scores = on_plane @ model.params.weights.T + model.params.bias
    some = np.linspace(0, len(train.labels) - 1, SMOKE.shown_points).astype(int)
    np.testing.assert_array_equal(found["labels"], train.labels[some])
    whole = jaxlin.scores(model, train.features[some]).argmax(axis=1)
    agreement = (scores.argmax(axis=1) == whole).mean()
    assert parts["plane"]["agreement"] == pytest.approx(agreement)
    assert 1 < parts["plane"]["classes_with_a_region"] <= 10


def test_principal_axes_of_many_and_of_few_pixels():
    """Subspace iteration against the eigenvectors of the covariance matrix."""
    random = np.random.default_rng(0)
    for width in (30, 600):
        rows = random.normal(size=(200, width)) * 0.3
        rows[:, :3] *= [40.0, 20.0, 5.0]
        rows = rows.astype(np.float32)
        axes, shares = measure.principal_axes(rows, normalization.identity(width))
        values, vectors = np.linalg.eigh(np.cov(rows.T.astype(np.float64)))
        assert shares == pytest.approx(values[:-3:-1] / values.sum(), rel=1e-4)
        overlaps = np.abs(axes @ vectors[:, :-3:-1])
        np.testing.assert_allclose(overlaps, np.eye(2), atol=1e-4)


@pytest.mark.parametrize(
    ("flags", "expected"), [("--dataset digits", 500), ("--smoke", 100)]
)
def test_documented_commands_fit_their_data(flags, expected):
    config, _ = cli.parse(Config(), smoke=SMOKE, arguments=flags.split())
    digits = data.load(check(config).dataset)
    assert settle(config, digits) == config
    assert boxed_images(config, digits) == expected


def test_radii_with_and_without_bounds_are_of_the_same_images():
    """Two images, of which the first alone has a radius within bounds."""
    free, boxed = np.array([0.1], np.float32), np.array([0.2], np.float32)
    found = radii.curves(free, boxed, np.array([True]), 5)
    np.testing.assert_allclose(found["sizes"], np.linspace(0, 0.2, 5), rtol=1e-6)
    # At the size of its radius an image has its label no more.
    np.testing.assert_array_equal(found["free_share"], [1, 1, 0, 0, 0])
    np.testing.assert_array_equal(found["boxed_share"][:4], [1, 1, 1, 1])
    summary = radii.summary(np.array([0.1, 0.9, 5.0]), np.array([True, True, False]))
    assert summary["median"] == pytest.approx(0.5)
    assert summary["images"] == 3
    assert summary["accuracy"] == pytest.approx(2 / 3)


def test_the_change_shown_is_of_the_first_image_that_is_right():
    """Class 1 where the left pixel is brighter; image 0 has the wrong label."""
    images = np.array([[9, 1], [2, 8], [1, 9]], np.float32)
    part = data.Split(images, np.array([0, 0, 0], np.int32))
    dataset = data.Dataset("two", part, part, ("dark", "bright"), (1, 2), 10.0)
    raw = linear.Params(np.array([[0.0, 0.0], [1.0, -1.0]]), np.zeros(2))
    scores = images @ raw.weights.T
    predicted = scores.argmax(axis=1)
    one = radii.measured(Config(), dataset, raw, predicted, name="Linf")
    with pytest.raises(ValueError, match="boxed_images must reach .*, got 1; give"):
        radii.measured(Config(boxed_images=1), dataset, raw, predicted, name="Linf")
    assert one.numbers["shown"]["number"] == 1
    assert one.numbers["free"]["accuracy"] == pytest.approx(2 / 3)
    # Both pixels meet in the middle: 0.2 and 0.8 at 0.5.
    np.testing.assert_allclose(one.arrays["image"], [[0.2, 0.8]])
    np.testing.assert_allclose(one.arrays["change"], [[0.3, -0.3]], atol=1e-6)
    assert one.numbers["shown"]["label"] == "dark"
    assert one.numbers["shown"]["changed"] == "bright"
