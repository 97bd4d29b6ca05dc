"""Progress bars of downloads and of decoding."""

from typing import Any


def bar(total: int, action: str, unit: str, *, progress: bool) -> Any:
    """Returns a `tqdm` bar, drawn on a terminal only.

    Args:
      total: number of units in all.
      action: text before the bar.
      unit: name of a unit; ``"B"`` for bytes, which get prefixes such as MB.
      progress: whether to draw it at all.
    """
    import tqdm

    return tqdm.tqdm(
        total=total,
        desc=action,
        unit=unit if unit == "B" else f" {unit}",
        unit_scale=unit == "B",
        disable=None if progress else True,
    )
