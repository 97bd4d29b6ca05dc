"""Lowering of programs for CPU, GPU and TPU, none of which has to be there."""

import jax
import jax.numpy as jnp
import optax
import pytest
from problems import LABEL_LOSSES
from programs import products

from jaxlin import linear, losses, neighbors, normalization, objective
from jaxlin.geometry import robustness
from jaxlin.neighbors import bounds, distances, pairwise, scan, top_k, voting
from jaxlin.solvers import certified, interface, minibatch
from jaxlin.stats import metrics

PLATFORMS = ("cpu", "cuda", "tpu")
ROWS = jax.ShapeDtypeStruct((20, 6), jnp.uint8)
LABELS = jax.ShapeDtypeStruct((20,), jnp.int32)
PARAMS = linear.Params(
    jax.ShapeDtypeStruct((3, 6), jnp.float32), jax.ShapeDtypeStruct((3,), jnp.float32)
)
RAW_PIXELS = normalization.Normalization(
    jax.ShapeDtypeStruct((6,), jnp.float32), jax.ShapeDtypeStruct((), jnp.float32)
)


def lowers(function, *arguments):
    exported = jax.export.export(jax.jit(function), platforms=PLATFORMS)(*arguments)
    assert exported.platforms == PLATFORMS
    return exported


@pytest.mark.parametrize("entry", LABEL_LOSSES.values(), ids=LABEL_LOSSES.keys())
def test_objective_and_gradient(entry):
    def value(params, rows, labels, fitted):
        return objective.objective(
            params, rows, labels, loss=entry.loss, l2=1e-3, normalization=fitted
        )

    lowers(jax.value_and_grad(value), PARAMS, ROWS, LABELS, RAW_PIXELS)


def test_an_epoch_of_a_grid_over_seeds():
    solver = interface.map_seeds(
        interface.map_settings(
            minibatch.solver(
                loss=losses.weston_watkins_hinge,
                make_optimizer=optax.adam,
                batch_size=8,
            )
        )
    )
    settings = interface.Settings(*[jax.ShapeDtypeStruct((4,), jnp.float32)] * 2)
    params = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct((2, *leaf.shape), leaf.dtype), PARAMS
    )
    examples = interface.Examples(ROWS, LABELS, normalization=RAW_PIXELS)
    state = jax.eval_shape(solver.init, params, examples, settings)
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), 2))
    epoch = jax.ShapeDtypeStruct((), jnp.int32)

    def step(data, epoch, state, examples, settings):
        keys = jax.random.wrap_key_data(data)
        return solver.step(keys, epoch, state, examples, settings)

    data = jax.eval_shape(jax.random.key_data, keys)
    lowers(step, data, epoch, state, examples, settings)


def test_blocked_scores_and_metrics():
    def measures(params, rows, labels, fitted):
        scores = objective.blocked_scores(
            params, rows, normalization=fitted, block_size=7
        )
        bins = metrics.calibration_bins(jax.nn.softmax(scores), labels)
        return (
            metrics.accuracy(scores, labels),
            metrics.confusion(
                predictions=jnp.argmax(scores, axis=1), labels=labels, num_classes=3
            ),
            metrics.expected_calibration_error(bins),
        )

    lowers(measures, PARAMS, ROWS, LABELS, RAW_PIXELS)


@pytest.mark.parametrize("norm", robustness.NORMS)
def test_smallest_perturbations_in_a_box(norm):
    def radii(params, rows):
        def smallest(row):
            return robustness.smallest_perturbation(
                params, row, norm=norm, low=0.0, high=255.0
            )

        return jax.vmap(smallest)(rows)

    lowers(radii, PARAMS, ROWS)


@pytest.mark.parametrize(
    "loss", [losses.softmax_cross_entropy, losses.crammer_singer_hinge]
)
def test_certified_steps_of_a_grid_at_full_precision(loss):
    solver = interface.map_settings(certified.solver(loss=loss))
    examples = interface.Examples(ROWS, LABELS, normalization=RAW_PIXELS)
    settings = interface.Settings(l2=jax.ShapeDtypeStruct((4,), jnp.float32))

    def steps(examples, params, settings):
        prepared = certified.prepare(examples)
        state = solver.init(params, prepared, settings)
        key, number = jax.random.key(0), jnp.int32(0)
        return solver.step(key, number, state, prepared, settings)

    lowers(steps, examples, PARAMS, settings)
    traced = jax.jit(steps).trace(examples, PARAMS, settings)
    found = list(products(traced.jaxpr.jaxpr))
    assert len(found) > 10
    highest = (jax.lax.Precision.HIGHEST,) * 2
    assert {equation.params["precision"] for equation in found} == {highest}


