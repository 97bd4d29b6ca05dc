"""Sources of a probe's features."""

from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments.probe.config import RANDOM, Config, check_fields
from jaxlin import data, normalization
from jaxlin.data import dataset as datasets
from jaxlin.data import embeddings
from jaxlin.normalization import Normalization
from jaxlin.selection import held_out

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
        dataset = data.load(config.features, str(data_dir) if data_dir else None)
    return dataset, {**data.summary(dataset), "answers": coverage}


def check_parts(config: Config, dataset: data.Dataset) -> None:
    """Raises a ValueError if C cannot be chosen as asked on these labels."""
    held_out.weights(
        jax.random.key(config.seed),
        dataset.train.labels,
        num_settings=len(config.cs),
        validation=config.folds or config.validation_fraction,
    )


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


def normalized(dataset: data.Dataset, config: Config) -> Normalization:
    """The normalization of the training features that was asked for."""
    features = dataset.train.features
    if config.standardize:
        return normalization.fit_standard(features)
    identity = normalization.identity(dataset.num_features)
    return identity._replace(scale=np.float32(dataset.max_value))
