"""The page: the chapters' own pages, joined, between a start and a register."""

from collections.abc import Mapping, Sequence

from experiments.common import report
from experiments.common.report import Paragraph, Report, Section, Table
from experiments.lecture import concepts
from experiments.lecture.chapters import Made
from experiments.lecture.config import Config

TITLE = "Linear classifiers and their losses, measured"


def build(config: Config, made: Sequence[Made], *, name: str) -> str:
    """The HTML of all chapters.

    Args:
      config: of the page.
      made: the chapters in the order of the lecture.
      name: of the run folder.
    """
    return report.render_joined(
        TITLE,
        [_start(config, made), *(one.page for one in made), _register()],
        subtitle=f"A lecture of forty concepts, on {config.dataset} and on paper",
        footer=f"python -m experiments.lecture, run {name}",
    )


def _start(config: Config, made: Sequence[Made]) -> Report:
    rows = [(one.chapter.question, one.page.title, one.seconds) for one in made]
    total = sum(one.seconds for one in made)
    size = "" if config.size == "page" else " Sizes are tiny: only the form counts."
    return Report(
        "What this page shows",
        f"{len(made)} chapters, computed in {total / 60:.0f} minutes"
        if total >= 60
        else f"{len(made)} chapters, computed in {total:.0f} seconds",
        [
            Section(
                "The questions",
                [
                    Paragraph(
                        "Each chapter is an experiment of its own, with its own "
                        "command, and every number on this page was measured by it. "
                        "A chapter that was resumed counts from its last start." + size,
                        lead=True,
                    ),
                    Table(("question", "chapter", "seconds"), rows),
                ],
            )
        ],
    )


def _register() -> Report:
    return Report(
        "Where each concept of the lecture is",
        "Forty rows: functions of jaxlin, or experiments",
        [
            Section(
                "Register",
                [
                    Table(
                        ("", "concept", "where"),
                        [
                            (
                                one.number,
                                one.concept,
                                ", ".join(f"`{place}`" for place in one.where),
                            )
                            for one in concepts.CONCEPTS
                        ],
                    )
                ],
            ),
        ],
    )


def summary(made: Sequence[Made]) -> Mapping[str, Mapping[str, object]]:
    """results.json: of each chapter its page and how long it took."""
    return {
        one.chapter.name: {"title": one.page.title, "seconds": one.seconds}
        for one in made
    }
