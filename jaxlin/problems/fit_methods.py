"""Methods of a fit, in float32 and in float64, chosen by its problem and its loss."""

from collections.abc import Iterator

from jaxlin.linear import Bias
from jaxlin.losses import conjugates
from jaxlin.numerics import device_mesh
from jaxlin.problems import weight_checks
from jaxlin.problems.checked import Problem
from jaxlin.solvers import (
    certified,
    fit_checks,
    fit_loop,
    float64_methods,
    full_batch,
    streaming,
)
from jaxlin.solvers.fit_loop import Start
from jaxlin.solvers.interface import Settings
from jaxlin.solvers.stopping import Stop
from jaxlin.typing import Loss

# Largest number of products of a pass with which a hinge continues in float64 by
# default: with 20,000 x 256 x 10 products, l2 = 1e-4, it gets to a gap of 1e-6 in 2 s;
# CIFAR-10, with 1.5e9, takes 20 to 60 s.
_MAX_PRODUCTS = 100_000_000


def iterations(
    problem: Problem, loss: Loss, settings: Settings, *, refine: bool | None
) -> tuple[fit_loop.Iterations | None, fit_loop.Iterations | None]:
    """Iterations in float32, None where it spoils the rows, and those in float64.

    The latter are None where the fit stays in float32.
    """
    if problem.is_blocked:
        statistics = problem.row_statistics(
            loss=loss, keep_float64=bool(refine), bias=settings.bias
        )
        if settings.bias is Bias.FREE:
            weight_checks.check_class_weights(
                "labels", statistics.class_weights, classes=problem.classes
            )
            fit_checks.check_scores_of_blocks(
                len(statistics.norms), num_classes=problem.num_classes
            )
        blocks = streaming.row_source(
            problem.rows,
            statistics,
            loss=loss,
            normalization=problem.normalization,
        )
        over_blocks = full_batch.iterations(blocks, loss=loss, settings=settings)
        return over_blocks, over_blocks if refine else None
    refines = _continues(problem, loss) if refine is None else refine
    is_spoiled = refines and problem.is_spoiled_by_float32
    with problem.float64_context(is_spoiled):
        examples = problem.prepared(
            loss=loss, keep_float64=is_spoiled, bias=settings.bias
        )
    fit_checks.check_norms(certified.preconditioner_of(examples).norms)
    rows = certified.row_source(examples, loss=loss)
    in_float32 = full_batch.iterations(rows, loss=loss, settings=settings)

    def in_float64(start: Start, stop: Stop) -> Iterator[fit_loop.Iteration]:
        # Made when it is needed: float64 rows take three times the memory together.
        given = examples
        if problem.has_float64:
            given = problem.examples_in_float64()._replace(
                preconditioner=examples.preconditioner
            )
        method = float64_methods.iterations(
            given,
            loss=loss,
            settings=settings,
            num_classes=problem.num_classes,
            is_small=problem.is_small,
        )
        return method(start, stop)

    return None if is_spoiled else in_float32, in_float64 if refines else None


def float32_passes(problem: Problem, loss: Loss, stop: Stop) -> int | None:
    """Largest number of float32 passes before float64; None is all."""
    if problem.is_small:
        is_newton = conjugates.of(loss).violations is None
        return fit_loop.passes_before_float64(stop, is_newton=is_newton)
    if takes_semismooth_steps(problem, loss):
        return fit_loop.passes_before_semismooth_steps(stop)
    if takes_newton_steps(problem, loss):
        return fit_loop.passes_before_newton_steps(stop)
    return None


def _continues(problem: Problem, loss: Loss) -> bool:
    """Returns whether a fit of rows in memory continues in float64 by default."""
    if problem.is_small:
        return True
    if not device_mesh.has_float64():
        return False
    if conjugates.of(loss).smooth:
        # Newton steps, or a pass that proves 8 to 12 digits of stalled parameters.
        return True
    # A hinge takes dozens of steps, or hundreds by L-BFGS.
    products = problem.num_examples * problem.num_features * problem.num_classes
    return products <= _MAX_PRODUCTS and takes_semismooth_steps(problem, loss)


def takes_newton_steps(problem: Problem, loss: Loss) -> bool:
    """Returns whether Newton steps finish large fits of this loss in float64."""
    if problem.is_small or problem.is_blocked:
        return False
    return float64_methods.takes_newton_steps(
        loss, num_examples=problem.num_examples, num_classes=problem.num_classes
    )


def takes_semismooth_steps(problem: Problem, loss: Loss) -> bool:
    """Returns whether semismooth Newton steps finish fits of this loss in float64."""
    if problem.is_small or problem.is_blocked:
        return False
    return float64_methods.takes_semismooth_steps(
        loss, problem.first_block.features, num_classes=problem.num_classes
    )
