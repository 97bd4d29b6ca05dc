"""The small print of a page: settings, data and machine, folded away."""

from collections.abc import Mapping
from typing import Any

from experiments.common.config import to_dict
from experiments.common.report import Details, Facts
from experiments.common.run_folder import RunFolder


def details(
    folder: RunFolder, config: Any, *, data: Mapping[str, Any] | None = None
) -> list[Details]:
    """Blocks that a click opens.

    Args:
      folder: of the run, whose environment.json is written.
      config: the dataclass of the run.
      data: facts of the data set, as `jaxlin.data.summary` gives them.
    """
    found = [Details("Settings", [Facts(to_dict(config))])]
    if data is not None:
        found.append(Details("Data", [Facts(flat(data))]))
    machine = folder.read_json("environment.json")
    return [*found, Details("Machine", [Facts(flat(machine))])]


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested names joined by dots.

    >>> flat({"a": 1, "b": {"c": 2}})
    {'a': 1, 'b.c': 2}
    """
    found: dict[str, Any] = {}
    for name, entry in values.items():
        if isinstance(entry, Mapping):
            found.update(flat(entry, f"{prefix}{name}."))
        else:
            found[f"{prefix}{name}"] = entry
    return found
