"""One of two processes that fit together; run by test_sharding."""

import pathlib
import sys

import jax
import numpy as np
import pytest

import jaxlin
from jaxlin import data, linear_probe, losses, normalization, sharding
from jaxlin.selection import folds, nested, parts


def main(address, number, folder):
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(address, num_processes=2, process_id=number)
    digits = data.load("digits").train
    mine = slice(120) if number == 0 else slice(120, 203)
    rows, labels = digits.features[mine], digits.labels[mine]
    stop = jaxlin.Stop(1e-5)
    found = []
    with jax.set_mesh(sharding.mesh(rows=2)):
        fitted = sharding.fit_centered(rows, scale=16.0)
        problem = jaxlin.problem(rows, labels, classes=range(10), normalization=fitted)
        both = (losses.softmax_cross_entropy, losses.weston_watkins_hinge)
        for loss in both:
            fit = jaxlin.fit(problem, loss=loss, l2=1e-1, stop=stop, refine=True)
            found.append(fit.certificate.primal)
        fits = jaxlin.sweep(
            problem,
            losses=both,
            l2s=(3e-1, 1e-1),
            weight_sets=np.ones((1, len(labels))),
            stop=stop,
        )
        found += fits.certificate.primal[[1, 3]].tolist()
        goes_on_after_a_kill(problem, folder, fits, losses=both, stop=stop)
        # Each process deals its own rows out.
        table = jaxlin.cross_validate(
            problem,
            losses=(losses.softmax_cross_entropy,),
            l2s=(3e-1, 1e-1),
            folds=folds.stratified_k_fold(jax.random.key(0), labels, num_folds=3),
            stop=stop,
        )
        found += [*table.accuracy[1], *table.loss[1]]
        found += probed(digits, number)
        for loss in both:
            free = jaxlin.fit(
                problem, loss=loss, l2=1e-1, bias="free", stop=stop, refine=True
            )
            # The shares of the classes differ between the processes.
            assert free.converged
            assert np.abs(free.params.bias).max() > 1e-2
            found.append(free.certificate.primal)
    refused(problem, rows, labels)
    sys.stdout.write("\n" + " ".join(map(str, found)) + "\n")


def probed(digits, number):
    """Accuracies and the objective of a probe; each process has rows of its own."""
    train, test = (slice(120), slice(120, 203)), (slice(203, 323), slice(323, 403))
    rows, tests = (
        (digits.features[part[number]], digits.labels[part[number]])
        for part in (train, test)
    )
    key = jax.random.key(0)
    settings = {"classes": range(10), "l2s": (1e-1, 1e-2), "stop": jaxlin.Stop(1e-5)}
    probe = jaxlin.probe(
        key, *rows, *tests, validation=2, class_weights="balanced", **settings
    )
    assert probe.test.num_examples == 200
    # Every example of a class with several of them.
    assert probe.num_held_out == 203
    return [
        probe.l2,
        probe.fit.certificate.primal,
        float(probe.temperature.value),
        probe.test.accuracy.value,
        *probe.table.accuracy.ravel(),
        *probe.table.loss.ravel(),
    ]


class Killed(Exception):
    """Thrown where a process might have been killed, in both."""


def goes_on_after_a_kill(problem, folder, expected, **settings):
    """A sweep with a checkpoint goes on bit for bit, hinges with their dual centers."""
    path = pathlib.Path(folder, "sweep.npz")
    options = {
        "l2s": (3e-1, 1e-1),
        "weight_sets": np.ones((1, problem.num_examples)),
        "checkpoint": path,
        **settings,
    }
    resumed = []

    def kill(state):
        if path.exists() and len(state.finished) == 1:
            raise Killed

    with pytest.raises(Killed):
        jaxlin.sweep(problem, callback=kill, **options)
    again = jaxlin.sweep(
        problem, callback=lambda state: resumed.append(len(state.finished)), **options
    )
    assert resumed[0] >= 1
    equal(again, expected)
    # What is over is read by both, under parts too.
    dealt = parts.Parts((f"{path}-0", f"{path}-1"))
    parts.fit_part(
        lambda files: jaxlin.sweep(problem, **{**options, "checkpoint": files}),
        dealt,
        1,
    )
    assert parts.unfinished(dealt) == (0,)
    other = settings["losses"][:1]
    with pytest.raises(ValueError, match="got others: their l2 differ"):
        jaxlin.sweep(problem, **{**options, "losses": other})
    weights = np.ones((1, problem.num_examples))
    weights[0, 0] = 2 - jax.process_index()
    with pytest.raises(ValueError, match="its weights is one with digest"):
        jaxlin.sweep(problem, **{**options, "weight_sets": weights})
    mine = pathlib.Path(folder, f"of-{jax.process_index()}", "sweep.npz")
    mine.parent.mkdir()
    if jax.process_index() == 0:
        mine.write_bytes(path.read_bytes())
    words = "in a folder that all processes share, got one that process 1"
    with pytest.raises(ValueError, match=words):
        jaxlin.sweep(problem, **{**options, "checkpoint": mine})


