"""A frozen dataclass from JSON, exactly, and a check of its annotated bounds.

A field is a number, string, boolean, `Literal` or tuple of these, or ``X | None``;
`files.json_ready` writes it. `check` enforces the types and the `Bounds` of the
annotations.

  >>> @dataclasses.dataclass(frozen=True)
  ... class Config:
  ...     l2: Annotated[tuple[float, ...], Bounds(above=0)] = (1e-4, 1e-3)
  >>> from_dict(Config, {"l2": [1]})
  Config(l2=(1.0,))
  >>> check(Config(l2=(-1.0,)))
  Traceback (most recent call last):
  ValueError: l2[0] must be above 0, got -1.0
"""

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple, TypeVar

from jaxlin import check as checks

ConfigT = TypeVar("ConfigT")


class Bounds(NamedTuple):
    """Bounds of a number, or of every number of a tuple, as an annotation.

    Attributes:
      at_least: smallest value, itself allowed.
      above: lower bound, itself not allowed.
      at_most: largest value, itself allowed.
      below: upper bound, itself not allowed.
    """

    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None


# An annotation of a tuple that may hold nothing.
MAY_BE_EMPTY = "may be empty"
# Seeds that NumPy and JAX both take.
Seed = Annotated[int, Bounds(at_least=0, at_most=2**32 - 1)]
Count = Annotated[int, Bounds(at_least=1)]
Counts = Annotated[tuple[int, ...], Bounds(at_least=1)]
Positive = Annotated[float, Bounds(above=0)]
Positives = Annotated[tuple[float, ...], Bounds(above=0)]
# An open interval from 0 to 1: a share, or a relative gap.
Share = Annotated[float, Bounds(above=0, below=1)]


def check(config: ConfigT) -> ConfigT:
    """Returns a config whose fields have their types and lie within their bounds.

    Tuples must hold distinct values, at least one unless `MAY_BE_EMPTY`.

    Raises:
      ValueError: that names the field, the rule and the value.
    """
    values = dataclasses.asdict(config)  # type: ignore[call-overload]
    from_dict(type(config), values)
    hints = typing.get_type_hints(type(config), include_extras=True)
    for name, value in values.items():
        annotations = getattr(hints[name], "__metadata__", ())
        entries = {name: value}
        if isinstance(value, tuple):
            entries = {f"{name}[{i}]": entry for i, entry in enumerate(value)}
            if not value and MAY_BE_EMPTY not in annotations:
                raise ValueError(f"{name} must not be empty, got ()")
            if len(set(value)) < len(value):
                shown = " ".join(map(str, value))
                raise ValueError(f"{name} must be distinct, got {shown}")
        for bounds in annotations:
            if isinstance(bounds, Bounds) and value is not None:
                ends = {k: v for k, v in bounds._asdict().items() if v is not None}
                for place, number in entries.items():
                    checks.number(place, number, **ends)
    return config


def from_dict(config_type: type[ConfigT], values: Mapping[str, Any]) -> ConfigT:
    """Returns the dataclass with the given fields; absent ones keep their default.

    Args:
      config_type: a dataclass type whose fields have defaults.
      values: fields by name, as JSON holds them.

    Raises:
      ValueError: if a field is unknown or of the wrong type; the message names it.
    """
    if not isinstance(values, Mapping):
        raise _wrong("config", "an object with named fields", values)
    hints = typing.get_type_hints(config_type)
    for name in values:
        if name not in hints:
            raise ValueError(
                f"config has no field {name!r}; it must be one of {', '.join(hints)}"
            )
    decoded = {name: _decode(name, hints[name], values[name]) for name in values}
    return config_type(**decoded)


def _decode(name: str, hint: Any, value: Any) -> Any:
    """Returns a JSON value in the type that ``hint`` asks for."""
    origin, kinds = typing.get_origin(hint), typing.get_args(hint)
    # A union with a Literal is the older kind.
    if origin in (types.UnionType, typing.Union):
        return None if value is None else _decode(name, kinds[0], value)
    if origin is typing.Literal:
        if value in kinds:
            return value
        raise _wrong(name, "one of " + ", ".join(map(str, kinds)), value)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise _wrong(name, "a list", value)
        of_entries = kinds[:1] * len(value) if kinds[-1] is Ellipsis else kinds
        if len(of_entries) != len(value):
            raise _wrong(name, f"a list of {len(kinds)} entries", value)
        return tuple(
            _decode(f"{name}[{i}]", kind, entry)
            for i, (kind, entry) in enumerate(zip(of_entries, value, strict=True))
        )
    # In JSON 1 and 1.0 are both numbers; True is none.
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is not hint:
        raise _wrong(name, f"of type {hint.__name__}", value)
    if hint is float and not math.isfinite(value):
        raise ValueError(f"{name} must be finite, got {value}")
    return value


def _wrong(name: str, rule: str, value: Any) -> ValueError:
    return ValueError(f"{name} must be {rule}, got {value!r}")
