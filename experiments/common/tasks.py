"""Parts of a run, measured by tasks that share a folder and never communicate.

``--part 3/16 --out RUN`` measures the third of sixteen parts in RUN/part-3-of-16, a run
folder of its own; the same command goes on there after a kill. ``--merge RUN`` makes
results and page of RUN once all parts are done, and else names those that are not.
``--parts 16`` alone measures the parts one after the other, and then makes the page.

>>> TaskPart(3, 16).folder
'part-3-of-16'
"""

import dataclasses
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from experiments.common import files, open_run, run_folder
from experiments.common.cli import RunOptions
from experiments.common.run_folder import RunFolder


class TaskPart(NamedTuple):
    """One of the parts of a run.

    Attributes:
      number: from 1 to ``total``.
      total: number of parts.
    """

    number: int
    total: int

    def __str__(self) -> str:
        return f"{self.number}/{self.total}"

    @property
    def folder(self) -> str:
        """Name of the part's folder."""
        return f"part-{self.number}-of-{self.total}"

    @property
    def every(self) -> slice:
        """Slice of every N-th item of a list, from the K-th."""
        return slice(self.number - 1, None, self.total)


class Dealt(NamedTuple):
    """A run whose parts are dealt to tasks.

    Attributes:
      path: folder of the run, which holds the folders of the parts.
      experiment: name of the experiment.
      config: settled config, with the number of parts in ``parts``.
      facts: for data.json, None without data.
    """

    path: Path
    experiment: str
    config: Any
    facts: Mapping[str, Any] | None

    @property
    def parts(self) -> list[TaskPart]:
        """All parts, in order."""
        return all_parts(self.config.parts)

    def status(self, part: TaskPart) -> str:
        """Content of a part's STATUS; empty if it never started."""
        return RunFolder(self.path / part.folder).status

    def open(self, part: TaskPart) -> RunFolder:
        """Folder of a part, a new one or that of an earlier start.

        Raises:
          ValueError: if the earlier start had another config or other data.
        """
        path = self.path / part.folder
        is_new = not (path / "config.json").exists()
        return open_run.open_run(
            self.config,
            experiment=self.experiment,
            options=RunOptions(out=path) if is_new else RunOptions(resume=path),
            facts=self.facts,
        )

    def command(self, part: TaskPart) -> str:
        """Command line that measures a part or goes on with it."""
        config = run_folder.first_part(self.path) / "config.json"
        program = ["python", "-m", f"experiments.{self.experiment}"]
        flags = ["--config", str(config), "--out", str(self.path), "--part", str(part)]
        return shlex.join([*program, *flags])


def all_parts(total: int) -> list[TaskPart]:
    """Returns all parts of so many, in order."""
    return [TaskPart(number, total) for number in range(1, total + 1)]


def asked(options: RunOptions) -> TaskPart | None:
    """Returns the part that a command line asks for, if any.

    Raises:
      ValueError: if the flags do not go together.

    >>> asked(RunOptions(part="3/16", out=Path("runs/probe")))
    TaskPart(number=3, total=16)
    """
    places = (options.out, options.resume, options.part)
    if options.merge is not None and places != (None,) * 3:
        raise ValueError(
            "--merge must be given without --out, --resume and --part; it writes into "
            f"{options.merge}"
        )
    if options.part is None:
        return None
    if options.out is None or options.resume is not None:
        raise ValueError(
            "--part must be given with --out, the folder that the tasks of all parts "
            "share, and without --resume; the same command continues a part"
        )
    numbers = re.fullmatch(r"(\d+)/(\d+)", options.part)
    part = TaskPart(*map(int, numbers.groups())) if numbers else TaskPart(0, 0)
    if not 1 <= part.number <= part.total:
        raise ValueError(f"--part must be K/N with K from 1 to N, got {options.part}")
    return part


def with_parts(config: Any, part: TaskPart) -> Any:
    """Returns a config with the number of parts.

    Raises:
      ValueError: if the config is already of another number of parts.
    """
    if config.parts not in (1, part.total):
        raise ValueError(
            f"--part must be one of the {config.parts} parts of the config, got {part}"
        )
    return dataclasses.replace(config, parts=part.total)


def merged(dealt: Dealt) -> RunOptions:
    """Makes the folder of parts a run to be resumed, if all parts are done.

    Raises:
      ValueError: that names the parts that are not done, with the command that measures
        the first, or a part of another config or of other data.
    """
    lost = {}
    for part in dealt.parts:
        status = dealt.status(part)
        if status == "done":
            dealt.open(part)
        else:
            lost[part] = status or "not started"
    if lost:
        found = ", ".join(f"{part} ({status})" for part, status in lost.items())
        raise ValueError(
            f"--merge must find all {dealt.config.parts} parts of {dealt.path} done, "
            f"got {found}; run {dealt.command(next(iter(lost)))}"
            + ", and so for the others"
            * (len(lost) > 1)
        )
    if not (dealt.path / "config.json").exists():
        values = files.json_ready(dealt.config)
        RunFolder(dealt.path).write_json("config.json", values)
    return RunOptions(resume=dealt.path)
