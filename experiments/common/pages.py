"""Pages: Jinja2 templates over measured numbers, as self-contained HTML files.

A template sets ``title`` and ``subtitle`` and consists of sections. Its text is
escaped. It sees the values that it is given and these functions:

  {% call section("Result") %} ... {% endcall %}
  {% call table("loss", "accuracy", caption="...") %}{{ row(a, b) }}{% endcall %}
  {% call figure("NAME", alt="...") %}the caption{% endcall %}
  {% call cards() %}{{ card("41.3 %", "softmax", "a note") }}{% endcall %}
  {% call details("summary") %} ... {% endcall %}, {{ facts(mapping) }}
  {% call verdict(compared, "first", "second") %}what would change it{% endcall %}

and the filters ``percent``, ``cell``, ``short`` and ``count``. A page loads
nothing; its one script sorts tables.
"""

import base64
import functools
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
from markupsafe import Markup

from experiments.common import slides, text

_EXPERIMENTS = Path(__file__).resolve().parents[1]
_MACROS = ("cards", "card", "facts", "details", "record", "verdict")


class Section(NamedTuple):
    """HTML under a title."""

    title: str
    body: Markup


class Page(NamedTuple):
    """One page, or a chapter of a joined one.

    Attributes:
      title: of the page.
      subtitle: one line under it.
      sections: with their titles, which make the list of contents.
      footer: the command, in small print.
      source: the lecture that the page follows; a joined page cites it once.
    """

    title: str
    subtitle: str
    sections: Sequence[Section]
    footer: str = ""
    source: str = ""


def from_template(name: str, *, folder: Path, footer: str = "", **values: Any) -> Page:
    """Returns the page of a template.

    Args:
      name: path of the template below ``experiments``.
      folder: has the figures of the page in ``figures``.
      footer: of the page.
      **values: names that the template sees.
    """
    writer = _Writer(folder)
    functions = {
        "section": writer.section,
        "table": writer.table,
        "row": writer.row,
        "figure": writer.figure,
    }
    module: Any = environment().get_template(name).make_module({**values, **functions})
    return Page(
        module.title,
        module.subtitle,
        writer.sections,
        footer,
        getattr(module, "source", ""),
    )


def render(page: Page) -> str:
    """Returns one page as HTML."""
    return _html(
        "page",
        page,
        [page.source],
        sections=_anchored(page.sections),
    )


def render_joined(
    title: str, pages: Sequence[Page], *, subtitle: str = "", footer: str = ""
) -> str:
    """Returns several pages as one, under a title and one list of contents."""
    chapters = [
        (anchor, page, _anchored(page.sections, prefix=f"{anchor}-"))
        for anchor, page in zip(anchors(p.title for p in pages), pages, strict=True)
    ]
    sources = dict.fromkeys(page.source for page in pages if page.source)
    outer = Page(title, subtitle, [], footer)
    return _html("joined", outer, list(sources), chapters=chapters)


def macros() -> Any:
    """The macros of ``macros.html``, as functions that return HTML."""
    return environment().get_template("common/templates/macros.html").module


def table(
    header: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    caption: str = "",
    chosen: Iterable[int] = (),
) -> Markup:
    """Returns a table; columns of numbers are set flush right.

    Args:
      header: names of the columns.
      rows: cells, as many in each row; `text.cell` writes them.
      caption: above the table.
      chosen: indices of the rows to highlight.

    Raises:
      ValueError: if a row is not as wide as the header.
    """
    for i, row in enumerate(rows):
        if len(row) != len(header):
            raise ValueError(f"rows[{i}] must have {len(header)} cells, got {len(row)}")
    cells = [[_cell(value) for value in row] for row in rows]
    columns = zip(*cells, strict=True) if cells else [()] * len(header)
    kinds = [
        Markup(' class="number-column"')
        if column and all(map(text.is_numeric, column))
        else ""
        for column in columns
    ]
    highlighted = set(chosen)
    marked = [(row, i in highlighted) for i, row in enumerate(cells)]
    return Markup(macros().table_of(header, marked, kinds, caption))


def figure(png: bytes, *, caption: str, alt: str, width: int | None = None) -> Markup:
    """Returns a picture that is part of the page.

    Args:
      png: content of a PNG file.
      caption: below the picture.
      alt: text for those who cannot see it.
      width: largest width in pixels; None for the width of the page.
    """
    content = base64.b64encode(png).decode()
    return Markup(macros().figure_of(content, caption, alt, width))


class _Writer:
    """Collects the sections and tables of a page while its template is rendered."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._rows: list[tuple[Sequence[Any], bool]] = []
        self.sections: list[Section] = []

    def section(self, title: str, *, caller: Any) -> str:
        """Adds what a template's call block holds as a section."""
        self.sections.append(Section(title, caller()))
        return ""

    def row(self, *cells: Any, chosen: bool = False) -> str:
        """Adds a row to the table whose call block is being rendered."""
        self._rows.append((cells, chosen))
        return ""

    def table(self, *header: str, caption: str = "", caller: Any) -> Markup:
        """Returns the table of the rows in the call block."""
        self._rows = []
        caller()
        return table(
            header,
            [cells for cells, _ in self._rows],
            caption=caption,
            chosen=[i for i, (_, chosen) in enumerate(self._rows) if chosen],
        )

    def figure(
        self, name: str, *, alt: str, width: int | None = None, caller: Any
    ) -> Markup:
        """Returns ``figures/NAME.png``, with the call block as its caption."""
        png = (self._folder / "figures" / f"{name}.png").read_bytes()
        return figure(png, caption=caller(), alt=alt, width=width)


@functools.cache
def environment() -> jinja2.Environment:
    """Returns the environment of all templates; a name that is missing is an error."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_EXPERIMENTS),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        percent=text.percent,
        cell=text.cell,
        short=text.short,
        count="{:,}".format,
    )
    made.globals["lecture"] = slides.LECTURE
    module = made.get_template("common/templates/macros.html").module
    made.globals.update({name: getattr(module, name) for name in _MACROS})
    return made


def anchors(titles: Iterable[str]) -> list[str]:
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


def _anchored(
    sections: Sequence[Section], *, prefix: str = ""
) -> list[tuple[str, Section]]:
    names = anchors(section.title for section in sections)
    return [
        (f"{prefix}{name}", section)
        for name, section in zip(names, sections, strict=True)
    ]


def _html(template: str, page: Page, sources: Sequence[str], **values: Any) -> str:
    cited = "; ".join(source for source in sources if source)
    return (
        environment()
        .get_template(f"common/templates/{template}.html")
        .render(
            title=page.title,
            subtitle=page.subtitle,
            footer=[page.footer, cited and f"The lecture: {cited}"],
            **values,
        )
    )


def _cell(value: Any) -> Any:
    """A cell as text; HTML, such as a link, stays as it is."""
    return value if isinstance(value, Markup) else text.cell(value)
