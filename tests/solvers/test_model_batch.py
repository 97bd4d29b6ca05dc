"""Many models in one pass: each the same as alone, whatever runs beside it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fitting_problems import EXAMPLES, WIDTH

import jaxlin
from jaxlin import linear, losses, normalization
from jaxlin.certificates import fenchel_young
from jaxlin.numerics import compensated
from jaxlin.objective import row_sums
from jaxlin.solvers import batch_pass, batch_step, certified, interface, model_batch

KEY = jax.random.key(0)
NUM_CLASSES = 3
# Of the shape of `fitting_problems`, with weights and a normalization: one program.
ROWS = np.random.default_rng(0).normal(size=(EXAMPLES, WIDTH)).astype(np.float32)
LABELS = np.random.default_rng(1).integers(0, NUM_CLASSES, EXAMPLES)
WEIGHT_SETS = np.random.default_rng(2).integers(0, 3, (4, EXAMPLES)).astype(np.float32)
LOSSES = (losses.softmax_cross_entropy, losses.weston_watkins_hinge)
BLOCK_SIZE = 32  # the last block is smaller
MODELS = [(0.1, 0, 1.0), (0.01, 3, 2.0), (0.3, 1, 0.5)]
ZERO = linear.Params(np.zeros((3, 5), np.float32), np.zeros(3, np.float32))


@pytest.fixture(scope="module")
def examples():
    scaling = normalization.fit_standard(ROWS)
    return jaxlin.problem(ROWS, LABELS, normalization=scaling).prepared()


def filled(examples, loss, models=MODELS):
    """A batch with a model in each slot: (l2, weight_set, margin)."""
    names = () if loss is LOSSES[0] else ("margin",)
    batch = model_batch.empty(
        len(models), examples, num_classes=NUM_CLASSES, loss=loss, arguments=names
    )
    for slot, (l2, weight_set, margin) in enumerate(models):
        batch = model_batch.place(
            batch,
            slot,
            l2=l2,
            loss_arguments={"margin": margin} if names else {},
            weight_set=weight_set,
            loss=loss,
        )
    return batch


def iterations(
    examples, count, *, used=LOSSES, models=MODELS, weight_sets=WEIGHT_SETS.T
):
    """The batches and what they told, after some iterations."""
    weight_sets = None if weight_sets is None else jnp.asarray(weight_sets)
    running = [filled(examples, loss, models) for loss in used]
    told = []
    for _ in range(count):
        _, sums, points = batch_pass.evaluate(
            *(tuple(running), examples, weight_sets), losses=used, block_size=BLOCK_SIZE
        )
        infos = []
        for place, loss in enumerate(used):
            running[place], info = batch_step.advance(
                running[place],
                sums[place],
                points[place],
                examples,
                weight_sets,
                loss=loss,
            )
            infos.append(info)
        told.append(infos)
    return running, told


def alone(examples, loss, model, count):
    """Diagnostics of a model that is fitted by itself, by the solver of one."""
    l2, weight_set, margin = model
    arguments = {} if loss is LOSSES[0] else {"margin": margin}
    examples = examples._replace(example_weights=jnp.asarray(WEIGHT_SETS[weight_set]))
    solver = certified.solver(loss=loss)
    settings = interface.Settings(l2=l2, loss_arguments=arguments)
    state = solver.init(jax.tree.map(jnp.asarray, ZERO), examples, settings)
    runs = interface.run(solver, KEY, state, examples, settings, num_steps=count)
    return [jax.tree.map(lambda leaf: np.asarray(leaf)[0], info) for *_, info in runs]


@pytest.mark.parametrize("place", range(2))
def test_every_model_is_the_one_that_runs_alone(examples, place):
    count = 25
    _, told = iterations(examples, count)
    for slot, model in enumerate(MODELS):
        expected = alone(examples, LOSSES[place], model, count)
        for iteration in (0, 5, count - 1):
            found = told[iteration][place]
            np.testing.assert_allclose(
                found.objective[slot], expected[iteration].objective, rtol=1e-4
            )
        # Both have proven the same optimum.
        np.testing.assert_allclose(
            found.certificate.primal[slot], expected[-1].certificate.primal, rtol=1e-5
        )


def test_sums_are_those_of_a_pass_for_each_model(examples):
    batch = filled(examples, LOSSES[1])
    candidate = np.float32(np.random.default_rng(3).normal(size=(3, 3, 6)))
    batch = batch._replace(state=batch.state._replace(candidate=jnp.asarray(candidate)))
    _, (_, sums), (_, points) = batch_pass.evaluate(
        (filled(examples, LOSSES[0]), batch),
        examples,
        jnp.asarray(WEIGHT_SETS.T),
        losses=LOSSES,
        block_size=BLOCK_SIZE,
    )
    sums, points = jax.tree.map(np.asarray, (sums, points))

    @jax.jit
    def one_pass(state, settings, weights):
        params = linear.unfold_bias(state.candidate)
        return row_sums.over_rows(
            params,
            examples.features,
            examples.targets,
            fenchel_young.PerExample(
                jnp.zeros((EXAMPLES, 3)), examples.preconditioner.norms
            ),
            example_function=fenchel_young.example_function(LOSSES[1]),
            shared=fenchel_young.term_arguments(
                params, state.smoothing, settings.loss_arguments
            ),
            example_weights=weights,
            normalization=examples.normalization,
            block_size=BLOCK_SIZE,
        )

    for slot, (l2, weight_set, margin) in enumerate(MODELS):
        state = jax.tree.map(
            lambda leaf, slot=slot: np.asarray(leaf)[slot], batch.state
        )
        settings = interface.Settings(l2=l2, loss_arguments={"margin": margin})
        expected, outputs = jax.tree.map(
            np.asarray, one_pass(state, settings, WEIGHT_SETS[weight_set])
        )
        for name in row_sums.RowSums._fields:
            mine, its = getattr(sums, name), getattr(expected, name)
            if isinstance(mine, compensated.Compensated):
                mine, its = compensated.total(mine), compensated.total(its)
            np.testing.assert_allclose(mine[slot], its, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(points[:, slot], outputs, rtol=1e-5, atol=1e-6)


def test_an_example_that_is_taken_out_may_be_anything(examples):
    features = np.array(examples.features)
    features[7] = 1e30
    wild = examples._replace(features=jnp.asarray(features))
    out = WEIGHT_SETS.T.copy()
    out[7] = 0
    _, told = iterations(examples, 3, weight_sets=out)
    _, of_wild = iterations(wild, 3, weight_sets=out)
    for one, other in zip(told[-1], of_wild[-1], strict=True):
        np.testing.assert_allclose(one.objective, other.objective, rtol=1e-5)


def test_without_weightings_all_examples_count(examples):
    batch = filled(examples, LOSSES[0])
    candidate = np.float32(np.random.default_rng(3).normal(size=(3, 3, 6)))
    batch = batch._replace(state=batch.state._replace(candidate=jnp.asarray(candidate)))
    _, (sums,), (points,) = batch_pass.evaluate(
        (batch,), examples, None, losses=LOSSES[:1], block_size=BLOCK_SIZE
    )
    _, (expected, _), (same, _) = batch_pass.evaluate(
        (batch, filled(examples, LOSSES[1])),
        examples,
        jnp.ones((EXAMPLES, len(WEIGHT_SETS))),
        losses=LOSSES,
        block_size=BLOCK_SIZE,
    )
    for one, other in zip(
        jax.tree.leaves((sums, points)), jax.tree.leaves((expected, same)), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.full
def test_nor_do_turns_without_weightings_differ(examples):
    _, plain = iterations(examples, 4, used=LOSSES[:1], weight_sets=None)
    _, weighted = iterations(examples, 4, weight_sets=np.ones_like(WEIGHT_SETS.T))
    np.testing.assert_allclose(
        plain[-1][0].objective, weighted[-1][0].objective, rtol=1e-6
    )


@pytest.mark.parametrize("loss", LOSSES)
def test_slots_that_stay_go_on_as_before(examples, loss):
    batch = iterations(examples, 6)[0][LOSSES.index(loss)]
    kept = model_batch.narrow(batch, jnp.array([2, 0]))
    assert kept.width == 2
    for slot, old in enumerate((2, 0)):
        mine, its = (
            model_batch.slot_result(kept, slot),
            model_batch.slot_result(batch, old),
        )
        jax.tree.map(np.testing.assert_array_equal, mine, its)
    l2s = batch.settings.l2.tolist()
    assert kept.settings.l2.tolist() == [l2s[2], l2s[0]]
    assert kept.weight_set.tolist() == [1, 0]


@pytest.mark.parametrize("loss", LOSSES)
def test_a_new_model_begins_at_zero_and_leaves_the_others_alone(examples, loss):
    batch = iterations(examples, 6)[0][LOSSES.index(loss)]
    before = [
        jax.tree.map(np.asarray, model_batch.slot_result(batch, slot))
        for slot in range(3)
    ]
    arguments = {} if loss is LOSSES[0] else {"margin": 1.0}
    batch = model_batch.place(
        batch, 1, l2=0.5, loss_arguments=arguments, weight_set=2, loss=loss
    )
    for slot in (0, 2):
        jax.tree.map(
            np.testing.assert_array_equal,
            model_batch.slot_result(batch, slot),
            before[slot],
        )
    batch = jax.tree.map(np.asarray, batch)
    assert not batch.state.candidate[1].any()
    assert not batch.dual_centers[:, 1].any()
    assert batch.settings.l2[1] == 0.5
    assert batch.weight_set.tolist() == [0, 2, 1]
    assert np.isinf(batch.state.certificate.gap[1])


@pytest.mark.parametrize("loss", LOSSES)
def test_a_model_that_goes_on_keeps_what_was_learnt(examples, loss):
    batch = iterations(examples, 12)[0][LOSSES.index(loss)]
    before = jax.tree.map(np.asarray, batch)
    weight_sets = jnp.asarray(WEIGHT_SETS.T)
    batch = batch_step.warm_start(batch, 1, examples, weight_sets, loss=loss, l2=5e-3)
    batch = jax.tree.map(np.asarray, batch)
    for slot in (0, 2):
        jax.tree.map(
            lambda now, then, slot=slot: np.testing.assert_array_equal(
                now[slot], then[slot]
            ),
            batch.state,
            before.state,
        )
    np.testing.assert_array_equal(batch.dual_centers, before.dual_centers)
    np.testing.assert_array_equal(batch.weight_set, before.weight_set)
    assert batch.settings.l2.tolist() == pytest.approx([0.1, 5e-3, 0.3])
    state, old = (jax.tree.map(lambda leaf: leaf[1], x.state) for x in (batch, before))
    np.testing.assert_array_equal(state.history.steps, old.history.steps)
    assert state.history.is_filled.any()
    assert np.isinf(state.certificate.gap)
    if loss is LOSSES[0]:
        # A step at once, downhill; where it began is kept if no candidate is lower.
        assert not state.begins_round
        np.testing.assert_array_equal(
            np.c_[state.params.weights, state.params.bias], state.iterate
        )
        assert state.certificate.primal == state.value
        assert np.vdot(state.gradient, state.direction) < 0
        np.testing.assert_allclose(
            state.candidate, state.iterate + state.direction, rtol=1e-6
        )
    else:
        assert state.begins_round
        np.testing.assert_array_equal(state.candidate, old.iterate)
        assert state.rounds == 1
        first = 0.5 * MODELS[1][2]
        np.testing.assert_allclose(state.smoothing, np.sqrt(first * old.smoothing))
        # The smoothed loss curves with 1 / smoothing.
        filled = np.asarray(state.history.is_filled)
        np.testing.assert_allclose(
            np.asarray(state.history.factors)[filled] * state.smoothing,
            np.asarray(old.history.factors)[filled] * old.smoothing,
            rtol=1e-5,
        )


def test_new_values_compile_nothing(examples):
    programs = (
        batch_pass.evaluate,
        batch_step._advance,
        batch_step._advance_quickly,
    )
    iterations(examples, 2)
    sizes = [program._cache_size() for program in programs]
    iterations(examples, 2, models=[(0.7, 1, 3.0), (0.2, 2, 0.1), (1.3, 0, 1.0)])
    assert [program._cache_size() for program in programs] == sizes
