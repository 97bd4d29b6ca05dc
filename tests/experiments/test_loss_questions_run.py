"""Every answer against the lecture's numbers; curves against what they must be."""

import contextlib
import dataclasses
import functools
import io
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from references import crammer_singer, softmax_cross_entropy, weston_watkins
from run_helpers import results

from experiments.common import cli, slides
from experiments.loss_questions import __main__ as command
from experiments.loss_questions import (
    answers,
    curves,
    evaluate,
    likelihood,
    minimisers,
    report,
    slips,
)
from experiments.loss_questions.config import SMOKE, Config, checked
from jaxlin import losses
from jaxlin.data import toy


def run(config=SMOKE, **options):
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        command.run(config, cli.RunOptions(**options))
    return printed.getvalue()


@pytest.fixture(scope="module")
def numbers():
    """Numbers of every answer that takes no fit."""
    found = (*answers.of_svm(), *likelihood.of_softmax())
    return {answer.key: answer.numbers for answer in found}


def test_rows_23_to_29_the_svm_questions(numbers):
    near = functools.partial(pytest.approx, abs=5e-5)
    assert numbers["losses"]["each"] == near([2.9, 0, 12.9])
    assert numbers["losses"]["sum"] == near(15.8)
    assert numbers["losses"]["mean"] == near(5.2667)
    assert numbers["q1"]["slack"] == near(1.9)
    assert numbers["q1"]["gradient"].tolist() == [0, 0, 0]
    assert numbers["q1"]["beyond"] == near(0.1)
    assert numbers["q2"]["least"] == 0
    assert numbers["q3"] == {"three": 2, "ten": 9, "crammer_singer": 1}
    assert numbers["q4"] == {"mean": near(6.2667), "gradients_differ": 0}
    assert numbers["q5"] == {"wrong_classes": near(2.6333), "all_classes": near(1.7556)}
    assert numbers["q6"]["each"] == near([8.41, 0, 83.25])
    assert numbers["q6"]["mean"] == near(30.5533)


def test_rows_32_to_37_the_softmax_questions(numbers):
    near = functools.partial(pytest.approx, abs=5e-6)
    assert numbers["softmax"]["probabilities"] == near([0.12998, 0.86905, 0.00097])
    assert numbers["softmax_losses"]["each"] == near([2.04036, 0.07913, 6.15648])
    assert numbers["softmax_losses"]["mean"] == near(2.75865)
    names = numbers["names"]
    assert names["smoothed_cross_entropy"] == near(2.14036)
    assert names["smoothed_entropy"] == near(0.29114)
    assert names["smoothed_divergence"] == near(1.84922)
    for name in ("minus_log_likelihood", "cross_entropy", "divergence"):
        assert names[name] == near(2.04036)
    assert 0 < numbers["softmax_q1"]["least"] < 1e-30
    assert numbers["softmax_q2"]["ten"] == near(2.302585)
    assert numbers["against"]["svm"].tolist() == [0, 0, 0]
    assert numbers["against"]["softmax"] == pytest.approx([9e-4, 0.5514, 0], abs=5e-5)


def test_small_losses_are_not_printed_as_zero():
    """Of scores (10, t, t) the softmax loss is log(1 + 2 exp(t - 10))."""
    (shown,) = (one.shown for one in likelihood.of_softmax() if one.key == "against")
    first = math.log1p(math.exp(-12) + math.exp(-7))
    third = math.log1p(2 * math.exp(-110))
    assert f"softmax losses: {first:.1e}, 0.5514, {third:.1e}." in shown
    assert third > 0
    assert evaluate.text([12.9, 0.0, -0.5, 2e-4]) == "12.9, 0, -0.5, 2.0e-04"


def test_the_scores_come_first_and_can_be_checked_by_hand():
    made = report.Run(None, SMOKE, answers.of_svm(), likelihood.of_softmax(), [])
    (table,) = report._scores(made)
    assert [row[:4] for row in table.rows] == [
        ("cat", "3.2", "5.1", "-1.7"),
        ("car", "1.3", "4.9", "2.0"),
        ("frog", "2.2", "2.5", "-3.1"),
    ]
    for (*_, by_hand), loss in zip(table.rows, (2.9, 0.0, 12.9), strict=True):
        terms, _, said = by_hand.partition(" = ")
        assert eval(terms) == pytest.approx(loss)
        assert float(said) == pytest.approx(loss)


def test_of_all_multiples_the_penalty_makes_one_best():
    found = minimisers.penalised(SMOKE, [0.0, 0.1, 0.3, 1.0, 2.0])
    np.testing.assert_allclose(found["loss"][[0, 3, 4]], [2, 0, 0], atol=1e-12)
    assert found["penalty"][4] == pytest.approx(4 * found["penalty"][3])
    np.testing.assert_allclose(found["objective"], found["loss"] + found["penalty"])
    # Three unit bisectors times what makes the least lead of a point 1.
    points = toy.sectors(jax.random.key(0), num_examples=SMOKE.examples, noise=0.0)
    angles = 2 * np.pi * np.arange(3) / 3
    scores = points.features @ np.stack([np.cos(angles), np.sin(angles)])
    leads = np.sort(scores, axis=1)
    scale = 1 / (leads[:, 2] - leads[:, 1]).min()
    assert found["penalty"][3] == pytest.approx(SMOKE.l2 / 2 * 3 * scale**2, rel=1e-4)


