"""The conventions of the public functions, held by walking all of them."""

import ast
import importlib
import inspect
import pathlib
import pkgutil

import jax
import pytest
import test_layers as layers

import jaxlin

# `data.load(name, data_dir)`, as in tfds; `fit(features, labels)` or `fit(problem)`.
MAY_BE_POSITIONAL = {"data_dir", "labels"}
FORBIDDEN = {"rng", "seed", "random_state"}


def _public():
    for info in pkgutil.walk_packages(jaxlin.__path__, "jaxlin."):
        if any(part.startswith("_") for part in info.name.split(".")):
            continue
        module = importlib.import_module(info.name)
        for name, value in vars(module).items():
            if name.startswith("_") or getattr(value, "__module__", "") != info.name:
                continue
            yield f"{info.name}.{name}", value


def _functions():
    for name, value in _public():
        function = inspect.unwrap(value) if callable(value) else None
        if inspect.isfunction(function):
            yield pytest.param(function, id=name)


every_public_function = pytest.mark.parametrize("function", list(_functions()))


def test_every_public_class_is_documented():
    classes = [(name, value) for name, value in _public() if inspect.isclass(value)]
    assert len(classes) > 15
    for name, value in classes:
        # A NamedTuple without a docstring gets a list of its fields for one.
        written = value.__doc__ and not value.__doc__.startswith(f"{value.__name__}(")
        assert written, f"{name} has no docstring"


@every_public_function
def test_documented_and_named_by_the_rules(function):
    assert function.__doc__, "a public function has a docstring"
    parameters = inspect.signature(function).parameters
    assert not FORBIDDEN & set(parameters)
    for name, parameter in parameters.items():
        if parameter.default is inspect.Parameter.empty:
            continue
        # Where an argument may be left out, its name says what it is when it is not.
        keyword_only = parameter.kind is parameter.KEYWORD_ONLY
        assert keyword_only or name in MAY_BE_POSITIONAL, (
            f"{name}: make it keyword-only"
        )
        assert not isinstance(parameter.default, jax.Array), f"{name}: no JAX default"


@every_public_function
def test_every_argument_is_typed(function):
    for name, parameter in inspect.signature(function).parameters.items():
        assert parameter.annotation is not inspect.Parameter.empty, name


FIRST_WORDS = ("Whether", "What", "Of", "Who", "Which", "Where", "How", "With", "As")


@pytest.mark.parametrize("module", sorted(name for name, _ in layers.modules()))
def test_first_lines_are_noun_or_verb_phrases(module):
    """The first word of every docstring decides; the rest is for a reader to judge."""
    tree = ast.parse(dict(layers.modules())[module].read_text())
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
    for node in ast.walk(tree):
        if isinstance(node, kinds) and (text := ast.get_docstring(node)):
            assert text.split()[0] not in FIRST_WORDS, text.splitlines()[0]


@pytest.mark.parametrize("folder", ["experiments", "tests"])
def test_first_lines_beside_the_library_are_noun_or_verb_phrases(folder):
    """A module of an experiment may begin with the question that it answers."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
    clauses = []
    for path in sorted((pathlib.Path(__file__).parents[1] / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, kinds) or not (text := ast.get_docstring(node)):
                continue
            paragraph = text.split("\n\n")[0]
            is_question = isinstance(node, ast.Module) and "?" in paragraph
            if paragraph.split()[0] in FIRST_WORDS and not is_question:
                clauses.append(f"{path.name}: {paragraph}")
    assert not clauses, clauses
