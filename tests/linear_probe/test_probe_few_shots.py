"""Few-shot probes: draws of k examples per class, each a certified fit."""

import jax
import numpy as np
import pytest
from sweep_problems import LABELS, ROWS

import jaxlin
from jaxlin.linear_probe import FewShot, few_shot
from jaxlin.stats import intervals

KEY = jax.random.key(0)
# Class 2 has a single example.
FEW = np.where(LABELS == 2, 0, LABELS)
FEW[7] = 2


@pytest.fixture(scope="module")
def found():
    return few_shot(
        KEY,
        ROWS,
        FEW,
        ROWS,
        FEW,
        num_shots=4,
        num_draws=3,
        l2s=(1e-2,),
        classes=(0, 1, 2),
    )


def test_draws_have_k_examples_per_class_or_all(found):
    assert isinstance(found, FewShot)
    assert len(found.indices) == 3
    for drawn in found.indices:
        np.testing.assert_array_equal(np.bincount(FEW[drawn]), [4, 4, 1])
        assert (np.diff(drawn) > 0).all()
        assert 7 in drawn
    assert not np.array_equal(*found.indices[:2])


def test_every_row_of_a_class_is_as_likely():
    """A hundred draws of 4 of 20: each row 20 times, at a deviation of 4."""
    from jaxlin.linear_probe.few_shots import _drawn

    labels = np.arange(60) % 3
    keys = jax.random.split(KEY, 100)
    counts = sum(np.isin(np.arange(60), _drawn(key, labels, 4)) for key in keys)
    assert counts.sum() == 1200
    assert counts.min() > 4
    assert counts.max() < 36


def test_each_draw_is_a_probe_of_its_rows(found):
    accuracy = [result.test.accuracy.value for result in found.results]
    assert found.accuracy == intervals.mean_and_spread(accuracy)
    assert found.accuracy.interval.low < found.accuracy.mean
    for drawn, result in zip(found.indices, found.results, strict=True):
        assert result.fit.converged
        alone = jaxlin.fit(
            ROWS[drawn],
            FEW[drawn],
            loss=result.fit.loss,
            l2=1e-2,
            bias="free",
            normalization=result.fit.normalization,
        )
        assert result.fit.certificate.primal == pytest.approx(
            alone.certificate.primal, rel=2e-3
        )
    printed = str(found)
    assert ") over 3 draws, 3 of them proven; note: 1 class with fewer" in printed
    assert "all of which are in each draw: 2; note: two draws share" in printed
    assert "; note: 1 class has a single" in printed


def test_notes_count_what_draws_share(found):
    assert found.short_classes == (2,)
    first, second, third = map(set, map(np.ndarray.tolist, found.indices))
    shared = len(first & second) + len(first & third) + len(second & third)
    assert found.overlap == pytest.approx(shared / 3 / 9)
    # Class 2 gives its only example to each draw.
    assert shared >= 3
    apart = found._replace(indices=(np.array([0, 1]), np.array([2, 3])))
    assert apart.overlap == 0
    assert "share" not in str(apart)
    assert found._replace(indices=found.indices[:1]).overlap == 0


def test_l2_may_be_chosen_on_other_examples(found):
    other = few_shot(
        *(KEY, ROWS, FEW, ROWS, FEW),
        num_shots=4,
        num_draws=1,
        l2s=(1e-1, 1e-2),
        classes=(0, 1, 2),
        validation=(ROWS, FEW),
        train_on_validation=False,
    )
    (result,) = other.results
    np.testing.assert_array_equal(other.indices[0], found.indices[0])
    assert result.table.accuracy.shape == (2, 1)
    assert result.num_held_out == 60
    assert other.accuracy.interval is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"num_shots": 0}, "num_shots must be at least 1"),
        ({"num_draws": 0}, "num_draws must be at least 1"),
        ({"weights": np.ones(60)}, "weights must not be given to few_shot"),
        ({"checkpoint": "a.npz"}, "checkpoint must not be given to few_shot"),
        ({"labels": FEW[:59]}, "labels must have one entry per example, got 59 for 60"),
    ],
)
def test_bad_input(changes, words):
    given = {"features": ROWS, "labels": FEW, "num_shots": 2, "l2s": (0.1,), **changes}
    rows, labels = given.pop("features"), given.pop("labels")
    with pytest.raises(ValueError, match=words):
        few_shot(KEY, rows, labels, ROWS, FEW, **given)
