"""The conclusions in words: only what this run has measured."""

from collections.abc import Mapping
from typing import Any

Results = Mapping[str, Any]


def percent(share: float) -> str:
    """A share in percent."""
    return f"{100 * share:.1f}\N{NO-BREAK SPACE}%"


def lead(results: Results) -> str:
    """The page in a few sentences."""
    radii = results["radii"]
    wide = radii["Linf"]["free"]
    accuracy = radii["L2"]["free"]
    low, high = accuracy["accuracy_interval"]
    return (
        f"One W, test accuracy {percent(accuracy['accuracy'])} (95 % "
        f"[{100 * low:.1f}, {100 * high:.1f}]), its objective proven to be within a "
        f"relative {results['fit']['relative_gap']:.1e} of the least. Half of the "
        "images that it gets right "
        f"lose their label to a change of at most {100 * wide['median']:.2f} % of the "
        "pixel range in every pixel, if it is the right change: the exact median, "
        "without bounds."
    )


def of_plane(results: Results) -> str:
    """What the plane of two axes can show."""
    plane = results["plane"]
    shown = sum(plane["variance"])
    return (
        f"The two principal axes hold {percent(shown)} of the variance of the training "
        f"images. On this plane alone {percent(plane['agreement'])} of the images "
        "drawn get the label that all pixels give them: a cut through space is not "
        f"space. {_won(plane['classes_with_a_region'], results['num_classes'])}"
    )


def of_radii(results: Results) -> str:
    """How the norms compare, and what bounds change."""
    said = []
    for name, one in results["radii"].items():
        first, boxed = one["first_free"], one["boxed"]
        said.append(
            f"{name} {first['median']:.5g} without bounds and {boxed['median']:.5g} "
            "within the pixel range"
        )
    one = results["radii"]["L2"]
    count, all_images = one["boxed"]["images"], one["free"]["images"]
    which = "the" if count == all_images else f"the first {count:,}"
    return (
        f"Median radius of those of {which} test images that are right, the same "
        f"images with and without bounds: {'; '.join(said)}. Sizes are in units of the "
        "pixel range."
    )


def lines(results: Results) -> list[str]:
    """For a terminal."""
    fit = results["fit"]
    return [
        f"objective {fit['primal']:.6f}, at least {fit['dual']:.6f}; test accuracy "
        f"{percent(results['radii']['L2']['free']['accuracy'])}",
        of_radii(results),
    ]


def _won(count: int, classes: int) -> str:
    if count == classes:
        return "Every class has a region in the part that is drawn."
    return (
        f"{count} of {classes} classes have a region in the part that is drawn; the "
        "others win elsewhere in space."
    )
