"""The joined page: its register is true, and its chapters follow the lecture."""

import importlib
import json
import pathlib

import pytest

from experiments.common import cli
from experiments.lecture import concepts
from experiments.lecture.__main__ import run
from experiments.lecture.chapters import CHAPTERS as RUN
from experiments.lecture.config import CHAPTERS, SMOKE, Config

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "lecture.md"


def resolved(place):
    """A module, or what is in one."""
    try:
        return importlib.import_module(place)
    except ModuleNotFoundError:
        module, _, name = place.rpartition(".")
        return getattr(importlib.import_module(module), name)


def test_every_concept_is_somewhere():
    assert [one.number for one in concepts.CONCEPTS] == list(range(1, 41))
    for one in concepts.CONCEPTS:
        assert one.where
        for place in one.where:
            assert resolved(place).__doc__, place


def test_the_documentation_says_where_each_concept_is():
    text = PAGE.read_text()
    for one in concepts.CONCEPTS:
        places = ", ".join(f"`{place}`" for place in one.where)
        assert f"| {one.number} | {one.concept} | {places} |" in text


def test_chapters_are_those_that_can_be_asked_for():
    assert tuple(one.name for one in RUN) == CHAPTERS
    for one in RUN:
        assert set(one.configs) == {"smoke", "cifar10", "digits"}


@pytest.mark.full
def test_two_chapters_make_a_page_that_can_be_completed(tmp_path):
    asked = Config(
        dataset="digits", chapters=("loss_questions", "hard_cases"), size="smoke"
    )
    folder = tmp_path / "page"
    run(asked, cli.RunOptions(out=folder))
    page = (folder / "report.html").read_text()
    # In the order of the lecture, not of the command line.
    first, second = (f"experiments.{name}, run" for name in reversed(asked.chapters))
    assert 0 < page.index(first) < page.index(second)
    assert page.count("<h2") == 4
    answers = json.loads((folder / "loss_questions" / "results.json").read_text())
    # As if it had been killed in the second chapter.
    (folder / "loss_questions" / "parts" / "svm.json").unlink()
    (folder / "loss_questions" / "results.json").unlink()
    (folder / "report.html").unlink()
    run(asked, cli.RunOptions(resume=folder))
    again = json.loads((folder / "loss_questions" / "results.json").read_text())
    assert again["parts"] == answers["parts"]
    assert (folder / "report.html").read_text().count("<h2") == 4
    assert (folder / "STATUS").read_text() == "done\n"


@pytest.mark.full
def test_all_chapters_in_smoke_size(tmp_path):
    run(SMOKE, cli.RunOptions(out=tmp_path / "page"))
    page = (tmp_path / "page" / "report.html").read_text()
    assert page.count("<h2") == len(CHAPTERS) + 2
