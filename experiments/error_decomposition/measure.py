"""The parts of a run: linear classes, single networks, the terms of all classes."""

import functools
from collections.abc import Mapping

import numpy as np

from experiments.common.study import Measured, Part, Run
from experiments.error_decomposition import convex, deep, summary
from experiments.error_decomposition.config import Config
from experiments.error_decomposition.convex import Rows
from experiments.error_decomposition.sample import PATCHES, Sample, drawn, images, key
from jaxlin import data, normalization
from jaxlin.features import patches


def parts(config: Config) -> Mapping[str, Part]:
    """The parts of a run, in their order."""
    found: dict[str, Part] = {}
    for name in config.classes:
        if name == "network":
            for seed, place in deep.names(config):
                found[deep.part_name(seed, place)] = functools.partial(
                    _network, seed=seed, place=place
                )
            found[name] = _networks
        else:
            found[name] = {"pixels": _on_pixels, "patches": _on_patches}[name]
    return {**found, "summary": _summary}


def _on_pixels(config: Config, dataset: data.Dataset, run: Run) -> Measured:
    """Raw pixels: divided by their largest value, less the mean training image."""
    sample = drawn(config, dataset)
    fitted = normalization.fit_centered(sample.train, scale=sample.scale)
    return convex.measured(config, sample, Rows(sample.train, sample.test, fitted))


def _on_patches(config: Config, dataset: data.Dataset, run: Run) -> Measured:
    return on_patches(config, drawn(config, dataset))


def on_patches(config: Config, sample: Sample) -> Measured:
    """Patch features, each of mean 0 and variance 1 over the training images."""
    learned = images(sample, sample.train)
    stats = patches.fit(
        key(config, PATCHES),
        learned,
        scale=sample.scale,
        patch_size=config.patch_size,
        num_filters=config.filters,
        num_patches=config.patches,
    )
    how = {"threshold": config.threshold}
    train, test = (
        np.asarray(patches.apply_all(stats, some, encoding_arguments=how))
        for some in (learned, images(sample, sample.test))
    )
    rows = Rows(train, test, normalization.fit_standard(train))
    found = convex.measured(config, sample, rows)
    return Measured(
        {**found.numbers, "clustering": np.asarray(stats.objective).tolist()},
        {**found.arrays, "filters": np.asarray(stats.filters)},
    )


def _network(
    config: Config, dataset: data.Dataset, run: Run, *, seed: int, place: int
) -> Measured:
    """One network, continued from the epoch that an earlier start has saved."""
    return deep.one_network(run.folder, config, drawn(config, dataset), seed, place)


def _networks(config: Config, dataset: data.Dataset, run: Run) -> Measured:
    """All networks under the names that linear classes use."""
    names = [deep.part_name(*each) for each in deep.names(config)]
    return deep.joined(config, {name: _kept(run, name) for name in names})


def _summary(config: Config, dataset: data.Dataset, run: Run) -> Measured:
    found: dict[str, Measured] = {name: _kept(run, name) for name in config.classes}
    return Measured(summary.results(config, found, num_classes=dataset.num_classes))


def _kept(run: Run, part: str) -> Measured:
    return Measured(run.numbers(part), run.arrays(part))
