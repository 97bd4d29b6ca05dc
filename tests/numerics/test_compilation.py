"""Choice of the programs that are compiled with few optimisations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxlin
from jaxlin import losses
from jaxlin.numerics import compilation, device_mesh
from jaxlin.solvers import certified, full_batch

SMALL = 10 * 65


@pytest.mark.parametrize(("size", "expected"), [(SMALL, True), (10 * 30_730, False)])
def test_small_problems_are_compiled_with_few(size, expected):
    assert compilation.is_worth_it(size, jnp.ones(3), None) == expected


def test_other_backends_are_not(monkeypatch):
    monkeypatch.setattr(device_mesh, "on_accelerator", lambda: True)
    assert not compilation.is_worth_it(SMALL, jnp.ones(3))


def test_a_program_inside_another_is_compiled_with_it():
    """JAX refuses options of inner programs."""
    found = []

    @jax.jit
    def outer(values):
        found.append(compilation.is_worth_it(SMALL, {"values": values}))
        return values

    outer(jnp.ones(3))
    assert found == [False]


def test_another_number_of_rows_compiles_the_pass_alone():
    rows = np.random.default_rng(0).normal(size=(41, 4)).astype(np.float32)
    decisions = (full_batch._advance, full_batch._advance_quickly)

    def programs():
        sizes = [program._cache_size() for program in decisions]
        return sizes, certified._compiled_pass._cache_size()

    counts = []
    for size in (40, 41, 40):
        loss = losses.one_vs_rest_hinge
        jaxlin.fit(rows[:size], np.arange(size) % 3, loss=loss, l2=0.1, refine=False)
        counts.append(programs())
    assert counts[1] == (counts[0][0], counts[0][1] + 1)
    assert counts[2] == counts[1]
