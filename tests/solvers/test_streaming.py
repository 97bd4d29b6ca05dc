"""Fits on blocks of rows: the same models as on arrays."""

import numpy as np
import optima
import pytest
from fitting_problems import EXAMPLES, HINGE, WIDTH

import jaxlin
from jaxlin import linear, losses, normalization, objective
from jaxlin.objective import row_blocks
from jaxlin.solvers import preconditioner, streaming

NUM_CLASSES, MANY = 3, 310
WEIGHTS = np.where(np.arange(EXAMPLES) % 5 == 0, 0.0, 1.5)
# One loss, one number of rows and weights in nearly all: one program of a step.
OF_HINGE = {"loss": HINGE, "l2": 1e-2, "loss_arguments": {"margin": 1.0}}
OF_HINGE |= {"stop": jaxlin.Stop(1e-4)}
OF_SOFTMAX = {**OF_HINGE, "loss": losses.softmax_cross_entropy, "loss_arguments": {}}
HALF = EXAMPLES // 2


def data(soft=False, count=EXAMPLES):
    generator = np.random.default_rng(4)
    labels = generator.integers(NUM_CLASSES, size=count).astype(np.int32)
    dual_centers = generator.uniform(60, 190, size=(NUM_CLASSES, WIDTH))
    rows = generator.normal(dual_centers[labels], 40).clip(0, 255).astype(np.uint8)
    if soft:
        sharp = np.eye(NUM_CLASSES, dtype=np.float32)[labels]
        return rows, 0.9 * sharp + 0.1 / NUM_CLASSES
    return rows, labels


@pytest.mark.parametrize(
    "loss",
    [
        HINGE,
        *(
            pytest.param(loss, marks=pytest.mark.full)
            for loss in (losses.crammer_singer_hinge, losses.cross_entropy)
        ),
    ],
)
def test_the_model_is_that_of_the_arrays(loss):
    rows, targets = data(soft=loss is losses.cross_entropy)
    mean = normalization.fit_centered(rows, scale=255.0).mean
    fitted = normalization.Normalization(mean, np.full(WIDTH, 255, np.float32))
    weights = WEIGHTS
    settings = {"loss": loss, "l2": 1e-2, "normalization": fitted}
    settings["stop"] = jaxlin.Stop(1e-5)
    if "hinge" in loss.__name__:
        settings["loss_arguments"] = OF_HINGE["loss_arguments"]
    # As floats, like the fits of other files: one program.
    whole = jaxlin.fit(np.float32(rows), targets, weights=weights, **settings)
    blocks = row_blocks.over(rows, targets, example_weights=weights, block_size=40)
    streamed = jaxlin.fit(blocks, **settings)
    assert whole.converged
    assert streamed.converged
    # What the streamed one proves is true.
    exact = optima.Data(
        np.c_[(np.float64(rows) - fitted.mean) / 255, np.ones(len(rows))],
        targets / np.float64(targets).sum(axis=1, keepdims=True)
        if targets.ndim == 2
        else targets,
        weights / weights.sum(),
        NUM_CLASSES,
        loss.__name__,
        1e-2,
    )
    best = optima.optimum(exact)
    proof = streamed.certificate
    folded = np.float64(np.c_[streamed.params.weights, streamed.params.bias])
    assert optima.objective(folded, exact) - best.value <= proof.gap + proof.rounding
    assert proof.dual <= best.value
    # Both are within the proven gap of one optimum.
    assert whole.certificate.primal == pytest.approx(
        streamed.certificate.primal, rel=1.1e-5
    )
    bound = sum(
        np.sqrt(2 * (one.certificate.gap + one.certificate.rounding) / 1e-2)
        for one in (whole, streamed)
    )
    distance = np.linalg.norm(
        np.asarray(whole.params.weights) - np.asarray(streamed.params.weights)
    )
    assert distance <= bound < 0.2 * np.linalg.norm(np.asarray(whole.params.weights))


@pytest.mark.full
def test_a_refinement_goes_through_float64():
    rows, labels = data()
    blocks = row_blocks.over(rows / 255.0, labels, block_size=HALF)
    fitted = jaxlin.fit(
        blocks,
        loss=losses.softmax_cross_entropy,
        l2=1e-3,
        stop=jaxlin.Stop(1e-11),
        refine=True,
    )
    assert fitted.converged
    assert fitted.params.weights.dtype == np.float64
    assert fitted.float64_passes > 0


