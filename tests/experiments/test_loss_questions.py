"""Every answer against the lecture's numbers; curves against what they must be."""

import functools
import math
import re
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from references import crammer_singer, softmax_cross_entropy, weston_watkins
from strict_page import Page

from experiments.common import slides, text
from experiments.loss_questions import curves, measure, minimisers
from experiments.loss_questions.config import SMOKE
from jaxlin import linear, losses
from jaxlin.data import toy


@pytest.fixture(scope="module")
def smoke(finished_study):
    """The numbers of a run by part, and its page."""
    run = finished_study("loss_questions").run
    page = (run.folder.path / "report.html").read_text()
    return run, {part: run.numbers(part) for part in measure.parts(SMOKE)}, page


def test_rows_23_to_29_the_svm_questions():
    numbers = measure.svm()
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


def test_rows_32_to_37_the_softmax_questions():
    numbers = measure.softmax()
    near = functools.partial(pytest.approx, abs=5e-6)
    assert numbers["probabilities"]["probabilities"] == near(
        [0.12998, 0.86905, 0.00097]
    )
    assert numbers["losses"]["each"] == near([2.04036, 0.07913, 6.15648])
    assert numbers["losses"]["mean"] == near(2.75865)
    names = numbers["names"]
    assert names["smoothed_cross_entropy"] == near(2.14036)
    assert names["smoothed_entropy"] == near(0.29114)
    assert names["smoothed_divergence"] == near(1.84922)
    for name in ("minus_log_likelihood", "cross_entropy", "divergence"):
        assert names[name] == near(2.04036)
    assert 0 < numbers["q1"]["least"] < 1e-30
    assert numbers["q2"]["ten"] == near(2.302585)
    assert numbers["against"]["svm"].tolist() == [0, 0, 0]
    assert numbers["against"]["softmax"] == pytest.approx([9e-4, 0.5514, 0], abs=5e-5)


def test_small_losses_are_not_printed_as_zero(smoke):
    """The softmax loss of scores (10, t, t) is log(1 + 2 exp(t - 10))."""
    first = math.log1p(math.exp(-12) + math.exp(-7))
    third = math.log1p(2 * math.exp(-110))
    assert f"softmax losses: {first:.1e}, 0.5514, {third:.1e}" in smoke[2]
    assert third > 0
    assert text.short([12.9, 0.0, -0.5, 2e-4]) == "12.9, 0, -0.5, 2.0e-04"


def test_the_scores_come_first_and_can_be_checked_by_hand(smoke):
    cells = Page(smoke[2]).text["td"][:15]
    rows = [cells[i : i + 5] for i in (0, 5, 10)]
    assert [tuple(row[:4]) for row in rows] == [
        ("cat", "3.2", "5.1", "-1.7"),
        ("car", "1.3", "4.9", "2.0"),
        ("frog", "2.2", "2.5", "-3.1"),
    ]
    for (*_, by_hand), loss in zip(rows, (2.9, 0.0, 12.9), strict=True):
        terms, _, said = by_hand.partition(" = ")
        assert re.fullmatch(r"[max(), \d.+-]+", terms)
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


def test_the_eight_slips(smoke):
    found = measure.slips()
    near = functools.partial(pytest.approx, abs=5e-4)
    assert found["ship"]["score"] == near(60.75)
    assert found["ship"]["without_bias"] == near(61.95)
    assert found["frog_line"] == near(6.3)
    assert measure.svm()["losses"]["mean"] == near(5.2667)
    assert found["doubled"]["sum"] == near(28.6)
    assert found["cat"] == {"loss": near(2.04036), "decimal": near(0.886)}
    assert found["frog"] == {"probability": near(0.00097), "loss": near(6.940)}
    assert found["stable"][0] == near(534.7)
    assert "inf" in found["naive_exponentials"]
    rows = Page(smoke[2]).text["tbody"][3].strip().splitlines()
    assert len(rows) == 8
    assert "61.95" in rows[0]
    assert "61.95 + (-1.2) = 60.75" in rows[0]
    assert "0.886" in rows[5]
    assert "inf" in rows[7]


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
    hinge, softmax = curves.jiggled(np.array([9.0, 10.0]))
    np.testing.assert_allclose(hinge, [0, 2])
    np.testing.assert_allclose(softmax, np.log([1 + 2 / np.e, 3]))


def test_row_30_scaling_where_the_loss_is_zero_and_where_not():
    found = minimisers.scaled_means(np.array([0.0, 0.4, 1.0, 2.0]))
    # The car's least lead is 2.9, so 1 / 2.9 of the weights are enough.
    assert found["svm, car"].tolist() == [2, 0, 0, 0]
    assert found["svm, three images"][2:] == pytest.approx([15.8 / 3, 28.6 / 3])
    assert (np.diff(found["softmax, car"]) < 0).all()


def test_all_answers_are_on_the_page(smoke):
    # Four tables with a header: scores, ten and six answers, eight slips.
    assert len(Page(smoke[2]).text["tr"]) == 4 + 3 + 10 + 6 + 8


def test_curves_of_a_run_are_of_the_lectures_examples(smoke):
    found = smoke[0].arrays("curves")
    assert found["cat_losses"].shape == found["cat_slopes"].shape == (4, SMOKE.points)
    assert found["path_temperatures"].tolist() == [0, *SMOKE.temperatures, 1]
    start = found["cat"][0]
    scores = np.array([start, *slides.SCORES[0, 1:]])
    assert found["cat_losses"][0, 0] == pytest.approx(weston_watkins(scores, 0))
    assert found["cat_losses"][3, 0] == pytest.approx(softmax_cross_entropy(scores, 0))
    assert found["fall_losses"][:, 0] == pytest.approx(
        [0.0, softmax_cross_entropy(slides.SCORES[1], 1)]
    )


def test_minimisers_are_proven_different_or_not_claimed_to_be(smoke):
    found = smoke[1]["minimisers"]
    for key in ("q5", "q6"):
        assert found[key]["differ"] == (found[key]["distance"] > found[key]["unproven"])
        assert found[key]["differ"]
    q7 = found["q7"]
    assert q7["car"] == [0, 0]
    assert q7["twice"] == pytest.approx([4.8, 0, 23.8])
    assert q7["separable"] == [0, 0, 0]
    first, second = q7["objectives"]
    assert second > first


def test_a_difference_within_the_bounds_is_not_claimed():
    """Two points 0.1 apart, each known to 0.1."""
    first, second = (
        SimpleNamespace(
            params=linear.Params(np.full((1, 1), at), np.zeros(1)), radius=r
        )
        for at, r in ((0.0, 0.1), (0.1, 0.1))
    )
    near = minimisers.compared(first, second)
    assert near["distance"] == pytest.approx(0.1)
    assert near["unproven"] == pytest.approx(0.2)
    assert not near["differ"]
