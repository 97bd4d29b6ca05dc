"""Convolutional networks, the largest class: on all examples, halves and a quarter.

No optimum of a network is known. What can be had of it is the optimum of its head: the
linear classifier on its frozen features, by the certified solver. So the best on the
sample is here a network with the best head on its features, and what the body could
still gain counts as estimation or modelling.
"""

import functools
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

import jaxlin
from experiments.common.draws import key_of
from experiments.common.study import Measured, Part, Run
from experiments.error_decomposition import convex, network
from experiments.error_decomposition.config import NETWORK, Config
from experiments.error_decomposition.summary import KINDS
from jaxlin import data, normalization
from jaxlin.normalization import Normalization
from jaxlin.selection import resampling
from jaxlin.solvers.interface import Examples

# Of each seed: one on all examples, one on either half, one on the first quarter.
PARTS = ("whole", "half-0", "half-1", "quarter")


def parts(config: Config) -> dict[str, Part]:
    """The parts of a run that are about one network each, in their order."""
    return {
        part_name(seed, place): functools.partial(measured, seed=seed, place=place)
        for seed in range(config.seeds)
        for place in range(4)
    }


def part_name(seed: int, place: int) -> str:
    """Name of the part about one network; ``place`` in `PARTS`."""
    return f"network-{seed}-{PARTS[place]}"


def measured(
    config: Config, dataset: data.Dataset, run: Run, *, seed: int, place: int
) -> Measured:
    """Losses of test examples under one network, with its own and a certified head.

    Training continues from the epoch that an earlier start has saved.
    """
    train, test = network.images_of(dataset)
    key = key_of(config, NETWORK)
    quarters = resampling.quarters(key, len(train.labels), num_splits=config.seeds)
    halves = resampling.halves(quarters)[seed]
    is_member = (np.ones_like(halves[0]), *halves, quarters[seed, 0])[place]
    key = jax.random.fold_in(key, 4 * seed + place + 1)
    name, members = part_name(seed, place), np.flatnonzero(is_member)
    made, history = network.trained(
        run.folder, name, config, key, train, dataset.num_classes, members
    )
    rows = np.asarray(network.features(made.body, train))
    fitted = normalization.fit_standard(rows[members])
    head = jaxlin.fit(
        rows,
        dataset.train.labels,
        loss=convex.LOSS,
        l2=config.head_l2,
        classes=range(dataset.num_classes),
        weights=is_member.astype(np.float32),
        normalization=fitted,
        stop=jaxlin.Stop(config.relative_gap, config.max_passes),
    )
    judged = Examples(network.features(made.body, test), test.labels)
    learned = Examples(jnp.asarray(rows), train.labels)
    heads = {
        "own": (made.head, None),
        "certified": (head.params, Normalization(*map(jnp.asarray, fitted))),
    }
    means, arrays = {}, dict[str, np.ndarray]()
    for which, (params, how) in heads.items():
        given = [some._replace(normalization=how) for some in (judged, learned)]
        found = [convex.losses_of(params, examples) for examples in given]
        on_test, on_train = jax.device_get(found)
        arrays |= {f"{which}-{kind}": some for kind, some in on_test.items()}
        means[which] = {
            kind: some[members].mean(dtype=np.float64)
            for kind, some in on_train.items()
        }
    numbers = {
        "training_loss": history,
        "head_relative_gap": float(head.relative_gap),
        "head_converged": bool(head.converged),
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(made)),
        "train": means,
    }
    return Measured(numbers, arrays)


def joined(config: Config, found: Mapping[str, Measured]) -> Measured:
    """The arrays of all networks under the names that linear classes use."""
    whole, *halves, quarter = (
        [found[part_name(seed, place)] for seed in range(config.seeds)]
        for place in range(4)
    )

    def stacked(name: str, networks: list[Measured]) -> np.ndarray:
        return np.stack([one.arrays[name] for one in networks])

    def mean(which: str, kind: str) -> float:
        return float(np.mean([one.numbers["train"][which][kind] for one in whole]))

    arrays: dict[str, np.ndarray] = {}
    for kind in KINDS:
        certified = f"certified-{kind}"
        both = [stacked(certified, half) for half in halves]
        arrays |= {
            f"trained-{kind}": stacked(f"own-{kind}", whole),
            f"optimum-{kind}": stacked(certified, whole),
            f"halves-{kind}": np.stack(both, axis=1),
            f"quarters-{kind}": stacked(certified, quarter),
        }
    trained, best = (mean(which, "surrogate") for which in ("own", "certified"))
    every = [one.numbers for one in found.values()]
    numbers = {
        "parameters": every[0]["parameters"],
        "largest_relative_gap": max(one["head_relative_gap"] for one in every),
        "certified": sum(one["head_converged"] for one in every),
        "fits": len(every),
        "objective_trained": trained,
        # A better head shows so much; below 0 no loss can be.
        "optimisation_on_objective": [max(0.0, trained - best), trained],
        "train": {kind: mean("certified", kind) for kind in KINDS},
        "own_train_zero_one": mean("own", "zero_one"),
        "training_loss": [one.numbers["training_loss"] for one in whole],
    }
    return Measured(numbers, arrays)
