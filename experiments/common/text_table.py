"""Tables of plain text for a terminal.

>>> print(text_table(("loss", "passes"), [("softmax", 12), ("hinge", 7)]))
loss     passes
softmax      12
hinge         7
"""

from collections.abc import Iterable, Sequence
from typing import Any


def text_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Returns a table whose first column is aligned left and all others right."""
    cells = [list(map(str, row)) for row in (columns, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for first, *others in cells:
        right = (
            cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)
        )
        lines.append("  ".join([first.ljust(widths[0]), *right]).rstrip())
    return "\n".join(lines)
