"""The page is well formed, escaped, complete in itself, and shows what was given."""

import base64

import numpy as np
import pytest
from strict_page import Page, assert_stands_alone

from experiments.common import pages
from experiments.common import report as r
from jaxlin import plotting


@pytest.fixture(scope="module")
def picture():
    figure, axes = plotting.new_figure(width=3, height=2)
    plotting.heat_map(axes[0, 0], [[1.0]], row_labels=["a"], column_labels=["b"])
    return r.picture(figure, caption="See `this`.", alt='a "grid"', width=300)


@pytest.fixture
def report(picture):
    return r.Report(
        "SVM & softmax",
        "a <subtitle>",
        [
            r.Section(
                "Result",
                [
                    r.Paragraph("First `x < y`.\n\nSecond.", lead=True),
                    r.Cards([r.Card("41.3 %", "softmax", "n = 10,000")]),
                    r.Table(["loss", "l2"], [["hinge", 0.1], ["softmax", 0.01]]),
                    picture,
                ],
            ),
            r.Section(
                "Result",
                [
                    r.Facts({"jax": "0.10", "seconds": 1.23456}),
                    r.Details("More", [r.Code("python -m x\n  --out <y>")]),
                ],
            ),
        ],
        footer="made by jaxlin",
    )


def test_page_is_well_formed_and_holds_everything(report):
    page = Page(r.render(report))
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


def test_page_loads_nothing_and_runs_one_script_of_its_own(report):
    text = r.render(report)
    page = Page(text)
    assert_stands_alone(page)
    assert "http" not in text.replace(page.images[0]["src"], "")


def test_contents_lead_to_sections_of_the_same_name(report):
    page = Page(r.render(report))
    assert page.links == ["#result", "#result-2"]
    assert page.ids == ["result", "result-2"]


def test_picture_is_embedded_byte_for_byte(tmp_path, picture):
    path = tmp_path / "figure.png"
    path.write_bytes(picture.png)
    again = r.picture(path, caption="c", alt="<alt>")
    text = r.render(r.Report("t", "", [r.Section("s", [again, picture])]))
    first, second = Page(text).images
    content = base64.b64decode(first["src"].partition(",")[2], validate=True)
    assert content == picture.png
    assert content.startswith(b"\x89PNG")
    assert (first["alt"], second["alt"]) == ("<alt>", 'a "grid"')
    assert second["style"] == "width: 300px"


@pytest.mark.parametrize(
    "block",
    [
        lambda text: r.Paragraph(text),
        lambda text: r.Cards([r.Card(text, text, text)]),
        lambda text: r.Facts({text: text}),
        lambda text: r.Table([text], [[text]], caption=text),
        lambda text: r.Picture(b"", text, text),
        lambda text: r.Code(text),
        lambda text: r.Details(text, [r.Paragraph(text)]),
    ],
)
def test_hostile_text_stays_text(block):
    hostile = """</p><script>alert("'1'")</script>&amp;"""
    section = r.Section(hostile, [block(hostile)])
    page = Page(r.render(r.Report(hostile, hostile, [section], footer=hostile)))
    assert page.tags.count("script") == 1
    assert "alert" not in page.text["script"][0]
    assert page.text["h1"] == page.text["h2"] == [hostile]


def test_columns_of_numbers_are_set_right():
    header = ["loss", "n", "accuracy", "interval", "time", "p"]
    rows = [
        ["hinge", 3, "41.3 %", "[0.40, 0.42]", "1.2 s", 1e-4],
        ["top2", -1, "0.41 ± 0.01", "0.4–0.5", "n/a", None],
    ]
    page = Page(r.render(r.Report("", "", [r.Section("", [r.Table(header, rows)])])))
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
    table = r.Table(["x"], [[value]])
    page = Page(r.render(r.Report("", "", [r.Section("", [table])])))
    assert page.text["td"] == [shown]


def test_chosen_rows_are_highlighted():
    table = r.Table(["x"], [[1], [2], [3]], chosen=[1])
    page = Page(r.render(r.Report("", "", [r.Section("", [table])])))
    assert page.classes["tr"] == [None, None, "chosen", None]


def test_table_without_rows_keeps_its_header():
    table = r.Table(["x", "y"], [])
    page = Page(r.render(r.Report("", "", [r.Section("", [table])])))
    assert page.text["th"] == ["x", "y"]


def test_ragged_table_is_refused():
    table = r.Table(["x", "y"], [[1, 2], [3]])
    with pytest.raises(ValueError, match=r"rows\[1\] must have 2 cells, got 1"):
        r.render(r.Report("", "", [r.Section("", [table])]))


def test_the_lecture_is_cited_once_a_page(report):
    cited = report._replace(source="A & B, slides")
    line = "The lecture: A &amp; B, slides"
    assert r.render(cited).count(line) == 1
    assert r.render(report).count("The lecture") == 0
    chapters = [r.page(one) for one in (cited, report, cited)]
    joined = pages.render_joined("All", chapters, footer="end")
    assert f"<footer>\nend<br>\n{line}\n</footer>" in joined
    assert joined.count(line) == 1


def test_reports_join_into_one_page(report):
    page = Page(pages.render_joined("All", [r.page(report)] * 2, subtitle="both"))
    assert page.text["h1"] == ["All"]
    assert page.text["h2"] == ["SVM & softmax"] * 2
    assert page.text["h3"] == ["Result"] * 4
    assert len(set(page.ids)) == len(page.ids) == 6
    assert page.links == [f"#{name}" for name in page.ids]
    assert len(page.images) == 2
    assert page.text["body"][0].count("made by jaxlin") == 2


def test_equal_reports_are_equal_pages(report):
    assert r.render(report) == r.render(report)
