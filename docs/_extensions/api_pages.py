"""Pages of the API reference, one per chapter of the library, written at each build.

A public name without documentation fails the build.
"""

import inspect
from pathlib import Path
from typing import Any

import api_docstrings
import api_names
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

import jaxlin
from jaxlin.chapters import CHAPTERS

_INDEX = """\
API reference
=============

Top level
---------

.. autosummary::
   :nosignatures:

   {names}

Chapters
--------

{texts}

.. toctree::
   :hidden:

   {pages}
"""


def index_page() -> str:
    """The page that lists the names of `jaxlin` and the chapters."""
    top_level = [name for name in jaxlin.__all__ if name not in CHAPTERS]
    return _INDEX.format(
        names="\n   ".join(f"jaxlin.{name}" for name in top_level),
        texts="\n".join(
            f"* :py:obj:`jaxlin.{name}`: {chapter.text}"
            for name, chapter in CHAPTERS.items()
        ),
        pages="\n   ".join(CHAPTERS),
    )


def chapter_page(chapter: str) -> str:
    """The page of a chapter: its docstring, then its modules and their names."""
    parts = [_title(f"jaxlin.{chapter}", underline="=")]
    for module in api_names.modules(chapter):
        if module != f"jaxlin.{chapter}":
            name = module.removeprefix(f"jaxlin.{chapter}.")
            parts.append(_title(name, underline="-"))
        parts.append(f".. automodule:: {module}\n")
        parts += [f".. autodata:: {name}\n" for name in api_names.constants(module)]
        parts += [_entry(name, value) for name, value in api_names.objects(module)]
    return "\n".join(parts)


def _title(text: str, *, underline: str) -> str:
    return f"{text}\n{underline * len(text)}\n"


def _entry(name: str, value: Any) -> str:
    if inspect.isclass(value):
        return f".. autoclass:: {name}\n   :members:\n"
    return f".. autofunction:: {name}\n"


def _write_pages(app: Sphinx) -> None:
    missing = [name for chapter in CHAPTERS for name in api_names.undocumented(chapter)]
    if missing:
        raise ExtensionError(
            "public names need a docstring, constants a comment '#:', none found for "
            f"{', '.join(missing)}; write one, or begin the name with an underscore"
        )
    folder = Path(app.srcdir) / "api"
    folder.mkdir(exist_ok=True)
    pages = {chapter: chapter_page(chapter) for chapter in CHAPTERS}
    for name, text in {"index": index_page(), **pages}.items():
        path = folder / f"{name}.rst"
        # Unchanged pages keep their time stamp, so that they are not read again.
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def setup(app: Sphinx) -> dict[str, bool]:
    """Registers the extension."""
    app.connect("builder-inited", _write_pages)
    app.connect("autodoc-process-docstring", api_docstrings.link_lists)
    app.connect("autodoc-process-signature", api_docstrings.shorten_signature)
    app.connect("autodoc-skip-member", api_docstrings.skip_fields)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
