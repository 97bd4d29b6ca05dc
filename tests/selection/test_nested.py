"""Nested cross-validation: the outer part is held out of everything."""

import jax
import numpy as np
import pytest
import sweep_problems
from sweep_problems import FOLD_IDS, HINGE, NORMALIZATION, NUM_CLASSES, ROWS, SOFTMAX

import jaxlin
from jaxlin.selection import nested, rules

KEY = jax.random.key(0)
# As many outer parts as slots of other sweeps: the second sweep has their programs.
NUM_PARTS, NUM_INNER = sweep_problems.NUM_WEIGHT_SETS, 2
L2S = (1e-3, 1e-1)
# Of the third class there is no example.
LABELS = (ROWS[:, 0] + 0.5 * ROWS[:, 1] > 0).astype(np.int32)


def validated(labels=LABELS, **changes):
    settings = {
        "losses": (SOFTMAX,),
        "l2s": L2S,
        "folds": FOLD_IDS,
        "num_inner_folds": NUM_INNER,
        **changes,
    }
    # Three classes of numbers; of text those that occur.
    classes = range(NUM_CLASSES) if labels.dtype.kind == "i" else None
    problem = jaxlin.problem(ROWS, labels, classes=classes, normalization=NORMALIZATION)
    return nested.cross_validate(KEY, problem, **settings)


@pytest.fixture(scope="module")
def found():
    return validated()


@pytest.mark.full
def test_each_part_is_tested_by_the_setting_chosen_without_it(found):
    rows = (ROWS - NORMALIZATION.mean) / NORMALIZATION.scale
    for part in range(NUM_PARTS):
        inner = found.inner.accuracy[:, NUM_INNER * part : NUM_INNER * (part + 1)]
        assert found.chosen[part] == rules.best(inner, strength=found.inner.l2)
        assert found.l2[part] == found.inner.l2[found.chosen[part]]
        train = part != FOLD_IDS
        fit = jaxlin.fit(
            ROWS[train],
            LABELS[train],
            loss=SOFTMAX,
            l2=float(found.l2[part]),
            classes=range(NUM_CLASSES),
            normalization=NORMALIZATION,
        )
        np.testing.assert_allclose(
            found.fits.certificate.primal[part], fit.certificate.primal, rtol=2e-3
        )
        weights, bias = (np.asarray(leaf[part]) for leaf in found.fits.params)
        right = (rows @ weights.T + bias).argmax(axis=1) == LABELS
        np.testing.assert_allclose(found.accuracy[part], right[~train].mean())


def test_labels_of_the_outer_part_change_nothing_but_its_own_test(found):
    wrong = np.where(FOLD_IDS == 2, 1 - LABELS, LABELS)
    # The inner folds are drawn from the labels that are left.
    other = validated(wrong)
    ours = slice(2 * NUM_INNER, 3 * NUM_INNER)
    np.testing.assert_array_equal(
        other.inner.accuracy[:, ours], found.inner.accuracy[:, ours]
    )
    assert other.chosen[2] == found.chosen[2]
    np.testing.assert_allclose(other.accuracy[2], 1 - found.accuracy[2], atol=1e-6)


def test_both_sweeps_can_be_killed_and_go_on(found, tmp_path):
    files = tmp_path / "compared.npz", tmp_path / "chosen.npz"
    num_compared, seen = len(found.inner.fits), []

    def kill_at(finished):
        def callback(state):
            seen.append(len(state.finished))
            if seen[-1] == finished:
                raise InterruptedError

        return callback

    with pytest.raises(InterruptedError):
        validated(checkpoints=files, callback=kill_at(num_compared))
    before = files[0].read_bytes()
    assert not files[1].exists()
    seen.clear()
    again = validated(checkpoints=files, callback=kill_at(None))
    # The comparison was over: it is read, and yielded once.
    assert seen[0] == num_compared
    assert max(seen[1:]) == NUM_PARTS
    assert files[0].read_bytes() == before
    np.testing.assert_array_equal(again.accuracy, found.accuracy)
    np.testing.assert_array_equal(again.inner.accuracy, found.inner.accuracy)
    seen.clear()
    validated(checkpoints=files, callback=kill_at(None))
    assert seen == [num_compared, NUM_PARTS]


def test_prints_accuracy_and_the_strengths_chosen(found):
    mean, error = (float(x[0]) for x in rules.mean_and_error(found.accuracy[None]))
    strengths = ", ".join(f"{l2:g}" for l2 in found.l2)
    assert str(found) == (
        f"accuracy {100 * mean:.2f} +- {100 * error:.2f} % over 3 outer parts; l2 "
        f"chosen: {strengths}"
    )


def test_errors_of_the_comparison_count_each_example_about_once(found):
    """Three outer parts deal the rest out again: two parts' worth of data."""
    for row, accuracy in zip(found.inner.rows(), found.inner.accuracy, strict=True):
        error = np.std(accuracy, ddof=1) / np.sqrt(NUM_INNER)
        assert row["accuracy_standard_error"] == pytest.approx(error)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"num_inner_folds": 1}, "num_inner_folds must be at least 2"),
        (
            {"folds": np.stack([FOLD_IDS] * 2)},
            r"folds must have shape \(examples,\)",
        ),
        ({"l2s": ()}, "l2s must not be empty"),
        (
            {"folds": LABELS},
            "fold 0 leaves none of class 0; draw the folds stratified",
        ),
        (
            {
                "losses": (HINGE,),
                "loss_arguments": {"margin": (1.0, 2.0)},
                "choose": rules.one_standard_error,
            },
            "choose must not be one_standard_error for several losses or margins",
        ),
        (
            {"num_inner_folds": 35, "labels": np.array(["no", "yes"])[LABELS]},
            "labels must have at least num_folds = 35 .* of class (no|yes);",
        ),
    ],
)
def test_bad_input(changes, words):
    with pytest.raises(ValueError, match=words):
        validated(**changes)


def test_a_rare_class_is_wrong_on_request():
    """One example of class 1: learned in two outer parts, right in none."""
    rare = (np.arange(60) == 50).astype(np.int32)
    with pytest.raises(ValueError, match="allow_missing_classes=True"):
        validated(rare)
    found = validated(rare, allow_missing_classes=True)
    home = FOLD_IDS[50]
    for part in range(NUM_PARTS):
        size = np.sum(part == FOLD_IDS)
        assert found.accuracy[part] == 1 - (part == home) / size
    assert np.isfinite(found.loss).all()
    # Within the other outer parts one of two inner folds has the example, wrong there.
    right = (found.inner.accuracy == 1).reshape(len(L2S), NUM_PARTS, NUM_INNER)
    whole = right.sum(axis=2)
    assert (whole[:, home] == NUM_INNER).all()
    assert (np.delete(whole, home, axis=1) < NUM_INNER).all()


@pytest.mark.full
@pytest.mark.parametrize("refine", [None, False])
def test_both_sweeps_continue_in_float64_unless_they_may_not(refine):
    stop = jaxlin.Stop(1e-8)
    found = validated(losses=(HINGE,), l2s=(1e-2,), stop=stop, refine=refine)
    for fits in (found.fits, found.inner.fits):
        assert (fits.float64_passes > 0).all() == (refine is None)
        assert fits.converged.all() == (refine is None)
