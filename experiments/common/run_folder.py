"""A run folder: everything one run of an experiment read, measured and concluded.

  config.json        what was computed; reruns exactly with ``--config``
  environment.json   versions, device, flags, commit, command; later starts in "resumed"
  data.json          hashes and counts of the data
  parts/             numbers, arrays and fits of each part of a study; `jaxlin.load`
                     reads the fits
  results.json       the conclusions; results.csv has one row per model
  figures/           the pictures of report.html, which holds them too
  STATUS             "running", "interrupted", "failed: ..." or "done"
  part-3-of-16/      run folder of a part that a task has measured (`tasks`)

No file is ever half written (`jaxlin.io.files.replace`). A killed run says "running"
and is continued with ``--resume``.
"""

import contextlib
import dataclasses
import io
import os
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from experiments.common import environment, files
from jaxlin.io import files as whole_files

Config = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class RunFolder:
    """A folder that holds one run; made by `create`; `open_run` opens it again.

    Attributes:
      path: the folder.
    """

    path: Path

    def write_json(self, name: str, value: Any) -> Path:
        """Writes strict JSON of any value that `files.json_ready` takes."""
        return self.write_text(name, files.json_text(value))

    def write_csv(self, name: str, rows: Iterable[Mapping[str, Any]]) -> Path:
        """Writes one line per row under a header."""
        return self.write_text(name, files.csv_text(rows))

    def write_npz(self, name: str, arrays: Mapping[str, Any]) -> Path:
        """Writes named arrays; the same arrays make the same bytes."""
        return self._write(name, files.npz_bytes(arrays))

    def write_text(self, name: str, text: str) -> Path:
        """Writes text in UTF-8."""
        return self._write(name, text.encode())

    def write_figure(self, name: str, figure: Any) -> Path:
        """Writes a matplotlib figure to ``figures/<name>.png``."""
        buffer = io.BytesIO()
        # Without the version of matplotlib, equal pictures are equal files.
        figure.savefig(buffer, format="png", dpi=160, metadata={"Software": None})
        (self.path / "figures").mkdir(exist_ok=True)
        return self._write(f"figures/{name}.png", buffer.getvalue())

    def read_json(self, name: str) -> Any:
        """Returns the content of a JSON file of this run."""
        return files.read_json(self.path / name)

    @property
    def status(self) -> str:
        """The content of STATUS; empty if the run never started."""
        path = self.path / "STATUS"
        return path.read_text(encoding="utf-8").strip() if path.exists() else ""

    def set_status(self, status: str) -> None:
        """Writes one line to STATUS."""
        self.write_text("STATUS", " ".join(status.split()) + "\n")

    @contextlib.contextmanager
    def running(self, *, again: str | None = None) -> Iterator["RunFolder"]:
        """Marks the run as running, and afterwards as done, interrupted or failed.

        On entry it takes the folder for this process, removes what a kill left half
        written and records the environment. On Ctrl-C it prints how to continue.

        Args:
          again: command that continues; None is this program with ``--resume``.

        Raises:
          ValueError: if another process is working in the folder.
        """
        with _only_process_in(self.path):
            for leftover in self.path.rglob(whole_files.PARTIAL_PATTERN):
                leftover.unlink()
            self._record_environment()
            self.set_status("running")
            try:
                yield self
            except KeyboardInterrupt:
                self._try_status("interrupted")
                resume = [*environment.program(), "--resume", str(self.path)]
                command = again or shlex.join(resume)
                print(f"\ninterrupted; continue with: {command}", file=sys.stderr)
                raise
            except BaseException as error:
                self._try_status(f"failed: {type(error).__name__}: {error}")
                raise
            self.set_status("done")

    def _write(self, name: str, content: bytes) -> Path:
        whole_files.replace(self.path / name, content)
        return self.path / name

    def _record_environment(self) -> None:
        """Writes environment.json, or adds this start to the one that is there."""
        facts = environment.describe()
        if (self.path / "environment.json").exists():
            first = self.read_json("environment.json")
            facts = {**first, "resumed": [*first.get("resumed", []), facts]}
        self.write_json("environment.json", facts)

    def _try_status(self, status: str) -> None:
        """Sets the status, unless that fails too: the first error is the one to see."""
        with contextlib.suppress(OSError):
            self.set_status(status)


def create(path: Path, *, config: Config) -> RunFolder:
    """Makes a run folder that holds config.json.

    Raises:
      ValueError: if ``path`` is a file, holds anything already or cannot be written.
    """
    for part in (path, *path.parents):
        if part.exists() and not part.is_dir():
            raise ValueError(
                f"out must be a folder, got {path}, where {part} is a file; "
                "choose another with --out"
            )
    if path.is_dir() and any(path.iterdir()):
        remedy = "choose another with --out"
        if (path / "config.json").exists():
            remedy = f"continue that run with --resume {path}, or {remedy}"
        raise ValueError(f"out must be new or empty, got {path}; {remedy}")
    given = path.is_dir()
    try:
        # Exclusive, so that of two runs that start together one is told.
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(exist_ok=given)
        RunFolder(path).write_json("config.json", config)
    except OSError as error:
        if not given:
            with contextlib.suppress(OSError):
                path.rmdir()
        raise ValueError(
            f"out must be a folder that can be written, got {path} "
            f"({error.strerror}); choose another with --out"
        ) from error
    return RunFolder(path)


def first_part(path: Path) -> Path:
    """Returns the folder of a part of the run ``path``, whose config is that of all.

    Raises:
      ValueError: if no task has begun a part.
    """
    for config in sorted(path.glob("part-*-of-*/config.json")):
        return config.parent
    raise ValueError(
        f"a run in parts must hold folders part-1-of-N, ..., got {path}"
        + ("" if path.is_dir() else " (no such folder)")
        + "; measure them by --part 1/N --out FOLDER, --part 2/N ..."
    )


def read_config(path: Path) -> dict[str, Any]:
    """Returns config.json of the run folder ``path``.

    Raises:
      ValueError: if ``path`` is no run folder, or its config.json is damaged.
    """
    if not (path / "config.json").is_file():
        raise ValueError(
            f"a run folder must hold config.json, got {path}"
            + ("" if path.is_dir() else " (no such folder)")
        )
    config = files.read_json(path / "config.json")
    if not isinstance(config, dict):
        raise ValueError(
            f"{path / 'config.json'} must hold a JSON object, got "
            f"{type(config).__name__}"
        )
    return config


@contextlib.contextmanager
def _only_process_in(path: Path) -> Iterator[None]:
    """Holds a lock on a folder, which ends with the process however it ends."""
    try:
        import fcntl
    except ImportError:  # Windows has no such locks; runs go unguarded there.
        yield
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise ValueError(
            f"{path} must not be in use, got a process that is still running in it; "
            "stop that one first"
        ) from None
    except OSError:
        pass  # Some network file systems have no locks.
    try:
        yield
    finally:
        os.close(descriptor)
