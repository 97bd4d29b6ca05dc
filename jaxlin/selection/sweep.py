"""Hundreds of certified models of the same rows, a fixed number at a time.

`jaxlin.selection.grids` says which models, `jaxlin.selection.plans` with how much of
the machine. Models of one loss share a lane of slots (`jaxlin.solvers.lanes`), all
lanes share the pass over the rows, and `jaxlin.selection.schedule` says which model is
in which slot.

  >>> import jax, jax.numpy as jnp
  >>> from jaxlin import losses
  >>> from jaxlin.selection import folds, grids, plans, sweep
  >>> from jaxlin.solvers import base, certified
  >>> key = jax.random.key(0)
  >>> rows, labels = jax.random.normal(key, (60, 3)), jnp.arange(60) % 3
  >>> problem = certified.prepare(base.problem(rows, labels, num_classes=3))
  >>> fold_of = folds.stratified_k_fold(key, labels, num_folds=5)
  >>> models = grids.product(
  ...     losses=(losses.softmax_cross_entropy,), l2s=(1e-1, 1e-2), num_weightings=5)
  >>> fits = sweep.fit(
  ...     problem, models, num_classes=3,
  ...     plan=plans.plan(models, problem, num_classes=3),
  ...     weightings=folds.train_weights(fold_of, num_folds=5))
  >>> fits.params.weights.shape, bool(fits.converged.all())
  ((10, 3, 3), True)

A model begins where the one before it in its strand ended, which is the same but for a
larger l2, with all that was learnt of the loss there (`jaxlin.solvers.search.moved`);
the first of a strand begins at 0. `jaxlin.selection.plans` makes the strands. Nothing
is decided by a clock or by free memory: the same sweep takes the same steps on the same
machine, however busy. Elsewhere, with the same plan, only rounding makes another number
of evaluations.
"""

import collections
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxlin import check, duality, placement
from jaxlin.duality import Certificate
from jaxlin.linear import Params
from jaxlin.selection import plans, schedule
from jaxlin.selection.grids import Grid
from jaxlin.selection.plans import Plan
from jaxlin.selection.schedule import Board
from jaxlin.solvers import certified, fit_loop, lanes, turns
from jaxlin.solvers.base import Problem
from jaxlin.solvers.lanes import Lane
from jaxlin.typing import Array

# What the counter of a program holds.
_MOST_LEFT = np.iinfo(np.int32).max


class Finished(NamedTuple):
    """A model that has given its slot away, on the host.

    Attributes:
      params: the best, by their certificate, or by the objective alone where nothing
        better is proven than that the minimum is not negative.
      certificate: of those; numbers.
      evaluations: passes over the rows that it took part in.
    """

    params: Params
    certificate: Certificate
    evaluations: int


class Sweep(NamedTuple):
    """A sweep between two turns: all that the next one needs.

    Attributes:
      boards: one a loss.
      lanes: one a loss; None where all its models are finished.
      finished: by the number of the model.
    """

    boards: tuple[Board, ...]
    lanes: tuple[Lane | None, ...]
    finished: Mapping[int, Finished]


class Fits(NamedTuple):
    """What became of all models, one entry each, in the order of the grid.

    Attributes:
      params: weights ``(models, classes, features)``, bias ``(models, classes)``.
      certificate: four arrays ``(models,)``.
      relative_gap: gap and rounding over the objective, shape ``(models,)``.
      converged: whether that is what was asked for.
      evaluations: passes over the rows that each model took part in.
      paid: passes of slots, idle ones too, one number; at least the sum of the former.
    """

    params: Params
    certificate: Certificate
    relative_gap: np.ndarray
    converged: np.ndarray
    evaluations: np.ndarray
    paid: int


# Of the arguments and the result of `fit`: a caller of cross-validation or of a probe
# may give a function of its own that shows progress or saves what `run` yields.
FitModels = Callable[..., Fits]


def fit(
    problem: Problem,
    models: Grid,
    *,
    plan: Plan,
    num_classes: int,
    weightings: ArrayLike | None = None,
    relative_gap: float = 1e-3,
    max_evaluations: int | Sequence[int] = 1000,
    allow_one_class: bool = False,
) -> Fits:
    """Fits all models; arguments and errors as of `run`."""
    states = run(
        problem,
        models,
        plan=plan,
        num_classes=num_classes,
        weightings=weightings,
        relative_gap=relative_gap,
        max_evaluations=max_evaluations,
        allow_one_class=allow_one_class,
    )
    (last,) = collections.deque(states, maxlen=1)
    return collected(last, relative_gap=relative_gap)


