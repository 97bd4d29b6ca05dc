"""Runs the experiment: ``python -m experiments.nearest_neighbor --help``."""

from collections.abc import Callable
from typing import Any

import numpy as np

import experiments.nearest_neighbor as experiment
import jaxlin
from experiments.common import cli, interrupts, run_folder, same_data, timing
from experiments.common import report as pages
from experiments.common.config import to_dict
from experiments.common.progress import progress
from experiments.common.run_folder import RunFolder
from experiments.common.timing import Clock
from experiments.nearest_neighbor import (
    choosing,
    contrast,
    cost,
    findings,
    local,
    noise,
    parts,
    report,
    testing,
    verdict,
)
from experiments.nearest_neighbor.config import (
    DIGITS,
    SMOKE,
    Config,
    checked,
    fitted_to,
)
from jaxlin import data

# A part of a run: a record from the records of the parts before.
Records = dict[str, Any]
Part = Callable[[Records], dict[str, Any]]


def run(config: Config, options: cli.RunOptions) -> pages.Report:
    """Makes one run folder, or completes the one to be resumed.

    Returns:
      The report, as rendered in report.html, to be joined with others.
    """
    checked(config)
    clock = timing.Clock()
    with clock.part("data"):
        dataset = data.load(
            config.dataset, str(options.data_dir) if options.data_dir else None
        )
        # Kept, so that a run says how many examples it has used.
        config = fitted_to(config, dataset)
        facts = data.summary(dataset)
    folder = run_folder.open_run(
        config=to_dict(config),
        experiment="nearest_neighbor",
        dataset=config.dataset,
        out=options.out,
        resume=options.resume,
    )
    same_data.check(folder, facts)
    with folder.running():
        folder.write_json("data.json", facts)
        dataset = parts.reduced(config, dataset)
        print(
            f"{dataset.name}: {config.train_examples:,} training and "
            f"{config.test_examples:,} test examples, {len(config.metrics)} metrics, "
            f"{len(config.ks)} numbers of neighbours up to {config.ks[-1]}"
        )
        done = _done(parts_of(config, dataset, folder), folder, clock)
        with np.load(folder.path / "per_example.npz") as stored:
            answers = {name: stored[name] for name in stored.files}
        results = verdict.results(config, dataset, done, answers)
        folder.write_csv("results.csv", verdict.rows(config, done))
        # The conclusions first: they must not be lost if a picture cannot be drawn.
        timings = {**clock.total(), "parts": clock.seconds}
        folder.write_json("results.json", {**results, "timing": timings})
        page = report.Run(
            folder, config, dataset, facts, done, answers, results, clock.seconds
        )
        built = report.build(page)
        folder.write_text("report.html", pages.render(built))
        print("\n".join(findings.lines(results)))
        spent = clock.total()
        print(f"compiled for {spent['compile']:.1f} s, ran {spent['run']:.1f} s")
    print(folder.path / "report.html")
    return built


def parts_of(
    config: Config, dataset: data.Dataset, folder: RunFolder
) -> dict[str, Part]:
    """The parts of a run by name, in their order."""

    def search(name: str, rows: str) -> Part:
        return lambda done: choosing.cross_validated(config, dataset, name, rows)

    def test(done: Records) -> dict[str, Any]:
        setting = choosing.chosen(choosing.records_of(config, done))
        found = testing.tested(config, dataset, setting)
        folder.write_npz(
            "per_example.npz",
            {**found.predictions, "shown": found.shown, "label": dataset.test.labels},
        )
        named = found.linear._replace(classes=np.array(dataset.class_names))
        jaxlin.save(folder.path / "model-linear.npz", named)
        return {"setting": setting._asdict(), "linear": found.facts}

    def local_fits(done: Records) -> dict[str, Any]:
        setting = choosing.chosen(choosing.records_of(config, done))
        return local.measured(config, dataset, setting)

    def time(done: Records) -> dict[str, Any]:
        linear = jaxlin.load(folder.path / "model-linear.npz")
        return cost.measured(config, dataset, linear)

    def repeat(number: int) -> Part:
        return lambda done: noise.measured(config, dataset, number)

    return {
        **{
            choosing.key_of_search(*each): search(*each)
            for each in choosing.searches(config)
        },
        verdict.TEST: test,
        **({verdict.LOCAL: local_fits} if config.local_ks else {}),
        verdict.TIME: time,
        **{
            verdict.noise_part(number): repeat(number)
            for number in range(config.noise_repeats)
        },
        verdict.CONTRAST: lambda done: contrast.measured(config, dataset),
    }


def _done(wanted: dict[str, Part], folder: RunFolder, clock: Clock) -> Records:
    """The records of all parts; those of an earlier start are read."""
    done = _read(folder, list(wanted))
    with (
        interrupts.held_back() as stop_if_asked,
        progress("parts", total=len(wanted), unit="parts", done=len(done)) as advance,
    ):
        for name, part in list(wanted.items())[len(done) :]:
            # Repeats are one part of the page's table of times.
            with clock.part(name.rstrip("0123456789 ")):
                record = part(done)
            folder.append_metrics({"part": name, **record})
            # From the file in any case, so that a resumed run has the same numbers.
            done = _read(folder, list(wanted))
            advance(note=name)
            stop_if_asked()
    return done


def _read(folder: RunFolder, wanted: list[str]) -> Records:
    """The records of a run so far by part; a ValueError if one is missing."""
    records = folder.read_metrics()
    names = [record.get("part") for record in records]
    if names != wanted[: len(names)]:
        raise ValueError(
            f"{folder.path / 'metrics.jsonl'} must hold the parts of this run in "
            f"order, {', '.join(wanted[: len(names)])}, got "
            f"{', '.join(map(str, names))}; restore it or start a new run"
        )
    return dict(zip(wanted, records, strict=False))


def main() -> None:
    """Parses the command line and runs."""
    config, options = cli.parse(
        Config(),
        smoke=SMOKE,
        of_dataset={DIGITS.dataset: DIGITS},
        description=experiment.__doc__,
    )
    run(config, options)


if __name__ == "__main__":
    cli.main(main)
