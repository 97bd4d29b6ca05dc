"""Sparse rows: fits of dense blocks, with the certificates of dense rows."""

import warnings

import jax
import numpy as np
import optax
import pytest
import scipy.sparse

import jaxlin
from jaxlin import linear_probe, losses, normalization
from jaxlin.certificates import certification
from jaxlin.numerics import device_mesh
from jaxlin.objective import row_blocks

KEY = jax.random.key(0)
STOP = jaxlin.Stop(1e-5)


def text_like():
    """Word counts of 300 documents of three classes, 5 % of 40 words each."""
    generator = np.random.default_rng(0)
    labels = np.arange(300) % 3
    shares = np.full((3, 40), 0.05)
    shares[np.arange(3), np.arange(3)] = 0.5
    shares[:, 3:] /= 2
    return generator.binomial(3, shares[labels]).astype(np.float64) / 2, labels


DENSE, LABELS = text_like()
SPARSE = scipy.sparse.csr_array(DENSE)
LOSSES = [losses.softmax_cross_entropy, losses.weston_watkins_hinge]


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of 64 rows, so that there are several."""
    monkeypatch.setattr(row_blocks, "BLOCK_BYTES", 64 * 40 * 8)


@pytest.mark.parametrize(
    ("loss", "bias"),
    [
        (LOSSES[0], "penalized"),
        (LOSSES[1], "penalized"),
        (LOSSES[0], "free"),
        pytest.param(LOSSES[1], "free", marks=pytest.mark.full),
    ],
)
def test_a_fit_is_that_of_the_dense_rows(loss, bias, small_blocks):
    """Equal to the dense fit within both proven radii, which one pass confirms."""
    options = {"loss": loss, "l2": 0.05, "bias": bias, "stop": STOP, "refine": True}
    dense = jaxlin.fit(DENSE, LABELS, **options)
    sparse = jaxlin.fit(SPARSE, LABELS, **options)
    assert sparse.converged
    distance = np.linalg.norm(
        np.asarray(sparse.params.weights) - np.asarray(dense.params.weights)
    )
    assert distance <= sparse.radius + dense.radius
    low, high = sparse.certificate.dual, sparse.certificate.primal
    assert low <= dense.certificate.primal
    assert dense.certificate.dual <= high
    proof = certification.certificate(
        sparse.params, DENSE, LABELS, loss=loss, l2=0.05, bias=bias
    )
    np.testing.assert_allclose(float(proof.primal), high, rtol=1e-5)


@pytest.mark.parametrize(
    "form", ["csr", "csc", "coo", "bsr", "lil", "dok", "dia", "matrix"]
)
def test_all_formats_of_scipy_are_the_same_rows(form, small_blocks):
    name = "csr_matrix" if form == "matrix" else f"{form}_array"
    with warnings.catch_warnings():
        # Diagonals are inefficient, scipy says.
        warnings.simplefilter("ignore", scipy.sparse.SparseEfficiencyWarning)
        rows = getattr(scipy.sparse, name)(DENSE)
    problem = jaxlin.problem(rows, LABELS)
    blocks = list(problem.rows)
    assert [len(block.targets) for block in blocks] == [64, 64, 64, 64, 44]
    np.testing.assert_array_equal(
        np.concatenate([block.features for block in blocks]), DENSE
    )


def test_a_problem_says_how_sparse_it_is():
    stored = 100 * SPARSE.nnz / DENSE.size
    assert repr(jaxlin.problem(SPARSE, LABELS)) == (
        f"Problem(300 examples, 40 features, sparse with {stored:.2g} % stored, "
        "3 classes)"
    )


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, bool, np.float32])
def test_entries_become_those_of_dense_rows(dtype):
    entries = (2 * DENSE).astype(dtype)
    found = next(iter(jaxlin.problem(scipy.sparse.csr_array(entries), LABELS).rows))
    expected = jaxlin.problem(entries, LABELS).rows
    assert found.features.dtype == expected.features.dtype
    np.testing.assert_array_equal(found.features, expected.features)


def given_twice(form, entry, dtype):
    """Rows of scipy.sparse with two entries at the first place, and one at another."""
    entries = np.full(3, entry, dtype)
    if form == "coo":
        return scipy.sparse.coo_array((entries, ([0, 0, 1], [0, 0, 1])), shape=(2, 2))
    make = {"csr": scipy.sparse.csr_array, "csc": scipy.sparse.csc_array}[form]
    return make((entries, [0, 0, 1], [0, 2, 3]), shape=(2, 2))


@pytest.mark.parametrize("form", ["coo", "csr", "csc"])
@pytest.mark.parametrize(
    ("entry", "dtype", "expected"),
    [
        (100, np.uint8, np.uint8),
        (200, np.uint8, np.float32),
        (20_000, np.int16, np.float32),
    ],
)
def test_integers_given_twice_are_added_without_wrapping(form, entry, dtype, expected):
    dense = np.array([[2 * entry, 0], [0, entry]], expected)
    rows = given_twice(form, entry, dtype)
    whole = jaxlin.problem(rows, [0, 1]).whole_rows.features
    (of_list,) = row_blocks.check_blocks([(rows, np.array([0, 1]))], num_classes=2)
    (of_over,) = row_blocks.check_blocks(row_blocks.over(rows, [0, 1]), num_classes=2)
    for found in (whole, of_list.features, of_over.features):
        assert found.dtype == expected
        np.testing.assert_array_equal(found, dense)
    assert rows.nnz == 3  # The rows that were given are not changed.


@pytest.mark.parametrize("row", [0, 299])
def test_entries_that_float32_does_not_hold_are_seen_in_every_block(row, small_blocks):
    assert not jaxlin.problem(SPARSE, LABELS).has_float64
    fine = DENSE.copy()
    fine[row, 0] = 0.1
    assert jaxlin.problem(scipy.sparse.csr_array(fine), LABELS).has_float64


def test_predictions_are_those_of_dense_rows(small_blocks):
    fit = jaxlin.fit(DENSE, LABELS, loss=losses.softmax_cross_entropy, l2=0.05)
    for door in (
        jaxlin.scores,
        jaxlin.predict,
        jaxlin.probabilities,
        jaxlin.certified_labels,
    ):
        np.testing.assert_array_equal(door(fit, SPARSE), door(fit, DENSE))
    found, expected = (jaxlin.evaluate(fit, rows, LABELS) for rows in (SPARSE, DENSE))
    assert str(found) == str(expected)
    np.testing.assert_array_equal(found.example_log_losses, expected.example_log_losses)


@pytest.mark.parametrize("weights", [None, np.arange(300) % 4])
def test_a_normalization_is_that_of_dense_rows(weights):
    found, expected = (
        normalization.fit_standard(rows, example_weights=weights)
        for rows in (SPARSE, DENSE)
    )
    np.testing.assert_array_equal(found.mean, expected.mean)
    np.testing.assert_array_equal(found.scale, expected.scale)
    problem = jaxlin.problem(
        SPARSE, LABELS, weights=weights, normalization=normalization.fit_standard
    )
    np.testing.assert_array_equal(problem.normalization.mean, expected.mean)
    fits = [
        jaxlin.fit(rows, loss=losses.softmax_cross_entropy, l2=0.05, stop=STOP)
        for rows in (
            problem,
            jaxlin.problem(DENSE, LABELS, weights=weights, normalization=expected),
        )
    ]
    distance = np.linalg.norm(
        np.asarray(fits[0].params.weights) - np.asarray(fits[1].params.weights)
    )
    assert distance <= fits[0].radius + fits[1].radius


def test_sweeps_and_folds_take_them_as_dense_rows():
    """Made dense once; the bits are those of dense rows."""
    results = []
    for rows in (SPARSE, DENSE):
        problem = jaxlin.problem(rows, LABELS)
        settings = {"losses": (losses.softmax_cross_entropy,), "l2s": (0.05, 0.5)}
        found = jaxlin.cross_validate(
            problem, **settings, folds=np.arange(300) % 2, refine=False
        )
        trained = jaxlin.certify(problem, found.fits[0].params, loss=LOSSES[0], l2=0.05)
        results.append((found.accuracy, found.fits.params, trained.certificate))
        assert problem.whole_rows is problem.whole_rows
    jax.tree.map(np.testing.assert_array_equal, *results)


def test_training_takes_them_as_dense_rows():
    trained = [
        jaxlin.train(
            KEY,
            jaxlin.problem(rows, LABELS),
            loss=LOSSES[0],
            make_optimizer=optax.sgd,
            batch_size=50,
            learning_rates=(0.1,),
            l2s=(0.1,),
            num_epochs=2,
        ).params
        for rows in (SPARSE, DENSE)
    ]
    jax.tree.map(np.testing.assert_array_equal, *trained)


def test_probes_take_them_as_dense_rows():
    results = []
    for rows in (SPARSE, DENSE):
        one = jaxlin.probe(
            KEY,
            rows[:200],
            LABELS[:200],
            rows[200:],
            LABELS[200:],
            l2s=(0.05,),
            validation=(rows[200:], LABELS[200:]),
        )
        few = linear_probe.few_shot(
            KEY,
            rows[:200],
            LABELS[:200],
            rows[200:],
            LABELS[200:],
            num_shots=5,
            num_draws=1,
            l2s=(0.05,),
        )
        results.append((one.fit.params, few.results[0].fit.params))
    jax.tree.map(np.testing.assert_array_equal, *results)


def test_rows_that_are_too_large_to_be_dense_are_refused(monkeypatch):
    problem = jaxlin.problem(SPARSE, LABELS)
    monkeypatch.setattr(device_mesh, "memory_bytes", lambda: 1000)
    with pytest.raises(ValueError, match="sparse rows, which all but .* call jaxlin.f"):
        jaxlin.sweep(problem, losses=(LOSSES[0],), l2s=(0.1,))


def test_a_row_and_weights_of_another_number_are_refused():
    with pytest.raises(ValueError, match="labels must have one entry per example, got"):
        jaxlin.problem(SPARSE, LABELS[:299])
    with pytest.raises(ValueError, match=r"weights must have shape \(300,\)"):
        jaxlin.problem(SPARSE, LABELS, weights=np.ones(299))
    with pytest.raises(ValueError, match="only class 0"):
        jaxlin.problem(SPARSE, np.zeros(300))
    with pytest.raises(ValueError, match="labels must be given with features"):
        jaxlin.problem(SPARSE)
