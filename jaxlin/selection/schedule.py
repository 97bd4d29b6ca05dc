"""Which model of a sweep is in which slot, and how many slots there are: bookkeeping.

A sweep runs a fixed number of models at once, in slots of one compiled program. A model
that is finished gives its slot to the next one that waits. When none waits, what is
left moves together into a program with fewer slots, down a ladder of widths. Each is
compiled once for a loss, whatever the values swept; the pass over the rows, which all
losses share, once for each combination of their widths that occurs.

A narrower program costs its compilation, idle slots cost evaluations. A lane becomes
narrower once its idle slots have been evaluated as often as a program is worth: at each
width it wastes at most what it then spends on the next, and small problems, whose
evaluations cost nothing, compile one program.

All of it is decided by numbers of models and evaluations, however fast the machine and
however full.

  >>> from jaxlin.selection import schedule
  >>> board = schedule.begin(range(6), slots=4)
  >>> board.running, board.waiting
  ((0, 1, 2, 3), (4, 5))
  >>> turn = schedule.after_turn(board, finished=(True, False, False, False))
  >>> turn.filled, turn.board.running
  (((0, 4),), (4, 1, 2, 3))
  >>> turn = schedule.after_turn(
  ...     turn.board, finished=(False, True, True, True), price=2)
  >>> turn.filled, turn.board.running, turn.kept
  (((1, 5),), (4, 5, -1, -1), None)
  >>> turn = schedule.after_turn(turn.board, finished=(False,) * 4, price=2)
  >>> turn.board.running, turn.kept
  ((4, 5), (0, 1))
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from jaxlin import check

# The model of a slot that has none.
IDLE = -1


class Board(NamedTuple):
    """Where every model of a lane that is not finished stands.

    Attributes:
      running: number of the model in each slot, or `IDLE`.
      waiting: numbers of the models that come next, in this order.
      evaluations: that the model of each slot has had.
      idle: evaluations of idle slots since the lane has had its width.
      paid: evaluations so far of all slots, idle ones too.
    """

    running: tuple[int, ...]
    waiting: tuple[int, ...]
    evaluations: tuple[int, ...]
    idle: int = 0
    paid: int = 0

    @property
    def is_over(self) -> bool:
        """Whether nothing runs, and so nothing waits."""
        return all(model == IDLE for model in self.running)


class Turn(NamedTuple):
    """What becomes of a board after all slots were evaluated once.

    Attributes:
      board: after it.
      filled: ``(slot, model)`` of each model that begins, slots as they were.
      kept: which slots stay, in their new order, if the lane becomes narrower; else
        None. Slots are filled before they are moved.
    """

    board: Board
    filled: tuple[tuple[int, int], ...]
    kept: tuple[int, ...] | None


def ladder(slots: int, *, multiple: int = 1) -> tuple[int, ...]:
    """Widths that a lane may have, descending: by a quarter at a time, down to one.

    Where slots are spread over devices all widths are multiples of their number.

    >>> ladder(32)
    (32, 24, 18, 13, 9, 6, 4, 3, 2, 1)
    >>> ladder(32, multiple=8)
    (32, 24, 16, 8)
    """
    check.integer("slots", slots, at_least=1)
    widths = [-(-slots // multiple)]
    while widths[-1] > 1:
        widths.append(3 * widths[-1] // 4)
    return tuple(width * multiple for width in widths)


def begin(models: Iterable[int], *, slots: int, multiple: int = 1) -> Board:
    """The board before the first turn: the first models run, the others wait.

    Args:
      models: their numbers, distinct and at least 0, in the order in which they begin.
      slots: at most so many run at once; fewer if there are fewer models.
      multiple: of which the number of slots is one; idle slots fill it up.

    Raises:
      ValueError: if there is no model, or a number is out of range.
    """
    numbers = tuple(models)
    check.integer("slots", slots, at_least=1)
    if not numbers or len(set(numbers)) < len(numbers) or min(numbers) < 0:
        raise ValueError(
            f"models must be distinct numbers from 0 on, at least one, got {numbers}"
        )
    slots = min(slots, len(numbers))
    width = -(-slots // multiple) * multiple
    running = numbers[:slots] + (IDLE,) * (width - slots)
    return Board(running, numbers[slots:], (0,) * width)


def after_turn(
    board: Board, *, finished: Sequence[bool], price: int = 0, multiple: int = 1
) -> Turn:
    """Gives the slots of finished models away, and closes those that cost too much.

    Args:
      board: before the turn.
      finished: whether the model of each slot is; of an idle slot it means nothing.
      price: of one more program, in evaluations.
      multiple: as of `begin`.
    """
    width = len(board.running)
    running, waiting = list(board.running), list(board.waiting)
    evaluations = [count + 1 for count in board.evaluations]
    idle = board.idle + running.count(IDLE)
    filled = []
    for slot, is_finished in enumerate(finished):
        if running[slot] != IDLE and not is_finished:
            continue
        running[slot] = waiting.pop(0) if waiting else IDLE
        evaluations[slot] = 0
        if running[slot] != IDLE:
            filled.append((slot, running[slot]))
    busy = [slot for slot, model in enumerate(running) if model != IDLE]
    kept = None
    if busy and len(busy) < width and idle >= price:
        rungs = ladder(width, multiple=multiple)
        rung = min(rung for rung in rungs if rung >= len(busy))
        if rung < width:
            others = [slot for slot, model in enumerate(running) if model == IDLE]
            kept, idle = tuple((busy + others)[:rung]), 0
            running = [running[slot] for slot in kept]
            evaluations = [evaluations[slot] for slot in kept]
    after = Board(
        tuple(running), tuple(waiting), tuple(evaluations), idle, board.paid + width
    )
    return Turn(after, tuple(filled), kept)
