"""Both comparisons of SVM and softmax: equal to NumPy, tested once at the end."""

import dataclasses
import math

import jax
import numpy as np
import plain_numpy
import pytest
import run_helpers
from run_helpers import HINGE, METHODS
from strict_page import Page

import jaxlin
from experiments.svm_vs_softmax import measure as certified
from experiments.svm_vs_softmax import protocol, tested
from experiments.train_sgd import measure
from jaxlin import data

# The run of certified fits compiles for half a minute; by default that of SGD stands
# for both.
STUDIES = ["train_sgd", pytest.param("svm_vs_softmax", marks=pytest.mark.full)]
# The module of the part that reads the test set, and the parts before.
TESTED = {
    "train_sgd": (measure, set(METHODS)),
    "svm_vs_softmax": (tested, {"paths", "optima", "sgd"}),
}


@pytest.fixture(scope="module", params=STUDIES)
def finished(request, finished_study):
    return finished_study(request.param)


@pytest.fixture(scope="module")
def run(finished):
    return finished.run


@pytest.fixture(scope="module")
def examples(run):
    return run.arrays("test")


def fits_of(run, name):
    """The tested fits of a loss, one a seed."""
    if run.has("optima"):
        return [run.fit("optima", name)]
    return [run.fit(name, f"seed{seed}") for seed in range(2)]


def predictions_of(examples, name):
    """Shape ``(seeds, examples)``."""
    return np.atleast_2d(examples[f"{name}_predictions"])


def test_page_and_shell_hold_the_numbers_of_the_run(finished):
    text = (finished.run.folder.path / "report.html").read_text()
    page, test = Page(text).text["main"][0], finished.run.numbers("test")
    for name in METHODS:
        accuracy = test["losses"][name]["accuracy"]
        assert f"{100 * accuracy:.2f}\N{NO-BREAK SPACE}%" in page
        line = f"test accuracy, {protocol.TITLES[name]}: {accuracy:.6g}"
        assert line in finished.printed.splitlines()
    assert f"{100 * test['comparison']['difference']:+.2f} points" in page


@pytest.mark.parametrize("name", METHODS)
def test_scores_predictions_and_losses_belong_together(run, examples, name):
    found = run.numbers("test")["losses"][name]
    expected = plain_numpy.assert_belong_together(name, examples)
    assert found["loss"] == pytest.approx(expected, rel=1e-4)
    right = predictions_of(examples, name) == examples["labels"]
    per_seed = [sum(map(bool, row)) / 500 for row in right]
    assert found["accuracy"] == pytest.approx(np.mean(per_seed), rel=1e-12)
    plain_numpy.assert_interval(found, right.mean(axis=0))
    if len(per_seed) == 2:
        assert found["accuracies"] == pytest.approx(per_seed, rel=1e-12)
        deviation = abs(per_seed[0] - per_seed[1]) / math.sqrt(2)
        assert found["standard_deviation"] == pytest.approx(deviation, abs=1e-9)


def test_comparison_is_of_the_first_seeds(run):
    plain_numpy.assert_comparison(run)


@pytest.mark.parametrize("name", METHODS)
def test_saved_models_make_the_saved_predictions(run, examples, digits, name):
    """By jaxlin.predict, and by NumPy with nothing but the arrays of the file."""
    images = digits.test.features.reshape(-1, 8, 8)
    mean = digits.train.features.astype(float).mean(axis=0)
    saved_scores = examples[f"{name}_scores"].reshape(-1, 500, 10)
    fits, said = fits_of(run, name), predictions_of(examples, name)
    for fit, expected, scores in zip(fits, said, saved_scores, strict=True):
        np.testing.assert_array_equal(
            jaxlin.predict(fit, images), np.array(digits.class_names)[expected]
        )
        assert fit.loss.__name__ == name
        assert tuple(fit.classes) == digits.class_names
        weights, bias = (np.asarray(leaf, float) for leaf in fit.params)
        found = (digits.test.features - mean) / 16 @ weights.T + bias
        np.testing.assert_allclose(found, scores, atol=1e-4)


@pytest.mark.parametrize(
    ("accuracies", "choice"),
    [([0.5, 0.7, 0.7], 1), ([0.7, 0.7, 0.7], 0), ([0.5, 0.6, 0.7], 2)],
)
def test_ties_of_certified_fits_go_to_the_stronger_penalty(accuracies, choice):
    fits = [
        {"validation_accuracy": accuracy, "l2": l2}
        for accuracy, l2 in zip(accuracies, [0.1, 0.01, 0.001], strict=True)
    ]
    assert certified.choose(fits) == choice


# The test set


