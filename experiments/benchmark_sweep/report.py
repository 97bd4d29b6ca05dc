"""The page of a run."""

from typing import Any

from experiments.benchmark_sweep.config import Config
from experiments.common import report
from experiments.common.config import to_dict
from jaxlin import plotting
from jaxlin.plotting.axes import label_axes


def build(config: Config, results: dict[str, Any]) -> report.Report:
    """One section a part that was measured."""
    sections = [
        section(results[name])
        for name, section in (("cs", _cs), ("folds", _folds), ("rate", _rate))
        if name in results
    ]
    return report.Report(
        f"Hundreds of models in one program: {config.dataset}",
        "What a sweep of certified linear classifiers costs",
        [*sections, report.Section("Settings", [report.Facts(to_dict(config))])],
    )


def _rate(found: dict[str, Any]) -> report.Section:
    figure, axes = plotting.new_figure(width=6.5, height=4)
    ax = axes[0, 0]
    names = list(dict.fromkeys(row["loss"] for row in found["rows"]))
    for name, color in plotting.method_colors(names).items():
        rows = [row for row in found["rows"] if row["loss"] == name]
        ax.plot(
            [row["models"] for row in rows],
            [100 * row["share_of_rate"] for row in rows],
            "o-",
            color=color,
            label=name,
        )
    ax.set_xscale("log", base=2)
    ax.set_ylim(0, 100)
    label_axes(ax, "models evaluated at once", "% of the machine's matrix rate")
    ax.legend(frameon=False)
    rates = ", ".join(
        f"{name} {rate:.0f}" for name, rate in found["matrix_rate"].items()
    )
    return report.Section(
        "The price of an evaluation",
        [
            report.Paragraph(
                "Seconds of one pass over the rows that gives value, gradient and "
                "proof of all models, and what share of the machine's fastest product "
                f"that is ({rates} GFLOP/s in this run)."
            ),
            report.picture(
                figure,
                caption="Share of the matrix rate against the number of models.",
                alt="two rising curves",
                width=650,
            ),
            report.Table(
                ("loss", "models", "seconds", "ms a model", "of the rate"),
                [
                    (
                        row["loss"],
                        row["models"],
                        f"{row['seconds']:.3f}",
                        f"{1e3 * row['seconds_per_model']:.1f}",
                        f"{100 * row['share_of_rate']:.0f} %",
                    )
                    for row in found["rows"]
                ],
            ),
        ],
    )


def _folds(found: dict[str, Any]) -> report.Section:
    return report.Section(
        "Cross-validation",
        [
            report.Paragraph(
                f"{found['models']} models in {found['seconds']:.0f} s, compiling "
                f"included; {found['certified']} certified, largest relative gap "
                f"{found['largest_gap']:.1e}. Slots were evaluated {found['paid']:,} "
                f"times, idle ones counted: {found['paid_over_alone']:.2f} times what "
                "the models need alone, each from zero (those of one fold fitted so, "
                "times the number of folds).",
                lead=True,
            ),
            report.Facts(found["plan"]),
        ],
    )


def _cs(found: dict[str, Any]) -> report.Section:
    bound = "at least " if found["equal_is_lower_bound"] else ""
    times = found["times_faster"]
    return report.Section(
        "Values of C",
        [
            report.Cards(
                [
                    report.Card(
                        f"{found['seconds']:.1f} s",
                        f"for {len(found['rows'])} values of C",
                        f"{found['seconds_with_compiling']:.1f} s with compiling",
                    ),
                    report.Card(
                        f"{times['default']:.0f} times",
                        "faster than scikit-learn at its defaults",
                        f"{found['peer_seconds']['default']:.0f} s, extrapolated from "
                        f"{len(found['peers'])} values, at "
                        f"{found['as_low_as_default']} of which ours is as low",
                    ),
                    report.Card(
                        f"{bound}{times['equal']:.0f} times",
                        "faster than scikit-learn to our objective",
                        f"{bound}{found['peer_seconds']['equal']:.0f} s, extrapolated",
                    ),
                ]
            ),
            report.Table(
                ("C", "l2", "scikit-learn", "its objective", "to ours", "ours"),
                [
                    (
                        f"{one['c']:.1e}",
                        f"{one['ours']['l2']:.1e}",
                        f"{one['default']['seconds']:.1f} s",
                        f"{one['default']['objective']:.5f}",
                        ("" if one["equal"]["reached"] else "> ")
                        + f"{one['equal']['seconds']:.1f} s",
                        f"{one['ours']['objective']:.5f}",
                    )
                    for one in found["peers"]
                ],
                caption="scikit-learn, one fit at a time. As low: up to the gap that "
                "was asked for.",
            ),
            report.Table(
                ("C", "l2", "objective", "relative gap", "evaluations"),
                [
                    (
                        f"{row['c']:.1e}",
                        f"{row['l2']:.1e}",
                        f"{row['objective']:.5f}",
                        f"{row['relative_gap']:.1e}",
                        row["evaluations"],
                    )
                    for row in found["rows"]
                ],
                caption="Ours, all in one sweep, each with the gap that it has proven.",
            ),
        ],
    )
