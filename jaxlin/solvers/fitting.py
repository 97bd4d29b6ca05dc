r"""Arrays in, parameters and certificate out: certified fits in one call.

  >>> import jax
  >>> from jaxlin import losses
  >>> from jaxlin.solvers import fitting
  >>> rows = jax.random.normal(jax.random.key(0), (200, 5))
  >>> labels = (rows[:, 0] > 0).astype(int)
  >>> fitted = fitting.fit(rows, labels, loss=losses.weston_watkins_hinge, l2=1e-2)
  >>> fitted.converged, fitted.params.weights.shape
  (True, (2, 5))
  >>> bool(fitted.relative_gap < 1e-4)
  True

`fit` prepares the problem (one factorisation of its second moment) and stops when the
requested relative gap is proven. Several fits of the same rows share the preparation:
`prepare` once, then `fit_prepared`, or `path` for a list of l2 with warm starts. Rows
in memory maps larger than memory are fitted by `jaxlin.solvers.streaming`.

float32 carries a proof of about 1e-5 to 1e-6 of the objective. With ``polish=True`` a
fit goes on in float64 from where float32 ends, whatever `jax.config` says; its
parameters are then float64 NumPy arrays.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxlin import check, duality
from jaxlin.duality import Certificate
from jaxlin.linear import Params
from jaxlin.normalization import Normalization
from jaxlin.solvers import base, certified, curvature, search
from jaxlin.solvers.base import Problem, Settings
from jaxlin.typing import Loss, LossArguments


class Fit(NamedTuple):
    """A fitted model and the proof of how good it is.

    Attributes:
      params: float32, or float64 after a polish; bias penalised like the weights.
      certificate: of ``params``; Python floats.
      relative_gap: gap and rounding over the objective: what was proven.
      converged: whether that is what was asked for.
      evaluations: passes over the rows, of which ``float64_evaluations`` in float64.
      float64_evaluations: passes of the polish.
      multipliers: of a hinge, for warm starts.
      loss: the loss.
      l2: strength of half the sum of squares.
    """

    params: Params
    certificate: Certificate
    relative_gap: float
    converged: bool
    evaluations: int
    float64_evaluations: int
    multipliers: search.Multipliers
    loss: Loss
    l2: float


# Larger rows may overflow float32 where products of them are squared.
_LARGEST_NORM = 1e12

# ``(evaluations so far, info of the last)``, called after each evaluation.
Watch = Callable[[int, search.Info], None]


class Start(NamedTuple):
    """Where a fit begins; multipliers None are 0."""

    params: Params
    multipliers: search.Multipliers | None


class Turn(NamedTuple):
    """What is known after an evaluation.

    Attributes:
      params: the best so far.
      multipliers: the latest.
      info: of the evaluation.
    """

    params: Params
    multipliers: search.Multipliers
    info: search.Info


def fit(
    features: ArrayLike,
    labels: ArrayLike,
    *,
    loss: Loss,
    l2: float,
    num_classes: int | None = None,
    relative_gap: float = 1e-4,
    loss_arguments: LossArguments | None = None,
    example_weights: ArrayLike | None = None,
    normalization: Normalization | None = None,
    start: Params | Fit | None = None,
    max_evaluations: int = 1000,
    polish: bool = False,
    watch: Watch | None = None,
) -> Fit:
    """Fits a linear classifier to a proven gap.

    Args:
      features: raw rows, uint8 or floating, shape ``(examples, features)``; features
        that are not normalised should be of size about 1. Only a polish keeps the
        digits of float64 data; otherwise what is fitted is their float32 rounding.
      labels: ``(examples,)`` in [0, num_classes); for `jaxlin.losses.cross_entropy`
        distributions ``(examples, num_classes)``.
      loss: one of the six losses that have a conjugate (`jaxlin.conjugates`).
      l2: strength of half the sum of squares, bias included, above 0; 1 / (C n) for
        scikit-learn's C.
      num_classes: None takes the largest label plus one.
      relative_gap: bound asked for on (objective - optimum) / objective, above 0.
      loss_arguments: such as ``{"margin": 1.0}``, above 0.
      example_weights: shape ``(examples,)``, non-negative; None is all ones.
      normalization: applied to each row, or None.
      start: parameters, or an earlier fit of the same rows, to start from; None is 0.
      max_evaluations: passes over the rows after which to give up.
      polish: whether to go on in float64 where float32 cannot prove what is asked for.
      watch: called as ``watch(evaluations, info)`` after each evaluation.

    Returns:
      A fit; ``converged`` says whether the gap was proven, ``relative_gap`` what was.

    Raises:
      ValueError: that names the argument, the rule and the value.
    """
    if num_classes is None:
        num_classes = _classes_of(labels)
    how: dict[str, Any] = {
        "loss": loss,
        "l2": l2,
        "relative_gap": relative_gap,
        "loss_arguments": loss_arguments,
        "max_evaluations": max_evaluations,
    }
    check_settings(targets_rank=np.ndim(labels), **how)
    # A polish of float64 data is of them, not of what float32 leaves of them.
    data = (features, labels, example_weights, *(normalization or ()))
    keep = polish and any(
        getattr(part, "dtype", np.float64) == np.float64
        for part in data
        if part is not None
    )
    with jax.enable_x64(True) if keep else contextlib.nullcontext():
        problem = base.problem(
            features,
            labels,
            num_classes=num_classes,
            example_weights=example_weights,
            normalization=normalization,
        )
        starting_point(start, num_classes, problem.features.shape[1])
        return fit_prepared(
            certified.prepare(problem, rank=curvature.rank_for(loss)),
            num_classes=num_classes,
            start=start,
            polish=polish,
            watch=watch,
            **how,
        )


def fit_prepared(
    problem: Problem,
    *,
    num_classes: int,
    loss: Loss,
    l2: float,
    relative_gap: float = 1e-4,
    loss_arguments: LossArguments | None = None,
    start: Params | Fit | None = None,
    max_evaluations: int = 1000,
    polish: bool = False,
    watch: Watch | None = None,
) -> Fit:
    """`fit` on a problem from `jaxlin.solvers.certified.prepare`, which fits can share.

    Arguments, result and errors are those of `fit`. The rows have the dtype in which
    `jaxlin.solvers.base.problem` put them on the device: for a polish of float64 rows
    make problem and fits under ``jax.enable_x64(True)``.
    """
    check_settings(
        loss=loss,
        l2=l2,
        targets_rank=problem.targets.ndim,
        relative_gap=relative_gap,
        loss_arguments=loss_arguments,
        max_evaluations=max_evaluations,
    )
    _check_classes(problem.targets, num_classes)
    if problem.curvature is not None:
        check_norms(problem.curvature.norms)
    solver = certified.solver(loss=loss)
    settings = Settings(l2=l2, loss_arguments=loss_arguments)

    def turns(start: Start, budget: int) -> Iterator[Turn]:
        state = solver.init(start.params, problem, settings)
        state = search.resumed(state, start.multipliers)
        for _, after, info in base.run(
            solver, jax.random.key(0), state, problem, settings, num_steps=budget
        ):
            info = jax.tree.map(lambda leaf: leaf[-1], info)
            multipliers = search.Multipliers(after.centers, after.smoothing)
            yield Turn(after.params, multipliers, info)

    return certify(
        turns,
        start=starting_point(start, num_classes, problem.features.shape[1]),
        loss=loss,
        l2=l2,
        relative_gap=relative_gap,
        max_evaluations=max_evaluations,
        polish=polish,
        watch=watch,
    )


def certify(
    turns: Callable[[Start, int], Iterator[Turn]],
    *,
    start: Start,
    loss: Loss,
    l2: float,
    relative_gap: float,
    max_evaluations: int,
    polish: bool,
    watch: Watch | None,
) -> Fit:
    """Takes turns until the gap is proven: in float32, and in float64 if asked for.

    Args:
      turns: ``(start, budget)`` to an iterator with one item an evaluation. The dtype
        of the parameters at the start decides that of everything.
      start: where to begin.
      loss: goes into the fit, like ``l2``.
      l2: see ``loss``.
      relative_gap: asked for.
      max_evaluations: budget of float32 and float64 together.
      polish: whether to go on in float64.
      watch: called after each evaluation.
    """

    def run(start: Start, dtype: type, before: int) -> Fit:
        params = Params(*(jnp.asarray(leaf, dtype) for leaf in start.params))
        start = start._replace(params=params)
        for done, turn in enumerate(turns(start, max_evaluations - before), 1):
            info = jax.tree.map(np.asarray, turn.info)
            if watch is not None:
                watch(before + done, info)
            if info.relative_gap <= relative_gap or info.stalled:
                break
        return Fit(
            params=jax.tree.map(np.asarray, turn.params),
            certificate=Certificate(*(leaf.item() for leaf in info.certificate)),
            relative_gap=float(info.relative_gap),
            converged=bool(info.relative_gap <= relative_gap),
            evaluations=before + done,
            float64_evaluations=done if dtype is np.float64 else 0,
            multipliers=jax.tree.map(np.asarray, turn.multipliers),
            loss=loss,
            l2=float(l2),
        )

    fitted = run(start, np.float32, 0)
    if polish and not fitted.converged and fitted.evaluations < max_evaluations:
        with jax.enable_x64(True):
            polished = run(
                Start(fitted.params, fitted.multipliers),
                np.float64,
                fitted.evaluations,
            )
        # Where the polish was cut short, float32 may still have proven more.
        best = min(polished, fitted, key=lambda found: found.relative_gap)
        return best._replace(
            evaluations=polished.evaluations,
            float64_evaluations=polished.float64_evaluations,
        )
    return fitted._replace(params=Params(*map(jnp.asarray, fitted.params)))


def path(
    problem: Problem,
    *,
    l2s: Sequence[float],
    start: Params | Fit | None = None,
    **how: Any,
) -> Iterator[Fit]:
    """Fits a list of l2, each from the solution of the one before.

    Args:
      problem: from `jaxlin.solvers.certified.prepare`.
      l2s: distinct numbers above 0; from large to small is fastest.
      start: of the first fit.
      **how: the other arguments of `fit_prepared`.

    Yields:
      A fit for each l2, in the order given.

    Raises:
      ValueError: at the call, if an l2 is not above 0.
    """
    return _path(problem, check.numbers_list("l2s", l2s, above=0), start, how)


def _path(problem, l2s, previous, how):
    for l2 in l2s:
        previous = fit_prepared(problem, l2=l2, start=previous, **how)
        yield previous


def check_settings(
    *,
    loss: Loss,
    l2: float,
    targets_rank: int,
    relative_gap: float,
    loss_arguments: LossArguments | None,
    max_evaluations: int,
) -> None:
    """Raises a ValueError for settings that no certified fit can have."""
    duality.check_certifiable(loss=loss, l2=l2, loss_arguments=loss_arguments)
    duality.check_rank(loss, targets_rank)
    check.number("relative_gap", relative_gap, above=0)
    check.integer("max_evaluations", max_evaluations, at_least=1)


def check_norms(norms: ArrayLike) -> None:
    """Raises a ValueError for rows so large that sums of their squares overflow."""
    largest = float(np.max(norms))
    if not largest < _LARGEST_NORM:
        raise ValueError(
            f"features must have norms below {_LARGEST_NORM:g} once normalised, got "
            f"{largest:g}; scale them to size about 1 (jaxlin.normalization)"
        )


def _check_classes(targets: jax.Array, num_classes: int) -> None:
    """Raises a ValueError if a prepared problem is not one of so many classes."""
    check.integer("num_classes", num_classes, at_least=2)
    found = targets.shape[1] if targets.ndim == 2 else int(jnp.max(targets)) + 1
    if found > num_classes or (targets.ndim == 2 and found < num_classes):
        raise ValueError(
            f"num_classes must be that of the problem, which has {found}, got "
            f"{num_classes}"
        )


def _classes_of(labels: ArrayLike) -> int:
    array = np.asarray(labels)
    if array.ndim == 2:
        return array.shape[1]
    if array.dtype.kind not in "iu" or array.size == 0:
        # The problem's own check will say what is wrong with them.
        return 2
    return max(2, int(array.max()) + 1)


def starting_point(
    given: Params | Fit | None, num_classes: int, num_features: int
) -> Start:
    """Parameters and multipliers to start from; zeros if none are given."""
    shape = (num_classes, num_features)
    start = given.params if isinstance(given, Fit) else given
    multipliers = given.multipliers if isinstance(given, Fit) else None
    if start is None:
        start = Params(jnp.zeros(shape), jnp.zeros(num_classes))
    if np.shape(start.weights) != shape or np.shape(start.bias) != shape[:1]:
        raise ValueError(
            f"start must have weights {shape} and bias {shape[:1]}, got "
            f"{np.shape(start.weights)} and {np.shape(start.bias)}"
        )
    if not all(np.isfinite(leaf).all() for leaf in start):
        raise ValueError("start must be finite, got parameters with NaN or infinity")
    return Start(start, multipliers)
