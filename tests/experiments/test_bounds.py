"""Bounds that annotations of a config set: what is within them, what is refused."""

import dataclasses
import math
from typing import Annotated, Literal

import pytest

from experiments.common.config import MAY_BE_EMPTY, Bounds, Seed, Share
from experiments.common.config import check as check_config


@dataclasses.dataclass(frozen=True)
class Bounded:
    rates: Annotated[tuple[float, ...], Bounds(above=0, below=1)] = (0.1, 0.2)
    words: tuple[Literal["a", "b"], ...] = ("a",)
    limit: Annotated[int | None, Bounds(at_least=2, at_most=4)] = None
    share: Share = 0.5
    seed: Seed = 0
    kind: Literal["a", "b"] = "a"
    others: Annotated[tuple[str, ...], MAY_BE_EMPTY] = ()


@pytest.mark.parametrize(
    "config",
    [
        Bounded(),
        Bounded(rates=(0.999,), words=("b", "a"), limit=4, share=1e-9),
        Bounded(limit=2, seed=2**32 - 1, kind="b"),
    ],
)
def test_values_within_their_bounds_are_returned(config):
    assert check_config(config) is config


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rates": (0.1, 1.0)}, r"rates\[1\] must be below 1, got 1.0"),
        ({"rates": (0.0,)}, r"rates\[0\] must be above 0, got 0.0"),
        ({"rates": (0.1, 0.1)}, "rates must be distinct, got 0.1 0.1"),
        ({"rates": ()}, "rates must not be empty"),
        ({"rates": (math.nan,)}, r"rates\[0\] must be finite, got nan"),
        ({"rates": ("x",)}, r"rates\[0\] must be of type float, got 'x'"),
        ({"words": ()}, r"words must not be empty, got \(\)"),
        ({"words": ("a", "a")}, "words must be distinct, got a a"),
        ({"words": ("c",)}, r"words\[0\] must be one of a, b, got 'c'"),
        ({"limit": 1}, "limit must be at least 2, got 1"),
        ({"limit": 5}, "limit must be at most 4, got 5"),
        ({"limit": 2.5}, "limit must be of type int, got 2.5"),
        ({"share": 1.0}, "share must be below 1, got 1.0"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
        ({"seed": 2**32}, "seed must be at most 4294967295, got 4294967296"),
        ({"kind": "c"}, "kind must be one of a, b, got 'c'"),
        ({"others": ("x", "x")}, "others must be distinct, got x x"),
    ],
)
def test_values_out_of_bounds_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        check_config(Bounded(**changes))
