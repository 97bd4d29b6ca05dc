"""Which model of a sweep is in which slot, and how many slots there are: bookkeeping.

A sweep runs a fixed number of models at once, in slots of one compiled program. Models
come in segments, whose models each begin where the one before ended: a segment has a
  slot
until its last model is finished, then the next segment that waits has it. When none
waits, what is left moves together into a program with fewer slots, down a ladder of
widths. Each is compiled once for a loss, whatever the values swept; the pass over the
rows, which all losses share, once for each combination of their widths that occurs. On
accelerators one program has all of it (`jaxlin.solvers.device_loop`).

A narrower program costs its compilation, idle slots cost passes. A batch becomes
narrower once its idle slots have been evaluated as often as a program is worth: at each
width it wastes at most what it then spends on the next, and small problems, whose
passes cost nothing, compile one program.

All of it is decided by numbers of models and passes, however fast the machine and
however full.

  >>> from jaxlin.selection import schedule
  >>> queue = schedule.begin([(0, 1), (2,), (3,), (4,)], slots=3)
  >>> queue.running, queue.following, queue.waiting
  ((0, 2, 3), ((1,), (), ()), ((4,),))
  >>> changes = schedule.after_iteration(queue, finished=(True, True, False))
  >>> changes.continued, changes.begun, changes.queue.running
  (((0, 1),), ((1, 4),), (1, 4, 3))
  >>> changes = schedule.after_iteration(
  ...     changes.queue, finished=(False, True, True), compile_cost=2)
  >>> changes.queue.running, changes.kept
  ((1, -1, -1), None)
  >>> changes = schedule.after_iteration(
  ...     changes.queue, finished=(False,) * 3, compile_cost=2)
  >>> changes.queue.running, changes.kept
  ((1,), (0,))
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from jaxlin import check

# The model of a slot that has none.
IDLE = -1


class SlotQueue(NamedTuple):
    """Where every model of a batch that is not finished stands.

    Attributes:
      running: number of the model in each slot, or `IDLE`.
      following: the models that come after it in its slot, in this order.
      waiting: segments that come next, in this order.
      passes: that the model of each slot has had.
      is_first: whether it is the first of its segment.
      idle: passes of idle slots since the batch has had its width.
      slot_passes: passes so far of all slots, idle ones too.
    """

    running: tuple[int, ...]
    following: tuple[tuple[int, ...], ...]
    waiting: tuple[tuple[int, ...], ...]
    passes: tuple[int, ...]
    is_first: tuple[bool, ...]
    idle: int = 0
    slot_passes: int = 0

    @property
    def is_over(self) -> bool:
        """Whether nothing runs, and so nothing waits."""
        return all(model == IDLE for model in self.running)


class SlotChanges(NamedTuple):
    """What becomes of a queue after all slots were evaluated together.

    Attributes:
      queue: after it.
      continued: ``(slot, model)`` of each model that goes on where the last in its slot
        ended, slots as they were.
      begun: ``(slot, model)`` of each model that begins a segment, slots as they were.
      kept: which slots stay, in their new order, if the batch becomes narrower; else
        None. Models go on and begin before that.
    """

    queue: SlotQueue
    continued: tuple[tuple[int, int], ...]
    begun: tuple[tuple[int, int], ...]
    kept: tuple[int, ...] | None


def slot_widths(slots: int, *, multiple: int = 1) -> tuple[int, ...]:
    """Widths that a batch may have, descending: by a quarter at a time, down to one.

    Where slots are spread over devices all widths are multiples of their number.

    >>> slot_widths(32)
    (32, 24, 18, 13, 9, 6, 4, 3, 2, 1)
    >>> slot_widths(32, multiple=8)
    (32, 24, 16, 8)
    """
    check.integer("slots", slots, at_least=1)
    widths = [-(-slots // multiple)]
    while widths[-1] > 1:
        widths.append(3 * widths[-1] // 4)
    return tuple(width * multiple for width in widths)


def begin(
    segments: Iterable[Sequence[int]], *, slots: int, multiple: int = 1
) -> SlotQueue:
    """The queue before the first iteration: the first segments run, the others wait.

    Args:
      segments: numbers of models, distinct and at least 0, none empty; in the order in
        which they begin.
      slots: at most so many run at once; fewer if there are fewer segments.
      multiple: of which the number of slots is one; idle slots fill it up.

    Raises:
      ValueError: if there is no segment, one is empty, or a number is out of range.
    """
    given = tuple(map(tuple, segments))
    check.integer("slots", slots, at_least=1)
    numbers = [model for segment in given for model in segment]
    if not given or not all(given) or len(set(numbers)) < len(numbers):
        raise ValueError(
            "segments must have distinct models, at least one each, and there must be "
            f"a segment, got {given!r:.80}"
        )
    check.integer("models of segments", min(numbers), at_least=0)
    begun = given[:slots]
    width = -(-len(begun) // multiple) * multiple
    none = width - len(begun)
    return SlotQueue(
        running=tuple(segment[0] for segment in begun) + (IDLE,) * none,
        following=tuple(segment[1:] for segment in begun) + ((),) * none,
        waiting=given[slots:],
        passes=(0,) * width,
        is_first=(True,) * width,
    )


def after_iteration(
    queue: SlotQueue,
    *,
    finished: Sequence[bool],
    passes: int = 1,
    compile_cost: int = 0,
    multiple: int = 1,
) -> SlotChanges:
    """Gives the slots of finished models away, and closes those that cost too much.

    Args:
      queue: before the iteration.
      finished: whether the model of each slot is; of an idle slot it means nothing.
      passes: of each slot since ``queue``; the last has finished what is finished.
      compile_cost: of one more program, in passes.
      multiple: as of `begin`.
    """
    width = len(queue.running)
    running, following = list(queue.running), list(queue.following)
    waiting = list(queue.waiting)
    counts = [count + passes for count in queue.passes]
    is_first = list(queue.is_first)
    idle = queue.idle + passes * running.count(IDLE)
    continued: list[tuple[int, int]] = []
    started: list[tuple[int, int]] = []
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
            (continued if goes_on else started).append((slot, running[slot]))
    busy = [slot for slot, model in enumerate(running) if model != IDLE]
    kept = None
    if busy and len(busy) < width and idle >= compile_cost:
        widths = slot_widths(width, multiple=multiple)
        narrower = min(narrower for narrower in widths if narrower >= len(busy))
        if narrower < width:
            others = [slot for slot, model in enumerate(running) if model == IDLE]
            kept, idle = tuple((busy + others)[:narrower]), 0
            running = [running[slot] for slot in kept]
            following = [following[slot] for slot in kept]
            counts = [counts[slot] for slot in kept]
            is_first = [is_first[slot] for slot in kept]
    after = SlotQueue(
        tuple(running),
        tuple(following),
        tuple(waiting),
        tuple(counts),
        tuple(is_first),
        idle,
        queue.slot_passes + passes * width,
    )
    return SlotChanges(after, tuple(continued), tuple(started), kept)
