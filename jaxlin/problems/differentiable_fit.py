"""Fits through which `jax.grad` passes: `jax.custom_vjp` around a certified fit.

Outside ``jax.jit`` and ``jax.vmap`` JAX gives the forward pass concrete numbers, so
that a fit runs there as it always does, until its gap is proven. The backward pass is
one solve with the Hessian of the fit's optimum
(`jaxlin.solvers.optimum_derivatives`).
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxlin import check, linear
from jaxlin.linear import Params
from jaxlin.problems import construction, fit_hessian
from jaxlin.problems.checked import Problem
from jaxlin.solvers import fit_checks, optimum_derivatives
from jaxlin.solvers.fitted import Fit
from jaxlin.solvers.hessian_system import HessianSystem
from jaxlin.typing import Loss

# Traced arguments of a fit by name; traced loss arguments are a dictionary among them.
Inputs = dict[str, Any]


class Arguments(NamedTuple):
    """Arguments of `jaxlin.fit` that may be traced, and what they are checked with."""

    features: Any
    labels: Any
    weights: Any
    l2: Any
    loss_arguments: Any
    loss: Loss
    normalization: Any
    classes: Any

    def problem(self) -> Problem:
        """Returns the problem of these examples."""
        return construction.as_problem(
            self.features,
            self.labels,
            weights=self.weights,
            normalization=self.normalization,
            classes=self.classes,
        )

    def inputs(self) -> Inputs:
        """Returns the arguments that JAX traces and a fit has derivatives in."""
        names = ["features", "weights", "l2"]
        if getattr(self.labels, "ndim", None) == 2:
            names.append("labels")
        given = {name: getattr(self, name) for name in names}
        found = {name: one for name, one in given.items() if check.is_traced(one)}
        of_loss = self.loss_arguments
        # Others are refused where they are checked.
        of_loss = dict(of_loss) if isinstance(of_loss, Mapping) else {}
        of_loss = {name: one for name, one in of_loss.items() if check.is_traced(one)}
        return {**found, "loss_arguments": of_loss} if of_loss else found

    def with_inputs(self, inputs: Inputs) -> "Arguments":
        """Returns the arguments with numbers in the place of what JAX traces.

        Raises:
          ValueError: for inputs without concrete numbers, as ``jax.jit`` and
            ``jax.vmap`` have them; and for a fit without derivatives in them.
        """
        of_loss = inputs.get("loss_arguments", {})
        fit_checks.check_concrete(
            **{k: v for k, v in inputs.items() if k != "loss_arguments"}, **of_loss
        )
        fit_hessian.check_loss(self.loss, use="jax.grad")
        moves = not inputs.keys().isdisjoint(("features", "weights"))
        if callable(self.normalization) and moves:
            raise ValueError(
                "normalization must be fitted already where features or weights are "
                "differentiated, got a function, whose mean and scale would move with "
                "them; normalize the features by jax.numpy before the fit"
            )
        found = self._replace(**{**inputs, "loss_arguments": self.loss_arguments})
        if "l2" in inputs:
            found = found._replace(l2=float(inputs["l2"]))
        if of_loss:
            numbers = {name: float(one) for name, one in of_loss.items()}
            found = found._replace(loss_arguments={**self.loss_arguments, **numbers})
        return found


@dataclasses.dataclass(frozen=True, eq=False)
class _Call:
    """A fit to be made: its arguments, and the function that fits.

    Not a pytree: JAX must not see the traced arguments inside.
    """

    arguments: Arguments
    run: Callable[[Arguments, Problem], Fit]

    def fit(self, inputs: Inputs) -> tuple[Fit, Problem]:
        arguments = self.arguments.with_inputs(inputs)
        problem = arguments.problem()
        fit_hessian.check_rows(problem, use="jax.grad")
        return self.run(arguments, problem), problem


@jax.tree_util.register_static
@dataclasses.dataclass(frozen=True, eq=False)
class _Kept:
    """A fit and the Hessian at its optimum, as a tree without leaves.

    Attributes:
      fit: the fit.
      system: the Hessian, in float64; None where nothing is differentiated.
      dtypes: dtypes of the inputs, a tree like them.
    """

    fit: Fit
    system: HessianSystem | None = None
    dtypes: Any = None


def fit(arguments: Arguments, run: Callable[[Arguments, Problem], Fit]) -> Fit:
    """A fit whose parameters are a differentiable function of its traced arguments.

    Args:
      arguments: arguments of the fit.
      run: function of arguments and their problem that fits.

    Raises:
      ValueError: for a loss without a Hessian, or a normalization that is fitted to
        traced features or weights; and where JAX compiles or batches.
    """
    inputs = arguments.inputs()
    if not inputs:
        return run(arguments, arguments.problem())
    params, kept = _params(_Call(arguments, run), inputs)
    return kept.fit._replace(params=params)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _params(call: _Call, inputs: Inputs) -> tuple[Params, _Kept]:
    """Parameters of a fit; the rest of it travels in the structure of the tree."""
    found, _ = call.fit(inputs)
    return _on_device(found.params), _Kept(found)


def _on_device(params: Params) -> Params:
    # In the dtype that JAX has: those of a refined fit are float64 NumPy arrays.
    return Params(*map(jnp.asarray, params))


def _forward(call: _Call, inputs: Inputs) -> tuple[tuple[Params, _Kept], _Kept]:
    found, problem = call.fit(inputs)
    with jax.enable_x64(True):
        system = fit_hessian.of_fit(found, problem)
    kept = _Kept(found, system, jax.tree.map(jnp.result_type, inputs))
    return (_on_device(found.params), kept), kept


def _backward(
    call: _Call, kept: _Kept, cotangents: tuple[Params, Any]
) -> tuple[Inputs]:
    """Derivatives in the inputs; traced itself under `jax.jacrev`."""
    del call
    system, dtypes = kept.system, kept.dtypes
    assert system is not None, "from the forward pass"
    loss: Loss = kept.fit.loss  # type: ignore[assignment]
    with jax.enable_x64(True):
        folded = linear.fold_bias(
            Params(*(leaf.astype(jnp.float64) for leaf in cotangents[0]))
        )
        adjoint = optimum_derivatives.adjoint(system, folded, loss=loss)
        makers: dict[str, Callable[[], Any]] = {
            "l2": lambda: optimum_derivatives.in_l2(system, adjoint),
            "weights": lambda: optimum_derivatives.in_weights(system, adjoint),
            "features": lambda: optimum_derivatives.in_features(
                system, adjoint, loss=loss
            ),
            "labels": lambda: optimum_derivatives.in_targets(
                system, adjoint, loss=loss
            ),
            "loss_arguments": lambda: optimum_derivatives.in_loss_arguments(
                system, adjoint, loss=loss
            ),
        }
        found = {name: makers[name]() for name in dtypes}
        if "loss_arguments" in found:
            of_loss = found["loss_arguments"]
            found["loss_arguments"] = {
                name: of_loss[name] for name in dtypes["loss_arguments"]
            }
        return (jax.tree.map(lambda one, dtype: one.astype(dtype), found, dtypes),)


_params.defvjp(_forward, _backward)