def equal(found, expected):
    """Fails unless two sweeps have the same parameters and proofs, bit for bit."""
    for name in ("params", "certificate", "passes", "float64_passes"):
        one, other = getattr(found, name), getattr(expected, name)
        jax.tree.map(np.testing.assert_array_equal, one, other)


def refused(problem, digits, names):
    """Errors that would leave each process with a problem of its own occur in both."""
    key = jax.random.key(0)
    with pytest.raises(ValueError, match="normalization must be fit_standard, or fit"):
        jaxlin.probe(
            *(key, digits, names, digits, names),
            classes=range(10),
            normalization=lambda rows, example_weights: None,
        )
    with pytest.raises(ValueError, match="few_shot must have all rows in one process"):
        linear_probe.few_shot(key, digits, names, digits, names, num_shots=1)
    with pytest.raises(ValueError, match="must have all rows in one process, since"):
        nested.cross_validate(
            key,
            problem,
            losses=(losses.softmax_cross_entropy,),
            l2s=(1e-1,),
            folds=names,
            num_inner_folds=2,
        )
    rows, labels = np.ones((4, 2), np.float32), np.arange(4) % 2
    with pytest.raises(ValueError, match="which leaves process 1 without"):
        sharding.mesh(rows=1)
    with (
        jax.set_mesh(sharding.mesh(models=2)),
        pytest.raises(ValueError, match="must split the rows evenly"),
    ):
        jaxlin.problem(rows, labels, classes=range(2))
    is_first = jax.process_index() == 0
    with jax.set_mesh(sharding.mesh(rows=2)):
        width = 2 if is_first else 1
        with pytest.raises(ValueError, match=r"width must be the same .* got \[2, 1\]"):
            jaxlin.problem(rows[:, :width], labels, classes=range(2))
        message = "got 7 at" if is_first else "got an error in process 0"
        wrong = np.where(is_first, 7, labels)
        with pytest.raises(ValueError, match=message):
            jaxlin.problem(rows, wrong, classes=range(2))
        # One class a process is enough, if it is another.
        jaxlin.problem(rows, np.full(4, not is_first, int), classes=range(2))
        with pytest.raises(ValueError, match="labels must name at least two classes"):
            jaxlin.problem(rows, np.zeros(4, int), classes=range(2))
        with pytest.raises(
            ValueError, match="weights of all processes must have a positive"
        ):
            jaxlin.problem(rows, labels, classes=range(2), weights=np.zeros(4))
        problem = jaxlin.problem(rows, labels, classes=range(2))
        message = "got <U1 of" if is_first else "got an error in process 0"
        wrong = list("aabb") if is_first else labels
        with pytest.raises(ValueError, match=message):
            jaxlin.cross_validate(
                problem,
                losses=(losses.softmax_cross_entropy,),
                l2s=(1e-1,),
                folds=wrong,
            )
        with pytest.raises(
            ValueError, match=r"weight_sets\[1\] must have a positive sum"
        ):
            problem.weight_sets([[0, 0, 1, 0], [0, 0, 0, 0]], allow_one_class=True)
    with pytest.raises(ValueError, match="classes must be given in several processes"):
        jaxlin.problem(rows, labels)
    with pytest.raises(ValueError, match="normalization must be fitted already in"):
        jaxlin.problem(
            rows, labels, classes=range(2), normalization=normalization.fit_standard
        )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
