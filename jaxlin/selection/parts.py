"""Parts of a sweep, fitted by tasks that never communicate.

A sweep, a cross-validation or a probe is dealt over the tasks of a batch system. Each
task fits one part and saves it; the call itself, made once more, joins the parts::

    from jaxlin.selection import parts
    dealt = parts.Parts(tuple(f"part-{number}.npz" for number in range(16)))

    def validate(checkpoint):
        return jaxlin.cross_validate(problem, ..., checkpoint=checkpoint)

    parts.fit_part(validate, dealt, 3)   # in task 3 of 0 to 15
    table = validate(dealt)              # when all tasks have ended

A part is a sweep of its own over some of the models (`jaxlin.selection.grids.parts`),
with a plan of its own, saved like any sweep with a checkpoint. Nothing in it depends on
other parts. So the joined result equals that of one process with the same ``Parts``,
which fits the parts in turn, bit for bit on machines of one kind. It equals that of a
sweep without parts up to the proven gaps: models that share passes and warm starts
round together.

A killed task goes on where its file ends. A file of other rows, models or settings is
refused by name.
"""

import contextlib
from collections.abc import Callable
from typing import Any, NamedTuple

from jaxlin import check
from jaxlin.io.checkpoint import Path
from jaxlin.selection import sweep_checkpoint


class Parts(NamedTuple):
    """Files of the parts of a sweep, in place of the path of a checkpoint.

    Attributes:
      paths: file of each part, in the order of the parts.
      only: index of the only part to fit, as `fit_part` sets it; None fits all parts in
        turn, each from where its file ends.
    """

    paths: tuple[Path, ...]
    only: int | None = None


class PartSaved(Exception):
    """Ends a call that fits one part alone."""


def fit_part(call: Callable[[Parts], Any], parts: Parts, index: int) -> None:
    """Fits one part of the sweep of a call, and saves it in the part's file.

    Args:
      call: function ``call(checkpoint)`` that makes one sweep, cross-validation or
        probe with the checkpoint that it is given. It ends with the sweep's part.
      parts: files of the parts.
      index: index of the part, from 0.

    Raises:
      ValueError: if ``index`` is out of range, ``call`` makes no sweep with the
        checkpoint, or as the call itself.
      OSError: if the file cannot be read or written.
    """
    check.integer("index", index, at_least=0, at_most=len(parts.paths) - 1)
    with contextlib.suppress(PartSaved):
        call(parts._replace(only=index))
        raise ValueError(
            "call must make a sweep with the checkpoint that it is given, got one that "
            "made none; a probe with a single l2 may have nothing to compare"
        )


def unfinished(parts: Parts) -> tuple[int, ...]:
    """Returns the indices of the parts whose files are absent or not finished.

    Raises:
      ValueError: if a file is damaged or of something else.
      OSError: if a file cannot be read.
    """
    return tuple(
        index
        for index, path in enumerate(parts.paths)
        if not sweep_checkpoint.is_over(path)
    )


def of_sweep(parts: Parts, number: int, *, num_sweeps: int) -> Parts | None:
    """Parts of one of several sweeps of a call, to which the files are dealt in turn.

    Args:
      parts: files of the parts of the call, at least one per sweep.
      number: index of the sweep.
      num_sweeps: number of sweeps.

    Returns:
      The files of the sweep; None if the only part to fit is of another sweep.

    Raises:
      ValueError: if there are fewer parts than sweeps.
    """
    if len(parts.paths) < num_sweeps:
        raise ValueError(
            f"checkpoint must have a part for each of {num_sweeps} sweeps, one per "
            f"normalization, got {len(parts.paths)}; give more files, or a "
            "normalization that is fitted already"
        )
    only = parts.only
    if only is not None and only % num_sweeps != number:
        return None
    index = None if only is None else only // num_sweeps
    return Parts(parts.paths[number::num_sweeps], index)
