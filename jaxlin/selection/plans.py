"""With how much of the machine a sweep runs: slots, segments, blocks of rows.

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

from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np

from jaxlin import check
from jaxlin.losses import conjugates
from jaxlin.numerics import device_mesh
from jaxlin.objective import row_sums
from jaxlin.selection.grids import Grid
from jaxlin.solvers import fit_loop, model_batch
from jaxlin.solvers.interface import Examples

_MEMORY_BYTES = 2 * 2**30


class _TuningConstants(NamedTuple):
    """What pays on a kind of machine.

    Attributes:
      max_slots: with more the products get no faster, and states take memory.
      pieces: segments that an l2_path of models is cut into.
      pieces_of_hinges: the same where a loss has kinks.
      of_program: operations of the products, in the time that compiling one takes.
      at_once: operations before it comes back to the host, at most; an iteration at
        least.
    """

    max_slots: int
    pieces: int
    pieces_of_hinges: int
    of_program: float
    at_once: float


# Rounds of a hinge learn less from the model before than a smooth loss does: 5 folds x
# 16 l2 x softmax and Weston-Watkins on CIFAR-10 take 5,756 evaluations of slots and
# 639 s in one piece an l2_path, 6,727 and 547 s in two. A program is compiled in two to
# three seconds of two cores at 100 to 200 GFLOP/s. `jaxlin.solvers.device_loop` says
# why the host looks after every iteration.
_ON_CPU = _TuningConstants(
    max_slots=32, pieces=1, pieces_of_hinges=2, of_program=3e11, at_once=0
)
# On an NVIDIA H200 a sweep of 45 l2 over 50,000 x 768 rows took 2.43 s in one piece,
# .94 in eight, .72 in 16, .67 in 32; hinges have not been timed there. 2e14 operations
# are five seconds of its products.
_ON_ACCELERATOR = _TuningConstants(
    max_slots=128, pieces=16, pieces_of_hinges=16, of_program=2e14, at_once=1e13
)
# Before the host has a look: iterations of small problems take a ms or two, however
# small.
_MOST_ITERATIONS = 100


class Plan(NamedTuple):
    """How a sweep uses the machine; decided by shapes and the kind of machine.

    Attributes:
      slots: of each batch, one a loss: models of it that run at once.
      pieces: of each batch: segments that each of its l2_paths is cut into.
      block_size: rows a block of the pass.
      multiple: of which each batch's slots are one: devices that models are spread
        over.
      compile_cost: evaluations that idle slots may cost before a narrower program is
        compiled.
      iterations: that are taken, an evaluation of all slots each, before the host has a
        look, if no model is finished earlier.
      bytes_per_slot: state of one model, the most of any loss.
      bytes: of all slots.
    """

    slots: tuple[int, ...]
    pieces: tuple[int, ...]
    block_size: int
    multiple: int
    compile_cost: int
    iterations: int
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
    """Models of a loss that follow each other in a slot, l2 from large to small.

    An l2_path that is cut in k pieces gives each of them every k-th of its l2: so all
    of them begin where fits are easy.

    Args:
      models: from `jaxlin.selection.grids.product`.
      plan: from `plan`.
      loss: number of the loss.
    """
    found = []
    for l2_path in np.unique(models.l2_path[models.loss == loss]):
        mine = np.flatnonzero(models.l2_path == l2_path)
        mine = mine[np.argsort(-models.l2[mine], kind="stable")]
        pieces = (mine[i :: plan.pieces[loss]] for i in range(plan.pieces[loss]))
        found += [tuple(map(int, piece)) for piece in pieces if len(piece)]
    return found


def plan(
    models: Grid,
    examples: Examples,
    *,
    num_classes: int,
    slots: int | None = None,
    memory_bytes: int = _MEMORY_BYTES,
    block_size: int | None = None,
) -> Plan:
    """Says how many models run at once, and in what memory.

    Under a mesh that spreads models (`jaxlin.sharding`), slots are rounded up to a
    multiple of its devices, and l2_paths cut to fill them.

    Args:
      models: from `jaxlin.selection.grids.product`.
      examples: of a problem.
      num_classes: C.
      slots: in all batches together; None takes one for each l2_path, two if a loss has
        kinks, up to 32 and what the memory holds; on accelerators 16 for each l2_path,
        up to 128. With more slots than l2_paths these are cut in pieces: more
        evaluations in fewer iterations. The 26 largest of DINOv2's l2 take softmax on
        CIFAR-10 101 evaluations in one piece and 141, 158 and 189 in two, three and
        four, which on two cores takes longer; it pays where many models cost hardly
        more than one.
      memory_bytes: what the states of running models may take, with as much again while
        one iteration's states are made of the last one's.
      block_size: rows a block; None chooses it from the shape and the kind of machine.

    Raises:
      ValueError: if there is not room for one slot a loss.
    """
    fit_loop.check_concrete(examples=examples)
    fit_loop.check_classes(examples.targets, num_classes)
    per_slot = max(
        _bytes_of_slot(models, examples, loss, num_classes) for loss in models.losses
    )
    check.integer("memory_bytes", memory_bytes, at_least=1)
    most = memory_bytes // (2 * per_slot)
    num_losses = len(models.losses)
    if most < num_losses:
        raise ValueError(
            f"memory_bytes must hold a slot for each of {num_losses} losses, at "
            f"{2 * per_slot} bytes each for the state of a model of {num_classes} "
            f"classes, got {memory_bytes}; give more, or use fewer features or classes"
        )
    lengths = [
        np.unique(models.l2_path[models.loss == i], return_counts=True)[1]
        for i in range(num_losses)
    ]
    smooth = all(conjugates.of(loss).smooth for loss in models.losses)
    tuning = _ON_ACCELERATOR if device_mesh.on_accelerator() else _ON_CPU
    if slots is None:
        usual = tuning.pieces if smooth else tuning.pieces_of_hinges
        wanted = sum(int(np.minimum(its, usual).sum()) for its in lengths)
        slots = max(num_losses, min(wanted, most, tuning.max_slots))
    check.integer("slots", slots, at_least=num_losses, at_most=most)
    shares, pieces = _cut(min(slots, models.size), lengths)
    width = int(shares.sum())
    device_mesh.check_memory(
        f"a sweep of {width} models at once",
        remedy="give fewer slots, or use fewer features or classes",
        states=2 * per_slot * width,
    )
    num_rows, num_features = examples.features.shape
    operations = 4 * num_rows * (num_features + 1) * num_classes
    iterations = round(tuning.at_once / (operations * width))
    if block_size is None:
        block_size = row_sums.block_rows(
            num_rows, num_features, num_scores=width * num_classes
        )
    check.integer("block_size", block_size, at_least=1)
    return Plan(
        slots=tuple(shares.tolist()),
        pieces=tuple(pieces.tolist()),
        block_size=block_size,
        multiple=device_mesh.axis_size(device_mesh.MODELS),
        compile_cost=round(tuning.of_program / operations),
        iterations=min(max(iterations, 1), _MOST_ITERATIONS),
        bytes_per_slot=per_slot,
        bytes=per_slot * width,
    )


def _cut(slots: int, lengths: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Slots of each batch, which segments fill, and the pieces of its l2_paths.

    Args:
      slots: at most so many, unless devices that share models want more.
      lengths: of the l2_paths of each batch.
    """
    multiple = device_mesh.axis_size(device_mesh.MODELS)
    shares = _shared_out(slots, np.array([its.sum() for its in lengths]))
    shares = -(-shares // multiple) * multiple
    pieces, strands_of = np.array(
        [_pieces(its, share) for its, share in zip(lengths, shares, strict=True)]
    ).T
    filled = -(-np.minimum(shares, strands_of) // multiple) * multiple
    # So that a plan is what its own number of slots gives, which runs keep.
    if multiple == 1 and filled.sum() < slots:
        return _cut(int(filled.sum()), lengths)
    return filled, pieces


def _pieces(lengths: np.ndarray, slots: int) -> tuple[int, int]:
    """Into how many pieces l2_paths are cut for so many slots; segments that makes."""
    pieces = 1
    while (pieces < lengths.max()) and np.minimum(lengths, pieces + 1).sum() <= slots:
        pieces += 1
    return pieces, int(np.minimum(lengths, pieces).sum())


def _shared_out(slots: int, sizes: np.ndarray) -> np.ndarray:
    """Slots of batches of these sizes: at least one each, else in proportion."""
    wanted = slots * sizes / sizes.sum()
    shares = np.clip(np.floor(wanted).astype(int), 1, sizes)
    for _ in range(slots - shares.sum()):
        short = np.where(shares < sizes, wanted - shares, -np.inf)
        shares[np.argmax(short)] += 1
    for _ in range(shares.sum() - slots):
        spare = np.where(shares > 1, shares - wanted, -np.inf)
        shares[np.argmax(spare)] -= 1
    return shares


def _bytes_of_slot(models, examples, loss, num_classes) -> int:
    """State of one model of a loss, by shapes alone."""
    first = int(np.argmax(models.loss == models.losses.index(loss)))
    batch = jax.eval_shape(
        lambda: model_batch.empty(
            1,
            examples,
            num_classes=num_classes,
            loss=loss,
            arguments=models.arguments_of(first),
        )
    )
    return device_mesh.bytes_of(batch)
