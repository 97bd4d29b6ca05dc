"""Bookkeeping of slots: every model runs once, and slots idle little."""

import numpy as np
import pytest

from jaxlin.selection import schedule


def alone(models):
    """Each model a segment of its own."""
    return [(model,) for model in models]


def played(lengths, *, slots, compile_cost=0, segments=None):
    """Plays a sweep of models that need so many passes each.

    Returns:
      The queues, one an iteration, and each model's passes.
    """
    segments = segments or alone(range(len(lengths)))
    queue = schedule.begin(segments, slots=slots)
    queues, had = [queue], dict.fromkeys(range(len(lengths)), 0)
    while not queue.is_over:
        running = queue.running
        for slot, model in enumerate(running):
            if model != schedule.IDLE:
                had[model] += 1
                assert queue.passes[slot] == had[model] - 1
        finished = [
            model != schedule.IDLE and had[model] == lengths[model] for model in running
        ]
        queue = schedule.after_iteration(
            queue, finished=finished, compile_cost=compile_cost
        ).queue
        queues.append(queue)
    return queues, had


@pytest.mark.parametrize("seed", range(20))
def test_every_model_runs_as_long_as_it_needs_and_no_longer(seed):
    generator = np.random.default_rng(seed)
    lengths = generator.geometric(0.05, size=generator.integers(1, 200)).tolist()
    slots = int(generator.integers(1, 70))
    cuts = np.sort(generator.choice(len(lengths), size=len(lengths) // 3))
    parts = np.split(generator.permutation(len(lengths)), cuts)
    segments = [tuple(map(int, part)) for part in parts if len(part)]
    queues, had = played(lengths, slots=slots, segments=segments)
    assert list(had.values()) == lengths
    slot_passes = sum(len(queue.running) for queue in queues[:-1])
    assert queues[-1].slot_passes == slot_passes >= sum(lengths)
    widths = [len(queue.running) for queue in queues]
    assert widths == sorted(widths, reverse=True)
    assert set(widths) <= set(schedule.slot_widths(min(slots, len(segments))))


def test_no_slot_idles_while_a_strand_waits():
    queues, _ = played([3, 1, 4, 1, 5, 9, 2, 6, 5, 3], slots=4)
    for queue in queues:
        assert not queue.waiting or schedule.IDLE not in queue.running


def test_a_strand_keeps_its_slot_and_its_order():
    segments = [(0, 1, 2), (3,), (4, 5), (6, 7)]
    queues, _ = played([1, 2, 1, 3, 1, 1, 2, 1], slots=2, segments=segments)
    running = [queue.running for queue in queues]
    assert running == [
        *[(0, 3), (1, 3), (1, 3), (2, 4), (6, 5), (6,), (7,)],
        (schedule.IDLE,),
    ]


def test_who_goes_on_and_who_begins():
    queue = schedule.begin([(0, 1), (2,), (3, 4)], slots=2)
    iteration = schedule.after_iteration(queue, finished=(True, True))
    assert iteration.continued == ((0, 1),)
    assert iteration.begun == ((1, 3),)
    assert iteration.queue.following == ((), (4,))
    assert iteration.queue.waiting == ()


def test_strands_begin_in_the_order_given():
    queues, _ = played([1] * 10, slots=3)
    begun = [model for queue in queues for model in queue.running if model >= 0]
    assert begun == list(range(10))


def test_programs_that_cost_nothing_leave_few_slots_idle():
    queues, _ = played(list(range(1, 65)), slots=64)
    for queue in queues[:-1]:
        busy = sum(model != schedule.IDLE for model in queue.running)
        assert len(queue.running) <= 4 * busy / 3 + 1


@pytest.mark.parametrize("compile_cost", [1, 30, 10**6])
def test_idle_slots_are_paid_for_before_a_program_is_compiled(compile_cost):
    queues, _ = played(list(range(1, 65)), slots=64, compile_cost=compile_cost)
    idle = 0
    for before, after in zip(queues, queues[1:], strict=False):
        idle += before.running.count(schedule.IDLE)
        if len(after.running) < len(before.running):
            assert idle >= compile_cost
            idle = 0
        else:
            assert after.idle == idle
    widths = {len(queue.running) for queue in queues}
    assert (len(widths) == 1) == (compile_cost == 10**6)


def test_slots_that_move_keep_their_models():
    queue = schedule.begin([(7,), (8, 6), (9,), (5,)], slots=4)
    iteration = schedule.after_iteration(queue, finished=(True, False, True, False))
    assert iteration.kept == (1, 3)
    assert iteration.queue.running == (8, 5)
    assert iteration.queue.following == ((6,), ())
    assert iteration.queue.passes == (1, 1)


@pytest.mark.parametrize("slots", [1, 2, 3, 7, 24, 64])
def test_ladder_ends_at_one_in_steps_of_a_quarter(slots):
    widths = schedule.slot_widths(slots)
    assert widths[0] == slots
    assert widths[-1] == 1
    for wide, narrow in zip(widths, widths[1:], strict=False):
        assert narrow < wide
        assert narrow == 3 * wide // 4


@pytest.mark.parametrize("segments", [[], [()], [(1,), (1,)], [(2, 2)]])
def test_strands_must_have_distinct_models(segments):
    with pytest.raises(
        ValueError, match="segments must have distinct models, at least"
    ):
        schedule.begin(segments, slots=2)


def test_models_must_be_numbers():
    with pytest.raises(
        ValueError, match="models of segments must be at least 0, got -1"
    ):
        schedule.begin([(-1,)], slots=2)


def test_slots_must_be_positive():
    with pytest.raises(ValueError, match="slots must be at least 1, got 0"):
        schedule.begin([(1,)], slots=0)


def test_widths_are_multiples_where_models_are_spread():
    assert schedule.slot_widths(30, multiple=8) == (32, 24, 16, 8)
    queue = schedule.begin(alone(range(9)), slots=6, multiple=4)
    assert queue.running == (0, 1, 2, 3, 4, 5, schedule.IDLE, schedule.IDLE)
    widths = []
    for _ in range(9):
        first = next(i for i, model in enumerate(queue.running) if model >= 0)
        finished = tuple(i == first for i in range(len(queue.running)))
        queue = schedule.after_iteration(queue, finished=finished, multiple=4).queue
        widths.append(len(queue.running))
    assert queue.is_over
    assert set(widths) == {8, 4}


def test_several_passes_are_as_many_turns():
    segments = [(0, 3), (1,), (2,)]
    one = schedule.begin(segments, slots=4, multiple=4)
    for finished in ((False,) * 4, (False,) * 4, (True, False, True, False)):
        one = schedule.after_iteration(
            one, finished=finished, compile_cost=10**6, multiple=4
        ).queue
    three = schedule.after_iteration(
        schedule.begin(segments, slots=4, multiple=4),
        finished=(True, False, True, False),
        passes=3,
        compile_cost=10**6,
        multiple=4,
    )
    assert three.queue == one
    assert one.slot_passes == 12
    assert one.idle == 3
