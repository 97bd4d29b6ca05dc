"""A new run folder, or an earlier one that is continued with the same config and data.

>>> differing_fields({"seed": 0, "l2": [0.1]}, {"seed": 0, "l2": (0.1, 1.0)})
{'l2': ([0.1], [0.1, 1.0])}
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.common import environment, files, run_folder
from experiments.common.cli import RunOptions
from experiments.common.run_folder import Config, RunFolder


def open_run(
    config: Any,
    *,
    experiment: str,
    options: RunOptions,
    facts: Mapping[str, Any] | None = None,
) -> RunFolder:
    """Returns a new run folder, or the one to continue, with its data described.

    Args:
      config: what is computed, a dataclass.
      experiment: name of the experiment, for the default folder.
      options: hold the new folder, by default `default_path`, or the earlier one.
      facts: for data.json: as `jaxlin.data.summary` gives them; None without data.

    Raises:
      ValueError: if the new folder cannot be used, the config or the data are not those
        of the earlier run, or both folders are given; nothing is written then.
    """
    values, out, resume = files.json_ready(config), options.out, options.resume
    if resume is None:
        name = getattr(config, "dataset", "") if facts is None else facts["name"]
        path = out or default_path(experiment, name)
        folder = run_folder.create(path, config=values)
    elif out is not None and out != resume:
        raise ValueError(
            f"--out must not be given with --resume, got {out}; a resumed run "
            f"continues in {resume}"
        )
    else:
        folder = resume_run(resume, config=values)
    if facts is not None:
        _describe_data(folder, facts)
    return folder


def default_path(experiment: str, dataset: str, *, root: Path = Path("runs")) -> Path:
    """Returns ``runs/<experiment>-<dataset>-<UTC time>``, a path that is free.

    The word of the data set is left out if there is none.
    """
    # A data set may be named by the path of its file.
    word = re.sub(r"[^A-Za-z0-9_.]+", "-", Path(dataset).stem)
    stamp = environment.utc_now().strftime("%Y%m%dT%H%M%SZ")
    path = root / "-".join(part for part in (experiment, word, stamp) if part)
    copy, first = 1, path.name
    while path.exists():
        copy += 1
        path = path.with_name(f"{first}-{copy}")
    return path


def resume_run(path: Path, *, config: Config) -> RunFolder:
    """Returns the folder of an earlier run, if ``config`` is the one it was made with.

    Raises:
      ValueError: if ``path`` is no run folder, or a field of ``config`` differs.
    """
    differing = differing_fields(run_folder.read_config(path), config)
    if differing:
        what = "; ".join(
            f"{name} is {json.dumps(saved)} in the run and {json.dumps(given)} now"
            for name, (saved, given) in differing.items()
        )
        raise ValueError(
            f"--resume must keep the configuration of {path}, but {what}; leave such "
            "flags out, or, if another version made the run, start a new one with "
            f"--config {path / 'config.json'}"
        )
    return RunFolder(path)


def differing_fields(saved: Config, given: Config) -> dict[str, tuple[Any, Any]]:
    """Returns ``{name: (saved value, given value)}`` for the fields that differ.

    Both are compared as JSON would hold them; a field that one of them lacks counts as
    differing, with None in its place.
    """
    old, new = files.json_ready(saved), files.json_ready(given)
    names = dict.fromkeys([*old, *new])
    # Not `get`: a field that is missing and one that is null are not the same.
    return {
        name: (old.get(name), new.get(name))
        for name in names
        if (name in old, old.get(name)) != (name in new, new.get(name))
    }


def _describe_data(folder: RunFolder, facts: Mapping[str, Any]) -> None:
    """Writes data.json, or compares it, value for value, with the data of today."""
    if not (folder.path / "data.json").exists():
        folder.write_json("data.json", facts)
        return
    saved, found = folder.read_json("data.json"), files.json_ready(facts)
    for split in ("train", "test"):
        if saved.get(split) != found[split]:
            raise ValueError(
                f"--resume must keep the data of {folder.path}, but the {split} split "
                f"of {found['name']} is not the one that its data.json describes; "
                "start a new run"
            )
