"""The parts of a run: searches, the test, local fits, time, noise, contrast."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from experiments.common.study import Measured, Part, Run
from experiments.nearest_neighbor import (
    choosing,
    contrast,
    cost,
    draws,
    local,
    noise,
    summary,
    testing,
)
from experiments.nearest_neighbor.config import Config
from jaxlin import data

# Test examples shown with their neighbours, of those that are right and of the others.
EACH = 4


def parts(config: Config) -> Mapping[str, Part]:
    """The parts of a run, in their order."""
    found: dict[str, Callable[[Config, data.Dataset, Run], Measured]] = {
        choosing.key_of_search(*search): functools.partial(_search, search=search)
        for search in choosing.searches(config)
    }
    found["test"] = _test
    if config.local_ks:
        found["local"] = _local
    found["time"] = _time
    for number in range(config.noise_repeats):
        found[f"noise_{number}"] = functools.partial(_noise, number=number)
    return {
        **{name: _on_reduced(part) for name, part in found.items()},
        "contrast": _on_reduced(_contrast),
        "summary": _summary,
    }


def _on_reduced(part: Part) -> Part:
    """A part on as many examples as the config says."""
    return lambda config, dataset, run: part(
        config, draws.reduced(config, dataset), run
    )


def _search(
    config: Config, dataset: data.Dataset, run: Run, *, search: tuple[str, str]
) -> Measured:
    return Measured(choosing.cross_validated(config, dataset, *search))


def setting(config: Config, run: Run) -> choosing.Setting:
    """Choice of the cross-validation."""
    return choosing.chosen(records(config, run))


def records(config: Config, run: Run) -> list[choosing.Record]:
    """The numbers of all searches, in their order."""
    return [
        run.numbers(choosing.key_of_search(*each)) for each in choosing.searches(config)
    ]


def _test(config: Config, dataset: data.Dataset, run: Run) -> Measured:
    found = testing.tested(config, dataset, setting(config, run))
    answers = found.predictions
    numbers: dict[str, Any] = {
        "linear": found.facts,
        "test": summary.of_test(answers, dataset.test.labels),
        "neighbors": [],
    }
    arrays = {**answers, "shown": found.shown, "label": dataset.test.labels}
    if dataset.image_shape is not None:
        numbers["neighbors"], arrays["images"] = neighbors(
            dataset, answers[testing.CHOSEN], found.shown
        )
    named = found.linear._replace(classes=np.array(dataset.class_names))
    return Measured(numbers, arrays, {"linear": named})


def neighbors(
    dataset: data.Dataset, predictions: np.ndarray, shown: np.ndarray
) -> tuple[list[dict[str, Any]], np.ndarray]:
    """The first test images that are right, and that are not, with their neighbours.

    Returns:
      Names of the classes of each row of images; the images, the test image first.
    """
    right, shape = predictions == dataset.test.labels, dataset.image_shape
    assert shape is not None
    names, images = [], []
    for row in (*np.flatnonzero(right)[:EACH], *np.flatnonzero(~right)[:EACH]):
        near = shown[row]
        names.append(
            {
                "class": dataset.class_names[dataset.test.labels[row]],
                "answer": dataset.class_names[predictions[row]],
                "near": [
                    dataset.class_names[one] for one in dataset.train.labels[near]
                ],
            }
        )
        rows = [dataset.test.features[row], *dataset.train.features[near]]
        images.append(np.stack(rows).reshape(len(rows), *shape))
    return names, np.stack(images)


def _local(config: Config, dataset: data.Dataset, run: Run) -> Measured:
    return Measured(local.measured(config, dataset, setting(config, run)))


def _time(config: Config, dataset: data.Dataset, run: Run) -> Measured:
    return Measured(cost.measured(config, dataset, run.fit("test", "linear")))


def _noise(config: Config, dataset: data.Dataset, run: Run, *, number: int) -> Measured:
    return Measured(noise.measured(config, dataset, number))


def _contrast(config: Config, dataset: data.Dataset, run: Run) -> Measured:
    return Measured(contrast.measured(config, dataset))


def _summary(config: Config, dataset: data.Dataset, run: Run) -> Measured:
    searches, found = records(config, run), run.numbers("contrast")
    noisy = [run.numbers(f"noise_{number}") for number in range(config.noise_repeats)]
    test = run.numbers("test")
    theory = {
        str(one): contrast.in_theory(one, found["examples"])
        for one in config.dimensions
        if one >= contrast.LARGE
    }
    return Measured(
        {
            "chosen": summary.of_choice(searches, setting(config, run)),
            "best_of_search": [summary.best(one) for one in searches],
            "test": test["test"],
            "linear": test["linear"],
            "local": summary.of_local(run.numbers("local"))
            if config.local_ks
            else None,
            "time": summary.of_time(run.numbers("time")),
            "noise": summary.of_noise(noisy, l2s=config.noise_l2),
            "contrast": {
                **found,
                "normal_dimension": contrast.normal_dimension(found),
                "in_theory": theory,
            },
        }
    )
