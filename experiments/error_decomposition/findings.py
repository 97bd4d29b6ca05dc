"""The conclusions in words: only what the intervals of this run say."""

import math
from collections.abc import Mapping
from typing import Any

from experiments.error_decomposition.pictures import KINDS, TITLES
from experiments.error_decomposition.verdict import MEASURED, TERMS, UNKNOWN

Results = Mapping[str, Any]

# Exponents of a curve that a + b / n may still describe.
_NEAR_ONE = (0.5, 2.0)
_DIGITS_AT_MOST = 8


def percent(value: float) -> str:
    """A share, in percent."""
    return f"{points(value)} %"


def points(value: float) -> str:
    """A term of the zero-one error, in points."""
    # Plus 0, so that nothing is "-0.00".
    return f"{round(100 * value, 2) + 0.0:.2f}"


def nats(value: float) -> str:
    """A cross-entropy, or a term of it."""
    return f"{round(value, 4) + 0.0:.4f}" if abs(value) < 100 else f"{value:.4g}"


def write(value: float, kind: str) -> str:
    """A number in points or nats."""
    return points(value) if kind == "zero_one" else nats(value)


def estimate(one: Results, kind: str) -> str:
    """A number and its interval, in points or nats."""
    low, high = (write(end, kind) for end in one["interval"])
    return f"{write(one['value'], kind)} [{low}, {high}]"


def term(terms: Results, name: str, kind: str) -> str:
    """A term as far as it is measured: with its interval, or bounds, or not at all."""
    if name == "optimisation" or terms["split"] == MEASURED:
        return estimate(terms[name], kind)
    if terms["split"] == UNKNOWN:
        return "not measurable"
    return between(terms, name, kind)


def between(terms: Results, name: str, kind: str) -> str:
    """The bounds of a term."""
    low, high = (write(end, kind) for end in terms[name]["interval"])
    return f"{low} to {high}"


def both(terms: Results, kind: str) -> str:
    """Modelling and estimation together."""
    return write(terms["modelling"]["value"] + terms["estimation"]["value"], kind)


def apart(low: float, high: float) -> str:
    """Two positive ends with as many digits as tell them from each other."""
    for digits in range(2, _DIGITS_AT_MOST):
        ends = [f"{end:#.{digits}g}".rstrip(".") for end in (low, high)]
        if ends[0] != ends[1]:
            return f"{ends[0]} to {ends[1]}"
    return f"{high:.{_DIGITS_AT_MOST}g}"


def of_classes(results: Results) -> list[str]:
    """One paragraph a class, and one on what they have to do with each other."""
    found = [_of_class(name, one) for name, one in results["classes"].items()]
    trade = _trade(results)
    return [*found, *([trade] if trade else [])]


def of_slip(results: Results) -> str:
    """What became of the slide's "optimisation error = 0"."""
    said = []
    for name, one in results["classes"].items():
        if name == "network":
            continue
        said.append(
            f"{TITLES[name]}, SGD's objective is "
            f"{apart(*one['measured']['optimisation_on_objective'])} above the "
            "minimum, proven, which changes its test error by "
            f"{estimate(one['zero_one']['optimisation'], 'zero_one')} points"
        )
    if not said:
        return ""
    return (
        "The slide writes optimisation error = 0 for multi-class logistic regression. "
        "That is so in the limit, for the convex loss that is minimised in place of "
        "the zero-one error (the surrogate; here cross-entropy), where its minimum is "
        "attained. After a number of epochs it is a number, and here a bound is "
        "proven: " + "; ".join(said) + "."
    )


