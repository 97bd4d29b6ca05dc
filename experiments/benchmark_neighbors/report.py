"""The page of a run."""

from typing import Any

from experiments.benchmark_neighbors.config import Config
from experiments.common import report
from experiments.common.config import to_dict
from jaxlin import plotting
from jaxlin.plotting.axes import label_axes
from jaxlin.stats import intervals

_NAMES = {"jaxlin": "jaxlin", "faiss": "FAISS", "sklearn": "scikit-learn"}
_DISTANCES = {"l2": "squared Euclidean", "l1": "Manhattan"}


def build(config: Config, results: dict[str, Any]) -> report.Report:
    """Findings in words, then one section a part that was measured."""
    sections = [
        report.Section("Findings", [report.Paragraph(findings(results), lead=True)])
    ]
    for name in ("l2", "l1"):
        if name in results:
            sections.append(_times(config, name, results[name]))
    for name, section in (
        ("memory", _memory),
        ("recall", _recall),
        ("accuracy", _accuracy),
    ):
        if name in results:
            sections.append(section(results[name]))
    sections.append(report.Section("Settings", [report.Facts(to_dict(config))]))
    return report.Report(
        f"Exact nearest neighbours: {config.dataset}",
        "Seconds, memory and answers beside FAISS and scikit-learn",
        sections,
    )


def findings(results: dict[str, Any]) -> str:
    """What was measured, in words."""
    words = []
    for name in ("l2", "l1"):
        if name not in results:
            continue
        ours, *others = results[name]["searches"]
        compared = [
            f"{_NAMES[one['who']]} took {one['times_ours']:.2f} times as long"
            for one in others
        ]
        words.append(
            f"{results[name]['queries']:,} queries among {results[name]['rows']:,} "
            f"rows by the {_DISTANCES[name]} distance took {ours['seconds']:.2f} s"
            + ("; " + ", ".join(compared) if compared else "")
            + "."
        )
    if "memory" in results:
        grown = [results["memory"][name]["grown_mb"] for name in ("l2", "l1")]
        if None not in grown:
            words.append(
                f"A search took at most {max(grown):.0f} MB of memory beyond the data."
            )
    if "accuracy" in results:
        shares = [
            f"{100 * one['right'] / one['of']:.2f} % ({_DISTANCES[name]})"
            for name, one in results["accuracy"].items()
        ]
        words.append(f"One neighbour is right for {' and '.join(shares)}.")
    return " ".join(words) or "Nothing was measured yet."


def _times(config: Config, name: str, found: dict[str, Any]) -> report.Section:
    searches = found["searches"]
    figure, axes = plotting.new_figure(width=6, height=0.7 + 0.5 * len(searches))
    ax = axes[0, 0]
    labels = [_NAMES[one["who"]] for one in searches]
    colors = plotting.method_colors(labels)
    ax.barh(
        labels,
        [one["seconds"] for one in searches],
        color=[colors[label] for label in labels],
        xerr=[
            [one["seconds"] - one["fastest_s"] for one in searches],
            [one["slowest_s"] - one["seconds"] for one in searches],
        ],
    )
    ax.invert_yaxis()
    label_axes(ax, "seconds", "")
    return report.Section(
        f"{_DISTANCES[name].capitalize()} distance",
        [
            report.Paragraph(
                f"The {config.k} nearest of {found['queries']:,} queries among "
                f"{found['rows']:,} rows of {found['features']:,} features, on "
                f"{found['device']}. The first call of jaxlin compiles, unless the "
                "memory was measured before."
            ),
            report.picture(
                figure,
                caption="Median seconds of a search; lines from the fastest to the "
                "slowest turn.",
                alt="a bar for each searcher",
                width=600,
            ),
            report.Table(
                ("who", "seconds", "from", "to", "first call", "times ours", "same"),
                [
                    (
                        _NAMES[one["who"]],
                        f"{one['seconds']:.3f}",
                        f"{one['fastest_s']:.3f}",
                        f"{one['slowest_s']:.3f}",
                        f"{one['first_s']:.3f}",
                        f"{one['times_ours']:.2f}",
                        f"{100 * one['same_neighbours']:.2f} %",
                    )
                    for one in searches
                ],
                caption="Same: share of the neighbours that are those of jaxlin, which "
                "are exact, rank by rank.",
            ),
        ],
    )


def _memory(found: dict[str, Any]) -> report.Section:
    facts = {"data, MB": f"{found['data_mb']:.0f}"}
    for name, words in _DISTANCES.items():
        grown = found[name]["grown_mb"]
        facts[f"{words}, {found[name]['queries']} queries, MB more at the peak"] = (
            "not known here" if grown is None else f"{grown:.0f}"
        )
    return report.Section("Memory", [report.Facts(facts)])


def _recall(found: dict[str, Any]) -> report.Section:
    return report.Section(
        "An approximate search",
        [
            report.Paragraph(
                f"`jax.lax.approx_min_k`, asked for a recall of {found['target']}, "
                f"found {100 * found['recall']:.2f} % of the exact neighbours on "
                f"{found['device']}, in {found['approximate_s']:.2f} s; the exact "
                f"search took {found['exact_s']:.2f} s. It is made for TPUs; on a CPU "
                "it sorts, and misses nothing."
            )
        ],
    )


def _accuracy(found: dict[str, Any]) -> report.Section:
    rows = []
    for name, one in found.items():
        low, high = intervals.proportion_interval(one["right"], one["of"])
        rows.append(
            (
                _DISTANCES[name],
                f"{100 * one['right'] / one['of']:.2f} %",
                f"[{100 * low:.2f}, {100 * high:.2f}]",
                f"{one['seconds']:.1f} s",
            )
        )
    return report.Section(
        "One neighbour, all test images",
        [report.Table(("distance", "right", "95 % over images", "time"), rows)],
    )
