"""One builder of reports: plain data in, one HTML page out that opens offline.

A report is made of sections, a section of blocks; each block is a NamedTuple of plain
values and is drawn by one small function. Styles and pictures are part of the page: it
loads nothing and runs no script. All text is escaped; in a `Paragraph` or a caption,
`backticks` mark code.

  >>> page = render(
  ...     Report("A title", "A subtitle", [Section("Result", [Paragraph("p < 0.05")])])
  ... )
  >>> "p &lt; 0.05" in page
  True
"""

import base64
import html
import io
import math
import numbers
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

_STYLE = Path(__file__).with_name("report.css")

# A column whose texts all look like this is set flush right: a number, perhaps with a
# spread, an interval or a unit, as in "41.3 %", "0.41 ± 0.01" or "[0.40, 0.42]".
_NUMERIC = re.compile(r"[\s\d.,;:±+\-−–/×%\[\]()e]*(?:n/a|(?:m|µ)?s)?\s*")


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
    """Returns one report as a page."""
    names = _anchors(section.title for section in report.sections)
    contents = [
        _link(anchor, section.title)
        for anchor, section in zip(names, report.sections, strict=True)
    ]
    return _page(report, contents, _sections(report.sections, names, heading="h2"))


def render_joined(
    title: str, reports: Sequence[Report], *, subtitle: str = "", footer: str = ""
) -> str:
    """Returns several reports as one page, under a title and one list of contents."""
    names = _anchors(report.title for report in reports)
    contents, body = [], []
    for anchor, report in zip(names, reports, strict=True):
        titles = [section.title for section in report.sections]
        inner = [f"{anchor}-{name}" for name in _anchors(titles)]
        links = "".join(
            f"<li>{_link(name, text)}</li>"
            for name, text in zip(inner, titles, strict=True)
        )
        contents.append(f"{_link(anchor, report.title)}<ul>{links}</ul>")
        body += [
            f'<h2 id="{anchor}">{_escape(report.title)}</h2>',
            f'<p class="subtitle">{_inline(report.subtitle)}</p>',
            _sections(report.sections, inner, heading="h3"),
        ]
        if report.footer:
            body.append(f"<p><small>{_inline(report.footer)}</small></p>")
    sources = dict.fromkeys(report.source for report in reports if report.source)
    outer = Report(title, subtitle, [], footer, "; ".join(sources))
    return _page(outer, contents, "\n".join(body))


def _page(report: Report, contents: Sequence[str], body: str) -> str:
    """Returns a whole page with head, contents and footer."""
    items = "".join(f"<li>{item}</li>" for item in contents)
    lines = [report.footer, report.source and f"The lecture: {report.source}"]
    small_print = "<br>\n".join(_inline(line) for line in lines if line)
    footer = f"<footer>{small_print}</footer>" if small_print else ""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{_escape(report.title)}</title>
