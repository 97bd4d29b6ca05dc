"""Sources of a probe's features."""

from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments.common.datasets import load as load_dense
from experiments.probe.config import RANDOM, Config, check_fields
from jaxlin import data
from jaxlin.data import dataset as datasets
from jaxlin.data import embeddings

# Of the random features.
_TRAIN, _TEST, _FEATURES, _CLASSES = 300, 150, 12, 3


def load(config: Config, data_dir: Path | None) -> tuple[data.Dataset, dict[str, Any]]:
    """Returns the features, and their summary with what a vocabulary leaves out.

    Raises:
      ValueError: naming what is wrong with a field, the file or the name.
      OSError: if a data set is not on this machine.
    """
    check_fields(config)
    coverage = None
    if config.answers is not None:
        if not config.features.endswith(".npz") and not Path(config.features).is_dir():
            raise ValueError(
                "FEATURES must be a .npz file or a folder of .npy files where answers "
                f"is given, got {config.features!r}"
            )
        dataset, covered = embeddings.load(
            config.features, parts=config.join or ("x",), num_answers=config.answers
        )
        coverage = {**covered._asdict(), "ceiling": covered.ceiling}
        print(covered)
    elif config.features == RANDOM:
        dataset = made(config.seed)
    else:
        dataset = load_dense(config.features, data_dir)
    return dataset, {**data.summary(dataset), "answers": coverage}


def other(config: Config) -> data.Dataset:
    """The features that are compared with the first ones."""
    assert config.compare is not None, "a config that compares"
    return load_dense(config.compare)


def made(seed: int) -> data.Dataset:
    """Three classes of Gaussian features that overlap."""
    keys = jax.random.split(jax.random.key(seed), 3)
    centers = 0.8 * np.asarray(jax.random.normal(keys[0], (_CLASSES, _FEATURES)))
    noise = np.asarray(jax.random.normal(keys[1], (_TRAIN + _TEST, _FEATURES)))
    labels = np.arange(_TRAIN + _TEST) % _CLASSES
    rows = (centers[labels] + noise).astype(np.float32)
    parts = (slice(_TRAIN), slice(_TRAIN, None))
    train, test = (data.Split(rows[part], labels[part]) for part in parts)
    return datasets.check_dataset(
        data.Dataset(
            name=RANDOM,
            train=train,
            test=test,
            class_names=tuple(map(str, range(_CLASSES))),
            image_shape=None,
            max_value=1.0,
            source=f"made from the seed {seed}",
        )
    )
