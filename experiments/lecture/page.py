"""The page: the chapters' own pages, joined, between a start and a register."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from experiments.common import pages
from experiments.lecture import concepts
from experiments.lecture.chapters import Made
from experiments.lecture.config import Config

TITLE = "Linear classifiers and their losses, measured"


def build(config: Config, made: Sequence[Made], *, folder: Path) -> str:
    """The HTML of all chapters.

    Args:
      config: of the page.
      made: the chapters in the order of the lecture.
      folder: of the run.
    """
    total = sum(one.seconds for one in made)
    start = pages.from_template(
        "lecture/start.html",
        folder=folder,
        made=made,
        size=config.size,
        duration=f"{total / 60:.0f} minutes" if total >= 60 else f"{total:.0f} seconds",
    )
    register = pages.from_template(
        "lecture/register.html", folder=folder, concepts=concepts.CONCEPTS
    )
    return pages.render_joined(
        TITLE,
        [start, *(one.page for one in made), register],
        subtitle=f"A lecture of forty concepts, on {config.dataset} and on paper",
        footer=f"python -m experiments.lecture, run {folder.name}",
    )


def summary(made: Sequence[Made]) -> Mapping[str, Mapping[str, object]]:
    """results.json: of each chapter its page and how long it took."""
    return {
        one.chapter.name: {"title": one.page.title, "seconds": one.seconds}
        for one in made
    }
