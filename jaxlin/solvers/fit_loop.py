"""Loop of a certified fit: passes over the rows until the gap is proven.

`jaxlin.solvers.full_batch` gives the iterations in float32,
`jaxlin.solvers.float64_methods` those in float64. `minimize` runs them in float32 and,
where float32 does not prove the gap, in float64: on request, or where that is cheap.
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxlin.certificates import duality
from jaxlin.certificates.duality import Certificate
from jaxlin.linear import Params
from jaxlin.numerics import device_mesh, precision
from jaxlin.solvers import optimizer, optimizer_state
from jaxlin.solvers.stopping import Stop

# float32 gives way to float64 after this many passes that lower the gap by less than a
# tenth, once the gap is below its rounding error. The optimizer's own stall rule, which
# watches the sum of both, would wait longer: on CIFAR-10 it spends 50 of 249 passes
# waiting (Weston-Watkins, l2 = 1e-2, gap 1e-8), and 35 of 56 for softmax.
_PATIENCE_BEFORE_FLOAT64 = 15

# float32 passes of a small problem, after which its method for float64 takes over. On
# digits an interior-point step takes as long as about 40 passes. To a gap of 1e-4, at
# l2 = 1e-2, 1e-3, 1e-4 and 1e-5, the Weston-Watkins hinge takes .18, .49, .56 and .76 s
# with at most 300 passes before, .48, .32, .58 and .65 with 150, .25, .33, .58 and .63
# with 60. Five folds and six l2 from 1e-1 to 3e-4, to 1e-3, take 8.6, 6.9 and 7.8 s;
# the Crammer-Singer hinge takes 12, 9.2 and 8.8, one-vs-rest 5.4, 4.1 and 3.4.
# A Newton step takes as long as 12 passes. Softmax at l2 = 1e-3, 1e-4 and 1e-5 to a gap
# of 1e-6 takes 27, 56 and 74 ms with 20 passes before, 31, 65 and 95 ms with 60, from
# a problem that has been prepared.
_FLOAT32_PASSES = 150
_FLOAT32_PASSES_OF_SMALL_GAPS = 60
_FLOAT32_PASSES_BEFORE_NEWTON = 20
_SMALL_GAP = 1e-5
# float32 passes of a large hinge, after which semismooth Newton steps take over. On
# embeddings of 20,000 x 256, ten classes, l2 = 1e-4, to a gap of 1e-4, the
# Weston-Watkins hinge takes 1.5, 1.6, 1.7 and 3.2 s with at most 40, 100, 200 and 500
# passes before, Crammer-Singer 1.8, 1.7, 1.7 and 1.8 s, one-vs-rest 1.4, 1.3, 1.3 and
# 2.6 s. On CIFAR-10 to a gap of 1e-6 the Crammer-Singer hinge at l2 = 1e-3 takes 75 s
# with 100 and 40 s with 200.
_FLOAT32_PASSES_BEFORE_SEMISMOOTH = 200
# float32 passes of a large problem with softmax, after which Newton steps take over. On
# embeddings of 20,000 x 384, 20 classes, a free bias, to gaps of 1e-4 and 1e-8 (AMD
# EPYC, two cores; at most 2,000 passes):
#
#   passes before  l2 = 1e-2      1e-5           1e-8
#              20  .16 and .32 s  .99 and .84 s  1.1 and 1.5 s
#              40  .21 and .41 s  1.2 and 1.1 s  2.2 and 1.6 s
#             100  .15 and .30 s  1.4 and 1.5 s  2.2 and 2.1 s
#             200  .15 and .33 s  2.4 and 2.6 s  2.9 and 3.2 s
#             all  .15 and .32 s  2.5 and 3.8 s  22 s, neither proven
#
# CIFAR-10 at l2 = 1e-3, 1e-5, 1e-7 takes 6.2, 9.6 and 32 s to 1e-4 with 20, .98, 5.9
# and 27 s with 60, and .94, 6.9 and 40 s with all.
_FLOAT32_PASSES_BEFORE_NEWTON_STEPS = 60

# Called after each pass as ``callback(passes so far, info of the last)``. In float64 it
# runs under ``jax.enable_x64(True)``, with the best certificate of that phase.
PassCallback = Callable[[int, optimizer.OptimizerInfo], None]


class Start(NamedTuple):
    """First iterate of a fit.

    Attributes:
      params: weights ``(classes, features)`` and bias ``(classes,)``.
      duals: dual variables of an earlier fit, or None for 0.
      is_refined: whether a refinement starts in float64 at once, without float32
        passes: from a float64 fit of the same problem, or from a fit of a sweep.
    """

    params: Params
    duals: optimizer_state.Duals | None
    is_refined: bool = False


class Iteration(NamedTuple):
    """State of a fit after a pass.

    Attributes:
      params: best parameters so far.
      duals: latest dual variables.
      info: info of the pass.
    """

    params: Params
    duals: optimizer_state.Duals
    info: optimizer.OptimizerInfo


# ``(start, stop)`` to an iterator with one item per pass, at most ``stop.max_passes``;
# the gap is for the loop to test. The dtype of the first parameters is that of the fit.
Iterations = Callable[[Start, Stop], Iterator[Iteration]]


class Outcome(NamedTuple):
    """Parameters of a fit and their certificate.

    Attributes:
      params: weights and bias, float32, or float64 after a refinement.
      certificate: certificate of ``params``, as Python floats.
      relative_gap: proven bound on (objective - optimum) / objective.
      converged: whether the requested gap was proven.
      stalled: whether the fit gave up with passes left.
      passes: number of passes over the rows, float64 passes included.
      float64_passes: number of passes in float64.
      duals: dual variables of a hinge, for warm starts.
    """

    params: Params
    certificate: Certificate
    relative_gap: float
    converged: bool
    stalled: bool
    passes: int
    float64_passes: int
    duals: optimizer_state.Duals


def minimize(
    iterations: Iterations,
    *,
    start: Start,
    stop: Stop,
    in_float64: Iterations | None = None,
    float32_passes: int | None = None,
    callback: PassCallback | None = None,
) -> Outcome:
    """Makes passes until the gap is proven, in float32 and then in float64.

    Args:
      iterations: the passes of a problem, a loss and its settings, in float32.
      start: first iterate.
      stop: the gap to be proven and the largest number of passes, in float32 and
        float64 together.
      in_float64: iterations that continue in float64 where float32 does not prove the
        gap; None if none do.
      float32_passes: largest number of passes in float32; None is all that ``stop``
        allows.
      callback: called as ``callback(passes, info)`` after each pass.
    """
    if in_float64 is not None and start.is_refined:
        return _run_in_float64(in_float64, start, stop, callback, before=0)
    if float32_passes is None:
        float32_passes = stop.max_passes
    budget = min(float32_passes, stop.max_passes)
    found = _run(
        iterations,
        start,
        np.float32,
        dataclasses.replace(stop, max_passes=budget),
        callback,
        refine=in_float64 is not None,
    )
    is_over = found.converged or found.passes == stop.max_passes
    if in_float64 is None or is_over:
        return found
    last = Start(found.params, found.duals)
    refined = _run_in_float64(in_float64, last, stop, callback, before=found.passes)
    # If float64 ran out of passes, float32 may have proven the smaller gap.
    best = min(refined, found, key=lambda one: one.relative_gap)
    return best._replace(
        stalled=refined.stalled and not best.converged,
        passes=refined.passes,
        float64_passes=refined.float64_passes,
    )


def passes_before_semismooth_steps(stop: Stop) -> int:
    """Returns the largest number of float32 passes of a large hinge before float64."""
    return min(stop.max_passes, _FLOAT32_PASSES_BEFORE_SEMISMOOTH)


def passes_before_newton_steps(stop: Stop) -> int:
    """Returns the largest number of float32 passes before Newton steps."""
    return min(stop.max_passes, _FLOAT32_PASSES_BEFORE_NEWTON_STEPS)


def passes_before_float64(stop: Stop, *, is_newton: bool = False) -> int:
    """Returns the largest number of float32 passes before methods of float64.

    Those of small problems, and of the sweeps of larger ones by Newton steps.

    Args:
      stop: stopping criterion of the fit.
      is_newton: whether a single fit continues by Newton steps. In a sweep passes are
        shared, but steps in float64 are not.
    """
    first = _FLOAT32_PASSES
    if stop.relative_gap < _SMALL_GAP:
        first = _FLOAT32_PASSES_OF_SMALL_GAPS
        if is_newton:
            first = _FLOAT32_PASSES_BEFORE_NEWTON
    return min(stop.max_passes, first)


def _run_in_float64(
    iterations: Iterations,
    start: Start,
    stop: Stop,
    callback: PassCallback | None,
    *,
    before: int,
) -> Outcome:
    with jax.enable_x64(True):
        return _run(iterations, start, np.float64, stop, callback, before=before)


def _run(
    iterations: Iterations,
    start: Start,
    dtype: type,
    stop: Stop,
    callback: PassCallback | None,
    *,
    before: int = 0,
    refine: bool = False,
) -> Outcome:
    """Makes the passes of one dtype, after ``before`` passes in the other."""
    params = Params(*(jnp.asarray(leaf, dtype) for leaf in start.params))
    start = start._replace(params=params)
    least, since = np.inf, 0
    left = dataclasses.replace(stop, max_passes=stop.max_passes - before)
    for done, iteration in enumerate(iterations(start, left), 1):
        info = device_mesh.on_host(iteration.info)
        if callback is not None:
            callback(before + done, info)
        # Under a strong penalty parameters 0 may have a proven gap, but they give all
        # classes the same score, up to a free bias. A step away from 0 costs one pass.
        is_zero = done == 1 and not np.any(np.asarray(iteration.params.weights))
        if is_zero and before + done < stop.max_passes:
            continue
        if float(info.relative_gap) <= stop.relative_gap or info.stalled:
            break
        certificate = info.certificate
        if certificate.gap <= 0.9 * least:
            least, since = certificate.gap, done
        is_out_of_patience = done - since >= _PATIENCE_BEFORE_FLOAT64
        is_in_rounding = certificate.gap <= certificate.rounding
        if (refine and is_in_rounding) and (
            is_out_of_patience
            or duality.is_beyond_rounding(certificate, relative_gap=stop.relative_gap)
        ):
            break
    relative_gap = float(info.relative_gap)
    converged = relative_gap <= stop.relative_gap
    return Outcome(
        params=precision.float64_as_numpy(iteration.params),
        certificate=Certificate(*(leaf.item() for leaf in info.certificate)),
        relative_gap=relative_gap,
        converged=converged,
        stalled=bool(info.stalled) and not converged,
        passes=before + done,
        float64_passes=done if dtype is np.float64 else 0,
        duals=device_mesh.on_host(iteration.duals),
    )
