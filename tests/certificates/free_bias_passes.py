"""Passes of tests of a free bias, at any bias."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optima

from jaxlin.certificates import duality, fenchel_young
from jaxlin.certificates.bias_bounds import RowCenter
from jaxlin.linear import Bias
from jaxlin.objective import row_sums

KINDS = ("noisy", "separable", "weighted", "constant features", "large scores")


@functools.partial(jax.jit, static_argnames="loss")
def values_at(
    params,
    features,
    targets,
    weights,
    norms,
    *,
    loss,
    l2,
    arguments,
    center=None,
    curvature=None,
):
    """Values of a pass at any bias, without a search for the best one."""
    width = params.bias.size if loss.__name__ in optima.HINGES else 0
    centers = jnp.zeros((len(norms), width), norms.dtype)
    sums, _ = row_sums.over_rows(
        params,
        features,
        targets,
        fenchel_young.PerExample(centers, norms),
        example_function=fenchel_young.example_function(loss, bias=Bias.FREE),
        shared=fenchel_young.term_arguments(params, jnp.asarray(0.1), arguments),
        example_weights=weights,
    )
    if curvature is not None:
        sums = sums._replace(bias_curvature=curvature)
    if center is None:
        mean = jnp.mean(features, axis=0)
        distances = jnp.linalg.norm(features - mean[None, :], axis=1)
        center = RowCenter(mean, jnp.max(distances))
    return duality.pass_values(
        sums,
        params,
        loss=loss,
        l2=l2,
        loss_arguments=arguments,
        bias=Bias.FREE,
        center=center,
    )


def exact_values_at(params, rows, arguments, *, loss, curvature=None):
    """Values of a pass in float64 at any bias, as arrays of NumPy.

    Args:
      params: any parameters.
      rows: features and targets of a problem of `optima`.
      arguments: its example weights, l2 and arguments of the loss, by name.
      loss: the loss.
      curvature: curvature along the bias; None is that of the pass.
    """
    features, targets = rows
    norms = np.linalg.norm(np.c_[features, np.ones(len(features))], axis=1)
    with jax.enable_x64(True):
        found = values_at(
            params,
            features,
            jnp.asarray(targets),
            np.float64(arguments["example_weights"]),
            norms,
            loss=loss,
            l2=arguments["l2"],
            arguments=arguments["loss_arguments"],
            curvature=curvature,
        )
        return jax.device_get(found)
