"""One of two processes that fit together; run by test_sharding."""

import sys

import jax
import numpy as np
import pytest

import jaxlin
from jaxlin import data, losses, probe, sharding
from jaxlin.selection import cross_validation, folds, grids, nested, plans, sweep


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
        problem = jaxlin.problem(rows, labels, classes=range(10), normalization=fitted).prepared()
        for loss in (losses.softmax_cross_entropy, losses.weston_watkins_hinge):
            fit = jaxlin.fit(problem, loss=loss, l2=1e-1, refine=True, **how)
            found.append(fit.certificate.primal)
        both = (losses.softmax_cross_entropy, losses.weston_watkins_hinge)
        models = grids.product(losses=both, l2s=(3e-1, 1e-1))
        fits = sweep.fit(
            problem,
            models,
            plan=plans.plan(models, problem, num_classes=10),
            weightings=sharding.weightings(
                np.ones((1, len(labels))), num_examples=len(labels)
            ),
            **how,
        )
        found += fits.certificate.primal[[1, 3]].tolist()
        # Each process deals its own rows out.
        fold_of = folds.stratified_k_fold(jax.random.key(0), labels, num_folds=3)
        table = cross_validation.cross_validate(
            problem,
            losses=(losses.softmax_cross_entropy,),
            l2s=(3e-1, 1e-1),
            fold_of=sharding.folds(fold_of, num_examples=len(labels)),
            **how,
        )
        found += [*table.accuracy[1], *table.loss[1]]
    refused(problem, rows, labels)
    sys.stdout.write("\n" + " ".join(map(str, found)) + "\n")


def refused(problem, digits, names):
    """What would leave each process with a problem of its own is said in both."""
    key = jax.random.key(0)
    with pytest.raises(ValueError, match="must have all rows in one process, got 2"):
        probe.fit(key, digits, names, digits, names)
    with pytest.raises(ValueError, match="must have all rows in one process, since"):
        nested.cross_validate(
            key,
            problem,
            num_classes=10,
            losses=(losses.softmax_cross_entropy,),
            l2s=(1e-1,),
            fold_of=problem.targets,
            num_inner_folds=2,
        )
    rows, labels = np.ones((4, 2), np.float32), np.arange(4) % 2
    with pytest.raises(ValueError, match="which leaves process 1 without"):
        sharding.mesh(rows=1)
    with (
        jax.set_mesh(sharding.mesh(models=2)),
        pytest.raises(ValueError, match="must split the rows evenly"),
    ):
        jaxlin.problem(rows, labels, classes=range(2)).examples
    is_first = jax.process_index() == 0
    with jax.set_mesh(sharding.mesh(rows=2)):
        width = 2 if is_first else 1
        with pytest.raises(ValueError, match=r"width must be the same .* got \[2, 1\]"):
            jaxlin.problem(rows[:, :width], labels, classes=range(2)).examples
        message = "got 7 at" if is_first else "got an error in process 0"
        wrong = np.where(is_first, 7, labels)
        with pytest.raises(ValueError, match=message):
            jaxlin.problem(rows, wrong, classes=range(2)).examples
        # One class a process is enough, if it is another.
        jaxlin.problem(rows, np.full(4, not is_first, int), classes=range(2)).examples
        with pytest.raises(ValueError, match="targets of all processes must name at"):
            jaxlin.problem(rows, np.zeros(4, int), classes=range(2)).examples
        with pytest.raises(ValueError, match="of all processes must have a positive"):
            jaxlin.problem(rows, labels, classes=range(2), weights=np.zeros(4)).examples
        message = "got <U1 of" if is_first else "got an error in process 0"
        with pytest.raises(ValueError, match=message):
            sharding.folds(list("aabb") if is_first else labels, num_examples=4)
        with pytest.raises(ValueError, match=r"values\[1\] must have a positive sum"):
            sharding.weightings([[0, 0, 1, 0], [0, 0, 0, 0]], num_examples=4)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
