"""One of two processes that fit together; run by test_sharding."""

import sys

import jax
import numpy as np

from jaxlin import data, losses, sharding
from jaxlin.selection import grids, sweep
from jaxlin.solvers import certified, fitting


def main(address, number):
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(address, num_processes=2, process_id=number)
    digits = data.load("digits").train
    mine = slice(120) if number == 0 else slice(120, 203)
    rows, labels = digits.features[mine], digits.labels[mine]
    how = {"num_classes": 10, "relative_gap": 1e-5}
    found = []
    with jax.set_mesh(sharding.mesh(rows=2)):
        fitted = sharding.fit_centered(rows, scale=16.0)
        problem = certified.prepare(
            sharding.problem(rows, labels, num_classes=10, normalization=fitted)
        )
        for loss in (losses.softmax_cross_entropy, losses.weston_watkins_hinge):
            fit = fitting.fit_prepared(problem, loss=loss, l2=1e-1, polish=True, **how)
            found.append(fit.certificate.primal)
        models = grids.product(losses=(losses.softmax_cross_entropy,), l2s=(1e-1,))
        fits = sweep.fit(
            problem,
            models,
            plan=grids.plan(models, problem, num_classes=10),
            weightings=sharding.weightings(np.ones((1, len(labels)))),
            **how,
        )
        found.append(fits.certificate.primal[-1])
    sys.stdout.write("\n" + " ".join(map(str, found)) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
