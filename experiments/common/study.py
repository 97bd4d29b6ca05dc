"""A study: an experiment as a config, parts that measure, figures and a page template.

Numbers flow one way: each part measures and is kept in a file of its own as soon as it
is done; results.json holds the numbers of all parts; figures and the page are made from
the run folder alone, so that ``python -m experiments.page RUN`` makes them again.
`run_folder` lists the files of a run.

An experiment NAME has the modules ``config``, ``measure`` and ``figures``, the template
``page.html`` and a ``__main__`` that holds its `Study`.
"""

import dataclasses
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import jaxlin
from experiments.common import (
    cli,
    datasets,
    files,
    interrupts,
    open_run,
    pages,
    tasks,
    text,
    timing,
)
from experiments.common.config import check
from experiments.common.run_folder import RunFolder
from experiments.common.tasks import Dealt, TaskPart
from jaxlin import data

Figure = Any


class Measured(NamedTuple):
    """The outcome of one part.

    Attributes:
      numbers: for results.json: what JSON can hold.
      arrays: by name, for figures and later parts.
      fits: by name, for later parts and for `jaxlin.load`.
    """

    numbers: Any
    arrays: Mapping[str, Any] = {}
    fits: Mapping[str, jaxlin.Fit] = {}


@dataclasses.dataclass(frozen=True)
class Run:
    """A run as its folder holds it.

    Attributes:
      folder: of the run.
      config: checked.
    """

    folder: RunFolder
    config: Any

    def has(self, part: str) -> bool:
        """Returns whether a part has been measured."""
        # Written last: what a kill left of a part does not count.
        return (self.folder.path / "parts" / f"{part}.json").exists()

    def numbers(self, part: str) -> Any:
        """The numbers of a part."""
        return self.folder.read_json(f"parts/{part}.json")["numbers"]

    def arrays(self, part: str) -> dict[str, Any]:
        """The arrays of a part, by name."""
        with np.load(self.folder.path / "parts" / f"{part}.npz") as file:
            return dict(file)

    def fit(self, part: str, name: str) -> jaxlin.Fit:
        """A fit of a part."""
        return jaxlin.load(self.folder.path / "parts" / f"{part}-{name}.npz")

    @property
    def data(self) -> dict[str, Any] | None:
        """Summary of the data set, None for a study without one."""
        if not (self.folder.path / "data.json").exists():
            return None
        return self.folder.read_json("data.json")


# Of the config, the data set (None for a study without one) and the parts before.
Part = Callable[[Any, Any, Run], Measured]
# The numbers of all parts, by name.
Results = Mapping[str, Any]


def load_named(config: Any, data_dir: Path | None) -> tuple[Any, Any]:
    """Loads the data set that the config names, if it has such a field."""
    name = getattr(config, "dataset", None)
    if name is None:
        return None, None
    dataset = datasets.load(name, data_dir)
    return dataset, data.summary(dataset)


def _as_given(config: Any, dataset: Any) -> Any:
    """Accepts every data set."""
    return config


@dataclasses.dataclass(frozen=True, kw_only=True)
class Study:
    """An experiment.

    Attributes:
      name: of its package.
      about: the package's docstring, for ``--help``.
      config: the defaults; its annotations hold the bounds.
      presets: other defaults: ``smoke`` for ``--smoke``, others by name of a data set.
      parts: of a config, the parts by name, in the order in which they are measured.
      rows: of a run, the rows of results.csv.
      headlines: of the results, the few numbers that runs are compared by.
      figures: of a run, names and pictures.
      load: of a config and the folder of prepared data sets, the data set and the
        content of data.json, or twice None; by default of the field ``dataset``.
      settle: of a config and the data set, the config with what depends on both filled
        in; raises a ValueError unless they go together.
      task: of a config, the data set, a run folder of its own and a part, measures that
        part of ``config.parts``, which the parts of the study then read; None for a
        study that cannot be dealt to tasks.
    """

    name: str
    about: str | None
    config: Any
    presets: Mapping[str, Any]
    parts: Callable[[Any], Mapping[str, Part]]
    rows: Callable[[Run], Iterable[Mapping[str, Any]]]
    headlines: Callable[[Results], Mapping[str, float]]
    figures: Callable[[Run], Iterable[tuple[str, Figure]]]
    load: Callable[[Any, Path | None], tuple[Any, Any]] = load_named
    settle: Callable[[Any, Any], Any] = _as_given
    task: Callable[[Any, Any, Run, TaskPart], None] | None = None


def main(study: Study) -> None:
    """Parses the command line and runs; errors in the input are one plain message."""
    cli.main(
        lambda: run(
            study,
            *cli.parse(
                study.config,
                smoke=study.presets["smoke"],
                of_dataset=study.presets,
                description=study.about,
            ),
        )
    )


