"""Plans of sweeps: slots, segments and what they are decided by."""

import jax
import numpy as np
import pytest
from two_losses import HINGE, SOFTMAX, product

import jaxlin
from jaxlin import losses, sharding
from jaxlin.linear import Bias
from jaxlin.numerics import device_mesh
from jaxlin.selection import grids, plans
from jaxlin.solvers import batch_pass, model_batch


@pytest.fixture(scope="module")
def problem():
    rows = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)
    return jaxlin.problem(rows, np.arange(40) % 4, classes=range(4)).prepared()


@pytest.mark.usefixtures("as_on_cpu")
def test_a_plan_shares_its_slots_out(problem):
    models = product()
    plan = plans.plan(models, problem, num_classes=4)
    # Two l2_paths of softmax models and four of hinges, of three l2 each.
    assert plan.slots == (4, 8)
    assert plan.pieces == (2, 2)
    assert plan.bytes == 12 * plan.bytes_per_slot
    smooth = product(losses=(SOFTMAX,), loss_arguments=None)
    plan = plans.plan(smooth, problem, num_classes=4)
    assert (plan.slots, plan.pieces) == ((2,), (1,))

    def shares(slots, grid=models):
        found = plans.plan(grid, problem, num_classes=4, slots=slots)
        return found.slots, found.pieces

    assert shares(2) == ((1, 1), (1, 1))
    # What would make no whole segment of each l2_path is not used.
    assert shares(9) == ((2, 4), (1, 1))
    assert shares(12) == ((4, 8), (2, 2))
    assert shares(18) == shares(1000) == ((6, 12), (3, 3))
    three = grids.product(
        losses=(SOFTMAX, HINGE, losses.crammer_singer_hinge), l2s=np.logspace(-3, 0, 9)
    )
    three = grids.subset(three, [0, 9, *range(18, 27)])
    assert shares(6, three) == ((1, 1, 4), (1, 1, 4))
    assert shares(3, three) == ((1, 1, 1), (1, 1, 1))


@pytest.mark.usefixtures("as_on_cpu")
def test_a_part_keeps_its_paths_whole_in_the_slots_of_the_whole(problem):
    models = grids.product(losses=(SOFTMAX,), l2s=(1e-1, 1e-2), num_weight_sets=4)
    part = grids.subset(models, grids.parts(models, 2)[0])
    for slots, width in ((1, 1), (None, 2), (8, 2)):
        whole = plans.plan(models, problem, num_classes=4, slots=slots, block_size=16)
        own = plans.plan_of_part(part, problem, num_classes=4, whole=whole)
        assert (own.slots, own.pieces, own.block_size) == ((width,), (1,), 16)