@pytest.mark.full
def test_a_refinement_keeps_the_digits_of_float64_rows_and_mean():
    """Rows near 1e9, where float32 has a spacing of 64: it sees no row and no norm."""
    rows, labels = data()
    rows = 1e9 + rows / 255.0
    mean = rows.mean(axis=0)
    blocks = row_blocks.over(rows, labels, block_size=HALF)
    scaling = normalization.Normalization(mean, np.float64(1))
    settings = {**OF_SOFTMAX, "normalization": scaling}
    streamed = jaxlin.fit(blocks, refine=True, **settings)
    assert streamed.converged
    exact = optima.Data(
        np.c_[rows - mean, np.ones(len(rows))],
        labels,
        np.full(len(rows), 1 / len(rows)),
        NUM_CLASSES,
        "softmax_cross_entropy",
        1e-2,
    )
    best = optima.optimum(exact)
    weights = np.float64(np.c_[streamed.params.weights, streamed.params.bias])
    above = optima.objective(weights, exact) - best.value
    assert above <= streamed.certificate.gap + streamed.certificate.rounding
    assert streamed.certificate.dual <= best.value
    # The metric is that of the rows, too, and rounding that of their norms.
    near = (rows - mean).astype(np.float32)
    whole = jaxlin.fit(near, labels, refine=False, **OF_SOFTMAX)
    assert streamed.params.weights.dtype == whole.params.weights.dtype
    assert abs(streamed.passes - whole.passes) <= 1
    ratio = streamed.certificate.rounding / whole.certificate.rounding
    assert 1 / 3 < ratio < 3


@pytest.mark.full
def test_blocks_whose_weights_are_all_0_are_left_out():
    rows, labels = data()
    weights = (np.arange(len(rows)) < 40).astype(np.float32)
    blocks = row_blocks.over(
        rows / 255.0, labels, example_weights=weights, block_size=20
    )
    part = jaxlin.fit(blocks, **OF_SOFTMAX)
    whole = jaxlin.fit(rows[:40] / 255.0, labels[:40], **OF_SOFTMAX)
    assert part.converged
    assert part.certificate.primal == pytest.approx(whole.certificate.primal, rel=1e-4)
    nothing = row_blocks.over(rows, labels, example_weights=0 * weights)
    with pytest.raises(ValueError, match="of all blocks must have a positive sum"):
        jaxlin.fit(nothing, **OF_SOFTMAX)


def test_a_warm_start_is_taken_up():
    rows, labels = data()
    blocks = row_blocks.over(
        rows / 255.0, labels, example_weights=WEIGHTS, block_size=HALF
    )
    cold = jaxlin.fit(blocks, **OF_HINGE)
    warm = jaxlin.fit(blocks, start=cold, **OF_HINGE)
    assert warm.converged
    assert warm.passes < cold.passes / 2


def test_the_sample_is_random_and_names_its_rows():
    rows, labels = data(count=MANY)
    # A feature that tells the row's number.
    rows = np.concatenate([rows, np.arange(len(rows))[:, None] % 256], 1)
    blocks = row_blocks.over(rows.astype(np.uint8), labels, block_size=100)
    found = streaming.survey(blocks, num_classes=NUM_CLASSES)
    kept = len(found.sample)
    np.testing.assert_array_equal(found.rows[:kept, -1], found.sample % 256)
    np.testing.assert_array_equal(found.targets, labels[found.sample])
    assert kept == len(np.unique(found.sample)) == preconditioner.num_kept(len(rows))
    # So few rows are all in the second moment.
    np.testing.assert_array_equal(np.sort(found.rows[:, -1]), np.sort(rows[:, -1]))
    assert abs(np.corrcoef(found.sample, np.arange(kept))[0, 1]) < 0.2
    expected = np.sqrt(1 + (rows.astype(float) ** 2).sum(axis=1))
    np.testing.assert_allclose(found.norms, expected, rtol=1e-6)


