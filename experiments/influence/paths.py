"""One data set: a path of fits, leave-one-out, folds, test set; images that decide."""

from collections.abc import Sequence
from typing import Any

import numpy as np

import jaxlin
from experiments.common import draws
from experiments.common.study import Measured, Run
from experiments.influence.config import Config
from jaxlin import data, losses, normalization
from jaxlin.selection import folds
from jaxlin.stats.comparison import Estimate

SOFTMAX = losses.softmax_cross_entropy
# Purposes of keys.
REFITS, FOLDS, GROUPS, FLIPS = range(4)


def problem_of(dataset: data.Dataset) -> jaxlin.Problem:
    """The training images: pixels over their largest value, less the mean image."""
    scale = dataset.max_value or 1.0
    return jaxlin.problem(
        *dataset.train,
        classes=range(dataset.num_classes),
        normalization=normalization.fit_centered(dataset.train.features, scale=scale),
    )


def fitted_path(
    config: Config, problem: jaxlin.Problem, l2s: Sequence[float]
) -> list[jaxlin.Fit]:
    """A fit for each l2, each from the one before."""
    found: list[jaxlin.Fit] = []
    stop = jaxlin.Stop(config.relative_gap, config.max_passes)
    for l2 in l2s:
        start = found[-1] if found else None
        how: dict[str, Any] = {"stop": stop, "start": start, "refine": True}
        found.append(jaxlin.fit(problem, loss=SOFTMAX, l2=l2, **how))
    return found


def fits(config: Config, dataset: data.Dataset, run: Run, *, prefix: str) -> Measured:
    """The fits of the path."""
    made = fitted_path(config, problem_of(dataset), config.l2)
    numbers = [{"relative_gap": fit.relative_gap, "passes": fit.passes} for fit in made]
    return Measured(numbers, fits={_name(fit.l2): fit for fit in made})


def leave_one_out(
    config: Config, dataset: data.Dataset, run: Run, *, prefix: str
) -> Measured:
    """Leave-one-out of each fit, without refits."""
    problem, numbers = problem_of(dataset), []
    for l2 in config.l2:
        found = jaxlin.leave_one_out(_fit(run, prefix, l2), problem, num_refits=0)
        own = {"proven": found.is_proven.mean(), "largest_error": found.errors.max()}
        numbers.append({**_estimates(found.accuracy, found.loss), **own})
    return Measured(numbers)


def refits(config: Config, dataset: data.Dataset, run: Run, *, prefix: str) -> Measured:
    """Certified refits of some examples, at the l2 of the least leave-one-out loss."""
    fit = chosen(config, run, prefix)
    key = draws.key_of(config, REFITS)
    found = jaxlin.leave_one_out(
        fit, problem_of(dataset), num_refits=config.refits, key=key
    ).refits
    numbers = {
        "l2": fit.l2,
        "largest": found.deviations.max(),
        "mean": found.deviations.mean(),
        "same_labels": found.same_labels.sum(),
        "proven": found.is_proven.sum(),
    }
    return Measured(numbers)


def cross_validation(
    config: Config, dataset: data.Dataset, run: Run, *, prefix: str
) -> Measured:
    """Accuracy and loss of held-out folds for each l2."""
    labels, key = dataset.train.labels, draws.key_of(config, FOLDS)
    found = jaxlin.cross_validate(
        problem_of(dataset),
        losses=(SOFTMAX,),
        l2s=config.l2,
        folds=folds.stratified_k_fold(key, labels, num_folds=config.folds),
    )
    by_l2 = {row["l2"]: row for row in found.rows()}
    kept = {"accuracy": "accuracy", "loss": "held_out_loss"}
    numbers = [{k: by_l2[l2][name] for k, name in kept.items()} for l2 in config.l2]
    return Measured(numbers)


def test(config: Config, dataset: data.Dataset, run: Run, *, prefix: str) -> Measured:
    """Accuracy and loss of each fit on the test set."""
    found = [jaxlin.evaluate(_fit(run, prefix, l2), *dataset.test) for l2 in config.l2]
    return Measured([_estimates(one.accuracy, one.log_loss) for one in found])


def images(config: Config, dataset: data.Dataset, run: Run) -> Measured:
    """Most helpful and harmful training images for the test images of each class."""
    fit, problem = chosen(config, run, ""), problem_of(dataset)
    (features, labels), (tests, truth) = dataset.train, dataset.test
    numbers, shown = [], []
    for label in np.unique(truth):
        own = truth == label
        found = jaxlin.influence(fit, problem, tests[own], truth[own], mean=True)
        best, worst = (
            some(config.images)[0] for some in (found.most_helpful, found.most_harmful)
        )
        numbers.append(
            {
                "name": dataset.class_names[label],
                "residual": found.residuals[0],
                "helpful": [dataset.class_names[i] for i in labels[best]],
                "harmful": [dataset.class_names[i] for i in labels[worst]],
                "largest": [found.changes[0, one[0]] for one in (best, worst)],
            }
        )
        shown.append(features[np.stack([best, worst])])
    shape = dataset.image_shape
    assert shape is not None
    pictures = np.stack(shown).reshape(len(shown), 2, config.images, *shape)
    return Measured({"l2": fit.l2, "classes": numbers}, {"images": pictures})


def chosen(config: Config, run: Run, prefix: str) -> jaxlin.Fit:
    """The fit of the least leave-one-out loss."""
    found = run.numbers(f"{prefix}leave_one_out")
    best = min(range(len(found)), key=lambda i: found[i]["loss"])
    return _fit(run, prefix, config.l2[best])


def _fit(run: Run, prefix: str, l2: float) -> jaxlin.Fit:
    return run.fit(f"{prefix}fits", _name(l2))


def _name(l2: float) -> str:
    return f"l2_{l2:g}"


def _estimates(accuracy: Estimate, loss: Estimate) -> dict[str, Any]:
    """Both values, and the interval of the accuracy."""
    return {
        "accuracy": accuracy.value,
        "interval": list(accuracy.interval),
        "loss": loss.value,
    }
