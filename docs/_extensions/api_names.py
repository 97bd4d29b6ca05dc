"""Public names of the library, as the API reference shows them.

Every public function and class has one entry, under its shortest name: `jaxlin.fit`,
not ``jaxlin.fits.fit``. A constant has one if a comment ``#:`` documents it.
"""

import importlib
import inspect
from collections.abc import Iterator
from typing import Any

from sphinx.pycode import ModuleAnalyzer

from jaxlin import chapters


def modules(chapter: str) -> list[str]:
    """Full names of a chapter and of its modules, in the order of the list."""
    own = f"jaxlin.{chapter}"
    return [own, *(f"{own}.{name}" for name in chapters.CHAPTERS[chapter].modules)]


def objects(module: str) -> Iterator[tuple[str, Any]]:
    """Shortest names and values of the functions and classes that a module defines."""
    for name, value in vars(importlib.import_module(module)).items():
        if name.startswith("_") or getattr(value, "__module__", None) != module:
            continue
        if inspect.isclass(value) or inspect.isroutine(inspect.unwrap(value)):
            yield _shortest(module, name, value), value


def constants(module: str) -> list[str]:
    """Full names of the constants of a module that a comment documents."""
    comments = ModuleAnalyzer.for_module(module).find_attr_docs()
    return [f"{module}.{name}" for owner, name in comments if not owner]


def undocumented(chapter: str) -> list[str]:
    """Names of a chapter that need documentation: functions, classes, exports."""
    named = [pair for module in modules(chapter) for pair in objects(module)]
    package = importlib.import_module(f"jaxlin.{chapter}")
    documented = {
        name.rpartition(".")[2]
        for module in modules(chapter)
        for name in constants(module)
    }
    exports = {name: getattr(package, name) for name in getattr(package, "__all__", ())}
    return [name for name, value in named if not _has_docstring(value)] + [
        f"jaxlin.{chapter}.{name}"
        for name, value in exports.items()
        if _is_constant(value) and name not in documented
    ]


def _shortest(module: str, name: str, value: Any) -> str:
    """The name with the fewest dots under which a package exports the value."""
    parts = module.split(".")
    for length in range(1, len(parts)):
        package = importlib.import_module(".".join(parts[:length]))
        exported = name in getattr(package, "__all__", ())
        if exported and getattr(package, name) is value:
            return f"{package.__name__}.{name}"
    return f"{module}.{name}"


def _has_docstring(value: Any) -> bool:
    # A NamedTuple without a docstring gets a list of its fields for one.
    text = value.__doc__ or ""
    return bool(text) and not text.startswith(f"{value.__name__}(")


def _is_constant(value: Any) -> bool:
    return not hasattr(value, "__module__") and not inspect.ismodule(value)
