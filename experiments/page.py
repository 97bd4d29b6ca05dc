"""Pages of finished runs, made again from their files; nothing is measured.

``python -m experiments.page RUN`` draws the figures of a run and its report.html again.
``python -m experiments.page FOLDER`` writes FOLDER/index.html: all runs in the folder,
their settings and numbers, and a figure for each study with several finished runs.
"""

import dataclasses
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tyro
from markupsafe import Markup

from experiments.common import cli, environment, files, open_run, pages, study, text
from experiments.common.run_folder import RunFolder
from experiments.studies import STUDIES
from jaxlin import plotting


@dataclasses.dataclass(frozen=True)
class Config:
    """A run, or a folder of runs.

    Attributes:
      folder: run folder, or folder that holds run folders.
    """

    folder: tyro.conf.Positional[Path]


class Entry(NamedTuple):
    """One run in an index.

    Attributes:
      link: to its page, or its name if it has none.
      settings: the data set if the study has defaults for it, and what differs from
        the defaults.
      headlines: numbers by name, empty for a run that is not done.
      seconds: of all parts, compiling included.
      status: first word of STATUS.
      command: that started it.
    """

    link: str
    settings: str
    headlines: Mapping[str, float]
    seconds: float
    status: str
    command: str

    def numbers(self, names: Sequence[str]) -> list[float | None]:
        """The headline numbers of these names, None where there is none."""
        return [self.headlines.get(name) for name in names]


def write(folder: Path) -> Path:
    """Makes the page of a run again, or the index of a folder; returns its path.

    Raises:
      ValueError: if the folder is neither, or the run is of no study or not finished.
    """
    if (folder / "config.json").exists():
        made = _study_of(folder)
        config = cli.load_config(type(made.config), folder / "config.json")
        study.publish(made, study.Run(RunFolder(folder), config))
        return folder / "report.html"
    return _write_index(folder)


def _study_of(folder: Path) -> study.Study:
    found = None
    if (folder / "results.json").exists():
        found = STUDIES.get(files.read_json(folder / "results.json").get("study", ""))
    if found is None:
        raise ValueError(
            f"folder must be a run of {', '.join(STUDIES)}, got {folder}, whose "
            "results.json names none of them"
        )
    return found


def _write_index(folder: Path) -> Path:
    runs = sorted(path.parent for path in folder.glob("*/config.json"))
    if not runs:
        raise ValueError(
            f"folder must be a run or hold runs, got {folder} without a config.json"
        )
    entries: dict[str, list[Entry]] = {}
    others = []
    for run in runs:
        try:
            made = _study_of(run)
        except ValueError:
            others.append((_link(run), RunFolder(run).status))
            continue
        entries.setdefault(made.name, []).append(_entry(made, run))
    index = RunFolder(folder)
    drawn = set()
    for name, rows in entries.items():
        if sum(bool(row.headlines) for row in rows) > 1:
            index.write_figure(f"index-{name}", _compared(rows))
            drawn.add(name)
    page = pages.from_template(
        "common/templates/index.html",
        folder=folder,
        footer=f"python -m experiments.page {folder}",
        studies=entries,
        others=others,
        drawn=drawn,
    )
    return index.write_text("index.html", pages.render(page))


def _entry(made: study.Study, folder: Path) -> Entry:
    run = RunFolder(folder)
    saved = run.read_json("results.json")
    config = run.read_json("config.json")
    dataset = config.get("dataset", "")
    default = files.json_ready(made.presets.get(dataset, made.config))
    differing = open_run.differing_fields(default, config)
    shown = [dataset] if dataset in made.presets else []
    shown += [f"{name} {_shown(given)}" for name, (_, given) in differing.items()]
    status = run.status.partition(":")[0]
    seconds = sum(sum(part.values()) for part in saved["seconds"].values())
    return Entry(
        _link(folder),
        "; ".join(shown) or "defaults",
        made.headlines(saved["parts"]) if status == "done" else {},
        seconds,
        status,
        run.read_json("environment.json")["command"],
    )


def _shown(value: Any) -> str:
    """A setting; a list without brackets."""
    values = value if isinstance(value, list) else [value]
    return ", ".join(map(text.cell, values))


def _link(folder: Path) -> str:
    if not (folder / "report.html").exists():
        return folder.name
    link = Markup('<a href="{0}/report.html">{0}</a>')
    return link.format(folder.name)


def _compared(rows: Sequence[Entry]) -> Any:
    """Headline numbers of the finished runs of a study, one panel a number."""
    done = [row for row in rows if row.headlines]
    names = list(done[0].headlines)
    figure, axes = plotting.new_figure(
        columns=len(names), width=2.9 * len(names) + 1.5, height=0.35 * len(done) + 1.4
    )
    for ax, name in zip(axes[0], names, strict=True):
        values = [row.headlines.get(name, np.nan) for row in done]
        ax.plot(values, np.arange(len(done)), "o", color=plotting.PALETTE[0])
        ax.set_title(name, fontsize=10)
        ax.set(
            yticks=np.arange(len(done)), yticklabels=[], ylim=(len(done) - 0.5, -0.5)
        )
        ax.margins(x=0.15)
    axes[0, 0].set_yticklabels([Markup(row.link).striptags() for row in done])
    return figure


def main() -> None:
    """Parses the command line and writes."""
    prog = shlex.join(environment.program())
    print(write(tyro.cli(Config, prog=prog, description=__doc__).folder))


if __name__ == "__main__":
    cli.main(main)