class Sealed:
    """Test examples that may be counted and not looked at."""

    def __init__(self, array):
        self._length = len(array)

    def __len__(self):
        return self._length

    def _refuse(self, *_):
        raise AssertionError("the test set was touched early")

    __getattr__ = __getitem__ = __array__ = __eq__ = _refuse
    __hash__ = None


class SealedDataset:
    """A data set whose test split is sealed until ``is_open()``."""

    def __init__(self, dataset, is_open):
        self._dataset, self._is_open = dataset, is_open
        self._sealed = data.Split(*map(Sealed, dataset.test))

    def __getattr__(self, name):
        if name == "test" and not self._is_open():
            return self._sealed
        return getattr(self._dataset, name)


def watched_run(name, digits, out, *, module):
    """Runs a study on a sealed test set; returns the parts there at the test."""
    seen, test, facts = [], module.test, data.summary(digits)
    sealed = SealedDataset(digits, lambda: seen)

    def opened(config, dataset, run):
        seen.append({path.stem for path in (out / "parts").glob("*.json")})
        return test(config, dataset, run)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "load", lambda *_: sealed)
        patch.setattr(data, "summary", lambda _: facts)
        patch.setattr(module, "test", opened)
        run_helpers.run_study(name, out=out, page=False)
    return seen


@pytest.mark.parametrize("study", STUDIES)
def test_the_test_set_is_sealed_until_all_is_fitted(
    study, finished_study, digits, tmp_path
):
    module, parts = TESTED[study]
    out = tmp_path / "run"
    seen = watched_run(study, digits, out, module=module)
    # The seal did not break the run, and it was opened after the last fit.
    assert seen == [parts]
    expected = run_helpers.results(finished_study(study).run.folder.path)
    assert run_helpers.results(out)["parts"] == expected["parts"]


def test_a_seal_can_tell(digits):
    sealed = SealedDataset(digits, lambda: False).test.labels
    assert len(sealed) == 500
    looks = (np.asarray, jax.numpy.asarray, lambda x: x == 1, lambda x: x[0])
    for look in (*looks, lambda x: x.max):
        with pytest.raises(AssertionError, match="touched early"):
            look(sealed)


# Float feature vectors in place of images


@pytest.fixture(scope="module")
def vectors(tmp_path_factory):
    """A file of float rows; no test example of the last class."""
    path = tmp_path_factory.mktemp("vectors") / "mine.npz"
    draw = np.random.default_rng(0)
    labels = np.arange(66) % 3
    rows = (3 * draw.normal(size=(3, 5)))[labels] + draw.normal(size=(66, 5))
    test = np.flatnonzero(labels[:36] < 2)
    run_helpers.write_data(
        *(path, rows, labels),
        test=(rows[test] + 0.1, labels[test]),
        class_names=["left", "right", "absent"],
    )
    return path


@pytest.mark.full
def test_one_seed_has_no_spread(vectors, tmp_path):
    config = dataclasses.replace(
        run_helpers.smoke_of("train_sgd"),
        **{"dataset": str(vectors), "seeds": 1, "epochs": 3, "batch_size": 16},
        **{"hinge_l2": (1e-3,), "softmax_l2": (1e-3, 1e-2)},
        **{"hinge_learning_rates": (0.5,), "softmax_learning_rates": (0.5,)},
    )
    run = run_helpers.run_study("train_sgd", config, out=tmp_path / "run").run
    test = run.numbers("test")
    for name in METHODS:
        assert test["losses"][name]["standard_deviation"] is None
        assert test["losses"][name]["accuracy"] > 0.9
    assert run.numbers(HINGE)["first_loss"]["expected"] == 2.0
    assert "one seed" in (run.folder.path / "report.html").read_text()


@pytest.mark.full
def test_feature_vectors_make_a_comparison_without_images(vectors, tmp_path):
    out, smoke = tmp_path / "run", run_helpers.smoke_of("svm_vs_softmax")
    config = dataclasses.replace(smoke, dataset=str(vectors), batch_size=16)
    run = run_helpers.run_study("svm_vs_softmax", config, out=out).run
    figures = {path.stem for path in (out / "figures").iterdir()}
    assert figures == {"path", "distance", "per_class", "confusion", "calibration"}
    page = Page((out / "report.html").read_text())
    assert len(page.images) == len(figures)
    assert "Templates" not in page.text["main"][0]
    sizes = [run.data[split]["num_examples"] for split in ("train", "test")]
    assert sizes == [66, 24]
    absent = run.numbers("test")["per_class"][2]
    assert (absent["class"], absent["count"]) == ("absent", 0)
    for name in METHODS:
        assert absent[name] is None
        assert absent[f"{name}_interval"] is None
