"""Float64 for the models of a sweep that float32 could not prove.

>>> import jax, jax.numpy as jnp
>>> from jaxlin import losses
>>> from jaxlin.selection import grids, plans, polishing, sweep
>>> from jaxlin.solvers import base, certified
>>> rows = jax.random.normal(jax.random.key(0), (60, 3))
>>> problem = certified.prepare(base.problem(rows, jnp.arange(60) % 3, num_classes=3))
>>> models = grids.product(losses=(losses.weston_watkins_hinge,), l2s=(1e-1, 1e-2))
>>> how = {"num_classes": 3, "relative_gap": 1e-8}
>>> plan = plans.plan(models, problem, num_classes=3)
>>> fits = sweep.fit(problem, models, plan=plan, **how)
>>> print(fits.converged, polishing.polished(problem, models, fits, **how).converged)
[False False] [ True  True]
"""

from typing import Any

import jax
import numpy as np
from jax.typing import ArrayLike

from jaxlin.duality import Certificate
from jaxlin.linear import Params
from jaxlin.selection import sweep
from jaxlin.selection.grids import Grid
from jaxlin.selection.sweep import Fits
from jaxlin.solvers import fit_loop, fitting
from jaxlin.solvers.base import Problem


def polished(
    problem: Problem,
    models: Grid,
    fits: Fits,
    *,
    num_classes: int,
    weightings: ArrayLike | None = None,
    relative_gap: float = 1e-3,
    max_evaluations: int = 1000,
) -> Fits:
    """Goes on with the models whose gap is larger than asked for, one after the other.

    Each as `jaxlin.solvers.fitting.fit_prepared` with ``polish=True`` from where the
    sweep has come to, a hinge without its multipliers, and so anew.

    Args:
      problem: of the sweep.
      models: of the sweep.
      fits: what `jaxlin.selection.sweep.fit` has returned for them.
      num_classes: C.
      weightings: those of the sweep.
      relative_gap: asked of every model; it may be smaller than that of the sweep.
      max_evaluations: of a model here, those in float32 before float64 takes over
        included.

    Returns:
      The fits, float64 parameters and certificates if one went on. What was proven
      better before is kept. ``evaluations`` and ``paid`` count these too.

    Raises:
      ValueError: as `jaxlin.solvers.fitting.fit_prepared`.
    """
    fit_loop.check_concrete(problem=problem, weightings=weightings)
    by_row = sweep.weights_by_row(problem, models, weightings, allow_one_class=True)
    behind = np.flatnonzero(~(np.asarray(fits.relative_gap) <= relative_gap))
    if not len(behind):
        return fits._replace(converged=np.ones(models.size, bool))
    params, certificate = jax.tree.map(
        lambda leaf: np.array(leaf, np.float64), (fits.params, fits.certificate)
    )
    gaps, evaluations = np.array(fits.relative_gap, float), fits.evaluations.copy()
    for model in behind:
        weights = None if by_row is None else by_row[:, models.weighting[model]]
        fit = fitting.fit_prepared(
            problem._replace(example_weights=weights),
            num_classes=num_classes,
            loss=models.losses[models.loss[model]],
            l2=float(models.l2[model]),
            loss_arguments=models.arguments_of(int(model)),
            relative_gap=relative_gap,
            max_evaluations=max_evaluations,
            start=Params(*(np.asarray(leaf[model]) for leaf in fits.params)),  # type: ignore[arg-type]
            polish=True,
        )
        evaluations[model] += fit.evaluations
        if fit.relative_gap < gaps[model]:
            found: Any = (fit.params, fit.certificate)
            for leaves, leaf in zip(
                (*params, *certificate), (*found[0], *found[1]), strict=True
            ):
                leaves[model] = leaf
            gaps[model] = fit.relative_gap
    return Fits(
        params,
        Certificate(*certificate),
        relative_gap=gaps,
        converged=gaps <= relative_gap,
        evaluations=evaluations,
        paid=fits.paid + int((evaluations - fits.evaluations).sum()),
    )
