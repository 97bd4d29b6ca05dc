"""Certified fits: parameters of a linear classifier and a proof of their quality.

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

float32 proves gaps down to about 1e-8 of the objective for smooth losses, and 1e-4 to
1e-6 for hinges. Where it does not prove the requested gap, a fit continues in float64
if that is cheap, or with ``refine=True``, whatever `jax.config` says. If float64 proves
a smaller gap, the parameters are float64 NumPy arrays.
"""

import functools
from collections.abc import Iterable
from typing import Any

import jax
import numpy as np
from jax.typing import ArrayLike

from jaxlin import check, losses, objective, problems
from jaxlin.certificates import bias_bounds, certificate_checks, certification, duality
from jaxlin.certificates.duality import Certificate
from jaxlin.linear import Bias, BiasName, Params
from jaxlin.losses import conjugates
from jaxlin.normalization import Normalization
from jaxlin.objective.row_blocks import Block
from jaxlin.problems import (
    FitNormalization,
    Problem,
    differentiable_fit,
    first_iterate,
    fit_methods,
)
from jaxlin.problems.differentiable_fit import Arguments
from jaxlin.solvers import fit_checks, fit_loop, stopping
from jaxlin.solvers.fit_loop import PassCallback
from jaxlin.solvers.fitted import Fit
from jaxlin.solvers.interface import Settings
from jaxlin.solvers.stopping import Stop
from jaxlin.typing import Loss, LossArguments

# Largest relative gap at which the distance of a free bias is computed. On digits, at
# l2 = 1e-3, it certifies no label at 7e-4 and all but 0.2 % at 4e-10.
_LARGEST_GAP_OF_BIAS_RADIUS = 1e-6


def fit(
    features: Problem | ArrayLike | Iterable[Block],
    labels: ArrayLike | None = None,
    *,
    loss: Loss,
    l2: float,
    bias: BiasName = "penalized",
    stop: Stop = stopping.DEFAULT,
    loss_arguments: LossArguments | None = None,
    weights: ArrayLike | None = None,
    normalization: Normalization | FitNormalization | None = None,
    classes: Any = None,
    start: Params | Fit | None = None,
    refine: bool | None = None,
    callback: PassCallback | None = None,
) -> Fit:
    """Fits a linear classifier to a proven gap.

    Args:
      features: a `jaxlin.Problem`, which several fits can share; or raw rows, shape
        ``(examples, features)``; or blocks of rows and labels.
      labels: labels ``(examples,)`` or distributions ``(examples, classes)`` of raw
        rows; None with a problem or blocks.
      loss: one of the six losses that have a conjugate (`jaxlin.losses.conjugates`).
      l2: strength of half the sum of squares, above 0;
        `jaxlin.objective.penalties.l2_of_c` converts scikit-learn's C.
      bias: ``"penalized"`` counts the bias in the sum of squares; ``"free"`` does not,
        as `LogisticRegression` of scikit-learn, and needs every class to have an
        example of positive weight; ``"none"`` keeps it at 0. With a free bias a pass
        takes about half as long again where classes are fewer than features, and memory
        for the scores of all examples; it reads blocks of rows twice.
      stop: the gap to be proven and the largest number of passes.
      loss_arguments: keywords of the loss, such as ``{"margin": 1.0}``, above 0.
      weights: example weights, shape ``(examples,)``, non-negative; None is all ones.
        None with a problem.
      normalization: applied to each row, or a function that fits one to these rows, or
        None (`jaxlin.problem`). None with a problem.
      classes: all labels, in the order of the scores; None takes those that occur, in
        ascending order. None with a problem.
      start: warm start: parameters, or an earlier fit of the same rows; None is 0. A
        refined fit at the same l2 continues in float64 with ``refine=True``.
      refine: whether to continue in float64 where float32 cannot prove the gap. None
        does so for rows in memory where it is cheap (`jaxlin.solvers.float64_methods`):
        for small problems, of at most 2,000 weights and biases, on one device; for
        smooth losses; for hinges if examples times features times classes are at most
        1e8. True does so for all, and keeps
        float64 features in float64, which are otherwise rounded to float32. False stays
        in float32.
      callback: called as ``callback(passes, info)`` after each pass.

    Returns:
      A fit; ``converged`` tells whether the gap was proven, and ``relative_gap`` is the
      gap that was proven.

    Raises:
      ValueError: that names the argument, the rule and the value; among others for
        values that JAX traces: a fit cannot be batched or compiled.

    `jax.grad`, `jax.value_and_grad` and `jax.jacrev` pass through a fit of softmax,
    cross-entropy or the squared hinge, of rows in memory: ``params`` is a
    differentiable function of features, labels that are distributions, weights, l2 and
    loss arguments, by the implicit function theorem. The normalization is a constant
    then. The derivatives are those of the optimum, for the gradient that the outer
    function has at the fit: ask for a small gap. With bounds on their errors:
    `jaxlin.problems.fit_derivatives`.
    """
    stopping.checked(stop)
    fit_checks.check_concrete(start=start)
    given = Arguments(
        features,
        labels,
        weights=weights,
        l2=l2,
        loss_arguments=loss_arguments,
        loss=loss,
        normalization=normalization,
        classes=classes,
    )

    def run(arguments: Arguments, problem: Problem) -> Fit:
        return _fit(
            problem,
            loss=loss,
            l2=arguments.l2,
            loss_arguments=arguments.loss_arguments or {},
            bias=bias,
            stop=stop,
            start=start,
            refine=refine,
            callback=callback,
        )

    return differentiable_fit.fit(given, run)


