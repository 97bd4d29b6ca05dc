"""Which model of a sweep is in which slot, and how many slots there are: bookkeeping.

A sweep runs a fixed number of models at once, in slots of one compiled program. Models
come in strands, whose models each begin where the one before ended: a strand has a slot
until its last model is finished, then the next strand that waits has it. When none
waits, what is left moves together into a program with fewer slots, down a ladder of
widths. Each is compiled once for a loss, whatever the values swept; the pass over the
rows, which all losses share, once for each combination of their widths that occurs. On
accelerators one program has all of it (`jaxlin.solvers.device_loop`).

A narrower program costs its compilation, idle slots cost passes. A lane becomes
narrower once its idle slots have been evaluated as often as a program is worth: at each
width it wastes at most what it then spends on the next, and small problems, whose
passes cost nothing, compile one program.

All of it is decided by numbers of models and passes, however fast the machine and
however full.

  >>> from jaxlin.selection import schedule
  >>> board = schedule.begin([(0, 1), (2,), (3,), (4,)], slots=3)
  >>> board.running, board.following, board.waiting
  ((0, 2, 3), ((1,), (), ()), ((4,),))
  >>> turn = schedule.after_turn(board, finished=(True, True, False))
  >>> turn.moved, turn.filled, turn.board.running
  (((0, 1),), ((1, 4),), (1, 4, 3))
  >>> turn = schedule.after_turn(turn.board, finished=(False, True, True), price=2)
  >>> turn.board.running, turn.kept
  ((1, -1, -1), None)
  >>> turn = schedule.after_turn(turn.board, finished=(False,) * 3, price=2)
  >>> turn.board.running, turn.kept
  ((1,), (0,))
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
      following: the models that come after it in its slot, in this order.
      waiting: strands that come next, in this order.
      passes: that the model of each slot has had.
      is_first: whether it is the first of its strand.
      idle: passes of idle slots since the lane has had its width.
      paid: passes so far of all slots, idle ones too.
    """

    running: tuple[int, ...]
    following: tuple[tuple[int, ...], ...]
    waiting: tuple[tuple[int, ...], ...]
    passes: tuple[int, ...]
    is_first: tuple[bool, ...]
    idle: int = 0
    paid: int = 0

    @property
    def is_over(self) -> bool:
        """Whether nothing runs, and so nothing waits."""
        return all(model == IDLE for model in self.running)


class Turn(NamedTuple):
    """What becomes of a board after all slots were evaluated together.

    Attributes:
      board: after it.
      moved: ``(slot, model)`` of each model that goes on where the last in its slot
        ended, slots as they were.
      filled: ``(slot, model)`` of each model that begins a strand, slots as they were.
      kept: which slots stay, in their new order, if the lane becomes narrower; else
        None. Models go on and begin before that.
    """

    board: Board
    moved: tuple[tuple[int, int], ...]
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


def begin(strands: Iterable[Sequence[int]], *, slots: int, multiple: int = 1) -> Board:
    """The board before the first turn: the first strands have begun, the others wait.

    Args:
      strands: numbers of models, distinct and at least 0, none empty; in the order in
        which they begin.
      slots: at most so many run at once; fewer if there are fewer strands.
      multiple: of which the number of slots is one; idle slots fill it up.

    Raises:
      ValueError: if there is no strand, one is empty, or a number is out of range.
    """
    given = tuple(map(tuple, strands))
    check.integer("slots", slots, at_least=1)
    numbers = [model for strand in given for model in strand]
    if not given or not all(given) or len(set(numbers)) < len(numbers):
        raise ValueError(
            "strands must have distinct models, at least one each, and there must be "
            f"a strand, got {given!r:.80}"
        )
    check.integer("models of strands", min(numbers), at_least=0)
    begun = given[:slots]
    width = -(-len(begun) // multiple) * multiple
    none = width - len(begun)
    return Board(
        running=tuple(strand[0] for strand in begun) + (IDLE,) * none,
        following=tuple(strand[1:] for strand in begun) + ((),) * none,
        waiting=given[slots:],
        passes=(0,) * width,
        is_first=(True,) * width,
    )


def after_turn(
    board: Board,
    *,
    finished: Sequence[bool],
    passes: int = 1,
    price: int = 0,
    multiple: int = 1,
) -> Turn:
    """Gives the slots of finished models away, and closes those that cost too much.

    Args:
      board: before the turn.
      finished: whether the model of each slot is; of an idle slot it means nothing.
      passes: of each slot since ``board``; the last has finished what is finished.
      price: of one more program, in passes.
      multiple: as of `begin`.
    """
    width = len(board.running)
    running, following = list(board.running), list(board.following)
    waiting = list(board.waiting)
    counts = [count + passes for count in board.passes]
    is_first = list(board.is_first)
    idle = board.idle + passes * running.count(IDLE)
    moved: list[tuple[int, int]] = []
    filled: list[tuple[int, int]] = []
    for slot, is_finished in enumerate(finished):
        if running[slot] != IDLE and not is_finished:
            continue
        counts[slot] = 0
        goes_on = bool(following[slot])
        is_first[slot] = not goes_on
        if not goes_on and waiting:
            following[slot] = waiting.pop(0)
        running[slot], *rest = following[slot] or (IDLE,)
        following[slot] = tuple(rest)
        if running[slot] != IDLE:
            (moved if goes_on else filled).append((slot, running[slot]))
    busy = [slot for slot, model in enumerate(running) if model != IDLE]
    kept = None
    if busy and len(busy) < width and idle >= price:
        rungs = ladder(width, multiple=multiple)
        rung = min(rung for rung in rungs if rung >= len(busy))
        if rung < width:
            others = [slot for slot, model in enumerate(running) if model == IDLE]
            kept, idle = tuple((busy + others)[:rung]), 0
            running = [running[slot] for slot in kept]
            following = [following[slot] for slot in kept]
            counts = [counts[slot] for slot in kept]
            is_first = [is_first[slot] for slot in kept]
    after = Board(
        tuple(running),
        tuple(following),
        tuple(waiting),
        tuple(counts),
        tuple(is_first),
        idle,
        board.paid + passes * width,
    )
    return Turn(after, tuple(moved), tuple(filled), kept)
