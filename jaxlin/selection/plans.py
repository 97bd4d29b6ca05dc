"""Plans of sweeps: number of slots, path segments, blocks of rows.

>>> import numpy as np
>>> import jaxlin
>>> from jaxlin import losses
>>> from jaxlin.selection import grids, plans
>>> rows, labels = np.ones((60, 3), np.float32), np.arange(60) % 3
>>> examples = jaxlin.problem(rows, labels).examples
>>> models = grids.product(
...     losses=(losses.softmax_cross_entropy,), l2s=(1e-1, 1e-2), num_weight_sets=5)
>>> made = plans.plan(models, examples, num_classes=3, slots=5)
>>> print(made)
5 models at once, 0 MB of states, blocks of 60 rows
>>> plans.segments(models, made, loss=0)[:2]
[(0, 1), (2, 3)]
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np

from jaxlin import check
from jaxlin.linear import Bias
from jaxlin.losses import conjugates
from jaxlin.numerics import device_mesh
from jaxlin.objective import block_sizes
from jaxlin.selection import grids
from jaxlin.selection.grids import Grid
from jaxlin.solvers import fit_checks, model_batch, optimizer_state
from jaxlin.solvers.interface import Examples


class _TuningConstants(NamedTuple):
    """Tuning constants of a sweep on a backend.

    Attributes:
      max_slots: number of slots above which matrix products get no faster and states
        only take memory.
      pieces: segments per regularisation path, all losses smooth.
      pieces_with_kinks: segments per regularisation path where a loss has kinks.
      compile_operations: floating point operations in the time of one compilation.
      operations_per_call: largest number of floating point operations between returns
        to the host; a call runs at least one iteration.
    """

    max_slots: int
    pieces: int
    pieces_with_kinks: int
    compile_operations: float
    operations_per_call: float


# A warm start helps a hinge less than a smooth loss: 5 folds x 16 l2 x softmax and
# Weston-Watkins on CIFAR-10 take 5,756 slot passes and 639 s in one piece per path,
# 6,727 and 547 s in two. The 26 largest of DINOv2's l2 take softmax 101 passes in one
# piece and 141, 158 and 189 in two, three and four, which takes longer. A program is
# compiled in two to three seconds on two cores at 100 to 200 GFLOP/s.
# `jaxlin.solvers.device_loop` gives the reason why the host checks after every
# iteration.
_ON_CPU = _TuningConstants(
    max_slots=32,
    pieces=1,
    pieces_with_kinks=2,
    compile_operations=3e11,
    operations_per_call=0,
)
# On an NVIDIA H200 a sweep of 45 l2 over 50,000 x 768 rows took 2.43 s in one piece,
# .94 in eight, .72 in 16, .67 in 32; hinges have not been timed there. 2e14 operations
# are five seconds of its matrix products.
_ON_ACCELERATOR = _TuningConstants(
    max_slots=128,
    pieces=16,
    pieces_with_kinks=16,
    compile_operations=2e14,
    operations_per_call=1e13,
)
# Iterations between checks by the host: an iteration takes at least one or two ms,
# however small the problem.
_MAX_ITERATIONS = 100


class Plan(NamedTuple):
    """Plan of a sweep, determined by the shapes and the machine alone.

    Attributes:
      slots: number of models that run at once, per batch; each loss has one batch.
      pieces: number of segments per regularisation path, per batch.
      block_size: rows per block of a pass.
      multiple: number of devices that models are spread over; the slots of each batch
        are a multiple of it.
      compile_cost: passes of idle slots that cost as much as compiling a program with
        fewer slots.
      iterations: largest number of iterations, one pass of all slots each, between
        checks by the host; a finished model ends the call earlier.
      num_pairs: number of L-BFGS pairs per model, fewer than usual where memory is
        short.
      bytes_per_slot: size of the state of one model, the largest over the losses; with
        a free bias half of what its search holds in a pass, too.
      bytes: size of all slots.
    """

    slots: tuple[int, ...]
    pieces: tuple[int, ...]
    block_size: int
    multiple: int
    compile_cost: int
    iterations: int
    num_pairs: int
    bytes_per_slot: int
    bytes: int

    def __str__(self) -> str:
        slots = " + ".join(map(str, self.slots))
        models = "model" if sum(self.slots) == 1 else "models"
        return (
            f"{slots} {models} at once, {self.bytes / 1e6:.0f} MB of states, blocks of "
            f"{self.block_size} rows"
        )


def segments(models: Grid, plan: Plan, *, loss: int) -> list[tuple[int, ...]]:
    """Path segments of a loss: models that follow each other in a slot.

    Args:
      models: grid from `jaxlin.selection.grids.product`.
      plan: plan from `plan`.
      loss: index of the loss in ``models.losses``.

    Returns:
      Indices of the models of each segment (`jaxlin.selection.grids.path_pieces`).
    """
    paths = np.unique(models.l2_path[models.loss == loss])
    pieces = grids.path_pieces(models, paths, pieces=plan.pieces[loss])
    return [tuple(map(int, piece)) for piece in pieces]


def plan(
    models: Grid,
    examples: Examples,
    *,
    num_classes: int,
    slots: int | None = None,
    memory_bytes: int | None = None,
    block_size: int | None = None,
) -> Plan:
    """Plan of a sweep: slots, segments and block size, from shapes and the machine.

    Of the machine count the backend and its memory, not how much of it is free.
    Under a mesh that spreads models (`jaxlin.sharding`), slots are rounded up to a
    multiple of its devices, and paths are cut into segments that fill them.

    Args:
      models: grid from `jaxlin.selection.grids.product`.
      examples: examples of a `jaxlin.Problem`.
      num_classes: number of classes C.
      slots: number of slots of all batches together, at least one per loss. None takes
        one per path, two if a loss has kinks, up to 32 and the memory limit; on
        accelerators 16 per path, up to 128. With more slots than paths the paths are
        cut into pieces: more passes in fewer iterations, which pays where a pass of
        many models costs hardly more than that of one.
      memory_bytes: largest size of the states of all running models, counted twice: an
        iteration holds the old and the new states. None is half of the memory of the
        device, or of the host, that the rows leave. Where that is too little for one
        slot per loss, models keep fewer pairs of L-BFGS, at least 5 instead of 20.
      block_size: rows per block of a pass; None chooses it from the shape and the
        backend.

    Raises:
      ValueError: if ``memory_bytes`` does not hold one slot per loss, or an argument is
        out of range.
    """
    fit_checks.check_concrete(examples=examples)
    fit_checks.check_classes(examples.targets, num_classes)
    memory = _memory(models, examples, num_classes, memory_bytes)
    per_slot = memory.bytes_per_slot
    tuning = _ON_ACCELERATOR if device_mesh.on_accelerator() else _ON_CPU
    shares, pieces = _shares(models, tuning, slots=slots, max_slots=memory.max_slots)
    width = int(shares.sum())
    device_mesh.check_memory(
        f"a sweep of {width} models at once",
        remedy="give fewer slots, or use fewer features or classes",
        states=2 * per_slot * width,
    )
    num_rows, num_features = examples.features.shape
    operations = 4 * num_rows * (num_features + 1) * num_classes
    iterations = round(tuning.operations_per_call / (operations * width))
    if block_size is None:
        block_size = block_sizes.rows_per_block(
            num_rows, num_features, num_scores=width * num_classes
        )
    check.integer("block_size", block_size, at_least=1)
    return Plan(
        slots=tuple(shares.tolist()),
        pieces=tuple(pieces.tolist()),
        block_size=block_size,
        multiple=device_mesh.axis_size(device_mesh.MODELS),
        compile_cost=round(tuning.compile_operations / operations),
        iterations=min(max(iterations, 1), _MAX_ITERATIONS),
        num_pairs=memory.num_pairs,
        bytes_per_slot=per_slot,
        bytes=per_slot * width,
    )


def plan_of_part(
    models: Grid, examples: Examples, *, num_classes: int, whole: Plan
) -> Plan:
    """Plan of a part of a grid: its own segments, in at most the slots of the whole.

    Args:
      models: the part, from `jaxlin.selection.grids.parts` and ``subset``.
      examples: examples of a `jaxlin.Problem`.
      num_classes: number of classes C.
      whole: plan of the whole grid, whose block size is kept.
    """
    make = functools.partial(
        plan, models, examples, num_classes=num_classes, block_size=whole.block_size
    )
    own = make()
    if sum(own.slots) > sum(whole.slots):
        own = make(slots=max(sum(whole.slots), len(models.losses)))
    return own._replace(num_pairs=whole.num_pairs)


def _shares(
    models: Grid, tuning: _TuningConstants, *, slots: int | None, max_slots: int
) -> tuple[np.ndarray, np.ndarray]:
    """Slots of each batch and pieces per path of each batch."""
    num_losses = len(models.losses)
    lengths = [
        np.unique(models.l2_path[models.loss == i], return_counts=True)[1]
        for i in range(num_losses)
    ]
    if slots is None:
        slots = min(_default_slots(models, lengths, tuning), max_slots)
    check.integer("slots", slots, at_least=num_losses, at_most=max_slots)
    return _cut(min(slots, models.size), lengths)


def _default_slots(
    models: Grid, lengths: Sequence[np.ndarray], tuning: _TuningConstants
) -> int:
    """One slot per segment of the default number of pieces, at least one per loss."""
    smooth = all(conjugates.of(loss).smooth for loss in models.losses)
    pieces = tuning.pieces if smooth else tuning.pieces_with_kinks
    num_segments = sum(int(np.minimum(own, pieces).sum()) for own in lengths)
    return max(len(models.losses), min(num_segments, tuning.max_slots))


def _cut(slots: int, lengths: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Slots of each batch, filled by segments, and pieces per path of each batch.

    Args:
      slots: largest number of slots; a multiple of the devices may exceed it.
      lengths: numbers of models of the paths of each batch.
    """
    multiple = device_mesh.axis_size(device_mesh.MODELS)
    shares = _proportional_slots(slots, np.array([own.sum() for own in lengths]))
    shares = -(-shares // multiple) * multiple
    pieces, num_segments = np.array(
        [_pieces(own, share) for own, share in zip(lengths, shares, strict=True)]
    ).T
    filled = -(-np.minimum(shares, num_segments) // multiple) * multiple
    # Idempotent: the number of slots of a plan gives the same plan again, and runs keep
    # that number.
    if multiple == 1 and filled.sum() < slots:
        return _cut(int(filled.sum()), lengths)
    return filled, pieces


def _pieces(lengths: np.ndarray, slots: int) -> tuple[int, int]:
    """Pieces per path that fit into the slots, and the resulting number of segments."""
    pieces = 1
    while (pieces < lengths.max()) and np.minimum(lengths, pieces + 1).sum() <= slots:
        pieces += 1
    return pieces, int(np.minimum(lengths, pieces).sum())


def _proportional_slots(slots: int, sizes: np.ndarray) -> np.ndarray:
    """Slots in proportion to the sizes of the batches, at least one each."""
    wanted = slots * sizes / sizes.sum()
    shares = np.clip(np.floor(wanted).astype(int), 1, sizes)
    for _ in range(slots - shares.sum()):
        short = np.where(shares < sizes, wanted - shares, -np.inf)
        shares[np.argmax(short)] += 1
    for _ in range(shares.sum() - slots):
        spare = np.where(shares > 1, shares - wanted, -np.inf)
        shares[np.argmax(spare)] -= 1
    return shares


class _Memory(NamedTuple):
    """Slots that fit into memory, and what they hold."""

    max_slots: int
    num_pairs: int
    bytes_per_slot: int


def _memory(
    models: Grid, examples: Examples, num_classes: int, memory_bytes: int | None
) -> _Memory:
    """Slots with as many L-BFGS pairs as leave one for each loss.

    The bytes are those of the largest loss.
    """
    origin, num_losses = "", len(models.losses)
    if memory_bytes is None:
        # The other half is for statistics of the rows, sums of a pass and results.
        features = examples.features
        rows = device_mesh.bytes_of(features) // device_mesh.num_shards(len(features))
        memory_bytes = max((device_mesh.memory_bytes() - rows) // 2, 1)
        origin = ", half of the memory that the rows leave"
    check.integer("memory_bytes", memory_bytes, at_least=1)
    for num_pairs in optimizer_state.NUMBERS_OF_PAIRS:
        per_slot = max(
            _bytes_of_slot(models, examples, loss, num_classes, num_pairs)
            for loss in models.losses
        )
        max_slots = memory_bytes // (2 * per_slot)
        if max_slots >= num_losses:
            return _Memory(max_slots, num_pairs, per_slot)
    raise ValueError(
        f"memory_bytes must hold a slot for each of {num_losses} losses, at "
        f"{2 * per_slot} bytes each for the state of a model of {num_classes} classes, "
        f"got {memory_bytes}{origin}; give more, or use fewer features or classes"
    )


def _bytes_of_slot(models, examples, loss, num_classes, num_pairs) -> int:
    """Bytes of the state of one model of a loss, from shapes alone."""
    first = int(np.argmax(models.loss == models.losses.index(loss)))
    batch = jax.eval_shape(
        lambda: model_batch.empty(
            1,
            examples,
            num_classes=num_classes,
            loss=loss,
            arguments=models.arguments_of(first),
            num_pairs=num_pairs,
            has_target_sets=models.target_set is not None,
        )
    )
    size = device_mesh.bytes_of(batch)
    if models.bias is Bias.FREE:
        num_rows = examples.features.shape[0]
        of_search = fit_checks.bias_search_bytes(
            loss, num_examples=num_rows, num_classes=num_classes
        )
        # Half, since all bytes of a slot are counted twice.
        size += of_search // (2 * device_mesh.num_shards(num_rows))
    return size