def run(
    problem: Problem,
    models: Grid,
    *,
    plan: Plan,
    num_classes: int,
    weightings: ArrayLike | None = None,
    relative_gap: float = 1e-3,
    max_evaluations: int | Sequence[int] = 1000,
    allow_one_class: bool = False,
    resume: Sweep | None = None,
) -> Iterator[Sweep]:
    """Fits all models, some turns at a time: a turn evaluates what runs once.

    Args:
      problem: from `jaxlin.solvers.certified.prepare`. If it has example weights, the
        weightings are multiplied by them.
      models: from `jaxlin.selection.grids.product`.
      plan: from `jaxlin.selection.plans.plan`.
      num_classes: C.
      weightings: example weights to choose from, shape ``(weightings, examples)``;
        None is all ones. Rows that are 0 in all of them are still in the
        preconditioner: give those weight 0 in the problem.
      relative_gap: asked of every model.
      max_evaluations: of a model, after which it is taken as it is; one number, or
        one a model.
      allow_one_class: whether a weighting may leave examples of one class alone, as
        where the others are to count as wrong.
      resume: a state that an earlier run of the same arguments has yielded; its lanes
        are given away.

    Yields:
      The state whenever a model is finished, and after ``plan.turns`` turns at the
      latest. Its lanes are given away when the next is asked for.

    Raises:
      ValueError: at the call, that names the argument, the rule and the value.
    """
    fit_loop.check_concrete(
        problem=problem, weightings=weightings, max_evaluations=max_evaluations
    )
    check.number("relative_gap", relative_gap, above=0)
    budgets = _budgets(models, max_evaluations)
    by_row = weights_by_row(
        problem, models, weightings, allow_one_class=allow_one_class
    )
    for loss in models.losses:
        duality.check_rank(loss, problem.targets.ndim)
    if resume is not None and any(
        isinstance(leaf, jax.Array) and leaf.is_deleted()
        for leaf in jax.tree.leaves(resume.lanes)
    ):
        raise ValueError(
            "resume must be a state whose lanes have not been given away, got one that "
            "a run has gone on from; load it again, or copy the lanes before"
        )
    if len(plan.slots) != len(models.losses):
        raise ValueError(
            f"plan must be of these models, with {len(models.losses)} losses, got one "
            f"for {len(plan.slots)}; call plans.plan(models, ...)"
        )
    if plan.multiple != placement.axis_size(placement.MODELS):
        raise ValueError(
            "plan must be made under the mesh that the sweep runs under, got one for "
            f"{plan.multiple} devices that share models, not "
            f"{placement.axis_size(placement.MODELS)}; call plans.plan there"
        )
    fit_loop.check_norms(certified.curvature_of(problem).norms)
    fit_loop.check_classes(problem.targets, num_classes)
    state = resume or _begun(problem, models, plan, num_classes)
    return _states(problem, models, plan, by_row, relative_gap, budgets, state)


def collected(state: Sweep, *, relative_gap: float) -> Fits:
    """The finished models of a sweep that is over, as arrays.

    Args:
      state: the last that `run` has yielded.
      relative_gap: what was asked for.
    """
    if not all(board.is_over for board in state.boards):
        raise ValueError(
            "state must be of a sweep that is over, got one with models still running; "
            "take the last that run yields"
        )
    models = [state.finished[model] for model in range(len(state.finished))]
    params, certificate = jax.tree.map(
        lambda *leaves: np.stack(leaves),
        *((one.params, one.certificate) for one in models),
    )
    gaps = np.asarray(duality.relative_gap(certificate))
    return Fits(
        params,
        certificate,
        relative_gap=gaps,
        converged=gaps <= relative_gap,
        evaluations=np.array([one.evaluations for one in models]),
        paid=sum(board.paid for board in state.boards),
    )


def _states(problem, models, plan, by_row, relative_gap, budgets, state):
    if len(state.finished) == models.size:
        yield state
    while len(state.finished) < models.size:
        active = [i for i, lane in enumerate(state.lanes) if lane is not None]
        running, over, evaluations = turns.run(
            tuple(state.lanes[i] for i in active),
            problem,
            by_row,
            tuple(_ends(state.boards[i], budgets, relative_gap) for i in active),
            losses=tuple(models.losses[i] for i in active),
            most=plan.turns,
            block_size=plan.block_size,
        )
        over, evaluations = placement.on_host((over, evaluations))
        for place, i in enumerate(active):
            state = _given_slots(
                state._replace(lanes=_replaced(state.lanes, i, running[place])),
                models,
                problem,
                by_row,
                number=i,
                over=over[place],
                evaluations=int(evaluations),
                plan=plan,
            )
        yield state


def _ends(board: Board, budgets: np.ndarray, relative_gap: float) -> turns.Ends:
    """When the models of a lane are over."""
    running, had = np.array(board.running), np.array(board.evaluations)
    return turns.Ends(
        relative_gap=np.float32(relative_gap),
        # The last entry stands for idle slots, whose number is -1.
        left=np.minimum(budgets[running] - had, _MOST_LEFT).astype(np.int32),
        is_new=np.array(board.is_first) & (had == 0),
        is_idle=running == schedule.IDLE,
    )


