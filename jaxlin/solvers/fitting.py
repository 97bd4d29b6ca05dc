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
fit goes on in float64 from where float32 ends, whatever `jax.config` says; if that
proves more, its parameters are float64 NumPy arrays.
"""

import inspect
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np
from jax.typing import ArrayLike

from jaxlin import check, placement, precision
from jaxlin.linear import Params
from jaxlin.normalization import Normalization
from jaxlin.solvers import base, certified, curvature, fit_loop, search_state
from jaxlin.solvers.base import Problem, Settings
from jaxlin.solvers.fit_loop import Fit, Start, Turn, Watch
from jaxlin.typing import Loss, LossArguments


def fit(
    features: ArrayLike,
    targets: ArrayLike,
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
      targets: labels ``(examples,)`` in [0, num_classes); for
        `jaxlin.losses.cross_entropy` distributions ``(examples, num_classes)``.
      loss: one of the six losses that have a conjugate (`jaxlin.conjugates`).
      l2: strength of half the sum of squares, bias included, above 0;
        `jaxlin.penalties.l2_of_c` converts scikit-learn's C.
      num_classes: None takes the largest label plus one; then every class must have an
        example.
      relative_gap: bound asked for on (objective - optimum) / objective, above 0.
      loss_arguments: such as ``{"margin": 1.0}``, above 0.
      example_weights: shape ``(examples,)``, non-negative; None is all ones. Rows of
        weight 0 count for nothing, but must be finite.
      normalization: applied to each row, or None.
      start: parameters, or an earlier fit of the same rows, to start from; None is 0.
        A polish goes on from an earlier polish at the same l2 where that ended.
      max_evaluations: passes over the rows after which to give up.
      polish: whether to go on in float64 where float32 cannot prove what is asked for.
      watch: called as ``watch(evaluations, info)`` after each evaluation.

    Returns:
      A fit; ``converged`` says whether the gap was proven, ``relative_gap`` what was.

    Raises:
      ValueError: that names the argument, the rule and the value; among others for
        values that JAX traces: a fit cannot be differentiated, batched or compiled.
    """
    check.concrete("targets", targets)
    check.one_label_each("targets", targets)
    if num_classes is None:
        num_classes = _classes_of(targets)
    how: dict[str, Any] = {
        "loss": loss,
        "l2": l2,
        "relative_gap": relative_gap,
        "loss_arguments": loss_arguments,
        "max_evaluations": max_evaluations,
    }
    fit_loop.check_settings(targets_rank=np.ndim(targets), **how)
    data = (features, targets, example_weights, *(normalization or ()))
    with precision.keeping_digits(*data if polish else ()):
        problem = base.problem(
            features,
            targets,
            num_classes=num_classes,
            example_weights=example_weights,
            normalization=normalization,
        )
        fit_loop.check_concrete(l2=l2)
        fit_loop.check_memory(problem.features, num_classes=num_classes, loss=loss)
        fit_loop.starting_point(start, num_classes, problem.features.shape[1], l2=l2)
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
    fit_loop.check_concrete(problem=problem, l2=l2, start=start)
    fit_loop.check_settings(
        loss=loss,
        l2=l2,
        targets_rank=problem.targets.ndim,
        relative_gap=relative_gap,
        loss_arguments=loss_arguments,
        max_evaluations=max_evaluations,
    )
    fit_loop.check_classes(problem.targets, num_classes)
    fit_loop.check_memory(problem.features, num_classes=num_classes, loss=loss)
    if problem.curvature is not None:
        fit_loop.check_norms(problem.curvature.norms)
    solver = certified.solver(loss=loss)
    settings = Settings(l2=l2, loss_arguments=dict(loss_arguments or {}))

    def turns(start: Start, budget: int) -> Iterator[Turn]:
        state = solver.init(start.params, problem, settings)
        state = search_state.resumed(state, start.multipliers)
        for _, after, info in base.run(
            solver, jax.random.key(0), state, problem, settings, num_steps=budget
        ):
            info = jax.tree.map(lambda leaf: leaf[-1], placement.on_host(info))
            multipliers = search_state.Multipliers(after.centers, after.smoothing)
            yield Turn(after.params, multipliers, info)

    return fit_loop.certify(
        turns,
        start=fit_loop.starting_point(
            start, num_classes, problem.features.shape[1], l2=l2
        ),
        loss=loss,
        l2=l2,
        relative_gap=relative_gap,
        max_evaluations=max_evaluations,
        polish=polish,
        watch=watch,
    )


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
      TypeError: at the call, if an argument is missing or unknown.
    """
    fit_loop.check_concrete(problem=problem, start=start)
    l2s = check.numbers_list("l2s", l2s, above=0)
    inspect.signature(fit_prepared).bind(problem, l2=l2s[0], start=start, **how)
    return _path(problem, l2s, start, how)


def _path(problem, l2s, previous, how):
    for l2 in l2s:
        previous = fit_prepared(problem, l2=l2, start=previous, **how)
        yield previous


def _classes_of(targets: ArrayLike) -> int:
    """How many classes labels or distributions have, if nobody says."""
    array = np.asarray(targets)
    if array.ndim == 2:
        return array.shape[1]
    if array.dtype.kind not in "iu" or array.size == 0:
        # The problem's own check will say what is wrong with them.
        return 2
    num_classes = max(2, int(array.max()) + 1)
    if array.min() >= 0 and num_classes <= array.size:
        absent = np.flatnonzero(np.bincount(array.ravel(), minlength=num_classes) == 0)
        if len(absent) and len(np.unique(array)) > 1:
            raise ValueError(
                "targets must have an example of every class unless num_classes is "
                f"given, got none of class {absent[0]}; labels count from 0"
            )
    return num_classes
