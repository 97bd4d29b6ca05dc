"""The conclusions in words: only what the intervals of this run say."""

from collections.abc import Mapping
from typing import Any

from experiments.error_decomposition.pictures import TITLES
from experiments.error_decomposition.verdict import TERMS

Results = Mapping[str, Any]


def percent(value: float) -> str:
    """A share, in percent."""
    return f"{100 * value:.2f} %"


def points(value: float) -> str:
    """A term of the zero-one error, in points."""
    return f"{100 * value:.2f}"


def estimate(one: Results, kind: str, *, spaced: str = " ") -> str:
    """A number and its interval, in points or nats."""
    write = points if kind == "zero_one" else "{:.4f}".format
    low, high = map(write, one["interval"])
    return f"{write(one['value'])}{spaced}[{low}, {high}]"


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
        low, high = one["measured"]["optimisation_on_objective"]
        term = one["zero_one"]["optimisation"]
        said.append(
            f"{TITLES[name]}, SGD's objective is {low:.2g} to {high:.2g} above the "
            f"minimum, proven, which changes its test error by "
            f"{estimate(term, 'zero_one')} points"
        )
    if not said:
        return ""
    return (
        "The slide writes optimisation error = 0 for multi-class logistic regression. "
        "That is so in the limit, for the convex surrogate, where its minimum is "
        "attained. After a number of epochs it is a number, and here a bound is "
        "proven: " + "; ".join(said) + "."
    )


def lines(results: Results) -> list[str]:
    """One line a class, for a terminal."""
    width = max(len(title) for title in TITLES.values())
    return [
        f"{TITLES[name]:{width}}  error {percent(one['zero_one']['error']['value'])} = "
        + " + ".join(
            f"{term} {points(one['zero_one'][term]['value'])}" for term in TERMS
        )
        + f" + {points(one['zero_one']['irreducible'])}"
        for name, one in results["classes"].items()
    ]


def _of_class(name: str, one: Results) -> str:
    terms = one["zero_one"]
    text = (
        f"{TITLES[name].capitalize()}: {percent(terms['error']['value'])} of test "
        "images are wrong. In points, "
        + ", ".join(f"{term} {estimate(terms[term], 'zero_one')}" for term in TERMS)
        + "."
    )
    if name != "network":
        largest = max(TERMS, key=lambda term: terms[term]["value"])
        low = terms[largest]["interval"][0]
        others = max(terms[term]["interval"][1] for term in TERMS if term != largest)
        if low > others:
            text += (
                f" The largest term is {largest} error, beyond what intervals allow."
            )
        return text
    return text + (
        " No theory says how fast a network's error falls, so the intervals of "
        "modelling and estimation reach from a fall as 1 / n to one that ends at the "
        "reference: what they say, if no error falls faster, is that estimation is at "
        "least "
        f"{points(terms['estimation']['interval'][0])} points and modelling at most "
        f"{points(terms['modelling']['interval'][1])}."
    )


def _trade(results: Results) -> str:
    """Whether the richer class has less modelling and more estimation error."""
    classes = results["classes"]
    if not {"pixels", "patches"} <= set(classes):
        return ""
    poor, rich = (classes[name]["zero_one"] for name in ("pixels", "patches"))
    said: list[str] = []
    for term in ("modelling", "estimation"):
        before, after = poor[term], rich[term]
        if after["interval"][1] < before["interval"][0]:
            said.append(f"{term} error falls")
        elif after["interval"][0] > before["interval"][1]:
            said.append(f"{term} error rises")
        else:
            said.append(f"{term} error does not measurably change")
    text = "From pixels to patches, the class being richer, " + " and ".join(said)
    if said == ["modelling error falls", "estimation error rises"]:
        text += ": the trade of the slide, a larger class against a harder choice in it"
    return text + "."