def _fit(
    problem: Problem,
    *,
    loss: Loss,
    l2: float,
    loss_arguments: LossArguments,
    bias: BiasName,
    stop: Stop,
    start: Params | Fit | None,
    refine: bool | None,
    callback: PassCallback | None,
) -> Fit:
    """`fit` of a problem, with concrete settings."""
    first: Any = problem.first_block
    fit_checks.check_settings(
        loss=loss,
        l2=l2,
        rank=problem.rank,
        loss_arguments=loss_arguments,
    )
    loss_arguments = dict(loss_arguments)
    treatment = Bias.named(bias)
    if treatment is Bias.FREE and not problem.is_blocked:
        problem.check_every_class()
    fit_checks.check_memory(
        first.features,
        num_classes=problem.num_classes,
        loss=loss,
        num_examples=0 if problem.is_blocked else None,
        bias=treatment,
    )
    begin = first_iterate.make(
        start, problem.num_classes, np.shape(first.features)[1], l2=l2, bias=bias
    )
    if not refine:
        begin = begin._replace(is_refined=False)
    settings = Settings(l2=l2, loss_arguments=loss_arguments, bias=treatment)
    # Float64 blocks stay float64 in the float32 passes too.
    with problem.float64_context(problem.is_blocked and bool(refine)):
        iterations, in_float64 = fit_methods.iterations(
            problem, loss, settings, refine=refine
        )
        if iterations is None:
            # float32 would prove something of other rows.
            begin = begin._replace(is_refined=True)
        float32_passes = None
        if in_float64 is not None:
            float32_passes = fit_methods.float32_passes(problem, loss, stop)
        outcome = fit_loop.minimize(
            iterations or in_float64,  # type: ignore[arg-type]
            start=begin,
            stop=stop,
            in_float64=in_float64,
            float32_passes=float32_passes,
            callback=callback,
        )
    found = Fit(
        **outcome._asdict(),
        loss=loss,
        l2=float(l2),
        loss_arguments=loss_arguments,
        normalization=problem.normalization,
        classes=problem.classes,
        bias=bias,
        feature_names=problem.feature_names,
    )
    return found._replace(bias_radius=bias_radius(problem, found))


