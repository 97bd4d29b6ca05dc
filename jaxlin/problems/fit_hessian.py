"""The Hessian of a fit's objective, on the rows of its problem."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxlin import linear, losses, objective
from jaxlin.certificates import certificate_checks
from jaxlin.linear import Bias, Params
from jaxlin.numerics import device_mesh
from jaxlin.objective.row_blocks import Block
from jaxlin.problems.checked import Problem
from jaxlin.solvers import fit_checks, hessian_system, optimizer_state
from jaxlin.solvers.fitted import Fit
from jaxlin.solvers.hessian_system import HessianSystem
from jaxlin.solvers.interface import Settings
from jaxlin.typing import Array, Loss

# Newton steps that lead from a fit to the optimum, up to rounding, and factorisations.
_MAX_STEPS = 16
# Ratio of the gradients of two steps, above which the Hessian is factorised anew.
_STALE = 0.01
# Relative difference of an objective from that of its certificate, in float32.
_OBJECTIVE_ROUNDING = 1e-4
# Largest squared Newton decrement of an optimum, relative to the objective.
_LARGEST_DECREMENT = 1e-9

#: Losses with a Hessian in the scores. That of the squared hinge is piecewise constant.
SMOOTH = (
    losses.softmax_cross_entropy,
    losses.cross_entropy,
    losses.weston_watkins_squared_hinge,
)


def of_fit(fit: Fit, problem: Problem, *, at_optimum: bool = True) -> HessianSystem:
    """The Hessian at a fit, or at its optimum; under ``jax.enable_x64(True)``.

    Args:
      fit: a fit of this problem (`check` has the rules).
      problem: the examples that it was fitted to.
      at_optimum: whether Newton steps lead to the optimum first, until the gradient is
        rounding error, where the Hessian is factorised. Elsewhere a step takes many
        passes, and the Hessian is that at the fit, whose weights are centred over the
        classes.
    """
    treatment = Bias.named(fit.bias)
    settings = Settings(
        l2=np.float64(fit.l2),
        loss_arguments={
            name: np.asarray(value, np.float64)
            for name, value in fit.loss_arguments.items()
        },
        bias=treatment,
    )
    shape = fit.params.weights.shape
    examples = problem.examples_in_float64()
    is_dense = hessian_system.is_dense(*shape)
    if not is_dense:
        prepared = problem.prepared(
            loss=fit.loss,  # type: ignore[arg-type]
            keep_float64=True,
            bias=treatment,
        )
        examples = examples._replace(preconditioner=prepared.preconditioner)
    loss: Loss = fit.loss  # type: ignore[assignment]
    # The weights of the optimum sum to 0 over the classes.
    folded = jnp.asarray(linear.fold_bias(Params(*map(jnp.asarray, fit.params))))
    centered = optimizer_state.centered(loss, folded.astype(np.float64))
    params = linear.unfold_bias(centered)
    system = hessian_system.at(examples, params, loss=loss, settings=settings)
    check_objective(fit, float(_objective(system, loss=loss)))
    if not (at_optimum and is_dense):
        return system
    found = _at_optimum(system, loss)
    _check_is_optimum(fit, found, loss)
    return found


@functools.partial(jax.jit, static_argnames=("loss",))
def _objective(system: HessianSystem, *, loss: Loss) -> Array:
    losses = objective.example_losses(
        system.scores.T,
        system.examples.targets,
        loss=loss,
        loss_arguments=system.settings.loss_arguments,
    )
    # Rows of weight 0 may overflow.
    mean = jnp.sum(jnp.where(system.shares > 0, system.shares * losses, 0))
    penalized = system.settings.bias.penalized_part(system.weights)
    return mean + system.l2 / 2 * jnp.sum(jnp.square(penalized))


def check_objective(fit: Fit, value: float) -> None:
    """Raises a ValueError if the objective on some rows is not that of the fit.

    Args:
      fit: a fit; its certificate has the objective on the rows that were fitted.
      value: the objective at its parameters on the given rows.
    """
    primal = float(fit.certificate.primal)
    allowed = _OBJECTIVE_ROUNDING * abs(primal) + 4 * float(fit.certificate.rounding)
    if not abs(value - primal) <= allowed:
        raise ValueError(
            "problem must be the one that was fitted, with its rows, labels, weights "
            f"and normalization: the objective of the fit is {primal:.6g}, and "
            f"{value:.6g} on this problem"
        )


def _check_is_optimum(fit: Fit, system: HessianSystem, loss: Loss) -> None:
    """Raises a ValueError if Newton steps did not lead from the fit to its optimum."""
    gradient = hessian_system.gradient(system)
    step = hessian_system.solve(system, gradient[None], loss=loss).values[0]
    left = float(jnp.vdot(gradient, step))
    if not left <= _LARGEST_DECREMENT * abs(float(fit.certificate.primal)):
        raise ValueError(
            "fit must be nearer to its optimum, to which Newton steps did not lead: "
            f"its relative gap is {fit.relative_gap:.1e}; fit with a smaller gap, such "
            "as stop=jaxlin.Stop(1e-4)"
        )


def _at_optimum(system: HessianSystem, loss: Loss) -> HessianSystem:
    """The Hessian where Newton steps no longer shorten the gradient.

    A factorisation takes most of the time, and serves steps until they stall.
    """
    gradient, is_factorised = hessian_system.gradient(system), True
    for _ in range(_MAX_STEPS):
        step = hessian_system.solve(system, -gradient[None], loss=loss).values[0]
        after = hessian_system.moved(system, system.weights + step, loss=loss)
        found = hessian_system.gradient(after)
        before, length = np.linalg.norm(gradient), np.linalg.norm(found)
        if length < before / 2:
            system, gradient, is_factorised = after, found, False
        elif is_factorised:
            return system
        if not length < _STALE * before:
            system, is_factorised = _factorised(system, loss), True
    return system if is_factorised else _factorised(system, loss)


def _factorised(system: HessianSystem, loss: Loss) -> HessianSystem:
    return hessian_system.at(
        system.examples,
        linear.unfold_bias(system.weights),
        loss=loss,
        settings=system.settings,
    )


def check(fit: Fit, problem: Problem, *, use: str) -> None:
    """Raises a ValueError for a fit whose Hessian is not known on these rows.

    Args:
      fit: a fit.
      problem: the examples that it was fitted to, in memory, on one device.
      use: the function that needs the Hessian, for error messages.
    """
    check_loss(fit.loss, use=use)
    check_same(fit, problem, use=use)


def check_loss(loss: Loss | str, *, use: str) -> None:
    """Raises a ValueError for a loss without a Hessian in the scores."""
    if loss not in SMOOTH:
        names = ", ".join(one.__name__ for one in SMOOTH)
        raise ValueError(
            f"fit must be of a smooth loss ({names}) for {use}, got one of "
            f"{getattr(loss, '__name__', loss)}"
        )


def check_rows(problem: Problem, *, use: str) -> None:
    """Raises a ValueError for rows that are not in memory, on one device."""
    if not isinstance(problem.rows, Block):
        raise ValueError(
            f"problem must have dense rows in memory for {use}, got {problem!r}"
        )
    if device_mesh.axis_size(device_mesh.ROWS) > 1 or not device_mesh.has_float64():
        raise ValueError(
            f"{use} needs one device that computes in float64, got a mesh or a TPU; "
            "call it outside the mesh, or on a CPU or GPU"
        )


def check_same(fit: Fit, problem: Problem, *, use: str) -> None:
    """Raises a ValueError for rows that the fit cannot be of, or that are not held.

    `of_fit` compares the objective, too.
    """
    fit_checks.check_concrete()
    if not (fit.l2 > 0):
        raise ValueError(
            f"fit must have an l2 above 0 for {use}, got {fit.l2}; its optimum is not "
            "unique otherwise"
        )
    check_rows(problem, use=use)
    shape = (problem.num_classes, problem.num_features)
    if np.shape(fit.params.weights) != shape:
        raise ValueError(
            f"problem must be the one that was fitted, with {shape[0]} classes and "
            f"{shape[1]} features, got {np.shape(fit.params.weights)} weights"
        )
    if not np.array_equal(fit.classes, problem.classes):
        raise ValueError(
            "problem must have the classes of the fit in the same order, got "
            f"{problem.classes.tolist()} for {np.asarray(fit.classes).tolist()}"
        )
    loss: Loss = fit.loss  # type: ignore[assignment]
    certificate_checks.check_rank(loss, problem.rank, name="labels")
    given, own = problem.normalization, fit.normalization
    if (given is None) != (own is None) or not all(
        np.array_equal(*pair) for pair in zip(given or (), own or (), strict=True)
    ):
        raise ValueError(
            "problem must have the normalization of the fit, got another; give "
            "jaxlin.problem(..., normalization=fit.normalization)"
        )
