"""Reports of plain data: what the experiments use that are no `study` yet.

A report is made of sections, a section of blocks; each block is a NamedTuple of plain
values. `page` turns it into a `pages.Page`. All text is escaped; in a `Paragraph` or a
caption, `backticks` mark code.

  >>> html = render(
  ...     Report("A title", "A subtitle", [Section("Result", [Paragraph("p < 0.05")])])
  ... )
  >>> "p &lt; 0.05" in html
  True
"""

import io
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from markupsafe import Markup, escape

from experiments.common import pages, text


class Paragraph(NamedTuple):
    """A text; a blank line starts a new paragraph.

    Attributes:
      text: what to say.
      lead: whether to set it larger, as the first words of a page.
    """

    text: str
    lead: bool = False


class Card(NamedTuple):
    """A headline number, as text, with what it is and a note."""

    number: str
    label: str
    note: str = ""


class Cards(NamedTuple):
    """Headline numbers side by side."""

    cards: Sequence[Card]


class Facts(NamedTuple):
    """Names and values, one pair per line."""

    facts: Mapping[str, Any]


class Table(NamedTuple):
    """Rows under a header.

    Attributes:
      header: names of the columns.
      rows: as many cells each; floats are written with four significant digits, None
        and NaN as a dash. A column of numbers is set flush right.
      caption: what to see, above the table.
      chosen: indices of the rows to highlight.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[Any]]
    caption: str = ""
    chosen: Sequence[int] = ()


class Picture(NamedTuple):
    """A picture, made by `picture`.

    Attributes:
      png: the content of a PNG file.
      caption: what to see in it.
      alt: what it shows, for those who cannot see it.
      width: at most so wide, in pixels; None for the width of the page.
    """

    png: bytes
    caption: str
    alt: str
    width: int | None = None


class Code(NamedTuple):
    """Commands or text in a fixed-width font, with its line breaks."""

    text: str


class Details(NamedTuple):
    """Blocks that open with a click."""

    summary: str
    blocks: Sequence["Block"]


Block = Paragraph | Cards | Facts | Table | Picture | Code | Details


class Section(NamedTuple):
    """Blocks under a title."""

    title: str
    blocks: Sequence[Block]


class Report(NamedTuple):
    """What one experiment found.

    Attributes:
      title: of the page.
      subtitle: one line under it.
      sections: with their titles, which make the list of contents.
      footer: small print, such as versions and the date.
      source: the lecture that the page follows, cited below the footer; a joined page
        cites it once.
    """

    title: str
    subtitle: str
    sections: Sequence[Section]
    footer: str = ""
    source: str = ""


def picture(
    source: Any, *, caption: str, alt: str, width: int | None = None
) -> Picture:
    """Returns a picture block.

    Args:
      source: path of a PNG file, or a matplotlib figure.
      caption: what to see in it.
      alt: what it shows, for those who cannot see it.
      width: at most so wide, in pixels.
    """
    if isinstance(source, Path):
        return Picture(source.read_bytes(), caption, alt, width)
    buffer = io.BytesIO()
    source.savefig(buffer, format="png", dpi=160, metadata={"Software": None})
    return Picture(buffer.getvalue(), caption, alt, width)


def render(report: Report) -> str:
    """Returns one report as HTML."""
    return pages.render(page(report))


def page(report: Report) -> pages.Page:
    """Returns the page of a report."""
    return pages.Page(
        report.title,
        _inline(report.subtitle),
        [
            pages.Section(section.title, _blocks(section.blocks))
            for section in report.sections
        ],
        _inline(report.footer),
        report.source,
    )


def _blocks(blocks: Sequence[Block]) -> Markup:
    return Markup("\n").join(_DRAW[type(block)](block) for block in blocks)


def _paragraph(block: Paragraph) -> Markup:
    kind = Markup(' class="lead"') if block.lead else ""
    parts = re.split(r"\n\s*\n", block.text.strip())
    return Markup("\n").join(
        Markup("<p{}>{}</p>").format(kind, _inline(part)) for part in parts
    )


def _cards(block: Cards) -> Markup:
    drawn = [
        pages.macros().card(card.number, _inline(card.label), _inline(card.note))
        for card in block.cards
    ]
    return pages.macros().cards(caller=lambda: Markup("\n").join(drawn))


def _facts(block: Facts) -> Markup:
    return pages.macros().facts(
        {_inline(key): _inline(text.cell(fact)) for key, fact in block.facts.items()}
    )


def _table(block: Table) -> Markup:
    return pages.table(
        [_inline(name) for name in block.header],
        [[_inline(text.cell(cell)) for cell in row] for row in block.rows],
        caption=_inline(block.caption),
        chosen=block.chosen,
    )


def _picture(block: Picture) -> Markup:
    return pages.figure(
        block.png, caption=_inline(block.caption), alt=block.alt, width=block.width
    )


def _code(block: Code) -> Markup:
    return Markup("<pre>{}</pre>").format(block.text)


def _details(block: Details) -> Markup:
    return pages.macros().details(
        _inline(block.summary), caller=lambda: _blocks(block.blocks)
    )


_DRAW: Mapping[type, Callable[[Any], Markup]] = {
    Paragraph: _paragraph,
    Cards: _cards,
    Facts: _facts,
    Table: _table,
    Picture: _picture,
    Code: _code,
    Details: _details,
}


def _inline(words: str) -> Markup:
    """Escapes a text and sets what stands between backticks as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(words))))
