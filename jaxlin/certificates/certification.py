"""Certificates of parameters of any origin, in one pass over the rows.

>>> import jax.numpy as jnp
>>> from jaxlin.certificates import certification
>>> from jaxlin import linear, losses
>>> params = linear.Params(jnp.zeros((2, 2)), jnp.zeros(2))
>>> rows, labels = jnp.array([[1.0, 0.0], [-1.0, 0.0]]), jnp.array([0, 1])
>>> proof = certification.certificate(
...     params, rows, labels, loss=losses.softmax_cross_entropy, l2=1.0)
>>> print(f"{proof.primal:.4f} {proof.dual:.4f} {proof.gap:.4f}")
0.6931 0.4431 0.2500
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxlin import check
from jaxlin.certificates import (
    bias_search,
    certificate_checks,
    duality,
    fenchel_young,
)
from jaxlin.certificates.bias_bounds import RowCenter
from jaxlin.certificates.bias_search import BiasData
from jaxlin.certificates.duality import Certificate
from jaxlin.linear import Bias, BiasName, Params
from jaxlin.losses import conjugates
from jaxlin.normalization import Normalization
from jaxlin.numerics import precision
from jaxlin.objective import row_norms, row_products, row_sums
from jaxlin.typing import Array, Loss, LossArguments

# Smoothings tried, in units of the margin, for hinge parameters without duals.
_SMOOTHINGS = (1.0, 0.3, 0.1, 0.03, 0.01)


def certificate(
    params: Params,
    features: Array,
    targets: Array,
    *,
    loss: Loss,
    l2: ArrayLike,
    loss_arguments: LossArguments | None = None,
    bias: BiasName = "penalized",
    example_weights: Array | None = None,
    normalization: Normalization | None = None,
    block_size: int | None = None,
) -> Certificate:
    """Certifies parameters of any origin.

    For a smooth loss the bound is small if the gradient is. For a hinge the duals come
    from smoothed hinges with several smoothings, of which the best is used. A certified
    fit has better duals, so that its own certificate is tighter.

    Inside `jax.jit` and for values that `jax.vmap` traces, arguments are not checked,
    the gap is infinite if l2 is not above 0, and float64 parameters keep their digits
    only if float64 is enabled in JAX.

    Args:
      params: parameters. Float64 parameters are certified in float64, all others in
        float32.
      features: raw rows, shape ``(examples, features)``.
      targets: labels ``(examples,)`` or distributions ``(examples, classes)``.
      loss: a loss with a known conjugate.
      l2: strength of half the sum of squares, above 0.
      loss_arguments: keyword arguments of the loss, such as ``{"margin": 1.0}``, all
        above 0.
      bias: treatment of the bias by the objective: ``"penalized"``, ``"free"`` or
        ``"none"``, for which the bias of the parameters must be 0. With a free bias
        nothing is proven if a class has no example of positive weight.
      example_weights: non-negative, shape ``(examples,)``; None is all ones.
      normalization: normalisation applied to each row; None for normalised rows.
      block_size: rows per block, at least 1; None chooses it from the shape.

    Returns:
      The certificate, whose gap is infinite if nothing is proven.

    Raises:
      ValueError: naming the argument, the rule and the value, for example if l2 is not
        above 0 or the loss has no known conjugate.
    """
    conjugates.of(loss)
    treatment = Bias.named(bias)
    arguments = (
        *(params, features, targets, l2, loss_arguments, example_weights),
        normalization,
    )
    # A new array is traced where the program around is.
    is_traced = any(
        isinstance(leaf, jax.core.Tracer)
        for leaf in (*jax.tree.leaves(arguments), jnp.zeros(()))
    )
    if not is_traced:
        check.one_label_each("targets", targets)
    certificate_checks.check_rank(loss, np.ndim(targets))
    if not is_traced:
        params = certificate_checks.checked_params(params, bias=treatment)
        certificate_checks.check_certifiable(
            loss=loss, l2=l2, loss_arguments=loss_arguments
        )
        features, targets, example_weights, normalization = (
            certificate_checks.checked_data(
                params, features, targets, example_weights, normalization
            )
        )
    # Refined parameters are float64 NumPy arrays; their certificate uses all digits.
    with precision.enable_float64_for(*(() if is_traced else params)):
        arrays = precision.as_views(
            (
                *(params, features, targets, dict(loss_arguments or {})),
                *(example_weights, normalization),
            )
        )
        result = _certificate(
            *arrays,
            jnp.asarray(l2, jnp.result_type(params.weights)),
            loss=loss,
            bias=treatment,
            block_size=block_size,
        )
    return precision.float64_as_numpy(result)


@functools.partial(jax.jit, static_argnames=("loss", "bias", "block_size"))
def _certificate(
    params,
    features,
    targets,
    arguments,
    weights,
    normalization,
    l2,
    *,
    loss,
    bias,
    block_size,
):
    smooth = conjugates.of(loss).smooth
    margin = arguments.get("margin", 1.0)
    by_rows: Any = {"normalization": normalization, "block_size": block_size}
    norms = row_norms.norms(features, **by_rows)
    num_classes = params.bias.shape[0]
    dual_centers = jnp.zeros((len(norms), 0 if smooth else num_classes), l2.dtype)
    products, center = None, None
    if bias is Bias.FREE:
        products = row_products.score_products(params.weights, features, **by_rows)
        counted = norms if weights is None else jnp.where(weights > 0, norms, 0)
        origin = jnp.zeros_like(params.weights[0])
        center = RowCenter(origin, jnp.max(counted).astype(l2.dtype))

    def values_at(
        params: Params, smoothing: Array, curvature: Array | None = None
    ) -> duality.PassValues:
        sums, _ = row_sums.over_rows(
            params,
            features,
            targets,
            fenchel_young.PerExample(dual_centers, norms),
            example_function=fenchel_young.example_function(loss, bias=bias),
            shared=fenchel_young.term_arguments(params, smoothing, arguments),
            example_weights=weights,
            products=products,
            **by_rows,
        )
        if curvature is not None:
            sums = sums._replace(bias_curvature=curvature)
        return duality.pass_values(
            sums,
            params,
            loss=loss,
            l2=l2,
            loss_arguments=arguments,
            bias=bias,
            center=center,
        )

    def with_smoothing(smoothing: Array) -> Certificate:
        here = values_at(params, smoothing)
        if products is None:
            return here.certificate
        data = BiasData(products, targets, dual_centers, weights, smoothing, arguments)
        found = bias_search.minimising_bias(params.bias, data, loss=loss)
        there = values_at(
            params._replace(bias=found.bias), smoothing, curvature=found.curvature
        )
        # The lower bound of the minimum does not depend on the bias.
        return _against(here, there.certificate.dual)

    smoothings = margin * jnp.asarray(_SMOOTHINGS[: 1 if smooth else None], l2.dtype)
    certificates = jax.vmap(with_smoothing)(smoothings)
    best = jnp.argmin(duality.bound(certificates))
    found = jax.tree.map(lambda leaf: leaf[best], certificates)
    if bias is Bias.NONE:
        # A traced bias is not checked. The dual value would count it.
        return _unless(~jnp.all(params.bias == 0), found)
    return found


def _against(found: duality.PassValues, dual: Array) -> Certificate:
    """Certificate of the parameters of a pass, with a lower bound of the minimum."""
    primal, error = found.certificate.primal, found.primal_error
    is_proof = jnp.isfinite(dual) & (primal + error < jnp.inf)
    known = Certificate(primal, dual, jnp.maximum(primal - dual, 0), error)
    return _unless(~is_proof, known)


def _unless(is_unproven: Array, found: Certificate) -> Certificate:
    """The certificate, or one with an infinite gap."""
    unproven = duality.unproven_certificate(found.primal)
    return jax.tree.map(functools.partial(jnp.where, is_unproven), unproven, found)
