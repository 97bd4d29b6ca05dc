"""The parts of a run: linear classes, single networks, the terms of all classes."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

import jaxlin
from experiments.common.draws import key_of, on_reduced
from experiments.common.study import Measured, Part, Run
from experiments.error_decomposition import convex, deep, network, summary
from experiments.error_decomposition.config import PATCHES, Config
from jaxlin import data, normalization
from jaxlin.features import patches
from jaxlin.normalization import Normalization


def parts(config: Config) -> Mapping[str, Part]:
    """The parts of a run, in their order."""
    found: dict[str, Part] = {}
    of_classes = {"pixels": on_pixels, "patches": on_patches, "network": _networks}
    for name in config.classes:
        if name == "network":
            found |= deep.parts(config)
        found[name] = of_classes[name]
    found["summary"] = _summary
    return {name: on_reduced(part) for name, part in found.items()}


def on_pixels(config: Config, dataset: data.Dataset, run: Run) -> Measured:
    """Raw pixels: divided by their largest value, less the mean training image."""
    train, test = dataset.train.features, dataset.test.features
    fitted = normalization.fit_centered(train, scale=dataset.max_value)
    return _on(config, dataset, train, test, fitted)


def on_patches(config: Config, dataset: data.Dataset, run: Run) -> Measured:
    """Patch features, each of mean 0 and variance 1 over the training images."""
    images = network.pixels_of(dataset)
    stats = patches.fit(
        key_of(config, PATCHES),
        images[0],
        scale=dataset.max_value,
        patch_size=config.patch_size,
        num_filters=config.filters,
        num_patches=config.patches,
    )
    how = {"threshold": config.threshold}
    train, test = (
        np.asarray(patches.apply_all(stats, some, encoding_arguments=how))
        for some in images
    )
    found = _on(config, dataset, train, test, normalization.fit_standard(train))
    return Measured(
        {**found.numbers, "clustering": stats.objective},
        {**found.arrays, "filters": stats.filters},
    )


def _on(
    config: Config, dataset: data.Dataset, train: Any, test: Any, fitted: Normalization
) -> Measured:
    problem, judge = (
        jaxlin.problem(
            rows, labels, classes=range(dataset.num_classes), normalization=fitted
        )
        for rows, labels in ((train, dataset.train.labels), (test, dataset.test.labels))
    )
    return convex.measured(config, problem, judge)


def _networks(config: Config, dataset: data.Dataset, run: Run) -> Measured:
    return deep.joined(config, _kept(run, deep.parts(config)))


def _summary(config: Config, dataset: data.Dataset, run: Run) -> Measured:
    found = _kept(run, config.classes)
    return Measured(summary.results(config, found, num_classes=dataset.num_classes))


def _kept(run: Run, names: Iterable[str]) -> dict[str, Measured]:
    return {name: Measured(run.numbers(name), run.arrays(name)) for name in names}
