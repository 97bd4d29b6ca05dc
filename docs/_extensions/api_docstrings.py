"""Docstrings and signatures of the library, adapted to Sphinx."""

import importlib
import re
import textwrap
from typing import Any

from jax.typing import ArrayLike
from sphinx.util.typing import stringify_annotation

# A line of an aligned list: names, two spaces or more, text; or the text goes on.
_ROW = re.compile(r"  (?:(?P<names>[\w<][^>#]*?>?\S*) {2,}| {8,})(?P<text>[^\s#].*)")

_ARRAY_LIKE = stringify_annotation(ArrayLike, "smart")


def link_lists(
    app: Any, what: str, name: str, value: Any, options: Any, lines: list[str]
) -> None:
    """Turns aligned lists of names in module docstrings into lists of links."""
    if what != "module":
        return
    module = importlib.import_module(name)
    blocks = "\n".join(lines).split("\n\n")
    for place, block in enumerate(blocks):
        is_code = place > 0 and blocks[place - 1].endswith("::")
        rows = [_ROW.match(line) for line in block.splitlines()]
        if not is_code and rows and rows[0] and all(rows):
            blocks[place] = "\n".join(_item(module, row) for row in rows if row)
        elif block.startswith(("  >>> ", "  * ")):
            # Indented, it would be a quotation.
            blocks[place] = textwrap.dedent(block)
    lines[:] = "\n\n".join(blocks).splitlines()


def shorten_signature(
    app: Any, what: str, name: str, value: Any, options: Any, given: str, returned: str
) -> tuple[str, str] | None:
    """Writes ``ArrayLike`` for the union that it stands for."""
    return given and (given.replace(_ARRAY_LIKE, "ArrayLike"), returned)


def skip_fields(app: Any, what: str, name: str, member: Any, *_: Any) -> bool | None:
    """Skips fields of NamedTuples, which the docstring of the class describes.

    Also methods that scikit-learn adds to estimators, which its own pages describe.
    """
    is_field = type(member).__name__ == "_tuplegetter"
    is_of_sklearn = str(getattr(member, "__module__", "")).startswith("sklearn.")
    return True if is_field or is_of_sklearn else None


def _item(module: Any, row: re.Match[str]) -> str:
    """One line of a list: an entry, or the rest of the entry before it."""
    if not row["names"]:
        return f"  {row['text']}"
    names = [_link(module, name) for name in row["names"].split(", ")]
    return f"* {', '.join(names)}: {row['text']}"


def _link(module: Any, text: str) -> str:
    name = text.split("(")[0]
    if hasattr(module, name):
        return f":py:obj:`{text} <{module.__name__}.{name}>`"
    return f"``{text}``"
