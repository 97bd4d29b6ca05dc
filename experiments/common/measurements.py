"""A list of measurements: a row of numbers for each item, a table of text at the end.

For experiments of one file. A run folder keeps each row as soon as it is measured, in
metrics.jsonl; a run that was cut measures only the items that are missing.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from experiments.common import cli, open_run, study
from experiments.common.config import check
from experiments.common.progress import progress

Row = Mapping[str, Any]


def _as_given(config: Any) -> Any:
    """Accepts every config that is within its bounds."""
    return config


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measurements:
    """An experiment of one file.

    Attributes:
      name: of its module.
      about: the module's docstring, for ``--help``.
      config: the defaults; its annotations hold the bounds.
      smoke: the defaults for ``--smoke``.
      items: of a config, what is measured, in this order.
      measure: of a config, the data set (None without one) and an item, a row as JSON
        types.
      report: of a config and all rows, the text that is printed.
      settle: of a config, the same; raises a ValueError where bounds do not say all.
    """

    name: str
    about: str | None
    config: Any
    smoke: Any
    items: Callable[[Any], Sequence[Any]]
    measure: Callable[[Any, Any, Any], Row]
    report: Callable[[Any, Sequence[Row]], str]
    settle: Callable[[Any], Any] = _as_given


def main(made: Measurements) -> None:
    """Parses the command line and runs; errors in the input are one plain message."""
    cli.main(
        lambda: run(
            made, *cli.parse(made.config, smoke=made.smoke, description=made.about)
        )
    )


def run(made: Measurements, config: Any, options: cli.RunOptions) -> list[Row]:
    """Makes one run folder, or completes the one to be resumed; prints the report.

    Raises:
      ValueError: if the config, the data set or the folder does not fit; nothing is
        made then.
    """
    config = made.settle(check(config))
    dataset, facts = study.load_named(config, options.data_dir)
    folder = open_run.open_run(
        config, experiment=made.name, options=options, facts=facts
    )
    items = made.items(config)
    with folder.running(), progress(made.name, total=len(items), unit="rows") as more:
        rows: list[Row] = [*folder.read_metrics()]
        more(len(rows))
        for item in items[len(rows) :]:
            rows.append(made.measure(config, dataset, item))
            folder.append_metrics(rows[-1])
            more()
        folder.write_json("results.json", {"rows": rows})
    print(made.report(config, rows))
    print(folder.path / "results.json")
    return rows