INTEGERS = [
    pytest.param(distances.euclidean, id="euclidean"),
    pytest.param(distances.manhattan, id="manhattan"),
    pytest.param(distances.chebyshev, id="chebyshev", marks=pytest.mark.full),
]


@pytest.mark.parametrize("metric", INTEGERS)
@pytest.mark.parametrize("recall_target", [None, 0.9])
def test_a_step_of_a_search_among_bytes(metric, recall_target):
    measure = scan.exact_integers(metric)

    def step(queries, rows, groups):
        state = top_k.empty(20, 2)
        keys = measure.keys(None, queries, measure.transform(None, rows))
        keys = jnp.where(groups[:, None] == groups[None, :], jnp.inf, keys)
        return top_k.update(state, keys, first=0, recall_target=recall_target)

    exported = lowers(step, ROWS, ROWS, LABELS)
    assert ("approx" in exported.mlir_module().lower()) == (recall_target is not None)
    # Integers all the way on a CPU; elsewhere whole numbers in all digits of float32.
    found = list(products(jax.jit(step).trace(ROWS, ROWS, LABELS).jaxpr.jaxpr))
    assert len(found) == 2 * (metric is distances.euclidean)
    dtypes = [{value.aval.dtype for value in one.invars} for one in found]
    assert dtypes == [{jnp.int8.dtype}, {jnp.float32.dtype}][: len(found)]
    for one in found[:1]:
        assert one.outvars[0].aval.dtype == jnp.int32
    for one in found[1:]:
        assert set(one.params["precision"]) == {jax.lax.Precision.HIGHEST}
    for platform, words in {"cpu": "i8", "cuda": "f32"}.items():
        exported = jax.export.export(jax.jit(step), platforms=[platform])
        text = exported(ROWS, ROWS, LABELS).mlir_module()
        lines = [line for line in text.splitlines() if "stablehlo.dot_general" in line]
        assert len(lines) == (metric is distances.euclidean)
        assert all(f"x{words}>" in line for line in lines)


@pytest.mark.parametrize(
    "metric",
    [distances.euclidean, distances.cosine, distances.minkowski, distances.mahalanobis],
    ids=lambda metric: metric.__name__,
)
def test_bounds_and_the_distances_that_they_bound(metric):
    form = bounds.form(metric, num_features=6)
    measure = scan.lower_bounds(form)
    with jax.enable_x64(True):
        number = jax.ShapeDtypeStruct((), jnp.float64)
        matrix = jax.ShapeDtypeStruct((6, 6), jnp.float64)
        center = jax.ShapeDtypeStruct((6,), jnp.float64)
        is_moved = metric is distances.mahalanobis
        frame = bounds.Frame(center, number, matrix if is_moved else None, number)
        rows = jax.ShapeDtypeStruct((20, 6), jnp.float32)
        lowers(
            lambda f, q, x: measure.keys(f, q, measure.transform(f, x)),
            frame,
            rows,
            rows,
        )


def test_votes_and_local_fits():
    weights = jax.ShapeDtypeStruct((4, 5), jnp.float32)
    labels = jax.ShapeDtypeStruct((4, 5), jnp.int32)
    lowers(lambda w, y: voting._winners(w, y, num_classes=3), weights, labels)
    fit = neighbors.linear_classifier(loss=losses.softmax_cross_entropy, num_steps=2)
    one = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in ((6,), (5, 6), (5,))]
    lowers(
        lambda q, x, y, w, l2: fit(q, x, y, w, num_classes=3, l2=l2),
        one[0],
        one[1],
        jax.ShapeDtypeStruct((5,), jnp.int32),
        one[2],
        jax.ShapeDtypeStruct((), jnp.float32),
    )


def test_all_pairs_of_floats():
    rows = jax.ShapeDtypeStruct((20, 6), jnp.float32)
    for metric in (distances.cosine, distances.manhattan):
        lowers(lambda q, x, m=metric: pairwise.between(q, x, metric=m), rows, rows)
