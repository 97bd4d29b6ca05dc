"""A run goes on with the data that it was begun with."""

from collections.abc import Mapping
from typing import Any

from experiments.common import files
from experiments.common.run_folder import RunFolder


def check(folder: RunFolder, facts: Mapping[str, Any]) -> None:
    """Compares data.json, if an earlier start has left one, with the data of today.

    Args:
      folder: of the run.
      facts: as `jaxlin.data.summary` gives them.

    Raises:
      ValueError: if a split is not the same, value for value.
    """
    if not (folder.path / "data.json").exists():
        return
    saved, found = folder.read_json("data.json"), files.json_ready(facts)
    for split in ("train", "test"):
        if saved.get(split) != found[split]:
            raise ValueError(
                f"--resume must keep the data of {folder.path}, but the {split} split "
                f"of {found['name']} is not the one that its data.json describes; "
                "start a new run"
            )
