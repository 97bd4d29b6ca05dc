"""Contents of a traced program."""

import jax.extend


def products(jaxpr):
    """Every matrix product in a program, those of its parts included."""
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            yield equation
        for inner in jax.extend.core.jaxprs_in_params(equation.params):
            yield from products(inner)
