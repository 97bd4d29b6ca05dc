"""The conclusions in words: only what the numbers of this run say."""

from collections.abc import Mapping
from typing import Any

from experiments.nearest_neighbor import contrast
from experiments.nearest_neighbor.config import BASELINES
from experiments.nearest_neighbor.contrast import NORMAL, PIXELS, PROJECTED
from experiments.nearest_neighbor.local import FITS
from experiments.nearest_neighbor.spaces import METRICS
from experiments.nearest_neighbor.testing import CHOSEN, LINEAR, one_nearest

Results = Mapping[str, Any]
# Below this a p-value is taken for a difference.
_LEVEL = 0.05
TITLES = {
    CHOSEN: "chosen by cross-validation",
    one_nearest("euclidean"): "1-NN, Euclidean (L2)",
    one_nearest("manhattan"): "1-NN, Manhattan (L1)",
    LINEAR: "linear softmax classifier",
}


def percent(share: float) -> str:
    """A share in per cent."""
    return f"{100 * share:.2f} %"


def interval(ends: Any) -> str:
    """An interval of a share in per cent."""
    low, high = (f"{100 * end:.2f}" for end in ends)
    return f"[{low}, {high}]"


def setting(found: Results) -> str:
    """A metric, a weighting and a k in words."""
    k = f"{found['k']} neighbours" if found["k"] > 1 else "one neighbour"
    weights = "" if found["k"] == 1 else f", weights {found['weighting']}"
    return f"{METRICS[found['metric']].title}, {k}{weights}"


def milliseconds(seconds: float) -> str:
    """A time in milliseconds."""
    return f"{1e3 * seconds:.3g} ms"


def paragraphs(results: Results) -> dict[str, str]:
    """What was found, a paragraph a subject."""
    local = {"local": _local(results["local"])} if results["local"] else {}
    return {
        "choice": _choice(results),
        "test": _test(results),
        **local,
        "time": _time(results["time"]),
        "noise": _noise(results["noise"]),
        "contrast": _contrast(results["contrast"]),
    }


def lines(results: Results) -> list[str]:
    """For a terminal."""
    found = [f"chosen: {setting(results['chosen'])}"]
    for name, one in results["test"].items():
        found.append(
            f"{TITLES[name]:28} {percent(one['accuracy'])}  95 % "
            f"{interval(one['interval'])}"
        )
    return found


def _choice(results: Results) -> str:
    chosen = results["chosen"]
    entries = results["best_of_search"]
    compared = [one for one in entries if one["rows"] == entries[0]["rows"]]
    order = sorted(compared, key=lambda one: -one["accuracy"])
    ranked = "; ".join(
        f"{METRICS[one['metric']].title} {percent(one['accuracy'])} ± "
        f"{100 * one['standard_error']:.2f} with k = {one['k']}"
        for one in order
    )
    text = (
        f"The choice. Cross-validation takes {setting(chosen)}: "
        f"{percent(chosen['accuracy'])} ± {100 * chosen['standard_error']:.2f} of "
        f"{chosen['examples']:,} training examples held out. The best of each metric "
        f"on {compared[0]['examples']:,} rows: {ranked}."
    )
    grown = [
        (few, many)
        for few in compared
        for many in entries
        if few["metric"] == many["metric"] and few["examples"] < many["examples"]
    ]
    for few, many in grown:
        text += (
            f" With all {many['examples']:,} rows instead of {few['examples']:,} "
            f"{METRICS[many['metric']].title} gains "
            f"{100 * (many['accuracy'] - few['accuracy']):.2f} points and its best k "
            f"goes from {few['k']} to {many['k']}."
        )
    if chosen["at_largest_k"]:
        text += " The k chosen is the largest that was tried: try larger ones."
    return text


def _test(results: Results) -> str:
    found = results["test"]
    chosen = found[CHOSEN]
    text = (
        f"The test. The choice is right on {percent(chosen['accuracy'])} of "
        f"{results['test_examples']:,} test examples, 95 % "
        f"{interval(chosen['interval'])}. "
    )
    said = [
        f"{TITLES[name]} on {percent(found[name]['accuracy'])} "
        f"{interval(found[name]['interval'])}"
        for name in (*map(one_nearest, BASELINES), LINEAR)
    ]
    return text + "; ".join(said) + ". " + _against_linear(found[LINEAR])


def _against_linear(linear: Results) -> str:
    apart = 100 * abs(linear["chosen_less_this"])
    p_value = f"exact McNemar p = {linear['p_value']:.2g}"
    if linear["p_value"] >= _LEVEL:
        return (
            f"The choice and the linear classifier are {apart:.2f} points apart, which "
            f"these examples do not tell from chance ({p_value})."
        )
    better = "better" if linear["chosen_less_this"] > 0 else "worse"
    return (
        f"The choice is {apart:.2f} points {better} than the linear classifier "
        f"({p_value})."
    )