def run(study: Study, config: Any, options: cli.RunOptions) -> Run:
    """Makes one run folder, or completes the one to be resumed.

    Raises:
      ValueError: if the config, the data set or the folder does not fit; nothing is
        made then.
    """
    part = tasks.asked(options)
    if part is not None:
        config = tasks.with_parts(config, part)
    check(config)
    dataset, facts = study.load(config, options.data_dir)
    config = study.settle(config, dataset)
    path = options.out if part is not None else options.merge
    if path is not None:
        dealt = Dealt(path, study.name, config, facts)
        if part is not None:
            return _measure_task(study, dealt, dataset, part)
        options = tasks.merged(dealt)
    folder = open_run.open_run(
        config, experiment=study.name, options=options, facts=facts
    )
    made = Run(folder, config)
    with folder.running():
        _measure_tasks(study, Dealt(folder.path, study.name, config, facts), dataset)
        _measure(study, made, dataset)
        publish(study, made)
        for name, value in study.headlines(results(made)).items():
            print(f"{name}: {value:.6g}")
    print(folder.path / "report.html")
    return made


def results(run: Run) -> dict[str, Any]:
    """The numbers of all parts measured so far, by name."""
    return run.folder.read_json("results.json")["parts"]


def publish(study: Study, run: Run) -> None:
    """Writes the tables, figures and page of a measured run.

    Raises:
      ValueError: if a part has not been measured.
    """
    for part in study.parts(run.config):
        if not run.has(part):
            raise ValueError(
                f"a run must be measured before it has a page, got {run.folder.path} "
                f"without {part}; continue it with --resume {run.folder.path}"
            )
    run.folder.write_csv("results.csv", study.rows(run))
    for name, figure in study.figures(run):
        run.folder.write_figure(name, figure)
    run.folder.write_text("report.html", pages.render(page(study, run)))


def page(study: Study, run: Run) -> pages.Page:
    """Returns the page of a run whose figures are drawn."""
    machine = run.folder.read_json("environment.json")
    facts = run.data
    saved = run.folder.read_json("results.json")
    settings = files.json_ready(run.config)
    made = pages.from_template(
        f"{study.name}/page.html",
        folder=run.folder.path,
        footer=f"python -m experiments.{study.name}, run {run.folder.path.name}",
        config=settings,
        data=facts,
        results=saved["parts"],
        seconds=saved["seconds"],
    )
    recorded = pages.macros().record(
        machine["command"],
        settings,
        text.flat(saved["seconds"]),
        facts and text.flat(facts),
        text.flat(machine),
    )
    return made._replace(sections=[*made.sections, pages.Section("Run", recorded)])


def _measure_tasks(study: Study, dealt: Dealt, dataset: data.Dataset | None) -> None:
    """Measures the parts of tasks that are not done, one after the other."""
    if getattr(dealt.config, "parts", 1) == 1:
        return
    for part in dealt.parts:
        if dealt.status(part) != "done":
            _measure_task(study, dealt, dataset, part)


def _measure_task(
    study: Study, dealt: Dealt, dataset: data.Dataset | None, part: TaskPart
) -> Run:
    """Measures the part of one task, from where an earlier start has stopped."""
    assert study.task is not None, "a study whose config has parts"
    run = Run(dealt.open(part), dealt.config)
    with run.folder.running(again=dealt.command(part)), timing.seconds() as spent:
        study.task(dealt.config, dataset, run, part)
    print(f"part {part}: {sum(spent.values()):.1f} s", file=sys.stderr)
    return run


def _measure(study: Study, run: Run, dataset: data.Dataset | None) -> None:
    """Measures the parts that the folder lacks; Ctrl-C is obeyed between two."""
    parts = study.parts(run.config)
    (run.folder.path / "parts").mkdir(exist_ok=True)
    with interrupts.held_back() as stop_if_asked:
        for name, part in parts.items():
            if not run.has(name):
                with timing.seconds() as spent:
                    measured = part(run.config, dataset, run)
                _keep(run, name, measured, spent)
                print(f"{name}: {sum(spent.values()):.1f} s", file=sys.stderr)
            _write_results(study, run)
            stop_if_asked()


def _keep(
    run: Run, part: str, measured: Measured, seconds: Mapping[str, float]
) -> None:
    """Writes the files of a part, the one that says that it is done last."""
    if measured.arrays:
        run.folder.write_npz(f"parts/{part}.npz", measured.arrays)
    for name, fit in measured.fits.items():
        jaxlin.save(run.folder.path / "parts" / f"{part}-{name}.npz", fit)
    content = {"numbers": measured.numbers, "seconds": seconds}
    run.folder.write_json(f"parts/{part}.json", content)


def _write_results(study: Study, run: Run) -> None:
    """Writes results.json from the files of the parts."""
    kept = {
        part: run.folder.read_json(f"parts/{part}.json")
        for part in study.parts(run.config)
        if run.has(part)
    }
    content = {
        "study": study.name,
        "parts": {part: one["numbers"] for part, one in kept.items()},
        "seconds": {part: one["seconds"] for part, one in kept.items()},
    }
    run.folder.write_json("results.json", content)
