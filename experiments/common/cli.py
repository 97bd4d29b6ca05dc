"""The command line of an experiment: its config, where a run lives, plain errors.

The config (a frozen dataclass) says what is computed and is what config.json holds;
`RunOptions` says where things lie and changes no result. A run that was saved reruns
exactly with ``--config RUN/config.json``.
"""

import dataclasses
import os
import shlex
import sys
import traceback
import types
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

import tyro

from experiments.common import environment, files, program_cache
from experiments.common.config import from_dict
from experiments.common.run_folder import first_part, read_config

ConfigT = TypeVar("ConfigT")

# Shown in --help without the type's "{None}|PATH" and without "(default: None)".
_OptionalPath = Annotated[
    Path | None, tyro.conf.arg(metavar="PATH", help_behavior_hint="")
]

# A ValueError that these packages raise themselves is about what the user gave.
_OURS = ("jaxlin", "experiments", "__main__")


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """Places where a run reads and writes, and where its values start.

    Attributes:
      data_dir: folder with prepared data sets (TFDS_DATA_DIR unless given).
      out: folder for this run, new or empty (runs/NAME-DATASET-TIME unless given).
      resume: run folder to continue; its configuration is kept.
      config: config.json of another run, to start from its values instead of the
        defaults; flags override it.
      smoke: start from tiny values instead of the defaults, to see the whole run in
        about a minute, most of it compiling; flags override them.
      part: measure part K of N alone, in the folder of --out, which the tasks of all
        parts share; the same command continues a part that was stopped.
      merge: folder of a run whose parts are measured: make its results and page, or
        name the parts that are lost.
    """

    data_dir: _OptionalPath = None
    out: _OptionalPath = None
    resume: _OptionalPath = None
    config: _OptionalPath = None
    smoke: Annotated[bool, tyro.conf.arg(help_behavior_hint="")] = False
    part: Annotated[str | None, tyro.conf.arg(metavar="K/N", help_behavior_hint="")] = (
        None
    )
    merge: _OptionalPath = None


@dataclasses.dataclass(frozen=True)
class _CommandLine(Generic[ConfigT]):
    """Two groups of options, as --help heads them.

    Attributes:
      experiment: What is computed; a run saves it in config.json.
      run: Where things lie and where values start; none of these changes a result.
    """

    experiment: ConfigT
    run: RunOptions


def parse(
    default: ConfigT,
    *,
    smoke: ConfigT,
    of_dataset: Mapping[str, ConfigT] | None = None,
    description: str | None = None,
    arguments: Sequence[str] | None = None,
) -> tuple[ConfigT, RunOptions]:
    """Returns the config and the run options that a command line asks for.

    Values that no flag gives come from the first of: the file of ``--config``, the
    smoke preset under ``--smoke``, the run of ``--resume`` or ``--merge``, the defaults
    of the data set that is asked for, ``default``. So ``--resume
    RUN`` alone continues a run, and so does its first command line with ``--resume
    RUN`` added; `open_run` refuses a config that differs from the run's.

    Args:
      default: a frozen dataclass with every field set; its docstring documents them.
      smoke: the same, so small that a run takes little more than compiling it.
      of_dataset: by the name of a data set, defaults of its own.
      description: what ``--help`` shows first, usually the module's docstring.
      arguments: the command line, by default that of this process.

    Raises:
      ValueError: if ``--config`` and ``--smoke`` are both given, the config that
        ``--config``, ``--resume`` or ``--merge`` names is missing or damaged, or
        ``--part`` is given to an experiment that cannot be dealt.
      SystemExit: with code 2 if a flag is unknown or its value has the wrong type, with
        code 0 after ``--help``.
    """
    asked = _parse_flags(default, description, arguments)
    if asked.run.part is not None and not hasattr(default, "parts"):
        raise ValueError(
            "--part must be of an experiment that can be dealt to tasks, which has "
            f"--parts, got {asked.run.part}; leave it out"
        )
    named = getattr(asked.experiment, "dataset", "")
    own = (of_dataset or {}).get(named, default)
    start = _starting_config(own, smoke, asked.run)
    if start is default:
        return asked.experiment, asked.run
    return _parse_flags(start, description, arguments).experiment, asked.run


def main(run: Callable[[], Any]) -> None:
    """Calls ``run`` and turns errors in what the user gave into one plain message.

    Compiled programs are kept for the next run (`program_cache`).

    A ValueError raised by jaxlin or an experiment, and any OSError, is shown without
    traceback and ends the process with code 2; so does Ctrl-C, with code 130. Every
    other error is a fault of the program and keeps its traceback, as all do under
    ``JAXLIN_DEBUG=1``.
    """
    program_cache.enable()
    try:
        run()
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except (ValueError, OSError) as error:
        if os.environ.get("JAXLIN_DEBUG") == "1" or not _is_about_input(error):
            raise
        print(f"error: {_message(error)}", file=sys.stderr)
        raise SystemExit(2) from None


def load_config(config_type: type[ConfigT], path: Path) -> ConfigT:
    """Returns the config saved in the file ``path``.

    Raises:
      ValueError: if the file is missing or damaged, or holds an unknown field.
    """
    values = files.read_json(path)
    try:
        return from_dict(config_type, values)
    except ValueError as error:
        raise ValueError(
            f"{path} does not fit this experiment: {error}{_made_by(path.parent)}"
        ) from None


def _parse_flags(
    default: ConfigT, description: str | None, arguments: Sequence[str] | None
) -> _CommandLine[ConfigT]:
    """Returns what the flags say, over the values of ``default``."""
    kind: Any = types.GenericAlias(_CommandLine, (type(default),))
    return tyro.cli(
        kind,
        prog=shlex.join(environment.program()),
        description=description,
        args=arguments,
        default=_CommandLine(default, RunOptions()),
        config=(tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff),
    )


def _starting_config(default: ConfigT, smoke: ConfigT, options: RunOptions) -> ConfigT:
    """Returns the values that flags override."""
    if options.smoke and options.config is not None:
        raise ValueError(
            "--smoke and --config both say where values start, got both; give one"
        )
    if options.config is not None:
        return load_config(type(default), options.config)
    if options.smoke:
        return smoke
    earlier = options.resume
    if options.merge is not None:
        earlier = first_part(options.merge)
    if earlier is not None:
        read_config(earlier)
        return load_config(type(default), earlier / "config.json")
    return default


def _made_by(folder: Path) -> str:
    """Says which command made a run, if that is what the folder holds."""
    try:
        return f"; made by: {files.read_json(folder / 'environment.json')['command']}"
    except ValueError:
        return ""


def _is_about_input(error: Exception) -> bool:
    """Tells an error in the user's input from a fault of the program."""
    if isinstance(error, OSError):
        return True
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    raised_in = frames[-1].f_globals.get("__name__", "")
    return raised_in.partition(".")[0] in _OURS


def _message(error: Exception) -> str:
    """Returns what an error says, without the error number of the system."""
    if isinstance(error, OSError) and error.strerror:
        where = f": {error.filename}" if error.filename else ""
        return f"{error.strerror}{where}"
    return str(error)