def _local(found: Results) -> str:
    best = {
        name: max(zip(found["accuracy"][name], found["ks"], strict=True))
        for name in FITS
    }
    said = ", ".join(
        f"{name} {percent(accuracy)} (k = {k})" for name, (accuracy, k) in best.items()
    )
    apart = f"{100 * abs(found['linear_less_vote']):.2f} points"
    p_value = f"exact McNemar p = {found['p_value']:.2g}, the best k of each"
    if found["p_value"] >= _LEVEL:
        verdict = (
            f"The linear one and the weighted vote are {apart} apart, which these "
            "examples do not tell from chance"
        )
    else:
        better = "better" if found["linear_less_vote"] > 0 else "worse"
        verdict = f"The linear one is {apart} {better} than the weighted vote"
    return (
        f"How to fit with the local points. On {found['queries']:,} training examples "
        f"taken out: {said}. {verdict} ({p_value})."
    )


def _time(found: Results) -> str:
    rows = f"{found['sizes'][-1]:,}"
    said = []
    for name, one in found["searches"].items():
        text = (
            f"by {METRICS[name].title} {milliseconds(one['seconds'][-1])}, "
            f"{one['times_linear'][-1]:,.0f} times as long as the linear classifier"
        )
        if one["power"] is not None:
            text += f", growing as the power {one['power']:.2f} of that number"
        said.append(text)
    memory = found["row_bytes"] * found["sizes"][-1] / found["linear_bytes"]
    return (
        f"Problem 1, expensive when it answers. Among {rows} rows an answer takes, "
        + "; ".join(said)
        + f". That one takes {milliseconds(found['linear'])}, whatever the number of "
        f"rows. The rows take {memory:,.0f} times the memory of its weights. Absolute "
        f"times are of this machine and of batches of {found['queries']:,} queries: "
        "read the ratios."
    )


def _noise(found: Results) -> str:
    first, last = found["noise_features"][0], found["noise_features"][-1]
    near, linear = found["nearest"], found["linear"]
    more = found["nearest_loses_more"]
    low, high = more["interval"]
    if low > 0:
        verdict = "the nearest neighbours lose more"
    elif high < 0:
        verdict = "the linear classifier loses more"
    else:
        verdict = "which of the two loses more cannot be told"
    return (
        f"Problem 2, irrelevant features. From {first:,} to {last:,} features of noise "
        f"the nearest neighbours go from {percent(near['accuracy'][0])} to "
        f"{percent(near['accuracy'][-1])}, the linear classifier from "
        f"{percent(linear['accuracy'][0])} to {percent(linear['accuracy'][-1])}: "
        f"{verdict} (difference of the losses {100 * more['mean']:+.2f} points, 95 % "
        f"over {found['repeats']} repeats [{100 * low:+.2f}, {100 * high:+.2f}])."
    )


def _contrast(found: Results) -> str:
    """Ratios Dmax / Dmin, which are the contrast plus one."""
    text = "Problem 3, the curse of dimensionality. "
    normal = [one for one in found["curves"][NORMAL] if one["median"]]
    if normal:
        first, last = normal[0], normal[-1]
        theory = contrast.in_theory(last["dimension"], found["examples"])
        text += (
            f"Of {found['examples']:,} normal points the farthest is "
            f"{_times(first['median'])} as far as the nearest in "
            f"{_dimensions(first['dimension'])}, {_times(last['median'])} in "
            f"{_dimensions(last['dimension'])} (in theory about {_times(theory)}; in "
            "the limit just as far). "
        )
    whole = found["whole"]
    if whole["median"] is None:
        return text + "Most test rows have a copy among the training rows."
    text += (
        f"For the rows as they are, of {whole['dimension']:,} features, it is "
        f"{_times(whole['median'])}"
    )
    if found["normal_dimension"]:
        text += f", as for normal data in {found['normal_dimension']:.0f} dimensions"
    ends = [
        f"{_times(curve[-1]['median'])} with {curve[-1]['dimension']:,} {name}"
        for name in (PIXELS, PROJECTED)
        if (curve := found["curves"][name]) and curve[-1]["median"]
    ]
    if ends:
        text += (
            ". With features drawn of them, or random projections, it comes to: "
            + ", ".join(ends)
        )
    return text + (
        ". The theorem needs distances that vary ever less beside their mean: "
        "independent features have that, features that depend on one another need not."
    )


def _times(contrast_found: float) -> str:
    ratio = 1 + contrast_found
    return f"{ratio:,.0f} times" if ratio >= 10 else f"{ratio:.3g} times"


def _dimensions(count: int) -> str:
    return f"{count:,} dimensions" if count > 1 else "one dimension"
