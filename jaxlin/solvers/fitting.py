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

import inspect
import numbers
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxlin import check, conjugates, losses
from jaxlin.duality import Certificate
from jaxlin.linear import Params
from jaxlin.normalization import Normalization
from jaxlin.solvers import base, certified
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
      centers: multipliers of a hinge, for warm starts, ``(examples, classes)``.
      loss: the loss.
      l2: strength of half the sum of squares.
    """

    params: Params
    certificate: Certificate
    relative_gap: float
    converged: bool
    evaluations: int
    float64_evaluations: int
    centers: ArrayLike
    loss: Loss
    l2: float


# ``(evaluations so far, info of the last)``, called after each evaluation.
Watch = Callable[[int, certified.Info], None]
# An item an evaluation: how many there were, the best parameters, multipliers, info.
Turns = Iterator[tuple[int, Params, ArrayLike, certified.Info]]


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
        that are not normalised should be of size about 1.
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
    check_settings(
        loss=loss,
        l2=l2,
        targets_rank=np.ndim(labels),
        relative_gap=relative_gap,
        loss_arguments=loss_arguments,
        max_evaluations=max_evaluations,
    )
    problem = base.problem(
        features,
        labels,
        num_classes=num_classes,
        example_weights=example_weights,
        normalization=normalization,
    )
    return fit_prepared(
        certified.prepare(problem),
        num_classes=num_classes,
        loss=loss,
        l2=l2,
        relative_gap=relative_gap,
        loss_arguments=loss_arguments,
        start=start,
        max_evaluations=max_evaluations,
        polish=polish,
        watch=watch,
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

    Arguments, result and errors are those of `fit`.
    """
    check_settings(
        loss=loss,
        l2=l2,
        targets_rank=problem.targets.ndim,
        relative_gap=relative_gap,
        loss_arguments=loss_arguments,
        max_evaluations=max_evaluations,
    )
    solver = certified.solver(loss=loss)
    settings = Settings(l2=l2, loss_arguments=loss_arguments)

    def turns(params: Params, centers: ArrayLike | None, budget: int) -> Turns:
        state = solver.init(params, problem, settings)
        if centers is not None and np.shape(centers) == state.centers.shape:
            state = state._replace(centers=jnp.array(centers, state.centers.dtype))
        for done, after, info in base.run(
            solver, jax.random.key(0), state, problem, settings, num_steps=budget
        ):
            info = jax.tree.map(lambda leaf: leaf[-1], info)
            yield done, after.params, after.centers, info

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
    turns: Callable[[Params, ArrayLike | None, int], Turns],
    *,
    start: tuple[Params, ArrayLike | None],
    loss: Loss,
    l2: float,
    relative_gap: float,
    max_evaluations: int,
    polish: bool,
    watch: Watch | None,
) -> Fit:
    """Takes turns until the gap is proven: in float32, and in float64 if asked for.

    Args:
      turns: ``(parameters, multipliers, budget)`` to an iterator with one item an
        evaluation. The dtype of the parameters decides that of everything.
      start: parameters and multipliers, or None for 0.
      loss: goes into the fit, like ``l2``.
      l2: see ``loss``.
      relative_gap: asked for.
      max_evaluations: budget of float32 and float64 together.
      polish: whether to go on in float64.
      watch: called after each evaluation.
    """

    def run(params: Params, centers: ArrayLike | None, dtype: type, before: int) -> Fit:
        params = Params(*(jnp.asarray(leaf, dtype) for leaf in params))
        for done, latest, multipliers, info in turns(
            params, centers, max_evaluations - before
        ):
            params, centers = latest, multipliers
            info = jax.tree.map(np.asarray, info)
            if watch is not None:
                watch(before + done, info)
            if info.relative_gap <= relative_gap or info.stalled:
                break
        return Fit(
            params=jax.tree.map(np.asarray, params),
            certificate=Certificate(*(leaf.item() for leaf in info.certificate)),
            relative_gap=float(info.relative_gap),
            converged=bool(info.relative_gap <= relative_gap),
            evaluations=before + done,
            float64_evaluations=done if dtype is np.float64 else 0,
            centers=np.asarray(centers),
            loss=loss,
            l2=float(l2),
        )

    fitted = run(*start, np.float32, 0)
    if polish and not fitted.converged and fitted.evaluations < max_evaluations:
        with jax.enable_x64(True):
            polished = run(
                fitted.params, fitted.centers, np.float64, fitted.evaluations
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
    conjugates.of(loss)
    wants = 2 if loss is losses.cross_entropy else 1
    if targets_rank != wants:
        kinds = {1: "labels (examples,)", 2: "distributions (examples, classes)"}
        raise ValueError(
            f"labels must be {kinds[wants]} for {_name(loss)}, got an array of rank "
            f"{targets_rank}; for distributions use jaxlin.losses.cross_entropy"
        )
    if isinstance(l2, numbers.Real) and l2 == 0:
        raise ValueError(
            "l2 must be above 0, got 0; without it the optimum may not exist and no "
            "certificate does"
        )
    check.number("l2", l2, above=0)
    check.number("relative_gap", relative_gap, above=0)
    check.integer("max_evaluations", max_evaluations, at_least=1)
    known = {
        name
        for name, parameter in inspect.signature(loss).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }
    for name, value in (loss_arguments or {}).items():
        if name not in known:
            raise ValueError(
                f"loss_arguments must be among {sorted(known)} for {_name(loss)}, "
                f"got {name!r}"
            )
        check.number(f"loss_arguments[{name!r}]", value, above=0)


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
) -> tuple[Params, ArrayLike | None]:
    """Parameters and multipliers to start from; zeros if none are given."""
    shape = (num_classes, num_features)
    start = given.params if isinstance(given, Fit) else given
    centers = given.centers if isinstance(given, Fit) else None
    if start is None:
        start = Params(jnp.zeros(shape), jnp.zeros(num_classes))
    if np.shape(start.weights) != shape or np.shape(start.bias) != shape[:1]:
        raise ValueError(
            f"start must have weights {shape} and bias {shape[:1]}, got "
            f"{np.shape(start.weights)} and {np.shape(start.bias)}"
        )
    return start, centers


def _name(loss: Loss) -> str:
    return getattr(loss, "__name__", str(loss))
