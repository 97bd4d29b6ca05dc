"""Scheduling of a sweep: the model in each slot, and the number of slots.

A sweep runs a fixed number of models at once, in the slots of one compiled program.
Models form segments, in which each model is a warm start for the next. A segment keeps
its slot until its last model is finished; then the next waiting segment takes the slot.
When no segment waits, the running models move together into a program with fewer slots,
along a descending list of widths. The program of a width is compiled once per loss,
whatever the values of l2 and loss arguments; the pass over the rows, which all losses
share, is compiled once per combination of widths that occurs. On accelerators one
program holds all of this (`jaxlin.solvers.device_loop`).

A narrower program costs a compilation, idle slots cost passes. A batch becomes narrower
once the passes of its idle slots have cost as much as one compilation. So each width
wastes at most the cost of the next program, and small problems, whose passes cost
nothing, compile one program.

All decisions depend on numbers of models and passes, never on the speed or the load of
the machine.

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

# Model number of an idle slot.
IDLE = -1


class SlotQueue(NamedTuple):
    """Queue of a batch: its running, following and waiting models.

    Attributes:
      running: index of the model in each slot, or `IDLE`.
      following: remaining models of the segment in each slot, in order.
      waiting: segments without a slot, in the order in which they start.
      passes: number of passes of the model in each slot.
      is_first: whether the model in each slot is the first of its segment.
      idle: passes of idle slots since the batch has had its current width.
      slot_passes: passes of all slots so far, idle slots counted.
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
        """Returns whether no model runs; then no segment waits either."""
        return all(model == IDLE for model in self.running)


class SlotChanges(NamedTuple):
    """Changes of a queue after one or more passes of all slots.

    Attributes:
      queue: queue after the changes.
      continued: ``(slot, model)`` of each model that starts from the previous model of
        its segment; slots before narrowing.
      begun: ``(slot, model)`` of each model that is the first of its segment; slots
        before narrowing.
      kept: slots that remain if the batch becomes narrower, in their new order; else
        None. Narrowing follows the other changes.
    """

    queue: SlotQueue
    continued: tuple[tuple[int, int], ...]
    begun: tuple[tuple[int, int], ...]
    kept: tuple[int, ...] | None


def slot_widths(slots: int, *, multiple: int = 1) -> tuple[int, ...]:
    """Widths of a batch: descending by a quarter at a time, down to one.

    Where slots are spread over devices, widths are multiples of ``multiple``, the
    number of devices.

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
    """Queue before the first iteration: the first segments run, the others wait.

    Args:
      segments: indices of the models of each segment, distinct and at least 0, in the
        order in which segments start; no segment is empty.
      slots: largest number of models that run at once, at least 1.
      multiple: divisor of the number of slots, at least 1; idle slots fill it up.

    Raises:
      ValueError: if there is no segment, a segment is empty, or an index is repeated or
        out of range.
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
    num_idle = width - len(begun)
    return SlotQueue(
        running=tuple(segment[0] for segment in begun) + (IDLE,) * num_idle,
        following=tuple(segment[1:] for segment in begun) + ((),) * num_idle,
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
    """Assigns the slots of finished models, and removes idle slots that cost too much.

    Args:
      queue: queue before the passes.
      finished: whether the model of each slot is finished, after the last of the
        passes; ignored for idle slots.
      passes: number of passes of each slot since ``queue``, at least 1.
      compile_cost: cost of compiling one more program, in passes of a slot.
      multiple: divisor of the number of slots, at least 1.
    """
    width = len(queue.running)
    running, following = list(queue.running), list(queue.following)
    waiting = list(queue.waiting)
    counts = [count + passes for count in queue.passes]
    is_first = list(queue.is_first)
    idle = queue.idle + passes * running.count(IDLE)
    continued: list[tuple[int, int]] = []
    begun: list[tuple[int, int]] = []
    for slot, is_finished in enumerate(finished):
        if running[slot] != IDLE and not is_finished:
            continue
        counts[slot] = 0
        continues = bool(following[slot])
        is_first[slot] = not continues
        if not continues and waiting:
            following[slot] = waiting.pop(0)
        running[slot], *rest = following[slot] or (IDLE,)
        following[slot] = tuple(rest)
        if running[slot] != IDLE:
            (continued if continues else begun).append((slot, running[slot]))
    busy = [slot for slot, model in enumerate(running) if model != IDLE]
    kept = None
    if busy and len(busy) < width and idle >= compile_cost:
        widths = slot_widths(width, multiple=multiple)
        narrower = min(narrower for narrower in widths if narrower >= len(busy))
        if narrower < width:
            idle_slots = [slot for slot, model in enumerate(running) if model == IDLE]
            kept, idle = tuple((busy + idle_slots)[:narrower]), 0
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
    return SlotChanges(after, tuple(continued), tuple(begun), kept)