@pytest.mark.usefixtures("as_on_accelerator")
def test_on_accelerators_chains_are_cut_and_programs_are_dear(problem):
    models = grids.product(
        losses=(SOFTMAX, HINGE), l2s=np.logspace(-3, 0, 20), num_weight_sets=2
    )
    plan = plans.plan(models, problem, num_classes=4)
    assert (plan.slots, plan.pieces) == ((32, 32), (16, 16))
    many = models._replace(l2_path=np.arange(80) // 4)
    assert sum(plans.plan(many, problem, num_classes=4).slots) == 80
    folds = grids.product(
        losses=(SOFTMAX,), l2s=np.logspace(-3, 0, 20), num_weight_sets=9
    )
    assert plans.plan(folds, problem, num_classes=4).slots == (126,)
    assert plan.compile_cost > 100 * 3e11 / (4 * problem.features.size * 4)


def unequal():
    """An l2_path of 20 and one of two; of hinges nine of 20."""
    whole = grids.product(
        losses=(SOFTMAX, HINGE), l2s=np.logspace(-3, 0, 20), num_weight_sets=9
    )
    return grids.subset(whole, [*range(22), *range(180, 360)])


@pytest.mark.parametrize("machine", ["as_on_cpu", "as_on_accelerator"])
@pytest.mark.parametrize("models", [product(), unequal()], ids=["equal", "unequal"])
@pytest.mark.parametrize("slots", [None, 2, 12, 18])
def test_a_plan_of_its_own_slots_is_the_same(problem, machine, models, slots, request):
    request.getfixturevalue(machine)
    plan = plans.plan(models, problem, num_classes=4, slots=slots)
    again = plans.plan(models, problem, num_classes=4, slots=sum(plan.slots))
    assert again == plan
    segments = [len(plans.segments(models, plan, loss=loss)) for loss in range(2)]
    assert all(one <= some for one, some in zip(plan.slots, segments, strict=True))


@pytest.mark.parametrize("machine", ["as_on_cpu", "as_on_accelerator"])
def test_the_host_has_a_look_now_and_then(problem, machine, request):
    request.getfixturevalue(machine)
    rows = jax.ShapeDtypeStruct((10**6, 3072), np.uint8)
    one = grids.product(losses=(SOFTMAX,), l2s=(1e-1,))
    many = 1 if machine == "as_on_cpu" else 100
    assert plans.plan(one, problem, num_classes=4).iterations == many
    large = problem._replace(features=rows)
    assert plans.plan(one, large, num_classes=4).iterations == many
    assert plans.plan(one, large, num_classes=1000).iterations == 1


@pytest.mark.usefixtures("as_on_cpu")
def test_chains_of_unequal_length_fill_their_slots(problem):
    nine = grids.product(
        losses=(SOFTMAX, HINGE), l2s=np.logspace(-3, 0, 9), num_weight_sets=2
    )
    # An l2_path of nine and one of one; of hinges an l2_path of nine.
    some = grids.subset(nine, [*range(10), *range(18, 27)])
    plan = plans.plan(some, problem, num_classes=4)
    assert (plan.slots, plan.pieces) == ((3, 2), (2, 2))
    plan = plans.plan(some, problem, num_classes=4, slots=19)
    assert (plan.slots, plan.pieces) == ((10, 9), (9, 9))
    assert len(plans.segments(some, plan, loss=0)) == 10


@pytest.mark.devices(4)
@pytest.mark.parametrize(("devices", "pieces"), [(1, 1), (2, 2), (4, 3)])
@pytest.mark.usefixtures("as_on_cpu")
def test_one_chain_is_cut_for_the_devices_that_share_models(problem, devices, pieces):
    models = grids.product(losses=(SOFTMAX,), l2s=(1e-1, 1e-2, 1e-3))
    with jax.set_mesh(sharding.mesh(models=devices)):
        plan = plans.plan(models, problem, num_classes=4)
    assert (plan.slots, plan.pieces) == ((devices,), (pieces,))


@pytest.mark.parametrize("slots", [2, 12, 18])
def test_strands_are_chains_or_every_so_manieth_of_one(problem, slots):
    models = product()
    plan = plans.plan(models, problem, num_classes=4, slots=slots)
    for loss in range(2):
        segments = plans.segments(models, plan, loss=loss)
        mine = np.flatnonzero(models.loss == loss)
        assert sorted(sum(segments, ())) == mine.tolist()
        for segment in segments:
            assert len(set(models.l2_path[list(segment)])) == 1
            assert (np.diff(models.l2[list(segment)]) < 0).all()
        lengths = [len(segment) for segment in segments]
        assert max(lengths) == -(-3 // plan.pieces[loss])


@pytest.mark.usefixtures("as_on_cpu")
def test_a_plan_says_what_it_is(problem):
    models = grids.product(losses=(SOFTMAX,), l2s=(1e-1,))
    plan = plans.plan(models, problem, num_classes=4)
    assert str(plan).startswith("1 model at once, ")
    both = plans.plan(product(), problem, num_classes=4)
    assert str(both).startswith("4 + 8 models at once, ")


def test_a_plan_counts_what_a_lane_holds(problem):
    models = product(losses=(HINGE,))
    plan = plans.plan(models, problem, num_classes=4)
    batch = model_batch.empty(
        5, problem, num_classes=4, loss=HINGE, arguments=("margin",)
    )
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(batch))
    assert size == 5 * plan.bytes_per_slot


@pytest.mark.parametrize(
    "name",
    [
        "softmax_cross_entropy",
        pytest.param("cross_entropy", marks=pytest.mark.full),
        pytest.param("weston_watkins_hinge", marks=pytest.mark.full),
        pytest.param("weston_watkins_squared_hinge", marks=pytest.mark.full),
        "crammer_singer_hinge",
        pytest.param("one_vs_rest_hinge", marks=pytest.mark.full),
    ],
)
def test_a_plan_counts_the_search_for_a_free_bias(name):
    """No less than the temporaries of the compiled pass, and not far more."""
    loss, num_rows, width = getattr(losses, name), 3000, 6
    rows, labels = np.ones((num_rows, 3), np.float32), np.arange(num_rows) % 4
    targets = np.eye(4, dtype=np.float32)[labels] if name == "cross_entropy" else labels
    on = jaxlin.problem(rows + labels[:, None], targets, classes=range(4))
    examples = on.prepared(bias=Bias.FREE)
    arguments = {"margin": (1.0,)} if "hinge" in name else {}
    models = grids.product(losses=(loss,), l2s=(0.1,), loss_arguments=arguments)
    planned = [
        plans.plan(one, examples, num_classes=4).bytes_per_slot
        for one in (models._replace(bias=Bias.FREE), models)
    ]
    batch = jax.eval_shape(
        lambda: model_batch.empty(
            width, examples, num_classes=4, loss=loss, arguments=tuple(arguments)
        )
    )
    batch = batch._replace(settings=batch.settings._replace(bias=Bias.FREE))
    # In small blocks of rows the search is what holds most.
    program = batch_pass.evaluate.lower(
        (batch,), examples, None, losses=(loss,), block_size=500
    ).compile()
    held = program.memory_analysis().temp_size_in_bytes
    counted = 2 * width * (planned[0] - planned[1])
    # XLA of jax 0.10 holds 2.1 arrays for one-vs-rest, that of jax 0.12 4.5.
    assert held <= counted <= 3 * held


def test_a_plan_keeps_to_its_memory(problem, monkeypatch):
    models = product()
    per_slot = plans.plan(models, problem, num_classes=4).bytes_per_slot
    plan = plans.plan(models, problem, num_classes=4, memory_bytes=12 * per_slot)
    assert sum(plan.slots) <= 6
    assert plan.num_pairs == 20
    few = plans.plan(models, problem, num_classes=4, memory_bytes=3 * per_slot)
    assert few.slots == (1, 1)
    assert 5 <= few.num_pairs < 20
    assert 4 * few.bytes_per_slot <= 3 * per_slot
    with pytest.raises(ValueError, match="memory_bytes must hold a slot for each of 2"):
        plans.plan(models, problem, num_classes=4, memory_bytes=per_slot)
    with pytest.raises(ValueError, match=r"got \d+; give more, or use fewer features"):
        plans.plan(models, problem, num_classes=1000, memory_bytes=10**6)
    monkeypatch.setattr(device_mesh, "memory_bytes", lambda: 20 * per_slot)
    with pytest.raises(
        ValueError, match="a sweep of 12 models at once must fit .* got at least"
    ):
        plans.plan(models, problem, num_classes=4, memory_bytes=10**12)
    monkeypatch.undo()
    with pytest.raises(ValueError, match="slots must be at most"):
        plans.plan(models, problem, num_classes=4, slots=7, memory_bytes=12 * per_slot)
    with pytest.raises(ValueError, match="slots must be at least 2"):
        plans.plan(models, problem, num_classes=4, slots=1)


@pytest.mark.parametrize("machine", ["as_on_cpu", "as_on_accelerator"])
@pytest.mark.parametrize(
    ("num_features", "num_classes"), [(7680, 1000), (768, 8142), (768, 21_841)]
)
def test_models_of_many_classes_have_a_plan(
    problem, num_features, num_classes, machine, request, monkeypatch
):
    """Plans for the memory of the machine: 2 GiB hold two states of none."""
    request.getfixturevalue(machine)
    one = grids.product(losses=(SOFTMAX,), l2s=(1e-1, 1e-2))
    large = problem._replace(
        features=jax.ShapeDtypeStruct((10_000, num_features), np.float32)
    )

    def planned(memory):
        monkeypatch.setattr(device_mesh, "memory_bytes", lambda: memory)
        return plans.plan(one, large, num_classes=num_classes)

    plan = planned(16 * 2**30)
    assert plan.num_pairs == 20
    assert 2**31 < 2 * plan.bytes <= 8 * 2**30
    small = planned(7 * 2**30)
    assert 5 <= small.num_pairs <= 20
    assert small.slots[0] <= plan.slots[0]
    assert 2 * small.bytes <= 3.5 * 2**30
    with pytest.raises(ValueError, match=r"a slot for each of 1 losses, at \d+ bytes"):
        planned(2**30)


def test_rows_leave_the_less_memory_the_more_they_are(problem, monkeypatch):
    models = product(losses=(SOFTMAX,), loss_arguments=None)
    plan = plans.plan(models, problem, num_classes=4)
    rows = problem.features.nbytes
    monkeypatch.setattr(
        device_mesh, "memory_bytes", lambda: rows + 5 * plan.bytes_per_slot
    )
    few = plans.plan(models, problem, num_classes=4)
    assert (few.slots, few.num_pairs) == ((1,), 20)
