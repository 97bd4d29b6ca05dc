"""The conclusions in words: only what this run has proven or counted."""

from collections.abc import Mapping
from typing import Any

from experiments.hard_cases.cases import CASES

Results = Mapping[str, Any]

# Share of the loss at W = 0 below which what W has gained is hardly anything.
_HARDLY = 0.05


def percent(share: float) -> str:
    """A share in percent; 100 % only if it is all."""
    text = f"{100 * share:.1f}"
    number = "99.9+" if text == "100.0" and share < 1 else text
    return f"{number}\N{NO-BREAK SPACE}%"


def of_case(name: str, one: Results) -> str:
    """What was found of one case."""
    said = [] if "proof" not in one else [_of_proof(one["proof"])]
    if "best_line" in one:
        best = one["best_line"]
        said.append(
            f"The best of all lines gets {best['correct']} of {one['examples']} points "
            f"right, {percent(best['accuracy'])}."
        )
    said += [_of_fit(loss, fit, one["one_label"]) for loss, fit in one["fits"].items()]
    if "lifted_proof" in one:
        said.append(_of_lift(name, one))
    return " ".join(said)


def lead(results: Mapping[str, Results]) -> str:
    """The page in a few sentences."""
    hard = {
        name: one
        for name, one in results.items()
        if "proof" in one and not one["proof"]["separable"]
    }
    if not hard:
        return "Every case of this run is separable."
    best = ", ".join(
        f"{percent(one['best_line']['accuracy'])} ({CASES[name].title.lower()})"
        for name, one in hard.items()
    )
    mended = [
        one
        for one in hard.values()
        if one.get("lifted_proof", {}).get("separable")
        and all(fit["accuracy"] == 1 for fit in one["lifted_fits"].values())
    ]
    short = sum(
        fit["optimum"]["high"] < one["best_line"]["accuracy"] - 0.1
        for one in hard.values()
        for fit in one["fits"].values()
    )
    far = (
        " The exact optima of the surrogates are proven to fall short of that by more "
        f"than ten points in {short} of {2 * len(hard)} fits: they do not count errors."
        if short
        else ""
    )
    return (
        f"No line separates the classes of {_number(len(hard))}: for each a point is "
        f"shown that both convex hulls have. Of the points the best lines get {best} "
        f"right, whatever the loss.{far} With the feature that the page adds, both "
        f"losses classify every point of {_number(len(mended))} rightly."
    )


def lines(results: Mapping[str, Results]) -> list[str]:
    """One line a case, for a terminal."""
    found = []
    for name, one in results.items():
        parts = [f"{loss} {percent(fit['accuracy'])}" for loss, fit in _fits(one)]
        if "best_line" in one:
            parts.insert(0, f"best line {percent(one['best_line']['accuracy'])}")
        if "proof" in one:
            parts.insert(
                0, "separable" if one["proof"]["separable"] else "not separable"
            )
        found.append(f"{name:12} {', '.join(parts)}")
    return found


def _fits(one: Results):
    yield from one["fits"].items()
    for loss, fit in one["lifted_fits"].items():
        yield f"{loss} with the feature", fit


def _of_proof(proof: Results) -> str:
    if proof["separable"]:
        return "A line separates the classes, checked in exact arithmetic."
    return (
        f"No line separates the classes: {len(proof['rows'])} points have weights that "
        "make the same point of either class, checked in exact arithmetic."
    )


def of_optimum(optimum: Results) -> str:
    """What the exact optimum gets right, as far as that is proven."""
    low, high = (f"{100 * optimum[end]:.2f}" for end in ("low", "high"))
    if optimum["low"] == optimum["high"]:
        return percent(optimum["low"])
    return f"{low} to {high}\N{NO-BREAK SPACE}%"


def _of_fit(loss: str, fit: Results, one_label: float) -> str:
    optimum = fit["optimum"]
    proven = (
        "and so does the exact optimum of its loss, all of whose labels are proven"
        if optimum["high"] == optimum["low"]
        else f"the exact optimum of its loss {of_optimum(optimum)}, as "
        f"{percent(optimum['certified'])} of its labels are proven"
    )
    said = (
        f"The line of the {loss} gets {percent(fit['accuracy'])} right, {proven} "
        f"(objective {fit['primal']:.6g}, within a relative "
        f"{fit['relative_gap']:.1e} of the least"
        + (
            ""
            if fit["converged"]
            else f"; asked for less, and {fit['evaluations']} evaluations were spent"
        )
        + ")."
    )
    if optimum["high"] >= one_label:
        return said
    said += f" That is less than the {percent(one_label)} of one label for all points"
    if fit["primal"] < (1 - _HARDLY) * fit["at_zero"]:
        return f"{said}."
    return (
        f"{said}: the weights are nearly 0 (norm {fit['weights_norm']:.3g}; objective "
        f"{fit['primal']:.3g}, and {fit['at_zero']:.3g} at W = 0), so that the loss "
        "hardly depends on where the line is."
    )


def _of_lift(name: str, one: Results) -> str:
    shares = {loss: fit["accuracy"] for loss, fit in one["lifted_fits"].items()}
    separates = (
        "a plane separates them, checked in exact arithmetic"
        if one["lifted_proof"]["separable"]
        else "still no plane separates them"
    )
    return (
        f"With {CASES[name].added} {separates}; "
        + " and ".join(
            f"the {loss} gets {percent(share)} right" for loss, share in shares.items()
        )
        + "."
    )


def _number(count: int) -> str:
    words = ("no case", "one case", "two cases", "three cases")
    return words[count] if count < len(words) else f"{count} cases"
