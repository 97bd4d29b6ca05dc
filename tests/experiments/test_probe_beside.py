"""Beside a probe: other features of the same test examples, few examples per class."""

import jax
import numpy as np
import pytest
import sweep_problems
from probe_runs import run
from run_helpers import results, write_data

import jaxlin
from jaxlin import linear_probe

ROWS, LABELS = sweep_problems.ROWS, sweep_problems.LABELS
# Three features are noise.
OTHER = ROWS.copy()
OTHER[:, :3] = np.random.default_rng(1).normal(size=(len(ROWS), 3))
TEST = (ROWS[::-1], LABELS[::-1])
OPTIONS = {"cs": (0.01, 1), "classes": range(3)}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("features")
    for name, rows in (("first", ROWS), ("other", OTHER)):
        given = {"x_val": rows, "y_val": LABELS}
        write_data(folder / f"{name}.npz", rows, LABELS, test=(rows, LABELS), **given)
    return folder


@pytest.fixture(scope="module")
def done(files):
    flags = ("--compare", files / "other.npz", "--num-shots", 4, "--num-draws", 3)
    given = ("--cs", 0.01, 1, "--out", files / "run")
    printed = run(files / "first.npz", *flags, *given)
    return results(files / "run")["parts"], printed, files / "run"


def test_other_features_are_compared_as_two_probes_are(done):
    parts, printed, out = done
    found, key = parts["compare"], jax.random.key(0)
    first, other = (
        jaxlin.probe(
            *(key, rows, LABELS, rows, LABELS), validation=(rows, LABELS), **OPTIONS
        )
        for rows in (ROWS, OTHER)
    )
    expected = linear_probe.compare(key, first, other)
    measured = found["compared"]
    assert measured["difference"] == expected.accuracy.value
    assert measured["interval"] == list(expected.accuracy.interval)
    assert measured["mcnemar_p"] == expected.mcnemar.p_value < 0.05
    assert (measured["better"], measured["agreement"]) == (1, expected.agreement)
    assert found["log_loss_difference"] == pytest.approx(expected.log_loss.value)
    assert found["log_loss_interval"] == pytest.approx(expected.log_loss.interval)
    assert found["interval"] == list(other.test.accuracy.interval)
    low, high = (100 * end for end in expected.accuracy.interval)
    assert f"first less other: accuracy {100 * expected.accuracy.value:+.2f}" in printed
    assert f"[{low:+.2f}, {high:+.2f}]" in printed
    for name, result in (("first", first), ("other", other)):
        gap = f"gap {result.fit.relative_gap:.1e} of 0.001"
        assert f"fit of {name}: proven, {gap}" in printed
    page = (out / "report.html").read_text()
    assert "first classifies better here." in page
    assert (found["l2"], found["at_edge"]) == (other.l2, other.at_edge)
    assert found["c"] == OPTIONS["cs"][other.setting]
    saved = jaxlin.load(out / "parts" / "compare-model.npz")
    right = jaxlin.predict(saved, OTHER) == saved.classes[LABELS]
    assert found["accuracy"] == right.mean()


def test_draws_are_those_of_the_library(done):
    parts, printed, out = done
    expected = linear_probe.few_shot(
        *(jax.random.key(0), ROWS, LABELS, ROWS, LABELS),
        num_shots=4,
        num_draws=3,
        validation=(ROWS, LABELS),
        train_on_validation=False,
        **OPTIONS,
    )
    found, spread = parts["shots-4"], expected.accuracy
    assert found["accuracy"] == spread.mean
    assert found["standard_deviation"] == spread.standard_deviation
    assert found["interval"] == list(spread.interval)
    assert [draw["num_train"] for draw in found["draws"]] == [12] * 3
    assert [draw["l2"] for draw in found["draws"]] == [
        result.l2 for result in expected.results
    ]
    assert found["num_proven"] == 3
    with np.load(out / "parts" / "shots-4.npz") as stored:
        for i, drawn in enumerate(expected.indices):
            np.testing.assert_array_equal(stored[f"draw_{i}"], drawn)
    assert f"{spread.mean:.4f}" in printed
    page = (out / "report.html").read_text()
    assert "chosen on the validation examples, which no draw trains on" in page
    assert (found["overlap"], found["notes"]) == (
        expected.overlap,
        list(expected.notes),
    )
    assert 0 < expected.overlap < 1
    (note,) = (note for note in found["notes"] if "share" in note)
    assert f"note: {note}" in printed
    assert f"Note on 4 per class: {note}." in page


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"test": TEST}, "compare must have the same test examples .* y_test differ"),
        ({"class_names": ["a", "b", "c"]}, "compare must have the classes of first"),
        ({"groups_train": np.arange(60)}, "groups_train must not be given with x_val"),
    ],
)
def test_features_of_other_examples_leave_no_folder(files, tmp_path, changes, words):
    given = {"x_val": ROWS, "y_val": LABELS, **changes}
    write_data(tmp_path / "other.npz", OTHER, LABELS, **given)
    flags = ("--compare", tmp_path / "other.npz", "--out", tmp_path / "run")
    with pytest.raises(ValueError, match=words):
        run(files / "first.npz", *flags)
    assert not (tmp_path / "run").exists()


def test_weights_are_not_of_draws(tmp_path):
    write_data(tmp_path / "a.npz", ROWS, LABELS, weights_train=1.0 + LABELS)
    flags = ("--num-shots", 2, "--cs", 1, "--out", tmp_path / "run")
    with pytest.raises(ValueError, match="weights_train must not be given with num_sh"):
        run(tmp_path / "a.npz", *flags)
    assert not (tmp_path / "run").exists()
