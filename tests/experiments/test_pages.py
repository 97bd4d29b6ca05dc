"""The page is well formed, escaped, complete in itself, and shows what was given."""

import base64
import io

import jinja2
import numpy as np
import pytest
from strict_page import Page, assert_stands_alone

from experiments.common import pages
from jaxlin import plotting

TEXT = """
{% set title = "SVM & softmax" %}
{% set subtitle = "a <subtitle>" %}
{% call section("Result") %}
<p class="lead">First <code>{{ "x < y" }}</code>.</p><p>Second.</p>
{% call cards() %}{{ card("41.3 %", "softmax", "n = 10,000") }}{% endcall %}
{% call table("loss", "l2") %}
{{ row("hinge", 0.1) }}{{ row("softmax", 0.01) }}
{% endcall %}
{% call figure("grid", alt='a "grid"', width=300) %}See <code>this</code>.{% endcall %}
{% endcall %}
{% call section("Result") %}
{{ facts({"jax": "0.10", "seconds": 1.23456}) }}
{% call details("More") %}<pre>{{ "python -m x\n  --out <y>" }}</pre>{% endcall %}
{% endcall %}
"""
HOSTILE = """</p><script>alert("'1'")</script>&amp;"""


@pytest.fixture(scope="module")
def picture():
    figure, axes = plotting.new_figure(width=3, height=2)
    plotting.heat_map(axes[0, 0], [[1.0]], row_labels=["a"], column_labels=["b"])
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


@pytest.fixture
def made(tmp_path, picture, monkeypatch):
    """A function that makes the page of a template's text."""
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "grid.png").write_bytes(picture)
    environment = pages.environment()

    def page(template, **values):
        texts = jinja2.DictLoader({"page.html": template})
        loader = jinja2.ChoiceLoader([texts, environment.loader])
        overlay = environment.overlay(loader=loader)
        with monkeypatch.context() as patch:
            patch.setattr(pages, "environment", lambda: overlay)
            return pages.from_template("page.html", folder=tmp_path, **values)

    return page


@pytest.fixture
def report(made):
    return made(TEXT, footer="made by jaxlin")


def of_table(table):
    """The parsed page of one table."""
    return Page(pages.render(pages.Page("", "", [pages.Section("", table)])))


def test_page_is_well_formed_and_holds_everything(report):
    text = pages.render(report)
    page = Page(text)
    assert_stands_alone(page)
    assert "http" not in text.replace(page.images[0]["src"], "")
    assert page.links == ["#result", "#result-2"]
    assert page.ids == ["result", "result-2"]
    assert page.text["title"] == ["SVM & softmax"]
    assert page.text["h1"] == ["SVM & softmax"]
    assert page.text["h2"] == ["Result", "Result"]
    whole = page.text["body"][0]
    for part in (
        *("a <subtitle>", "First x < y.", "Second.", "41.3 %", "n = 10,000"),
        *("hinge", "0.01", "See this.", "1.235", "made by jaxlin"),
    ):
        assert part in whole
    assert page.text["pre"] == ["python -m x\n  --out <y>"]
    assert page.text["code"] == ["x < y", "this"]


def test_picture_is_embedded_byte_for_byte(report, picture):
    plain = pages.Section("s", pages.figure(picture, caption="c", alt="<alt>"))
    sections = [plain, *report.sections]
    first, second = Page(pages.render(report._replace(sections=sections))).images
    for image in (first, second):
        content = base64.b64decode(image["src"].partition(",")[2], validate=True)
        assert content == picture
        assert content.startswith(b"\x89PNG")
    assert (first["alt"], second["alt"]) == ("<alt>", 'a "grid"')
    assert second["style"] == "width: 300px"


@pytest.mark.parametrize(
    "block",
    [
        "<p>{{ text }}</p>",
        "{% call cards() %}{{ card(text, text, text) }}{% endcall %}",
        "{{ facts({text: text}) }}",
        "{% call table(text, caption=text) %}{{ row(text) }}{% endcall %}",
        '{% call figure("grid", alt=text) %}{{ text }}{% endcall %}',
        "<pre>{{ text }}</pre>",
        "{% call details(text) %}<p>{{ text }}</p>{% endcall %}",
    ],
)
def test_hostile_text_stays_text(made, block):
    section = "{% call section(text) %}" + block + "{% endcall %}"
    titles = "{% set title = text %}{% set subtitle = text %}"
    page = made(titles + section, text=HOSTILE, footer=HOSTILE)
    page = Page(pages.render(page))
    assert page.tags.count("script") == 1
    assert "alert" not in page.text["script"][0]
    assert page.text["h1"] == page.text["h2"] == [HOSTILE]


def test_columns_of_numbers_are_set_right():
    header = ["loss", "n", "accuracy", "interval", "time", "p"]
    rows = [
        ["hinge", 3, "41.3 %", "[0.40, 0.42]", "1.2 s", 1e-4],
        ["top2", -1, "0.41 ± 0.01", "0.4–0.5", "n/a", None],
    ]
    page = of_table(pages.table(header, rows))
    assert page.classes["th"] == [None] + ["number-column"] * 5
    assert page.classes["td"] == page.classes["th"] * 2


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"),
        (float("nan"), "–"),
        (np.float32(0.41234567), "0.4123"),
        (1e-9, "1e-09"),
        (np.int64(50000), "50000"),
        (True, "yes"),
        ("text", "text"),
    ],
)
def test_cells_are_written_for_readers(value, shown):
    assert of_table(pages.table(["x"], [[value]])).text["td"] == [shown]


def test_chosen_rows_are_highlighted_and_a_header_stays():
    page = of_table(pages.table(["x"], [[1], [2], [3]], chosen=[1]))
    assert page.classes["tr"] == [None, None, "chosen", None]
    assert of_table(pages.table(["x", "y"], [])).text["th"] == ["x", "y"]


def test_ragged_table_is_refused():
    with pytest.raises(ValueError, match=r"rows\[1\] must have 2 cells, got 1"):
        pages.table(["x", "y"], [[1, 2], [3]])


def test_the_lecture_is_cited_once_a_page(report):
    cited = report._replace(source="A & B, slides")
    line = "The lecture: A &amp; B, slides"
    assert pages.render(cited).count(line) == 1
    assert pages.render(report).count("The lecture") == 0
    joined = pages.render_joined("All", [cited, report, cited], footer="end")
    assert f"<footer>\nend<br>\n{line}\n</footer>" in joined
    assert joined.count(line) == 1


def test_pages_join_into_one_page(report):
    page = Page(pages.render_joined("All", [report] * 2, subtitle="both"))
    assert page.text["h1"] == ["All"]
    assert page.text["h2"] == ["SVM & softmax"] * 2
    assert page.text["h3"] == ["Result"] * 4
    assert len(set(page.ids)) == len(page.ids) == 6
    assert page.links == [f"#{name}" for name in page.ids]
    assert len(page.images) == 2
    assert page.text["body"][0].count("made by jaxlin") == 2