def of_exponents(results: Results) -> str:
    """Of which linear classes the curve a + b / n is in doubt."""
    far = []
    for name, one in results["classes"].items():
        for kind, title in KINDS.items():
            exponent = one[kind]["exponent"]
            if one[kind]["split"] != MEASURED:
                continue
            if math.isnan(exponent):
                far.append(f"{TITLES[name]}, {title} (none: the means do not fall)")
            elif not _NEAR_ONE[0] <= exponent <= _NEAR_ONE[1]:
                far.append(f"{TITLES[name]}, {title} ({exponent:.2f})")
    if not far:
        return ""
    return (
        f"The exponent is far from 1 for {'; '.join(far)}. There either the means are "
        "too noisy for an exponent, or the curve a + b / n does not hold yet, and with "
        "it the split into modelling and estimation is in doubt."
    )


def lines(results: Results) -> list[str]:
    """One line a class, for a terminal."""
    width = max(len(title) for title in TITLES.values())
    found = []
    for name, one in results["classes"].items():
        terms = one["zero_one"]
        parts = [f"{part} {points(terms[part]['value'])}" for part in TERMS]
        note = ""
        if terms["split"] != MEASURED:
            parts = [f"(modelling + estimation) {both(terms, 'zero_one')}", parts[-1]]
            note = (
                "; how the first splits is not measurable"
                if terms["split"] == UNKNOWN
                else "; only their sum is measured, estimation is "
                + between(terms, "estimation", "zero_one")
            )
        parts.append(f"reference {points(terms['irreducible'])}")
        error = percent(terms["error"]["value"])
        found.append(
            f"{TITLES[name]:{width}}  error {error} = {' + '.join(parts)}{note}"
        )
    return found


def _of_class(name: str, one: Results) -> str:
    terms = one["zero_one"]
    start = (
        f"{TITLES[name].capitalize()}: {percent(terms['error']['value'])} of test "
        "images are wrong. In points, "
    )
    if terms["split"] != MEASURED:
        return start + _of_sum(terms)
    text = start + (
        ", ".join(f"{part} {estimate(terms[part], 'zero_one')}" for part in TERMS) + "."
    )
    largest = max(TERMS, key=lambda part: terms[part]["value"])
    low = terms[largest]["interval"][0]
    others = max(terms[part]["interval"][1] for part in TERMS if part != largest)
    if low > others:
        text += f" The largest term is {largest} error, beyond what intervals allow."
    return text


def _of_sum(terms: Results) -> str:
    """Of a class without theory, after "in points"."""
    text = (
        f"modelling and estimation together {both(terms, 'zero_one')}, optimisation "
        f"{estimate(terms['optimisation'], 'zero_one')}. Only that sum is measured, "
        "since no theory says how fast a network's error falls."
    )
    if terms["split"] == UNKNOWN:
        return text + (
            " Nor does the error measurably fall from half of the sample to all of it, "
            "so the split is not measurable here."
        )
    return text + (
        " If it falls no faster than 1 / n, and at the slowest so that it ends at the "
        f"reference, estimation is {between(terms, 'estimation', 'zero_one')} and "
        f"modelling {between(terms, 'modelling', 'zero_one')}."
    )


def _trade(results: Results) -> str:
    """Whether the larger class has less modelling and more estimation error."""
    classes = results["classes"]
    if not {"pixels", "patches"} <= set(classes):
        return ""
    few, many = (classes[name]["zero_one"] for name in ("pixels", "patches"))
    sizes = [classes[name]["measured"]["features"] for name in ("pixels", "patches")]
    said: list[str] = []
    for part in ("modelling", "estimation"):
        before, after = few[part], many[part]
        if after["interval"][1] < before["interval"][0]:
            said.append(f"{part} error falls")
        elif after["interval"][0] > before["interval"][1]:
            said.append(f"{part} error rises")
        else:
            said.append(f"{part} error does not measurably change")
    text = (
        f"From pixels ({sizes[0]:,} features) to patches ({sizes[1]:,}), "
        + " and ".join(said)
    )
    if sizes[0] < sizes[1] and said == [
        "modelling error falls",
        "estimation error rises",
    ]:
        text += ": the trade of the slide, a larger class against a harder choice in it"
    return text + "."