<style>
{_STYLE.read_text(encoding="utf-8")}</style>
</head>
<body>
<main>
<header>
<h1>{_escape(report.title)}</h1>
<p class="subtitle">{_inline(report.subtitle)}</p>
<nav aria-label="Contents"><ul>{items}</ul></nav>
</header>
{body}
{footer}
</main>
</body>
</html>
"""


def _sections(
    sections: Sequence[Section], anchors: Sequence[str], *, heading: str
) -> str:
    """Returns sections with headings that can be linked to."""
    return "\n".join(
        f'<section>\n<{heading} id="{anchor}">{_escape(section.title)}</{heading}>\n'
        f"{_blocks(section.blocks)}\n</section>"
        for anchor, section in zip(anchors, sections, strict=True)
    )


def _blocks(blocks: Sequence[Block]) -> str:
    return "\n".join(_DRAW[type(block)](block) for block in blocks)


def _paragraph(block: Paragraph) -> str:
    kind = ' class="lead"' if block.lead else ""
    parts = re.split(r"\n\s*\n", block.text.strip())
    return "\n".join(f"<p{kind}>{_inline(part)}</p>" for part in parts)


def _cards(block: Cards) -> str:
    cards = "\n".join(
        f'<div class="card"><div class="number">{_escape(card.number)}</div>'
        f'<div class="label">{_inline(card.label)}</div>'
        f'<div class="note">{_inline(card.note)}</div></div>'
        for card in block.cards
    )
    return f'<div class="cards">\n{cards}\n</div>'


def _facts(block: Facts) -> str:
    pairs = "\n".join(
        f"<dt>{_inline(name)}</dt><dd>{_inline(_text(value))}</dd>"
        for name, value in block.facts.items()
    )
    return f"<dl>\n{pairs}\n</dl>"


def _table(block: Table) -> str:
    """Returns a table; refuses rows that are not as wide as the header."""
    for i, row in enumerate(block.rows):
        if len(row) != len(block.header):
            raise ValueError(
                f"rows[{i}] must have {len(block.header)} cells, got {len(row)}"
            )
    texts = [[_text(cell) for cell in row] for row in block.rows]
    kinds = [
        ' class="number-column"' if texts and all(map(_is_numeric, column)) else ""
        for column in (zip(*texts, strict=True) if texts else [()] * len(block.header))
    ]
    caption = f"<caption>{_inline(block.caption)}</caption>" if block.caption else ""
    header = _cells("th", block.header, kinds)
    body = "\n".join(
        f"<tr{_chosen(i in block.chosen)}>{_cells('td', row, kinds)}</tr>"
        for i, row in enumerate(texts)
    )
    return (
        f'<div class="scroll"><table>{caption}\n<thead><tr>{header}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def _cells(tag: str, texts: Sequence[str], kinds: Sequence[str]) -> str:
    return "".join(
        f"<{tag}{kind}>{_inline(text)}</{tag}>"
        for text, kind in zip(texts, kinds, strict=True)
    )


def _chosen(chosen: bool) -> str:
    return ' class="chosen"' if chosen else ""


def _picture(block: Picture) -> str:
    data = base64.b64encode(block.png).decode()
    width = f' style="width: {block.width}px"' if block.width else ""
    return (
        f'<figure><div class="paper"><img alt="{_escape(block.alt)}"{width} '
        f'src="data:image/png;base64,{data}"></div>\n'
        f"<figcaption>{_inline(block.caption)}</figcaption></figure>"
    )


def _code(block: Code) -> str:
    return f"<pre>{_escape(block.text)}</pre>"


def _details(block: Details) -> str:
    return (
        f"<details><summary>{_inline(block.summary)}</summary>\n"
        f"{_blocks(block.blocks)}\n</details>"
    )


_DRAW: Mapping[type, Callable[[Any], str]] = {
    Paragraph: _paragraph,
    Cards: _cards,
    Facts: _facts,
    Table: _table,
    Picture: _picture,
    Code: _code,
    Details: _details,
}


def _text(value: Any) -> str:
    """Returns a value as a reader expects to see it."""
    if value is None or (isinstance(value, numbers.Real) and math.isnan(value)):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, numbers.Real) and not isinstance(value, numbers.Integral):
        return f"{float(value):.4g}"
    return str(value)


def _is_numeric(text: str) -> bool:
    return _NUMERIC.fullmatch(text) is not None


def _inline(text: str) -> str:
    """Escapes a text and sets what stands between backticks as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", _escape(text))


def _escape(text: str) -> str:
    return html.escape(str(text), quote=True)


def _link(anchor: str, text: str) -> str:
    return f'<a href="#{anchor}">{_escape(text)}</a>'


def _anchors(titles: Iterable[str]) -> list[str]:
    """Returns names to link to, made of the titles and all different."""
    names: list[str] = []
    for title in titles:
        stem = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") or "section"
        name, copy = stem, 1
        while name in names:
            copy += 1
            name = f"{stem}-{copy}"
        names.append(name)
    return names
