"""The conventions of the public functions, held by walking all of them."""

import importlib
import inspect
import pkgutil

import jax
import pytest

import jaxlin

MAY_BE_POSITIONAL = {"data_dir"}  # `data.load(name, data_dir)`, as in tfds
FORBIDDEN = {"rng", "seed", "random_state"}


def _public_functions():
    for info in pkgutil.walk_packages(jaxlin.__path__, "jaxlin."):
        if any(part.startswith("_") for part in info.name.split(".")):
            continue
        module = importlib.import_module(info.name)
        for name, value in vars(module).items():
            if name.startswith("_") or getattr(value, "__module__", "") != info.name:
                continue
            function = inspect.unwrap(value) if callable(value) else None
            if inspect.isfunction(function):
                yield pytest.param(function, id=f"{info.name}.{name}")


every_public_function = pytest.mark.parametrize("function", list(_public_functions()))


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
