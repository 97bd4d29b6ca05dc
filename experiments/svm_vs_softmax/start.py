"""What every run begins with, whichever solver it uses."""

from typing import Any, NamedTuple

from experiments.common.run_folder import RunFolder
from experiments.common.timing import Clock
from experiments.svm_vs_softmax import protocol
from experiments.svm_vs_softmax.config import Config
from jaxlin import data
from jaxlin.linear import Params


class Started(NamedTuple):
    """A run before anything was trained.

    Attributes:
      folder: where it writes.
      config: what it computes.
      dataset: the examples as they were loaded.
      facts: counts and hashes of the data, data.json.
      clock: of this process.
      prepared: the examples as methods see them.
      methods: in the order of reports.
      params: weights at the start of SGD, one a seed.
      first_losses: mean training loss of each method there, by name.
    """

    folder: RunFolder
    config: Config
    dataset: data.Dataset
    facts: dict[str, Any]
    clock: Clock
    prepared: protocol.Prepared
    methods: list[protocol.Method]
    params: Params
    first_losses: dict[str, float]


def start(
    folder: RunFolder,
    config: Config,
    dataset: data.Dataset,
    facts: dict[str, Any],
    clock: Clock,
) -> Started:
    """Prepares the data, checks the losses at step 0 and says what is to be done.

    Raises:
      ValueError: if the features are too large.
    """
    folder.write_json("data.json", facts)
    with clock.part("preparation"):
        prepared = protocol.prepare(dataset, config)
    print(
        f"{dataset.name}: {len(dataset.train.labels):,} training and "
        f"{len(dataset.test.labels):,} test examples, {dataset.num_features:,} "
        f"features, {dataset.num_classes} classes; held out for choices: "
        f"{len(prepared.held_out.targets):,}"
    )
    for name in data.absent_classes(dataset):
        print(f"note: class {name!r} has no training example")
    methods = protocol.methods(config, prepared, num_classes=dataset.num_classes)
    params = protocol.first_params(config, prepared, num_classes=dataset.num_classes)
    first = protocol.first_losses(methods, params, prepared)
    for method in methods:
        print(
            f"step 0: {method.name} {first[method.name]:.4f}, expected "
            f"{method.first_loss_formula} = {method.first_loss:.4f}"
        )
    return Started(
        folder, config, dataset, facts, clock, prepared, methods, params, first
    )