@problems.takes_problem
def certify(
    problem: Problem,
    params: Params,
    *,
    loss: Loss,
    l2: float,
    loss_arguments: LossArguments | None = None,
    bias: BiasName = "penalized",
) -> Fit:
    """Fit of the parameters of any solver, with its certificate, in one pass.

    A certificate exists for the six losses that have a conjugate and an l2 above 0.
    Otherwise the gap is infinite: the fit predicts and can be saved like any other, and
    nothing is proven of it.

    Args:
      problem: checked examples, not in blocks.
      params: weights ``(classes, features)`` and bias ``(classes,)``. Float64
        parameters are certified in float64, on float64 rows where the problem has them;
        all others on rows rounded to float32.
      loss: loss of one example, from `jaxlin.losses` or the user's own.
      l2: strength of half the sum of squares, at least 0.
      loss_arguments: keywords of the loss, such as ``{"margin": 1.0}``; above 0 for the
        six losses. One without a default must be given.
      bias: treatment of the bias by the objective, as in `fit`.

    Returns:
      The fit; ``converged`` tells whether the gap is at most that of the default
      `jaxlin.Stop`.

    Raises:
      ValueError: that names the argument, the rule and the value.
    """
    fit_checks.check_concrete(params=params, l2=l2)
    is_certifiable = loss in conjugates.known_losses() and check.number("l2", l2) != 0
    if is_certifiable:
        fit_checks.check_settings(
            loss=loss, l2=l2, rank=problem.rank, loss_arguments=loss_arguments
        )
    check.loss_arguments(loss, loss_arguments or {})
    check.number("l2", l2, at_least=0)
    first_iterate.check_shapes(
        "params", params, (problem.num_classes, problem.num_features)
    )
    treatment = Bias.named(bias)
    certificate_checks.checked_params(params, bias=treatment)
    if treatment is Bias.FREE:
        problem.check_every_class()
    in_float64 = np.asarray(params.weights).dtype == np.float64
    with problem.float64_context(in_float64):
        examples = problem.examples_in_float64() if in_float64 else problem.examples
        if is_certifiable:
            found = certification.certificate(
                params,
                examples.features,
                examples.targets,
                loss=loss,
                l2=l2,
                loss_arguments=loss_arguments,
                bias=bias,
                example_weights=examples.example_weights,
                normalization=examples.normalization,
            )
        else:
            arguments = dict(loss_arguments or {})
            primal = _objective(
                params, examples, l2, arguments, loss=loss, bias=treatment
            )
            found = duality.unproven_certificate(primal)
    gap = float(duality.relative_gap(found))
    proof = Certificate(*(leaf.item() for leaf in found))
    return Fit(
        params=Params(*(np.asarray(leaf) for leaf in params)),  # type: ignore[arg-type]
        certificate=proof,
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
        bias=bias,
        # The duals are those at another bias, for which the bound does not hold.
        bias_radius=np.inf if treatment is Bias.FREE else 0.0,
        feature_names=problem.feature_names,
    )


@functools.partial(jax.jit, static_argnames=("loss", "bias"))
def _objective(params, examples, l2, arguments, *, loss, bias):
    scores = objective.blocked_scores(
        params, examples.features, normalization=examples.normalization
    )
    losses = objective.example_losses(
        scores, examples.targets, loss=loss, loss_arguments=arguments
    )
    mean = objective.weighted_mean(losses, example_weights=examples.example_weights)
    is_penalized = bias is Bias.PENALIZED
    return mean + objective.penalty(params, l2=l2, penalize_bias=is_penalized)


def bias_radius(
    problem: Problem, fit: Fit, *, example_weights: np.ndarray | None = None
) -> float:
    """Bound on the distance of a free bias from the optimum; inf where none is known.

    It is known for softmax and cross-entropy, of rows in memory of one process.

    Args:
      problem: the problem that was fitted.
      fit: a fit with its own certificate, not one of `certify`.
      example_weights: weights that it was fitted with, shape ``(examples,)``; None is
        those of the problem.
    """
    if fit.bias != Bias.FREE.value:
        return 0.0
    has_curvature = fit.loss in (losses.softmax_cross_entropy, losses.cross_entropy)
    # At larger gaps the bound certifies no label, and it takes a pass.
    is_useful = fit.relative_gap <= _LARGEST_GAP_OF_BIAS_RADIUS
    rows, is_alone = problem.rows, jax.process_count() == 1
    if not (has_curvature and is_useful and is_alone and isinstance(rows, Block)):
        return np.inf
    return bias_bounds.bias_distance(
        fit.params,
        rows.features,
        example_weights=(
            rows.example_weights if example_weights is None else example_weights
        ),
        normalization=problem.normalization,
        certificate_gap=float(fit.certificate.gap),
        rounding=float(fit.certificate.rounding),
        l2=fit.l2,
    )
