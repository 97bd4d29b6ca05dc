"""Imports point one way: a file imports only from layers before its own."""

import ast
import functools
import importlib
import os
import pathlib
import re
import subprocess
import sys
import textwrap

import pytest

import jaxlin
from jaxlin import chapters
from jaxlin.chapters import CHAPTERS

ROOT = pathlib.Path(jaxlin.__file__).parent

# Packages that only the outer layers may import, and only inside functions.
OUTSIDE = {"tensorflow_datasets", "sklearn", "matplotlib", "PIL", "scipy"}
MAY_IMPORT_OUTSIDE = {"data", "plotting", "sklearn", "stats", "geometry.separability"}
# The estimators are classes of scikit-learn: nobody imports them without it.
ESTIMATORS = "sklearn"
# The list, as `a.b` for module b of chapter a; a folder is after all its modules.
ORDER = [
    name
    for chapter, (_, modules, _) in CHAPTERS.items()
    for name in [*(f"{chapter}.{module}" for module in modules), chapter]
]


def modules():
    """Each module's name, without `jaxlin.`, and its file."""
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if parts != ("__init__",):
            yield ".".join(parts).removesuffix(".__init__"), path


@functools.cache
def parsed(path):
    return ast.parse(path.read_text())


def imported_modules(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "absolute imports only"
            yield node.module, node
            yield from ((f"{node.module}.{alias.name}", node) for alias in node.names)


def test_every_module_is_listed_once():
    assert sorted(ORDER) == sorted(name for name, _ in modules())


def test_imports_point_to_modules_that_are_listed_before():
    for name, path in modules():
        for imported, _ in imported_modules(parsed(path)):
            package, _, rest = imported.partition(".")
            assert package not in {"experiments", "tests"}, f"{path} imports {imported}"
            its_own = f"{name}.".startswith(f"{rest}.")
            if package != "jaxlin" or rest not in ORDER or its_own:
                continue
            assert ORDER.index(rest) < ORDER.index(name), f"{path} imports {imported}"


def test_package_shows_the_list():
    """`test_docs.py` tests the page on the architecture."""
    assert textwrap.indent(chapters.table(), "  ") in jaxlin.__doc__


@pytest.mark.parametrize(
    "chapter", [name for name, found in CHAPTERS.items() if found.modules]
)
def test_a_folder_names_its_modules_and_loads_them(chapter):
    folder = importlib.import_module(f"jaxlin.{chapter}")
    for name in chapters.modules(f"jaxlin.{chapter}"):
        assert re.search(rf"\b{name}\b", folder.__doc__), f"{chapter}: {name}"
        module = importlib.import_module(f"jaxlin.{chapter}.{name}")
        # A function of a folder may have the name of its module.
        assert getattr(folder, name) is module or callable(getattr(folder, name))


def test_heavy_packages_are_imported_inside_functions_of_outer_layers():
    for name, path in modules():
        tree = parsed(path)
        at_top = {id(node) for node in tree.body}
        for imported, node in imported_modules(tree):
            if imported.split(".")[0] in OUTSIDE:
                allowed = {name, name.split(".")[0]} & MAY_IMPORT_OUTSIDE
                assert allowed, f"{path} imports {imported}"
                if name.split(".")[0] != ESTIMATORS:
                    assert id(node) not in at_top, f"{path} imports {imported} at top"


def test_importing_everything_computes_nothing_and_loads_no_heavy_package():
    names = [name for name, _ in modules()]
    estimators = [name for name in names if name.split(".")[0] == ESTIMATORS]
    others = [f"jaxlin.{name}" for name in names if name not in estimators]
    program = (
        f"import sys, {', '.join(others)}\n"
        f"heavy = set(sys.modules) & {OUTSIDE - {'scipy'}}\n"
        "assert not heavy, heavy\n"
        f"import {', '.join(f'jaxlin.{name}' for name in estimators)}\n"
    )
    # Whoever computes on import meets a platform that does not exist.
    nowhere = {**os.environ, "JAX_PLATFORMS": "nowhere"}
    subprocess.run([sys.executable, "-c", program], check=True, env=nowhere)
