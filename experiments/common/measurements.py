"""A list of measurements: a row of numbers for each item, a table of text at the end.

For experiments of one file. A run folder keeps each row as soon as it is measured, in
results.json; a run that was cut measures only the items that are missing.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from experiments.common import cli, files, interrupts, open_run, study
from experiments.common.config import check
from experiments.common.progress import progress
from experiments.common.run_folder import RunFolder

Row = Mapping[str, Any]
Item = TypeVar("Item")


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
    with folder.running():
        rows = kept_rows(
            folder,
            "results.json",
            made.items(config),
            lambda item: made.measure(config, dataset, item),
            unit="rows",
        )
    print(made.report(config, rows))
    print(folder.path / "results.json")
    return rows


def kept_rows(
    folder: RunFolder,
    name: str,
    items: Sequence[Item],
    measure: Callable[[Item], Row],
    *,
    unit: str,
) -> list[Row]:
    """Measures the items whose rows a file of the run lacks; returns all rows.

    The file is written after each row, and Ctrl-C obeyed then.

    Args:
      folder: of the run.
      name: of the file.
      items: what is measured, in this order.
      measure: of an item, a row.
      unit: what a row is, for the progress.
    """
    rows: list[Row] = []
    if (folder.path / name).exists():
        rows = folder.read_json(name)["rows"]
    begun = len(rows)
    with (
        interrupts.held_back() as stop_if_asked,
        progress(unit, total=len(items), unit=unit, done=begun) as advance,
    ):
        for item in items[begun:]:
            rows.append(files.json_ready(measure(item)))
            folder.write_json(name, {"rows": rows})
            advance()
            stop_if_asked()
    return rows