def test_rows_of_weight_0_are_not_in_the_survey():
    rows, labels = data(count=MANY)
    weights = (np.arange(len(rows)) % 3 > 0).astype(np.float32)
    blocks = row_blocks.over(rows, labels, example_weights=weights, block_size=100)
    found = streaming.survey(blocks, num_classes=NUM_CLASSES)
    counts = np.flatnonzero(weights)
    alone = streaming.survey(
        row_blocks.over(rows[counts], labels[counts], block_size=100),
        num_classes=NUM_CLASSES,
    )
    np.testing.assert_array_equal(found.sample, counts[alone.sample])
    np.testing.assert_array_equal(found.rows, alone.rows)
    assert len(found.norms) == len(rows)


def test_blocks_that_float32_cannot_tell_apart_are_refused():
    rows, labels = data()
    rows = 1e9 + rows / 255.0
    with pytest.raises(ValueError, match=r"blocks\[0\].features must be told apart"):
        jaxlin.fit(
            row_blocks.over(rows, labels, block_size=HALF),
            normalization=normalization.fit_standard(rows),
            **OF_SOFTMAX,
        )


@pytest.mark.parametrize(
    ("after", "message"), [(1, "got 30 rows"), (3, "got more than 60")]
)
def test_blocks_that_change_are_noticed(after, message):
    rows, labels = data()
    blocks = row_blocks.over(
        rows / 255.0, labels, example_weights=WEIGHTS, block_size=HALF
    )
    blocks = [*blocks, *blocks]

    class Changing:
        count = 2

        def __iter__(self):
            return iter(blocks[: self.count])

        def change(self, passes, info):
            self.count = after

    changing = Changing()
    with pytest.raises(ValueError, match=f"the same rows each time, {message}"):
        jaxlin.fit(changing, callback=changing.change, **OF_HINGE)


def test_blocks_may_be_tuples_of_lists():
    rows, labels = data()
    rows = rows / 255.0
    lists = [
        tuple(array[part].tolist() for array in (rows, labels, WEIGHTS))
        for part in (slice(HALF), slice(HALF, None))
    ]
    fitted = jaxlin.fit(lists, **OF_HINGE)
    blocks = row_blocks.over(rows, labels, example_weights=WEIGHTS, block_size=HALF)
    same = jaxlin.fit(blocks, **OF_HINGE)
    assert fitted.certificate == same.certificate


def test_labels_and_distributions_do_not_mix():
    rows, labels = data()
    soft = np.full((EXAMPLES, NUM_CLASSES), 1 / NUM_CLASSES, np.float32)
    blocks = [row_blocks.Block(rows, labels), row_blocks.Block(rows, soft)]
    with pytest.raises(ValueError, match=r"blocks\[1\].targets must have shape \(exam"):
        jaxlin.fit(blocks, **OF_SOFTMAX)
    # Also where the labels need not be looked for.
    with pytest.raises(ValueError, match=r"blocks\[1\].targets must have rank 1"):
        jaxlin.fit(blocks, classes=range(NUM_CLASSES), **OF_SOFTMAX)
    with pytest.raises(ValueError, match=r"blocks\[1\].targets must have rank 2"):
        jaxlin.fit(blocks[::-1], **{**OF_SOFTMAX, "loss": losses.cross_entropy})


def test_blocks_have_one_dtype():
    rows, labels = data()
    blocks = [row_blocks.Block(rows, labels), row_blocks.Block(rows / 255.0, labels)]
    with pytest.raises(ValueError, match=r"blocks\[1\].features must be uint8 as in"):
        jaxlin.fit(blocks, **OF_SOFTMAX)


def test_a_block_shape_is_traced_once():
    rows, labels = data(count=MANY)
    shapes = []

    def loss(scores, label):
        shapes.append(scores.shape)
        return losses.softmax_cross_entropy(scores, label)

    params = linear.Params(
        np.ones((NUM_CLASSES, WIDTH), np.float32), np.zeros(NUM_CLASSES)
    )

    def one_pass():
        sums = None
        for block in row_blocks.over(rows, labels, block_size=100):
            sums = objective.accumulate(
                sums, params, block.features, block.targets, loss=loss
            )
            yield len(shapes)

    # Three blocks of 100 rows, and a last one of 10. The first of all has no sums yet.
    first, second, third, last = one_pass()
    assert 0 < first < second == third < last
    assert [*one_pass()] == 4 * [last]