def _given_slots(
    state: Sweep,
    models: Grid,
    problem: Problem,
    by_row: Array | None,
    *,
    number: int,
    over: np.ndarray,
    evaluations: int,
    plan: Plan,
) -> Sweep:
    """The state with a lane's finished models out of their slots and others in."""
    board, lane, loss = state.boards[number], state.lanes[number], models.losses[number]
    assert lane is not None, "a lane with models running"
    finished = dict(state.finished)
    for slot, model in enumerate(board.running):
        if over[slot]:
            taken = lanes.taken(lane, jnp.int32(slot))
            params, certificate = placement.on_host(taken)
            count = board.evaluations[slot] + evaluations
            finished[model] = Finished(params, certificate, count)
    turn = schedule.after_turn(
        board,
        finished=tuple(map(bool, over)),
        evaluations=evaluations,
        price=plan.price,
        multiple=plan.multiple,
    )
    for slot, model in turn.moved:
        l2 = float(models.l2[model])
        lane = lanes.move(lane, slot, problem, by_row, loss=loss, l2=l2)
    for slot, model in turn.filled:
        lane = _placed(lane, slot, models, model)
    if turn.kept is not None:
        lane = lanes.narrow(lane, jnp.array(turn.kept))
    return Sweep(
        _replaced(state.boards, number, turn.board),
        _replaced(state.lanes, number, None if turn.board.is_over else lane),
        finished,
    )


def _replaced(entries: tuple[Any, ...], number: int, new: Any) -> tuple[Any, ...]:
    return (*entries[:number], new, *entries[number + 1 :])


def _begun(problem: Problem, models: Grid, plan: Plan, num_classes: int) -> Sweep:
    """The state before the first turn: the first strands are in their slots."""
    boards, filled = [], []
    for number, loss in enumerate(models.losses):
        strands = plans.strands(models, plan, loss=number)
        board = schedule.begin(
            strands, slots=plan.slots[number], multiple=plan.multiple
        )
        lane = lanes.empty(
            len(board.running),
            problem,
            num_classes=num_classes,
            loss=loss,
            arguments=models.arguments_of(strands[0][0]),
        )
        for slot, model in enumerate(board.running):
            if model != schedule.IDLE:
                lane = _placed(lane, slot, models, model)
        boards.append(board)
        filled.append(lane)
    return Sweep(tuple(boards), tuple(filled), {})


def _placed(lane: Lane, slot: int, models: Grid, model: int) -> Lane:
    """A model put into a slot, at 0."""
    return lanes.place(
        lane,
        slot,
        loss=models.losses[models.loss[model]],
        l2=float(models.l2[model]),
        loss_arguments=models.arguments_of(model),
        weighting=int(models.weighting[model]),
    )


def _budgets(models: Grid, max_evaluations: int | Sequence[int]) -> np.ndarray:
    """Evaluations that each model may take."""
    budgets = np.asarray(max_evaluations)
    if budgets.dtype.kind not in "iu" or budgets.shape not in ((), (models.size,)):
        raise ValueError(
            f"max_evaluations must be an integer, or {models.size} of them for these "
            f"models, got {max_evaluations!r:.80}"
        )
    check.integer("max_evaluations", int(budgets.min()), at_least=1)
    return np.broadcast_to(budgets, models.size)


def weights_by_row(
    problem: Problem,
    models: Grid,
    weightings: ArrayLike | None,
    *,
    allow_one_class: bool = False,
) -> Array | None:
    """Example weights with rows first, checked, those of the problem counted in.

    Args:
      problem: as of `run`, like the other arguments and the errors.
      models: see ``problem``.
      weightings: see ``problem``.
      allow_one_class: see ``problem``.

    Returns:
      Shape ``(examples, weightings)``; None where every example counts once.
    """
    wanted = int(models.weighting.max()) + 1
    own, num_rows = problem.example_weights, problem.features.shape[0]
    if weightings is None:
        if wanted > 1:
            raise ValueError(
                f"weightings must be given for models of {wanted} of them, got None"
            )
        return None if own is None else jnp.asarray(own, jnp.float32)[:, None]
    shape = np.shape(weightings)
    if len(shape) != 2 or shape[0] < wanted or shape[1] != num_rows:
        raise ValueError(
            f"weightings must have shape ({wanted}, {num_rows}) for these models and "
            f"rows, got {shape}" + placement.remedy("jaxlin.sharding.weightings")
        )
    if placement.is_spread(weightings):
        # Checked where they, or the folds that they are of, were spread; of several
        # processes none sees all of them.
        by_row = jnp.asarray(weightings).T
    else:
        checked = [
            check.example_weights(f"weightings[{i}]", one, num_examples=num_rows)
            for i, one in enumerate(np.asarray(weightings))
        ]
        targets, counted = np.asarray(problem.targets), 1 if own is None else own
        for i, one in enumerate(() if allow_one_class else checked):
            check.several_classes(
                f"targets of weightings[{i}]",
                targets,
                example_weights=one * np.asarray(counted),
            )
        by_row = jnp.asarray(np.stack(checked, axis=1), jnp.float32)
    if own is not None:
        by_row = by_row * jnp.asarray(own, jnp.float32)[:, None]
    return placement.spread(by_row, placement.ROWS)
