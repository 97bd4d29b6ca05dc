"""Programs of small problems, compiled with few optimisations.

On a CPU a decision of `jaxlin.solvers.optimizer` for 10 x 65 numbers is compiled in
.7 s instead of 1.3 and then takes .32 ms instead of .24; for 10 x 3073 it would take
7.7 ms instead of 5.9. A module therefore keeps two programs of such a function, one of
which compiles quickly but runs slower, and chooses by `is_worth_it`::

    _advance = jax.jit(advance)
    _advance_quickly = jax.jit(advance, compiler_options=compilation.FEW_OPTIMISATIONS)

Passes over rows are always compiled with all optimisations. Two programs compiled in
two threads at once take 8 % less time than one after the other: not worth the threads.
"""

from typing import Any

import jax

from jaxlin.numerics import device_mesh

FEW_OPTIMISATIONS: Any = {"xla_backend_optimization_level": 0}

# Count of numbers up to which compiling with all optimisations costs more time than
# they save in a hundred decisions.
_MAX_NUMBERS = 50_000


def is_worth_it(size: int, *arguments: Any) -> bool:
    """Returns whether to call the program that was compiled with few optimisations.

    It is False on accelerators, whose compilers have other levels of optimisation, and
    inside another program, whose own optimisations count.

    Args:
      size: count of numbers that the program works on: weights and biases of all
        models, or entries of the rows.
      *arguments: arguments of the call, which are tracers inside another program.
    """
    return (
        size <= _MAX_NUMBERS
        and not device_mesh.on_accelerator()
        and not any(
            isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(arguments)
        )
    )
