"""The three classes: what each is measured by, and read back by a resumed run."""

import numpy as np

from experiments.common.run_folder import RunFolder
from experiments.error_decomposition import convex, deep, saved
from experiments.error_decomposition.config import Config
from experiments.error_decomposition.convex import Rows
from experiments.error_decomposition.sample import PATCHES, Sample, images, key
from experiments.error_decomposition.saved import Found
from jaxlin import normalization
from jaxlin.features import patches


def measured(folder: RunFolder, config: Config, sample: Sample, name: str) -> Found:
    """What became of one class; what an earlier start has measured is read."""
    if name == "network":
        return deep.measured(folder, config, sample)
    found = saved.read(folder, name)
    if found is None:
        linear_on = {"pixels": on_pixels, "patches": on_patches}[name]
        found = saved.write(folder, name, linear_on(config, sample))
    return found


def on_pixels(config: Config, sample: Sample) -> Found:
    """Raw pixels: divided by their largest value, less the mean training image."""
    fitted = normalization.fit_centered(sample.train, scale=sample.scale)
    return convex.measured(config, sample, Rows(sample.train, sample.test, fitted))


def on_patches(config: Config, sample: Sample) -> Found:
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
    return Found(
        {**found.arrays, "filters": np.asarray(stats.filters)},
        {**found.numbers, "clustering": np.asarray(stats.objective).tolist()},
    )