def test_the_eight_slips():
    found = slips.of_slides()
    assert len(found) == 8
    expected = [60.75, 6.3, 5.2667, np.nan, 28.6, 2.04036, 6.940, 534.7]
    assert [slip.value for slip in found] == pytest.approx(
        expected, abs=5e-4, nan_ok=True
    )
    assert "61.95" in found[0].printed
    assert "0.886" in found[5].shown
    assert "inf" in found[7].shown


@pytest.mark.parametrize("temperature", [0.05, 0.3, 1.0])
def test_the_path_stays_close_above_crammer_singer(temperature):
    """Between the maximum and the maximum + T log C; 50 random examples."""
    random = np.random.default_rng(0)
    for margin in (0.0, 0.7):
        for scores in 3 * random.normal(size=(25, 4)):
            found = float(
                _tempered(jnp.asarray(scores), temperature=temperature, margin=margin)
            )
            least = crammer_singer(scores, 1, margin)
            assert least - 1e-5 <= found <= least + temperature * np.log(4) + 1e-5
    if temperature == 1.0:
        found = float(_tempered(jnp.asarray(scores), temperature=1.0, margin=0.0))
        assert found == pytest.approx(softmax_cross_entropy(scores, 1), abs=1e-5)


@jax.jit
def _tempered(scores, temperature, margin):
    return curves.tempered(scores, 1, temperature=temperature, margin=margin)


def test_moving_scores():
    positions = np.array([-4.0, 0.0, 5.0, 6.2, 9.0])
    rows = np.tile(slides.SCORES[0], (5, 1))
    rows[:, 0] = positions
    value, slope = curves.moved(losses.weston_watkins_hinge, positions, 0, 0)
    np.testing.assert_allclose(value, [weston_watkins(row, 0) for row in rows])
    # Minus the number of classes that violate their margin.
    np.testing.assert_array_equal(slope, [-2, -1, -1, 0, 0])
    ends = curves.path(positions, (0.3,))
    np.testing.assert_allclose(ends[0.0], [crammer_singer(row, 0) for row in rows])
    softmax = [softmax_cross_entropy(row, 0) for row in rows]
    np.testing.assert_allclose(ends[1.0], softmax)
    both = curves.jiggled(np.array([9.0, 10.0]))
    np.testing.assert_allclose(both["SVM (Weston-Watkins)"], [0, 2])
    np.testing.assert_allclose(both["softmax"], np.log([1 + 2 / np.e, 3]))


def test_row_30_scaling_where_the_loss_is_zero_and_where_not():
    found = minimisers.scaled_means(np.array([0.0, 0.4, 1.0, 2.0]))
    # The car's least lead is 2.9, so 1 / 2.9 of the weights are enough.
    assert found["svm, car"].tolist() == [2, 0, 0, 0]
    assert found["svm, three images"][2:] == pytest.approx([15.8 / 3, 28.6 / 3])
    assert (np.diff(found["softmax, car"]) < 0).all()


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    out = tmp_path_factory.mktemp("loss_questions") / "run"
    return out, run(out=out)


@pytest.mark.full
def test_a_run_leaves_what_it_says(smoke):
    out, printed = smoke
    assert printed.splitlines()[-1] == str(out / "report.html")
    assert (out / "STATUS").read_text() == "done\n"
    names = {path.name for path in (out / "figures").iterdir()}
    expected = ("moving", "indifference", "temperatures", "scaled")
    assert names == {f"{name}.png" for name in expected}
    page = (out / "report.html").read_text()
    assert slides.LECTURE in page
    for text in ("Q1: What happens", "Q7: We found a W", "61.95 + (-1.2) = 60.75"):
        assert text in page


@pytest.mark.full
def test_minimisers_are_proven_different_or_not_claimed_to_be(smoke):
    found = results(smoke[0])["answers"]
    for key in ("q5_minimiser", "q6_minimiser"):
        assert found[key]["differ"] == (found[key]["distance"] > found[key]["unproven"])
        assert found[key]["differ"]
    q7 = found["q7"]
    assert q7["car"] == [0, 0]
    assert q7["twice"] == pytest.approx([4.8, 0, 23.8])
    assert q7["separable"] == [0, 0, 0]
    first, second = q7["objectives"]
    assert second > first


def test_a_difference_within_the_bounds_is_not_claimed():
    near = minimisers.Compared(distance=0.1, unproven=0.2)
    assert not near.differ
    assert "can tell apart" in minimisers._other_minimiser("k", "q", "w", near).answer


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"points": 1}, "points must be at least 2"),
        ({"temperatures": ()}, "temperatures must not be empty"),
        ({"temperatures": (1.0,)}, r"temperatures\[0\] must be below 1"),
        ({"temperatures": (0.0,)}, r"temperatures\[0\] must be above 0"),
        ({"examples": 3}, "examples must be at least 10"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"l2": -1.0}, "l2 must be above 0"),
        ({"relative_gap": 0.0}, "relative_gap must be above 0"),
        ({"max_evaluations": 0}, "max_evaluations must be at least 1"),
    ],
)
def test_bad_configs(changes, words, tmp_path):
    config = dataclasses.replace(Config(), **changes)
    with pytest.raises(ValueError, match=words):
        checked(config)
    with pytest.raises(ValueError, match=words):
        run(config, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
