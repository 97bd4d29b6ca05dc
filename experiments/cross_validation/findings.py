"""The conclusions in words: only what the intervals of this run say."""

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.cross_validation.ideas import ESTIMATES, IDEAS

Results = Mapping[str, Any]


def points(value: float) -> str:
    """A difference of accuracies, in points with its sign."""
    return f"{100 * value:+.2f}"


def points_interval(ends: Sequence[float]) -> str:
    """An interval of a difference of accuracies, in points."""
    low, high = map(points, ends)
    return f"[{low}, {high}]"


def of_ideas(results: Results) -> list[str]:
    """One paragraph an idea."""
    found = []
    for name, idea in IDEAS.items():
        said = [
            _estimate(estimate.title.partition(": ")[2], results["estimates"][key])
            for key, estimate in ESTIMATES.items()
            if estimate.idea == name
        ]
        said.append(_choice(results["choices"][name]))
        if name == "cross_validation":
            said.append(_against_idea_three(results))
        number, _, title = idea.title.partition(": ")
        found.append(f"Idea {number} ({title}). " + " ".join(said))
    return found


def lines(results: Results) -> list[str]:
    """One line an estimate, for a terminal."""
    width = max(len(one.title) for one in ESTIMATES.values())
    return [
        f"{ESTIMATES[name].title:{width}}  bias {points(one['bias'])} points "
        f"{points_interval(one['bias_interval'])}, spread {100 * one['spread']:.2f}"
        for name, one in results["estimates"].items()
    ]


def _estimate(title: str, one: Results) -> str:
    low, high = one["bias_interval"]
    size = f"{100 * abs(one['bias']):.2f} points"
    if low > 0:
        verdict = f"too good by {size}"
    elif high < 0:
        verdict = f"too low by {size}"
    else:
        verdict = f"no bias can be measured, {points(one['bias'])} points"
    text = (
        f"The {title}, says {100 * one['reported']:.2f} % where the truth is "
        f"{100 * one['truth']:.2f} %: {verdict}, 95 % {points_interval((low, high))}"
    )
    fewer = one["models_measured_less_classifier"]
    if fewer["interval"] == [0.0, 0.0]:
        return text + "."
    chose = one["too_good_for_models_measured"]
    return (
        text
        + f". That is {points(chose['mean'])} {points_interval(chose['interval'])} "
        f"because it chose, and {points(fewer['mean'])} "
        f"{points_interval(fewer['interval'])} because the models that it was measured "
        "of had fewer examples than the classifier."
    )


def _choice(one: Results) -> str:
    away = one["log10_l2_less_best"]
    low, high = away["interval"]
    lost = (
        f"{100 * one['accuracy_lost']['mean']:.2f} points of accuracy are lost against "
        "the l2 that is best in truth."
    )
    by = f"{abs(away['mean']):.2f} powers of ten, 95 % [{low:+.2f}, {high:+.2f}]"
    if high < 0:
        return f"It takes less penalty than is best, by {by}; {lost}"
    if low > 0:
        return f"It takes more penalty than is best, by {by}; {lost}"
    return (
        "On average it takes neither measurably more nor less penalty than is best "
        f"(powers of ten of l2: [{low:+.2f}, {high:+.2f}]); {lost}"
    )


def _against_idea_three(results: Results) -> str:
    choices, estimates = results["choices"], results["estimates"]
    spreads = [
        choices[name]["log10_l2"]["spread"]
        for name in ("cross_validation", "train_validation_test")
    ]
    told = [100 * estimates[name]["spread"] for name in ("folds", "validation")]
    compared = results["idea_4_less_idea_3"]
    low, high = compared["log10_l2_spread"]["interval"]
    return (
        f"{_varies('Its choice of l2', (low, high))}: the spread is {spreads[0]:.2f} "
        f"powers of ten against {spreads[1]:.2f}, 95 % of the difference [{low:+.2f}, "
        f"{high:+.2f}]. "
        f"{_varies('What its folds report', compared['estimate_spread']['interval'])}: "
        f"the spread of the error is {told[0]:.2f} points against {told[1]:.2f}, 95 % "
        "of the difference "
        f"{points_interval(compared['estimate_spread']['interval'])}."
    )


def _varies(what: str, ends: Sequence[float]) -> str:
    low, high = ends
    if high < 0:
        return f"{what} varies less than idea 3's"
    if low > 0:
        return f"{what} varies more than idea 3's"
    return f"{what} does not measurably vary less than idea 3's"
