"""The comparison as rows: of the page, of results.csv, of the last lines printed."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

from experiments.benchmark_solvers import conclusions, ours
from experiments.benchmark_solvers.conclusions import (
    TOLERANCES,
    Conclusion,
    Ours,
    Reached,
    Theirs,
)
from experiments.common.report import Table

LEVELS = [f"{tolerance:.0e}".replace("e-0", "e-") for tolerance in TOLERANCES]
_NEVER = "never"

_SUMMARY = (
    *("Loss", "l2", "best known", "its gap", "proven", "ours, s", "evaluations"),
    *("nearest peer", "peer, s", "peer / ours", "with compiling"),
)


def overview(compared: Sequence[Conclusion]) -> Table:
    """One row a cell: ours, and the peer that is nearest."""
    return Table(
        _SUMMARY,
        [_summary_row(one) for one in compared],
        caption="Seconds of ours until the gap of the fifth column is proven, the "
        "finest that it proves; of the peer until its objective is as far above the "
        "best known, which it cannot know. The nearest peer is the one with the least "
        "ratio. ≥: it had not got there when it was stopped, or is known only to have "
        "needed more.",
    )


def lines(compared: Sequence[Conclusion]) -> list[str]:
    """The comparison in a line of plain text a cell."""
    found = []
    for one in compared:
        cells = dict(zip(_SUMMARY, _summary_row(one), strict=True))
        found.append(
            "; ".join(f"{name} {value}" for name, value in cells.items() if value)
        )
    return found


def rows(compared: Sequence[Conclusion]) -> list[dict[str, Any]]:
    """One row a loss, l2 and solver, for results.csv."""
    table = []
    for one in compared:
        cell = {"loss": one.loss, "l2": one.l2}
        known = {"best": one.best, "bound": one.bound}
        if one.ours is not None:
            certified = _by_level("certified", one.ours.certified)
            table.append({**cell, **_row(ours.NAME, one.ours), **certified, **known})
        for peer in one.theirs:
            ratios: dict[str, Any] = {}
            for level, ratio, compiled, at_least in zip(
                LEVELS,
                peer.ratios_certified,
                peer.ratios_with_compiling,
                peer.at_least,
                strict=True,
            ):
                ratios[f"times_ours_certified_{level}"] = ratio
                ratios[f"times_ours_with_compiling_{level}"] = compiled
                ratios[f"ratio_is_lower_bound_{level}"] = at_least
            table.append({**cell, **_row(peer.name, peer), **ratios, **known})
    return table


def _row(name: str, solver: Ours | Theirs) -> dict[str, Any]:
    """The columns that ours and a peer share."""
    return {
        "solver": name,
        **_by_level("to", solver.level),
        "compile_seconds": solver.compile_seconds,
        "distance": solver.distance,
        "certified_gap": solver.gap,
        "test_accuracy": solver.test_accuracy,
        "stopped": solver.stopped,
    }


def _by_level(what: str, found: Sequence[Reached | None]) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    for level, reached in zip(LEVELS, found, strict=True):
        columns[f"seconds_{what}_{level}"] = reached and reached.seconds
        columns[f"evaluations_{what}_{level}"] = reached and reached.evaluations
    return columns


def times(one: Conclusion) -> Table:
    """When each solver of a cell came to each level, and how many times later."""
    header = (
        "Solver",
        "seconds",
        "evaluations",
        "compiling, s",
        "peer / ours",
        "peer / ours proven",
        "with compiling",
    )
    table: list[Sequence[str]] = []
    caption = f"l2 = {one.l2:g}: to {_joined(LEVELS)}"
    if one.ours is not None:
        caption += (
            f". Of the seconds of ours {one.ours.prepare_seconds:.3g} are preparation; "
            f"one evaluation takes {1e3 * one.ours.evaluation_seconds:.3g} ms"
        )
        for what, reached in (
            ("proven gap", one.ours.certified),
            ("objective", one.ours.level),
        ):
            table.append(
                [
                    f"{ours.NAME}, {what}",
                    _joined(map(_seconds, reached)),
                    _joined(map(_count, reached)),
                    f"{one.ours.compile_seconds:.2f}",
                    *("", "", ""),
                ]
            )
    for peer in one.theirs:
        products = f" + {peer.hessian_products} H" if peer.hessian_products else ""
        table.append(
            [
                peer.name,
                _joined(_their_seconds(peer, i) for i in range(len(TOLERANCES))),
                _joined(map(_count, peer.level)) + products,
                f"{peer.compile_seconds:.2f}",
                *(
                    _joined(map(_ratio, ratios, peer.at_least))
                    for ratios in (
                        peer.ratios,
                        peer.ratios_certified,
                        peer.ratios_with_compiling,
                    )
                ),
            ]
        )
    return Table(header, table, caption=caption + ".", chosen=(0,) if one.ours else ())


def answers(one: Conclusion) -> Table:
    """What each solver of a cell would hand over, and what is proven of it."""
    solvers: list[tuple[str, Ours | Theirs]] = (
        [(ours.NAME, one.ours)] if one.ours else []
    )
    solvers += [(peer.name, peer) for peer in one.theirs]
    table = [
        [
            name,
            _small(solver.distance),
            _small(solver.gap),
            _percent(solver.test_accuracy),
            solver.stopped,
        ]
        for name, solver in solvers
    ]
    return Table(
        ("Solver", "above best", "certified gap", "test accuracy", "why it ended"),
        table,
        caption=f"l2 = {one.l2:g}: the answers. Best known objective {one.best:.8g}, "
        f"by {one.best_of}; lower bound {one.bound:.8g}, relative gap between them "
        f"{one.reference_gap:.1e}.",
    )


def _summary_row(one: Conclusion) -> list[str]:
    row = [one.loss, f"{one.l2:g}", f"{one.best:.6g}", _small(one.reference_gap)]
    finest = conclusions.finest(one)
    if one.ours is None or finest is None:
        return [*row, _NEVER, "", "", "", "", "", ""]
    certified = one.ours.certified[finest]
    row += [LEVELS[finest], _seconds(certified), _count(certified)]
    peer = conclusions.nearest(one, finest)
    if peer is None:
        return [*row, "none arrives" if one.theirs else "", "", "", ""]
    at_least = peer.at_least[finest]
    return [
        *row,
        peer.name,
        _their_seconds(peer, finest),
        _ratio(peer.ratios_certified[finest], at_least),
        _ratio(peer.ratios_with_compiling[finest], at_least),
    ]


def _joined(texts: Iterable[str]) -> str:
    # A narrow column is broken after the slash.
    return "\N{NO-BREAK SPACE}/ ".join(texts)


def _seconds(reached: Reached | None) -> str:
    return _NEVER if reached is None else f"{reached.seconds:.3g}"


def _count(reached: Reached | None) -> str:
    known = reached is not None and reached.evaluations is not None
    return str(reached.evaluations) if known and reached else "–"


def _their_seconds(peer: Theirs, index: int) -> str:
    reached = peer.level[index]
    if reached is None or not peer.at_least[index]:
        return _seconds(reached)
    return f"{reached.later_than:.3g}–{reached.seconds:.3g}"


def _ratio(ratio: float | None, at_least: bool) -> str:
    if ratio is None:
        return "–"
    # Not to be broken from its number by a narrow column.
    return f"{'≥' if at_least else ''}\N{NO-BREAK SPACE}{ratio:.3g}".strip()


def _small(value: float) -> str:
    return "–" if not math.isfinite(value) else f"{value:.1e}"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.2f} %"
