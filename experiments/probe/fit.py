"""The call of `jaxlin.probe` that a config and a data set ask for."""

from pathlib import Path
from typing import Any

import jax
import numpy as np

import jaxlin
from experiments.common import interrupts
from experiments.common.losses import CERTIFIED
from experiments.common.progress import progress
from experiments.probe.config import Config, rule
from experiments.probe.protocols import PROTOCOLS
from jaxlin import data, normalization
from jaxlin.selection import folds, grids, held_out, plans
from jaxlin.selection.grids import Grid
from jaxlin.selection.parts import Parts
from jaxlin.selection.plans import Plan
from jaxlin.solvers.interface import Examples


def check(config: Config, dataset: data.Dataset) -> None:
    """Raises a ValueError if C cannot be chosen as asked on these examples."""
    optional = {
        "x_val": dataset.validation,
        "weights_train": dataset.train_weights,
        "groups_train": dataset.train_groups,
    }
    given = [name for name, value in optional.items() if value is not None]
    for name in given:
        if config.protocol is not None and name != "x_val":
            raise ValueError(
                f"{name} must not be given with protocol, got some; published "
                "protocols have none"
            )
    if "x_val" in given and config.folds is not None:
        raise ValueError(
            "folds must not be given with x_val, whose examples choose C, got "
            f"{config.folds}"
        )
    if "groups_train" in given and "x_val" in given:
        raise ValueError("groups_train must not be given with x_val, got both")
    if "groups_train" in given and config.folds is None:
        raise ValueError(
            "folds must be given with groups_train, got none; --folds 5 holds out "
            "whole groups"
        )
    if dataset.validation is None:
        held_out.weights(
            jax.random.key(config.seed),
            dataset.train.labels,
            example_weights=dataset.train_weights,
            num_settings=len(config.cs),
            validation=validation(config, dataset),
            classes=np.array(dataset.class_names),
        )


def validation(config: Config, dataset: data.Dataset) -> Any:
    """Validation examples, as `jaxlin.probe` takes them."""
    labels = dataset.train.labels
    if dataset.validation is not None:
        return tuple(dataset.validation)
    if config.protocol is not None:
        hold_out = PROTOCOLS[config.protocol].hold_out
        return config.validation_fraction if hold_out is None else hold_out(labels)
    if dataset.train_groups is not None and config.folds is not None:
        key, groups = jax.random.key(config.seed), dataset.train_groups
        return folds.grouped_k_fold(key, groups, num_folds=config.folds, labels=labels)
    return config.folds or config.validation_fraction


def models(config: Config, *, num_weight_sets: int | None = None) -> Grid:
    """Models of the comparison; in place of each l2 its value of C.

    Args:
      config: the settings.
      num_weight_sets: number of parts fitted in one sweep; None is all.
    """
    return grids.product(
        losses=(CERTIFIED[config.loss],),
        l2s=config.cs,
        num_weight_sets=num_weight_sets or config.folds or 1,
        bias=config.bias,
    )


def plan(config: Config, dataset: data.Dataset) -> Plan:
    """Number of models that run at once; by shapes, before anything is computed."""
    # A normalization that is fitted per fold makes a sweep of each.
    per_sweep = 1 if config.normalization == "standardize" else None
    labels: Any = dataset.train.labels
    if dataset.validation is not None:
        labels = np.concatenate([labels, dataset.validation.labels])
    shape = (len(labels), dataset.num_features)
    rows: Any = jax.ShapeDtypeStruct(shape, dataset.train.features.dtype)
    return plans.plan(
        models(config, num_weight_sets=per_sweep),
        Examples(rows, labels),
        num_classes=dataset.num_classes,
        slots=config.slots,
        memory_bytes=config.memory_bytes,
        block_size=config.block_size,
    )


def scaled(config: Config, dataset: data.Dataset) -> data.Dataset:
    """The data set with rows of length 1, if these were asked for."""
    if config.normalization != "unit_length":
        return dataset
    changed = {
        name: split._replace(features=normalization.unit_rows(split.features))
        for name in ("train", "test", "validation")
        if (split := getattr(dataset, name)) is not None
    }
    return dataset._replace(**changed)


def fitted(
    config: Config,
    dataset: data.Dataset,
    checkpoint: Path | Parts,
    *,
    num_models: int,
) -> jaxlin.ProbeResult:
    """The result, continued from the last save of an earlier start.

    Args:
      config: the settings.
      dataset: rows from `scaled`.
      checkpoint: file of the sweep, or those of its parts.
      num_models: number of models that are fitted, for the progress bar.
    """
    with (
        interrupts.held_back() as stop_if_asked,
        progress("fits", total=num_models, unit="models") as advance,
    ):
        done = 0

        def callback(state):
            nonlocal done
            advance(len(state.finished) - done)
            # The next part, or the sweep of the next fold, counts from 0 again.
            done = 0 if state.is_over else len(state.finished)
            stop_if_asked()

        return jaxlin.probe(
            jax.random.key(config.seed),
            *dataset.train,
            *dataset.test,
            weights=dataset.train_weights,
            validation=validation(config, dataset),
            train_on_validation=config.refit,
            slots=config.slots,
            block_size=config.block_size,
            checkpoint=checkpoint,
            callback=callback,
            **options(config, dataset),
        )


def options(config: Config, dataset: data.Dataset) -> dict[str, Any]:
    """Keywords of `jaxlin.probe` that few examples per class share."""
    return {
        "loss": CERTIFIED[config.loss],
        "cs": config.cs,
        "bias": config.bias,
        "class_weights": config.class_weights,
        "undo_prior_shift": config.undo_prior_shift,
        "classes": range(dataset.num_classes),
        "normalization": _normalization(config, dataset),
        "mean_per_class": config.metric == "mean_per_class",
        "choose": rule(config),
        "stop": jaxlin.Stop(config.relative_gap, config.max_passes),
        "memory_bytes": config.memory_bytes,
    }


def _normalization(config: Config, dataset: data.Dataset) -> Any:
    """Normalization of the features, or the function that fits it."""
    if config.normalization == "standardize":
        return normalization.fit_standard
    if config.protocol is not None or config.normalization == "unit_length":
        return None
    identity = normalization.identity(dataset.num_features)
    return identity._replace(scale=np.float32(dataset.max_value))
