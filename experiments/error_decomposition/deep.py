"""Convolutional networks, the largest class: on all examples, halves and a quarter.

No optimum of a network is known. What can be had of it is the optimum of its head: the
linear classifier on its frozen features, by the certified solver. So the best on the
sample is here a network with the best head on its features, and what the body could
still gain counts as estimation or modelling.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxlin
from experiments.common.run_folder import RunFolder
from experiments.common.study import Measured
from experiments.error_decomposition import losses_of, network
from experiments.error_decomposition.config import Config
from experiments.error_decomposition.losses_of import LOSS
from experiments.error_decomposition.network import Images, Network, Recipe
from experiments.error_decomposition.sample import NETWORK, Sample, key
from jaxlin import normalization
from jaxlin.normalization import Normalization
from jaxlin.selection import resampling
from jaxlin.solvers.interface import Examples

# Of each seed: one on all examples, one on either half, one on the first quarter.
PARTS = ("whole", "half-0", "half-1", "quarter")


def names(config: Config) -> list[tuple[int, int]]:
    """Seeds and places in `PARTS` of all networks, in their order."""
    return [(seed, place) for seed in range(config.seeds) for place in range(4)]


def part_name(seed: int, place: int) -> str:
    """Name of the part of a run that is about one network."""
    return f"network-{seed}-{PARTS[place]}"


def one_network(
    folder: RunFolder, config: Config, sample: Sample, seed: int, place: int
) -> Measured:
    """Losses of test examples under one network."""
    train = network.images_of(sample.train, sample.train_labels, sample.image_shape)
    test = network.images_of(sample.test, sample.test_labels, sample.image_shape)
    quarters = resampling.quarters(
        key(config, NETWORK), len(sample.train_labels), num_splits=config.seeds
    )
    halves = resampling.halves(quarters)[seed]
    members = (np.ones_like(halves[0]), *halves, quarters[seed, 0])[place]
    return _one(
        folder,
        part_name(seed, place),
        jax.random.fold_in(key(config, NETWORK), 4 * seed + place + 1),
        config,
        sample,
        train,
        test._replace(normalization=train.normalization),
        np.flatnonzero(members),
    )


def _one(
    folder: RunFolder,
    name: str,
    draw: Any,
    config: Config,
    sample: Sample,
    train: Images,
    test: Images,
    members: np.ndarray,
) -> Measured:
    """Trains one network and fits a certified head on its features."""
    start = network.init(
        jax.random.fold_in(draw, 0),
        train,
        num_classes=sample.num_classes,
        width=config.width,
        num_features=config.network_features,
    )
    made, history = network.trained(
        folder,
        name,
        jax.random.fold_in(draw, 1),
        start,
        train,
        members,
        recipe(config),
    )
    rows = np.asarray(network.features(made.body, train))
    fitted = normalization.fit_standard(rows[members])
    is_member = np.zeros(len(rows), np.float32)
    is_member[members] = 1
    head = jaxlin.fit(
        rows,
        sample.train_labels,
        loss=LOSS,
        l2=config.head_l2,
        classes=range(sample.num_classes),
        weights=is_member,
        normalization=fitted,
        stop=jaxlin.Stop(config.relative_gap, config.max_evaluations),
    )
    judged = Examples(network.features(made.body, test), test.labels)
    learned = Examples(jnp.asarray(rows), train.labels)
    heads = {
        "own": (made.head, None),
        "certified": (head.params, Normalization(*map(jnp.asarray, fitted))),
    }
    arrays, numbers = (
        {},
        {
            "examples": len(members),
            "training_loss": history.tolist(),
            "head_relative_gap": float(head.relative_gap),
            "head_converged": bool(head.converged),
            "parameters": _size(made),
        },
    )
    for which, (params, how) in heads.items():
        on_test = losses_of.of_model(params, judged._replace(normalization=how))
        on_train = losses_of.of_model(params, learned._replace(normalization=how))
        for kind in losses_of.KINDS:
            arrays[f"{which}-{kind}"] = getattr(on_test, kind)
            mine = getattr(on_train, kind)[members]
            numbers[f"{which}_train_{kind}"] = float(mine.mean(dtype=np.float64))
    return Measured(numbers, arrays)


def joined(config: Config, found: Mapping[str, Measured]) -> Measured:
    """The arrays of all networks under the names that linear classes use."""
    whole, *halves, quarter = (
        [found[part_name(seed, place)] for seed in range(config.seeds)]
        for place in range(4)
    )

    def stacked(which: str, networks: list[Measured]) -> np.ndarray:
        return np.stack([one.arrays[which] for one in networks])

    arrays: dict[str, np.ndarray] = {}
    for kind in losses_of.KINDS:
        arrays |= {
            f"trained-{kind}": stacked(f"own-{kind}", whole),
            f"optimum-{kind}": stacked(f"certified-{kind}", whole),
            f"halves-{kind}": np.stack(
                [stacked(f"certified-{kind}", half) for half in halves], axis=1
            ),
            f"quarters-{kind}": stacked(f"certified-{kind}", quarter),
        }
    own, certified = (
        {
            kind: [one.numbers[f"{which}_train_{kind}"] for one in whole]
            for kind in losses_of.KINDS
        }
        for which in ("own", "certified")
    )
    everything = [one.numbers for one in found.values()]
    trained = float(np.mean(own["surrogate"]))
    return Measured(
        {
            "networks": len(everything),
            "parameters": everything[0]["parameters"],
            "largest_relative_gap": max(one["head_relative_gap"] for one in everything),
            "certified": sum(one["head_converged"] for one in everything),
            "fits": len(everything),
            "objective_trained": trained,
            # A better head shows so much; below 0 no loss can be.
            "optimisation_on_objective": [
                max(0.0, trained - float(np.mean(certified["surrogate"]))),
                trained,
            ],
            "train_surrogate": float(np.mean(certified["surrogate"])),
            "train_zero_one": float(np.mean(certified["zero_one"])),
            "own_train_zero_one": float(np.mean(own["zero_one"])),
            "training_loss": [one.numbers["training_loss"] for one in whole],
        },
        arrays,
    )


def recipe(config: Config) -> Recipe:
    """Settings by which the networks of a run are trained."""
    return Recipe(
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        dropout=config.dropout,
        shift=config.shift,
        flips=config.flips,
        batch_size=config.batch_size,
        epochs=config.epochs,
    )


def _size(made: Network) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(made))
