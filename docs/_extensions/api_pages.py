"""API reference: a page per chapter of `jaxlin.chapters`, written before each build.

Every public function and class appears once, on the page of the chapter that defines
it, under its shortest name: `jaxlin.fit`, not ``jaxlin.fits.fit``. Constants appear if
a comment ``#:`` documents them. A public function or class without a docstring, or an
exported constant without such a comment, fails the build.
"""

import importlib
import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jax.typing import ArrayLike
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.typing import stringify_annotation

import jaxlin
from jaxlin import chapters

_INDEX = """\
API reference
=============

Top level
---------

.. autosummary::
   :nosignatures:

   {doors}

Chapters
--------

{texts}

.. toctree::
   :hidden:

   {pages}
"""

# A line of an aligned list: names, two spaces or more, text; or the text goes on.
_ROW = re.compile(r"  (?:(?P<names>[\w<][^>#]*?>?\S*) {2,}| {8,})(?P<text>[^\s#].*)")

_ARRAY_LIKE = stringify_annotation(ArrayLike, "smart")

_ENTRY = """\
.. auto{kind}:: {name}
{options}
"""


def module_names(chapter: str) -> list[str]:
    """Full names of a chapter and of its modules, in the order of the list."""
    own = f"jaxlin.{chapter}"
    return [own, *(f"{own}.{name}" for name in chapters.CHAPTERS[chapter].modules)]


def public_objects(module_name: str) -> Iterator[tuple[str, Any]]:
    """Public functions and classes that a module defines, by their shortest name."""
    module = importlib.import_module(module_name)
    for name, value in vars(module).items():
        if name.startswith("_") or getattr(value, "__module__", None) != module_name:
            continue
        if inspect.isclass(value) or inspect.isroutine(inspect.unwrap(value)):
            yield _shortest(module_name, name, value), value


def constants(module_name: str) -> list[str]:
    """Names of the constants of a module that have a documenting comment."""
    comments = ModuleAnalyzer.for_module(module_name).find_attr_docs()
    return [name for owner, name in comments if not owner]


def undocumented(chapter: str) -> list[str]:
    """Public names of a chapter without documentation."""
    names = module_names(chapter)
    bare = [
        name
        for module_name in names
        for name, value in public_objects(module_name)
        if not _is_documented(value)
    ]
    package = importlib.import_module(names[0])
    known = {name for module_name in names for name in constants(module_name)}
    return bare + [
        f"{names[0]}.{name}"
        for name in getattr(package, "__all__", ())
        if not hasattr(getattr(package, name), "__module__")
        and not inspect.ismodule(getattr(package, name))
        and name not in known
    ]


def chapter_page(chapter: str) -> str:
    """The page of a chapter, in reStructuredText."""
    parts = [_title(f"jaxlin.{chapter}", "=")]
    for module_name in module_names(chapter):
        objects = [*public_objects(module_name)]
        if module_name != f"jaxlin.{chapter}":
            parts.append(_title(module_name.removeprefix(f"jaxlin.{chapter}."), "-"))
        parts.append(f".. automodule:: {module_name}\n")
        parts += [
            f".. autodata:: {module_name}.{name}\n" for name in constants(module_name)
        ]
        parts += [_entry(name, value) for name, value in objects]
    return "\n".join(parts)


def index_page() -> str:
    """The page that lists the names of `jaxlin` and the chapters."""
    doors = [name for name in jaxlin.__all__ if name not in chapters.CHAPTERS]
    return _INDEX.format(
        doors="\n   ".join(f"jaxlin.{name}" for name in doors),
        texts="\n".join(
            f"* :py:obj:`jaxlin.{name}`: {chapter.text}"
            for name, chapter in chapters.CHAPTERS.items()
        ),
        pages="\n   ".join(chapters.CHAPTERS),
    )


def _shortest(module_name: str, name: str, value: Any) -> str:
    """The name with the fewest dots under which ``value`` is exported."""
    package = module_name
    found = f"{module_name}.{name}"
    while "." in package:
        package = package.rpartition(".")[0]
        exported = getattr(importlib.import_module(package), "__all__", ())
        if (
            name in exported
            and getattr(importlib.import_module(package), name) is value
        ):
            found = f"{package}.{name}"
    return found


def _is_documented(value: Any) -> bool:
    # A NamedTuple without a docstring gets a list of its fields for one.
    text = value.__doc__ or ""
    return bool(text) and not text.startswith(f"{value.__name__}(")


def _title(text: str, underline: str) -> str:
    return f"{text}\n{underline * len(text)}\n"


def _entry(name: str, value: Any) -> str:
    if inspect.isclass(value):
        return _ENTRY.format(kind="class", name=name, options="   :members:")
    return _ENTRY.format(kind="function", name=name, options="")


def _write_pages(app: Sphinx) -> None:
    missing = [name for chapter in chapters.CHAPTERS for name in undocumented(chapter)]
    if missing:
        raise ExtensionError(
            "public names need a docstring, constants a comment '#:', none found for "
            f"{', '.join(missing)}; write one, or begin the name with an underscore"
        )
    folder = Path(app.srcdir) / "api"
    folder.mkdir(exist_ok=True)
    pages = {chapter: chapter_page(chapter) for chapter in chapters.CHAPTERS}
    for name, text in {"index": index_page(), **pages}.items():
        path = folder / f"{name}.rst"
        # Unchanged pages keep their time stamp, so that they are not read again.
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def _shorten_signature(
    app: Any, what: str, name: str, value: Any, options: Any, given: str, returned: str
) -> tuple[str, str] | None:
    """Writes ``ArrayLike`` for the union that Python makes of it."""
    if given is None:
        return None
    return given.replace(_ARRAY_LIKE, "ArrayLike"), returned


def _skip_fields(app: Any, what: str, name: str, member: Any, *_: Any) -> bool | None:
    """Skips fields of NamedTuples, which the docstring of the class describes."""
    return True if type(member).__name__ == "_tuplegetter" else None


def _link_lists(
    app: Any, what: str, name: str, value: Any, options: Any, lines: list[str]
) -> None:
    """Turns aligned lists of names into lists of links, in docstrings of modules."""
    if what != "module":
        return
    blocks = "\n".join(lines).split("\n\n")
    for place, block in enumerate(blocks):
        is_code = place > 0 and blocks[place - 1].endswith("::")
        rows = [_ROW.match(line) for line in block.splitlines()]
        if not is_code and rows and rows[0] and all(rows):
            blocks[place] = "\n".join(_item(name, row) for row in rows if row)
        elif block.startswith(("  >>> ", "  * ")):
            # Indented, it would be a quotation.
            blocks[place] = textwrap.dedent(block)
    lines[:] = "\n\n".join(blocks).splitlines()


def _item(module_name: str, row: re.Match[str]) -> str:
    """One line of a list: an entry, or the rest of the entry before it."""
    if not row["names"]:
        return f"  {row['text']}"
    module = importlib.import_module(module_name)
    names = [
        f":py:obj:`{name} <{module_name}.{name.split('(')[0]}>`"
        if hasattr(module, name.split("(")[0])
        else f"``{name}``"
        for name in row["names"].split(", ")
    ]
    return f"* {', '.join(names)}: {row['text']}"


def setup(app: Sphinx) -> dict[str, bool]:
    """Registers the extension."""
    app.connect("builder-inited", _write_pages)
    app.connect("autodoc-process-signature", _shorten_signature)
    app.connect("autodoc-skip-member", _skip_fields)
    app.connect("autodoc-process-docstring", _link_lists)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
