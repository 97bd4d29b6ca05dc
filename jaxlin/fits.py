"""Certified fits: a problem and a loss in, parameters and their proof out.

>>> import numpy as np
>>> import jaxlin
>>> from jaxlin import losses
>>> rows = np.random.default_rng(0).normal(size=(200, 3))
>>> names = np.where(rows[:, 0] > 0, "right", "left")
>>> fit = jaxlin.fit(rows, names, loss=losses.weston_watkins_hinge, l2=1e-2)
>>> fit.converged, fit.relative_gap < 1e-3
(True, True)
>>> print(jaxlin.predict(fit, [[2.0, 0.0, 0.0], [-2.0, 0.0, 0.0]]))
['right' 'left']

float32 carries a proof of about 1e-5 to 1e-6 of the objective. With ``refine=True`` a
fit goes on in float64 from where float32 ends, whatever `jax.config` says; if that
proves more, its parameters are float64 NumPy arrays.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
from jax.typing import ArrayLike

from jaxlin import problems
from jaxlin.certificates import duality
from jaxlin.certificates.duality import Certificate
from jaxlin.linear import Params
from jaxlin.normalization import Normalization
from jaxlin.objective.row_blocks import Block
from jaxlin.problems import FitNormalization, Problem
from jaxlin.solvers import certified, fit_loop, stopping, streaming
from jaxlin.solvers.fit_loop import Callback, Start
from jaxlin.solvers.fitted import Fit
from jaxlin.solvers.interface import Settings
from jaxlin.solvers.stopping import Stop
from jaxlin.typing import Loss, LossArguments


def fit(
    features: Problem | ArrayLike | Iterable[Block],
    labels: ArrayLike | None = None,
    *,
    loss: Loss,
    l2: float,
    stop: Stop = stopping.DEFAULT,
    loss_arguments: LossArguments | None = None,
    weights: ArrayLike | None = None,
    normalization: Normalization | FitNormalization | None = None,
    classes: Any = None,
    start: Params | Fit | None = None,
    refine: bool = False,
    callback: Callback | None = None,
) -> Fit:
    """Fits a linear classifier to a proven gap.

    Args:
      features: a `jaxlin.Problem`, which several fits can share; or what one is made of
        (`jaxlin.problem`).
      labels: as of `jaxlin.problem`, like ``weights``, ``normalization``, ``classes``.
      loss: one of the six losses that have a conjugate (`jaxlin.losses.conjugates`).
      l2: strength of half the sum of squares, bias included, above 0;
        `jaxlin.objective.penalties.l2_of_c` converts scikit-learn's C.
      stop: the gap to be proven, and after how many passes to give up.
      loss_arguments: such as ``{"margin": 1.0}``, above 0.
      weights: see ``labels``.
      normalization: see ``labels``.
      classes: see ``labels``.
      start: parameters, or an earlier fit of the same rows, to start from; None is 0.
        A refinement goes on from an earlier one at the same l2 where that ended.
      refine: whether to go on in float64 where float32 cannot prove what is asked for.
        Only then do float64 features keep their digits; otherwise their float32
        rounding is fitted.
      callback: called as ``callback(passes, info)`` after each pass.

    Returns:
      A fit; ``converged`` says whether the gap was proven, ``relative_gap`` what was.

    Raises:
      ValueError: that names the argument, the rule and the value; among others for
        values that JAX traces: a fit cannot be differentiated, batched or compiled.
    """
    stopping.checked(stop)
    fit_loop.check_concrete(l2=l2, start=start)
    problem = problems.given(
        features,
        labels,
        weights=weights,
        normalization=normalization,
        classes=classes,
    )
    first: Any = next(iter(problem.rows)) if problem.is_blocked else problem.rows
    fit_loop.check_settings(
        loss=loss,
        l2=l2,
        rank=problem.rank,
        loss_arguments=loss_arguments,
    )
    fit_loop.check_memory(
        first.features,
        num_classes=problem.num_classes,
        loss=loss,
        num_examples=0 if problem.is_blocked else None,
    )
    begin = _start(start, problem.num_classes, np.shape(first.features)[1], l2=l2)
    settings = Settings(l2=l2, loss_arguments=dict(loss_arguments or {}))
    with problem.enable_float64_for(refine):
        outcome = fit_loop.certify(
            _turns(problem, loss, settings, keep_float64=refine),
            start=begin,
            stop=stop,
            refine=refine,
            callback=callback,
        )
    return Fit(
        **outcome._asdict(),
        loss=loss,
        l2=float(l2),
        loss_arguments=dict(loss_arguments or {}),
        normalization=problem.normalization,
        classes=problem.classes,
    )


def certify(
    problem: Problem,
    params: Params,
    *,
    loss: Loss,
    l2: float,
    loss_arguments: LossArguments | None = None,
) -> Fit:
    """Certifies parameters from anywhere, in one pass.

    Args:
      problem: the examples.
      params: of any solver; the bias counts as penalised.
      loss: one of the six losses that have a conjugate.
      l2: strength of half the sum of squares, above 0.
      loss_arguments: such as ``{"margin": 1.0}``, above 0.

    Returns:
      The fit; nothing was asked for, so ``converged`` is whether the gap is at most
      that of the default `jaxlin.Stop`.

    Raises:
      ValueError: that names the argument, the rule and the value.
    """
    fit_loop.check_concrete(params=params, l2=l2)
    fit_loop.check_settings(
        loss=loss, l2=l2, rank=problem.rank, loss_arguments=loss_arguments
    )
    _check_shapes("params", params, (problem.num_classes, problem.num_features))
    examples = problem.examples
    found = duality.certificate(
        params,
        examples.features,
        examples.targets,
        loss=loss,
        l2=l2,
        loss_arguments=loss_arguments,
        example_weights=examples.example_weights,
        normalization=examples.normalization,
    )
    gap = float(duality.relative_gap(found))
    return Fit(
        params=Params(*(np.asarray(leaf) for leaf in params)),  # type: ignore[arg-type]
        certificate=Certificate(*(leaf.item() for leaf in found)),
        relative_gap=gap,
        converged=gap <= stopping.DEFAULT.relative_gap,
        stalled=False,
        passes=1,
        float64_passes=0,
        duals=None,
        loss=loss,
        l2=float(l2),
        loss_arguments=dict(loss_arguments or {}),
        normalization=problem.normalization,
        classes=problem.classes,
    )


def _turns(
    problem: Problem, loss: Loss, settings: Settings, *, keep_float64: bool
) -> fit_loop.Iterations:
    """Passes over the rows of a problem, on the device or block by block."""
    if problem.is_blocked:
        return streaming.iterations(
            problem.rows,
            problem.measured(loss=loss, keep_float64=keep_float64),
            loss=loss,
            settings=settings,
            normalization=problem.normalization,
        )
    examples = problem.prepared(loss=loss, keep_float64=keep_float64)
    fit_loop.check_norms(certified.preconditioner_of(examples).norms)
    return certified.iterations(examples, loss=loss, settings=settings)


def _start(
    given: Params | Fit | None, num_classes: int, num_features: int, *, l2: float
) -> Start:
    """Parameters and duals to start from; zeros if none are given."""
    if not isinstance(given, Params | Fit | None):
        raise ValueError(
            "start must be None, jaxlin.linear.Params or an earlier fit, got a "
            f"{type(given).__name__}"
        )
    shape = (num_classes, num_features)
    params = given.params if isinstance(given, Fit) else given
    if params is None:
        zeros: Any = (np.zeros(shape, np.float32), np.zeros(num_classes, np.float32))
        params = Params(*zeros)
    _check_shapes("start", params, shape)
    if not all(np.isfinite(leaf).all() for leaf in params):
        raise ValueError("start must be finite, got parameters with NaN or infinity")
    if not isinstance(given, Fit):
        return Start(params, None)
    in_float64 = np.asarray(given.params.weights).dtype == np.float64
    return Start(params, given.duals, in_float64 and given.l2 == float(l2))


def _check_shapes(name: str, params: Params, shape: tuple[int, int]) -> None:
    found = tuple(map(np.shape, params))
    if found != (shape, shape[:1]):
        raise ValueError(
            f"{name} must have weights {shape} and bias {shape[:1]}, got "
            f"{found[0]} and {found[1]}"
        )
