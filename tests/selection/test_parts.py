"""A sweep dealt over tasks is that of one process with the same parts, bit for bit."""

import functools

import jax
import numpy as np
import pytest
from small_sweeps import assert_same
from sweep_problems import FOLD_IDS, HINGE, LABELS, MARGIN, ROWS, SOFTMAX

import jaxlin
from jaxlin.selection import parts, refinement, sweep_checkpoint

# All models end in float64 at this gap, and the parts have both losses.
SETTINGS = {
    "losses": (SOFTMAX, HINGE),
    "loss_arguments": MARGIN,
    "l2s": (1e-1, 3e-2),
    "stop": jaxlin.Stop(1e-9),
}


@pytest.fixture
def dealt(tmp_path):
    return parts.Parts(tuple(tmp_path / f"part-{i}.npz" for i in range(3)))


@pytest.fixture(scope="module")
def validate(problem):
    def call(checkpoint, **changes):
        settings = {**SETTINGS, "folds": FOLD_IDS, **changes}
        return jaxlin.cross_validate(problem, checkpoint=checkpoint, **settings)

    return call


@pytest.fixture(scope="module")
def in_turn(validate, tmp_path_factory):
    """The table of one process that fits the parts one after the other."""
    folder = tmp_path_factory.mktemp("parts")
    return validate(parts.Parts(tuple(folder / f"{i}.npz" for i in range(3))))


def assert_same_table(found, expected):
    assert_same(found.fits, expected.fits)
    for name in ("accuracy", "loss", "relative_gap"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_parts_of_tasks_are_those_of_one_process(validate, in_turn, dealt, monkeypatch):
    for done, index in enumerate((2, 0, 1)):
        assert len(parts.unfinished(dealt)) == 3 - done
        assert parts.fit_part(validate, dealt, index) is None
        assert index not in parts.unfinished(dealt)
    assert parts.unfinished(dealt) == ()
    # Joined, not fitted again, in float64 neither.
    states = []
    monkeypatch.setattr(refinement, "_refined_fit", None)
    assert_same_table(validate(dealt, callback=states.append), in_turn)
    assert len(states) == 3
    assert all(state.is_over for state in states)
    assert in_turn.fits.float64_passes.any()


def test_parts_prove_the_gaps_of_a_sweep(validate, in_turn):
    whole = validate(None)
    assert in_turn.fits.converged.all()
    np.testing.assert_allclose(
        in_turn.fits.certificate.primal, whole.fits.certificate.primal, rtol=2e-6
    )
    for name in ("loss", "l2", "weight_set"):
        np.testing.assert_array_equal(
            getattr(in_turn.fits.models, name), getattr(whole.fits.models, name)
        )


class Killed(Exception):
    """Thrown where a process might have been killed."""


def test_a_lost_part_is_named_and_goes_on(validate, in_turn, dealt, monkeypatch):
    """Killed while it refines in float64: what its file has is not fitted again."""
    monkeypatch.setattr(sweep_checkpoint, "_SECONDS_PER_SECOND_OF_SAVING", 0)

    def kill(state):
        if state.refined:
            raise Killed

    for index in (0, 2):
        parts.fit_part(validate, dealt, index)
    with pytest.raises(Killed):
        parts.fit_part(lambda files: validate(files, callback=kill), dealt, 1)
    assert parts.unfinished(dealt) == (1,)
    refined = []
    parts.fit_part(
        lambda files: validate(
            files, callback=lambda state: refined.append(len(state.refined))
        ),
        dealt,
        1,
    )
    assert refined == [1, 2]
    assert_same_table(validate(dealt), in_turn)
    dealt.paths[0].unlink()
    assert parts.unfinished(dealt) == (0,)
    assert_same_table(validate(dealt), in_turn)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"l2s": (1e-1, 2e-2)}, "of these models, got others: their l2 differ"),
        ({"stop": jaxlin.Stop(1e-5)}, "same facts, but its relative_gap is 1e-09, got"),
        (
            {"stop": jaxlin.Stop(1e-9, 400)},
            r"its max_passes is \[60, 1000\], got .60, 4",
        ),
        ({"folds": FOLD_IDS[::-1]}, "same facts, but its weights is one with digest"),
    ],
)
def test_a_part_of_another_run_is_refused_by_name(validate, dealt, changes, words):
    parts.fit_part(validate, dealt, 1)
    with pytest.raises(ValueError, match=f"part-1.npz must be .*{words}"):
        parts.fit_part(lambda files: validate(files, **changes), dealt, 1)


def probe(checkpoint, **changes):
    settings = {"l2s": (1e-1, 3e-2, 1e-2), "stop": jaxlin.Stop(1e-4), **changes}
    data = (jax.random.key(0), ROWS, LABELS, ROWS, LABELS)
    return jaxlin.probe(*data, checkpoint=checkpoint, **settings)


@pytest.mark.parametrize("validation", [0.1, 2])
def test_a_probe_is_dealt(dealt, validation):
    """One path: it is cut. Or two folds, each with a normalization and a sweep."""
    call = functools.partial(probe, validation=validation)
    alone = call(dealt)
    again = parts.Parts(tuple(f"{path}-again" for path in dealt.paths))
    for index in (2, 0, 1):
        assert index in parts.unfinished(again)
        parts.fit_part(call, again, index)
    assert parts.unfinished(again) == ()
    found = call(again)
    assert_same_table(found.table, alone.table)
    jax.tree.map(np.testing.assert_array_equal, found.fit.params, alone.fit.params)
    assert str(found) == str(alone)


def test_calls_that_cannot_be_dealt(dealt):
    with pytest.raises(ValueError, match="call must make a sweep with the checkpoint"):
        parts.fit_part(lambda _: None, dealt, 0)
    with pytest.raises(ValueError, match="index must be at most 2, got 3"):
        parts.fit_part(probe, dealt, 3)
    with pytest.raises(ValueError, match="a part for each of 4 sweeps, one per norm"):
        probe(dealt, validation=4)
