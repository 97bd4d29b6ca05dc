"""Nested cross-validation: the outer part is held out of everything."""

import functools

import jax
import numpy as np
import pytest

from jaxlin import losses, sweep_checkpoint
from jaxlin.selection import choice, folds, nested
from jaxlin.solvers import base, certified, fitting

KEY = jax.random.key(0)
ROWS = np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32)
LABELS = (ROWS[:, 0] + 0.5 * ROWS[:, 1] > 0).astype(np.int32)
FOLD_OF = folds.stratified_k_fold(KEY, LABELS, num_folds=4)
L2S = (1e-3, 1e-1)


def validated(labels=LABELS, **changes):
    problem = certified.prepare(base.problem(ROWS, labels, num_classes=2))
    how = {
        "num_classes": 2,
        "losses": (losses.softmax_cross_entropy,),
        "l2s": L2S,
        "fold_of": FOLD_OF,
        "num_inner_folds": 3,
        **changes,
    }
    return nested.cross_validate(KEY, problem, **how)


@pytest.fixture(scope="module")
def found():
    return validated()


@pytest.mark.full
def test_each_part_is_tested_by_the_setting_chosen_without_it(found):
    for part in range(4):
        inner = found.inner.accuracy[:, 3 * part : 3 * part + 3]
        assert found.chosen[part] == choice.best(inner, strength=found.inner.l2)
        assert found.l2[part] == found.inner.l2[found.chosen[part]]
        train = part != FOLD_OF
        fit = fitting.fit(
            ROWS[train],
            LABELS[train],
            loss=losses.softmax_cross_entropy,
            l2=float(found.l2[part]),
            relative_gap=1e-3,
        )
        np.testing.assert_allclose(
            found.fits.certificate.primal[part], fit.certificate.primal, rtol=2e-3
        )
        weights, bias = (np.asarray(leaf[part]) for leaf in found.fits.params)
        right = (ROWS @ weights.T + bias).argmax(axis=1) == LABELS
        np.testing.assert_allclose(found.accuracy[part], right[~train].mean())


def test_labels_of_the_outer_part_change_nothing_but_its_own_test(found):
    wrong = np.where(FOLD_OF == 2, 1 - LABELS, LABELS)
    # The inner folds are drawn from the labels that are left.
    other = validated(wrong)
    ours = slice(6, 9)
    np.testing.assert_array_equal(
        other.inner.accuracy[:, ours], found.inner.accuracy[:, ours]
    )
    assert other.chosen[2] == found.chosen[2]
    np.testing.assert_allclose(other.accuracy[2], 1 - found.accuracy[2], atol=1e-6)


def test_both_sweeps_can_be_killed_and_go_on(found, tmp_path):
    def kept(name):
        return functools.partial(sweep_checkpoint.fit, path=tmp_path / name)

    def killed(*arguments, **how):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        validated(fit_models=kept("compared.npz"), refit_models=killed)
    before = (tmp_path / "compared.npz").read_bytes()
    again = validated(fit_models=kept("compared.npz"), refit_models=kept("chosen.npz"))
    assert (tmp_path / "compared.npz").read_bytes() == before
    np.testing.assert_array_equal(again.accuracy, found.accuracy)
    np.testing.assert_array_equal(again.inner.accuracy, found.inner.accuracy)


def test_errors_of_the_comparison_count_each_example_about_once(found):
    """Four outer parts deal the rest out again: three parts' worth of data."""
    for row, accuracy in zip(found.inner.rows(), found.inner.accuracy, strict=True):
        error = np.std(accuracy, ddof=1) / np.sqrt(3)
        assert row["accuracy_standard_error"] == pytest.approx(error)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"num_inner_folds": 1}, "num_inner_folds must be at least 2"),
        (
            {"fold_of": np.stack([FOLD_OF] * 2)},
            r"fold_of must have shape \(examples,\)",
        ),
        ({"l2s": ()}, "l2s must not be empty"),
        (
            {"fold_of": LABELS},
            "without part 0 there is none of class 0; draw the folds stratified",
        ),
        (
            {
                "losses": (losses.weston_watkins_hinge,),
                "loss_arguments": {"margin": (1.0, 2.0)},
                "choose": choice.one_standard_error,
            },
            "choose must not be one_standard_error for several losses or margins",
        ),
        ({"num_inner_folds": 90}, "labels must have at least num_folds = 90"),
    ],
)
def test_bad_input(changes, words):
    with pytest.raises(ValueError, match=words):
        validated(**changes)


def test_a_rare_class_is_wrong_on_request():
    """One example of class 1: learned in three outer parts, right in none."""
    rare = (np.arange(200) == 150).astype(np.int32)
    with pytest.raises(ValueError, match="allow_missing_classes=True"):
        validated(rare)
    found = validated(rare, allow_missing_classes=True)
    home = FOLD_OF[150]
    for part in range(4):
        size = np.sum(part == FOLD_OF)
        assert found.accuracy[part] == 1 - (part == home) / size
    assert np.isfinite(found.loss).all()
    # Within the other outer parts one inner fold of three has the example, wrong there.
    whole = (found.inner.accuracy == 1).reshape(len(L2S), 4, 3).sum(axis=2)
    assert (whole[:, home] == 3).all()
    assert (np.delete(whole, home, axis=1) <= 2).all()
