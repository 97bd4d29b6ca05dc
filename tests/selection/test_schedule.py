"""Bookkeeping of slots: every model runs once, and slots idle little."""

import numpy as np
import pytest

from jaxlin.selection import schedule


def alone(models):
    """Each model a strand of its own."""
    return [(model,) for model in models]


def played(lengths, *, slots, price=0, strands=None):
    """Plays a sweep of models that need so many passes each.

    Returns:
      The boards, one a turn, and each model's passes.
    """
    strands = strands or alone(range(len(lengths)))
    board = schedule.begin(strands, slots=slots)
    boards, had = [board], dict.fromkeys(range(len(lengths)), 0)
    while not board.is_over:
        running = board.running
        for slot, model in enumerate(running):
            if model != schedule.IDLE:
                had[model] += 1
                assert board.passes[slot] == had[model] - 1
        finished = [
            model != schedule.IDLE and had[model] == lengths[model] for model in running
        ]
        board = schedule.after_turn(board, finished=finished, price=price).board
        boards.append(board)
    return boards, had


@pytest.mark.parametrize("seed", range(20))
def test_every_model_runs_as_long_as_it_needs_and_no_longer(seed):
    generator = np.random.default_rng(seed)
    lengths = generator.geometric(0.05, size=generator.integers(1, 200)).tolist()
    slots = int(generator.integers(1, 70))
    cuts = np.sort(generator.choice(len(lengths), size=len(lengths) // 3))
    parts = np.split(generator.permutation(len(lengths)), cuts)
    strands = [tuple(map(int, part)) for part in parts if len(part)]
    boards, had = played(lengths, slots=slots, strands=strands)
    assert list(had.values()) == lengths
    paid = sum(len(board.running) for board in boards[:-1])
    assert boards[-1].paid == paid >= sum(lengths)
    widths = [len(board.running) for board in boards]
    assert widths == sorted(widths, reverse=True)
    assert set(widths) <= set(schedule.ladder(min(slots, len(strands))))


def test_no_slot_idles_while_a_strand_waits():
    boards, _ = played([3, 1, 4, 1, 5, 9, 2, 6, 5, 3], slots=4)
    for board in boards:
        assert not board.waiting or schedule.IDLE not in board.running


def test_a_strand_keeps_its_slot_and_its_order():
    strands = [(0, 1, 2), (3,), (4, 5), (6, 7)]
    boards, _ = played([1, 2, 1, 3, 1, 1, 2, 1], slots=2, strands=strands)
    running = [board.running for board in boards]
    assert running == [
        *[(0, 3), (1, 3), (1, 3), (2, 4), (6, 5), (6,), (7,)],
        (schedule.IDLE,),
    ]


def test_who_goes_on_and_who_begins():
    board = schedule.begin([(0, 1), (2,), (3, 4)], slots=2)
    turn = schedule.after_turn(board, finished=(True, True))
    assert turn.moved == ((0, 1),)
    assert turn.filled == ((1, 3),)
    assert turn.board.following == ((), (4,))
    assert turn.board.waiting == ()


def test_strands_begin_in_the_order_given():
    boards, _ = played([1] * 10, slots=3)
    begun = [model for board in boards for model in board.running if model >= 0]
    assert begun == list(range(10))


def test_programs_that_cost_nothing_leave_few_slots_idle():
    boards, _ = played(list(range(1, 65)), slots=64)
    for board in boards[:-1]:
        busy = sum(model != schedule.IDLE for model in board.running)
        assert len(board.running) <= 4 * busy / 3 + 1


@pytest.mark.parametrize("price", [1, 30, 10**6])
def test_idle_slots_are_paid_for_before_a_program_is_compiled(price):
    boards, _ = played(list(range(1, 65)), slots=64, price=price)
    idle = 0
    for before, after in zip(boards, boards[1:], strict=False):
        idle += before.running.count(schedule.IDLE)
        if len(after.running) < len(before.running):
            assert idle >= price
            idle = 0
        else:
            assert after.idle == idle
    widths = {len(board.running) for board in boards}
    assert (len(widths) == 1) == (price == 10**6)


def test_slots_that_move_keep_their_models():
    board = schedule.begin([(7,), (8, 6), (9,), (5,)], slots=4)
    turn = schedule.after_turn(board, finished=(True, False, True, False))
    assert turn.kept == (1, 3)
    assert turn.board.running == (8, 5)
    assert turn.board.following == ((6,), ())
    assert turn.board.passes == (1, 1)


@pytest.mark.parametrize("slots", [1, 2, 3, 7, 24, 64])
def test_ladder_ends_at_one_in_steps_of_a_quarter(slots):
    widths = schedule.ladder(slots)
    assert widths[0] == slots
    assert widths[-1] == 1
    for wide, narrow in zip(widths, widths[1:], strict=False):
        assert narrow < wide
        assert narrow == 3 * wide // 4


@pytest.mark.parametrize("strands", [[], [()], [(1,), (1,)], [(2, 2)]])
def test_strands_must_have_distinct_models(strands):
    with pytest.raises(ValueError, match="strands must have distinct models, at least"):
        schedule.begin(strands, slots=2)


def test_models_must_be_numbers():
    with pytest.raises(
        ValueError, match="models of strands must be at least 0, got -1"
    ):
        schedule.begin([(-1,)], slots=2)


def test_slots_must_be_positive():
    with pytest.raises(ValueError, match="slots must be at least 1, got 0"):
        schedule.begin([(1,)], slots=0)


def test_widths_are_multiples_where_models_are_spread():
    assert schedule.ladder(30, multiple=8) == (32, 24, 16, 8)
    board = schedule.begin(alone(range(9)), slots=6, multiple=4)
    assert board.running == (0, 1, 2, 3, 4, 5, schedule.IDLE, schedule.IDLE)
    widths = []
    for _ in range(9):
        first = next(i for i, model in enumerate(board.running) if model >= 0)
        finished = tuple(i == first for i in range(len(board.running)))
        board = schedule.after_turn(board, finished=finished, multiple=4).board
        widths.append(len(board.running))
    assert board.is_over
    assert set(widths) == {8, 4}


def test_several_passes_are_as_many_turns():
    strands = [(0, 3), (1,), (2,)]
    one = schedule.begin(strands, slots=4, multiple=4)
    for finished in ((False,) * 4, (False,) * 4, (True, False, True, False)):
        one = schedule.after_turn(one, finished=finished, price=10**6, multiple=4).board
    three = schedule.after_turn(
        schedule.begin(strands, slots=4, multiple=4),
        finished=(True, False, True, False),
        passes=3,
        price=10**6,
        multiple=4,
    )
    assert three.board == one
    assert one.paid == 12
    assert one.idle == 3
