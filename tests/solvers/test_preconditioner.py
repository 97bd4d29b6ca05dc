"""The metric of certified solvers, against dense linear algebra in NumPy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlin import normalization
from jaxlin.solvers import class_hessian, preconditioner

L2S = (1e-3, 0.3)


def dense(moment):
    """H as a matrix: leading directions, and one value on all others."""
    vectors = np.asarray(moment.vectors, np.float64)
    width = vectors.shape[0]
    inside = (vectors * np.asarray(moment.values, np.float64)) @ vectors.T
    return inside + float(moment.rest) * (np.eye(width) - vectors @ vectors.T)


@functools.cache
def compiled_moment(rank, limits):
    """`second_moment`, traced anew under other limits."""
    del limits
    return jax.jit(lambda key, rows: preconditioner.second_moment(key, rows, rank=rank))


def factorised(rows, *, rank=preconditioner.RANK, **limits):
    with pytest.MonkeyPatch.context() as patch:
        for name, limit in limits.items():
            patch.setattr(preconditioner, name, limit)
        compiled = compiled_moment(rank, tuple(limits.items()))
        return jax.tree.map(np.asarray, compiled(jax.random.key(0), np.asarray(rows)))


factorised_hessian = jax.jit(class_hessian.factorised)
solve = jax.jit(preconditioner.solve)


@functools.cache
def sketched():
    """25 of 60 directions of `decaying_rows`."""
    rows, _ = decaying_rows(120, 60)
    return factorised(rows, rank=25, EXACT_WIDTH=59)


def decaying_rows(examples, width, *, decay=0.75, dtype=np.float32):
    """Rows whose second moment has the eigenvalues 1, decay, decay^2, ..."""
    generator = np.random.default_rng(0)
    left, _ = np.linalg.qr(generator.normal(size=(examples, width)))
    right, _ = np.linalg.qr(generator.normal(size=(width, width)))
    values = decay ** np.arange(width)
    rows = np.sqrt(examples) * (left * np.sqrt(values)) @ right.T
    return rows.astype(dtype), values


def a_hessian(classes, seed=1):
    """Mean of diag(p) - p p^T: semidefinite, flat along equal scores."""
    generator = np.random.default_rng(seed)
    p = generator.dirichlet(np.ones(classes), size=50)
    return np.einsum("ni,ij->ij", p, np.eye(classes)) / 50 - p.T @ p / 50


def test_all_directions_of_narrow_rows_are_those_of_numpy():
    generator = np.random.default_rng(2)
    rows = generator.normal(size=(40, 7)) @ generator.normal(size=(7, 7))
    moment = factorised(rows.astype(np.float32))
    assert moment.vectors.shape == (7, 7)
    assert moment.rest == 0
    expected = rows.T @ rows / 40
    np.testing.assert_allclose(
        moment.values, np.linalg.eigvalsh(expected)[::-1], rtol=1e-4, atol=1e-4
    )
    np.testing.assert_allclose(moment.vectors.T @ moment.vectors, np.eye(7), atol=1e-5)
    size = np.abs(expected).max()
    np.testing.assert_allclose(dense(moment), expected, atol=1e-5 * size)


@pytest.mark.parametrize("is_diagonal", [False, True])
@pytest.mark.parametrize("rank", [7, 4])
def test_solve_equals_the_dense_kronecker_solve(rank, is_diagonal):
    """Exact, and with one value for all directions beyond the rank."""
    rows, _ = decaying_rows(30, 7)
    limits = {} if rank == 7 else {"EXACT_WIDTH": 4}
    moment = factorised(rows, rank=rank, **limits)
    assert moment.vectors.shape == (7, rank)
    classes = factorised_hessian(np.float32(a_hessian(3)))
    of_classes = np.asarray(classes.vectors, np.float64)
    if is_diagonal:
        classes, of_classes = classes._replace(vectors=None), np.eye(3)
    gradient = np.random.default_rng(4).normal(size=(3, 7))
    hessian = (of_classes * np.asarray(classes.values)) @ of_classes.T
    kronecker = np.kron(hessian, dense(moment))
    for l2 in L2S:
        expected = np.linalg.solve(kronecker + l2 * np.eye(21), gradient.ravel())
        found = solve(moment, classes, np.float32(gradient), l2=np.float32(l2))
        np.testing.assert_allclose(
            found, expected.reshape(3, 7), rtol=1e-3, atol=1e-4 * np.abs(expected).max()
        )


@pytest.mark.parametrize("branch", ["exact", "sketch"])
def test_the_stiffest_direction_goes_downhill_however_flat_the_others(branch):
    """Its trace in the others, over l2, must not outweigh it."""
    rows, values = decaying_rows(120, 60, decay=0.3)
    rows = 1000 * rows
    limits = {"exact": {}, "sketch": {"EXACT_WIDTH": 59}}[branch]
    moment = factorised(rows, rank=25, **limits)
    _, vectors = np.linalg.eigh(np.float64(rows).T @ rows)
    stiff = np.outer([1.0, -1.0, 0.0], vectors[:, -1])
    classes = factorised_hessian(np.float32(a_hessian(3)))
    for l2 in (1e-2, 1e-6):
        step = solve(moment, classes, np.float32(stiff), l2=np.float32(l2))
        along = (np.float64(step) * stiff).sum() / 2
        # Between one over the largest and the smallest curvature of classes, times 1e6.
        inverse = 1 / np.asarray(classes.values, np.float64) / 1e6
        assert 0.5 * inverse.min() < along < 2 * inverse.max()


def test_the_mean_hessian_is_kept_but_for_its_flat_directions():
    hessian = a_hessian(4)
    classes = factorised_hessian(np.float32(hessian))
    vectors, values = (np.asarray(leaf, np.float64) for leaf in classes)
    expected = np.linalg.eigvalsh(hessian)
    assert expected[0] < 1e-3 * expected[-1]
    np.testing.assert_allclose(values[0], 1e-3 * expected[-1], rtol=1e-4)
    np.testing.assert_allclose(values[1:], expected[1:], rtol=1e-4)
    # The flat direction is that of equal scores.
    np.testing.assert_allclose(np.abs(vectors[:, 0]), 0.5, rtol=1e-3)
    nothing = factorised_hessian(np.zeros((3, 3), np.float32))
    assert (np.asarray(nothing.values) > 0).all()


def test_a_sketch_finds_the_leading_directions_of_a_decaying_spectrum():
    rows, values = decaying_rows(120, 60)
    moment = sketched()
    assert moment.vectors.shape == (60, 25)
    np.testing.assert_allclose(moment.values[:8], values[:8], rtol=1e-2)
    # A Nystrom approximation never exceeds the matrix.
    assert (np.asarray(moment.values) <= values[:25] * (1 + 1e-4)).all()
    # The rest keeps the trace.
    total = float(np.sum(moment.values) + 35 * moment.rest)
    np.testing.assert_allclose(total, values.sum(), rtol=1e-4)
    exact = np.asarray(rows, np.float64).T @ rows / 120
    found = dense(moment)
    assert np.linalg.norm(found - exact, 2) < 0.02

    # What it is for: (H + l2 I)^-1 as a preconditioner. Without it the condition
    # number is that of the spectrum.
    for l2, largest in ((1e-3, 10.0), (1e-2, 2.0)):
        inverse = np.linalg.inv(found + l2 * np.eye(60))
        spectrum = np.linalg.eigvals(inverse @ (exact + l2 * np.eye(60))).real
        assert spectrum.max() / spectrum.min() < largest
        assert (1 + l2) / (values[-1] + l2) > 50


def test_a_sketch_of_rows_of_low_rank_is_exact():
    generator = np.random.default_rng(7)
    rows = generator.normal(size=(40, 5)) @ generator.normal(size=(5, 12))
    moment = factorised(rows.astype(np.float32), rank=1000, EXACT_WIDTH=1)
    assert moment.vectors.shape == (12, 6)
    exact = rows.T @ rows / 40
    np.testing.assert_allclose(dense(moment), exact, atol=1e-4 * np.abs(exact).max())


def test_a_sketch_is_never_nearly_square():
    """It would be ill-conditioned: width 1025, rank 1024 gave NaN."""
    rows, _ = decaying_rows(120, 60, decay=0.5)
    moment = factorised(rows, rank=59, EXACT_WIDTH=59)
    assert moment.vectors.shape == (60, 30)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(moment))
    np.testing.assert_allclose(moment.values[0], 1, rtol=1e-3)


AWKWARD = {
    "one row": lambda rows: rows[:1],
    "fewer rows than columns": lambda rows: rows[:4],
    "duplicated columns": lambda rows: np.repeat(rows[:, :1], 12, axis=1),
    "constant columns": lambda rows: np.ones_like(rows) * np.arange(12),
    "all zero but the one": lambda rows: np.eye(12)[[11] * 8],
    "large": lambda rows: 1e4 * rows,
    "tiny": lambda rows: 1e-4 * rows,
}


@pytest.mark.parametrize("branch", ["exact", "sketch"])
def test_awkward_rows_give_a_finite_positive_operator(branch, monkeypatch):
    limits = {} if branch == "exact" else {"EXACT_WIDTH": 4}
    generator = np.random.default_rng(5)
    plain = generator.normal(size=(8, 12))
    classes = factorised_hessian(np.float32(a_hessian(3)))
    gradients = np.float32(generator.normal(size=(20, 3, 12)))

    @jax.jit
    def solved(rows):
        moment = preconditioner.second_moment(jax.random.key(0), rows, rank=6)
        return moment, jax.vmap(
            lambda gradient: preconditioner.solve(moment, classes, gradient, l2=1e-2)
        )(gradients)

    for name, limit in limits.items():
        monkeypatch.setattr(preconditioner, name, limit)
    for name, change in AWKWARD.items():
        rows = change(plain)
        # Rows that count for nothing keep one shape, and so one program.
        rows = np.concatenate([rows, np.zeros((8 - len(rows), 12))])
        moment, steps = jax.tree.map(np.asarray, solved(np.float32(rows)))
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(moment)), name
        assert (np.asarray(moment.values) >= 0).all(), name
        assert moment.rest >= 0, name
        assert np.isfinite(steps).all(), name
        inner = np.einsum("kcd,kcd->k", np.float64(gradients), np.float64(steps))
        # Between 1 over the largest curvature and 1 / l2.
        squares = np.einsum("kcd,kcd->k", *[np.float64(gradients)] * 2)
        assert (inner > 0).all(), name
        assert (inner <= 1.01 * squares / 1e-2).all(), name


def test_of_rows_measures_normalised_rows_with_their_one():
    generator = np.random.default_rng(6)
    raw = generator.integers(0, 256, size=(30, 5)).astype(np.uint8)
    fitted = normalization.fit_centered(raw, scale=100.0)
    known = preconditioner.of_rows(
        jax.random.key(1), jnp.asarray(raw), normalization=fitted
    )
    exact = np.c_[(np.float64(raw) - fitted.mean) / 100, np.ones(30)]
    np.testing.assert_allclose(dense(known.moment), exact.T @ exact / 30, atol=1e-5)
    np.testing.assert_allclose(known.norms, np.linalg.norm(exact, axis=1), rtol=1e-5)
    assert sorted(known.sample.tolist()) == list(range(30))
    np.testing.assert_allclose(known.rows, exact[known.sample], rtol=1e-5, atol=1e-6)


def test_sampled_rows_are_drawn_and_not_cut_off(monkeypatch):
    """A sample of rows sorted by class has every class."""
    monkeypatch.setattr(preconditioner, "_MIN_ROWS", 50)
    monkeypatch.setattr(preconditioner, "_MAX_KEPT", 20)
    rows = np.repeat(np.arange(10), 40).astype(np.float32)[:, None]
    known = jax.jit(lambda key: preconditioner.of_rows(key, jnp.asarray(rows)))(
        jax.random.key(0)
    )
    assert known.rows.shape == (20, 2)
    assert len(set(known.sample.tolist())) == 20
    np.testing.assert_array_equal(known.rows[:, 0], rows[known.sample, 0])
    assert len(set(known.rows[:, 0].tolist())) >= 8


@jax.jit
def measure(key, rows, weights):
    return preconditioner.of_rows(key, rows, example_weights=weights)


@pytest.mark.parametrize("num_out", [100, 380])
def test_rows_of_weight_0_are_not_in_the_sample(num_out, monkeypatch):
    """The sample, and so the metric, are those of the other rows alone."""
    monkeypatch.setattr(preconditioner, "_MIN_ROWS", 50)
    monkeypatch.setattr(preconditioner, "_MAX_KEPT", 30)
    generator = np.random.default_rng(7)
    rows = generator.normal(size=(400, 3)).astype(np.float32)
    weights = np.ones(400, np.float32)
    weights[generator.permutation(400)[:num_out]] = 0
    counts = np.flatnonzero(weights)
    rows[weights == 0] = 1e18
    whole = measure(jax.random.key(3), rows, weights)
    alone = measure(jax.random.key(3), rows[counts], weights[counts])
    size = min(30, len(counts))
    sample = np.asarray(whole.sample)[:size]
    np.testing.assert_array_equal(sample, counts[alone.sample])
    np.testing.assert_array_equal(np.asarray(whole.rows)[:size], alone.rows)
    assert not np.asarray(whole.rows)[size:].any()
    np.testing.assert_allclose(dense(whole.moment), dense(alone.moment), atol=1e-5)
    # All of weight 0, as a fold of a fold may be, leave something finite.
    nothing = measure(jax.random.key(3), rows, 0 * weights)
    assert np.isfinite(dense(nothing.moment)).all()


def test_sizes_of_samples():
    assert preconditioner.sample_size(10, 5) == 10
    assert preconditioner.sample_size(10**6, 5) == 4096
    assert preconditioner.sample_size(10**6, 3072) == 2 * 3073
    assert preconditioner.sample_size(10**6, 99_999) == 1000
    assert preconditioner.sample_size(10**6, 10**9) == 1


@pytest.mark.parametrize("rank", [0, -1, 1.5, True])
def test_a_bad_rank_is_refused(rank):
    with pytest.raises(ValueError, match="rank must be"):
        preconditioner.second_moment(jax.random.key(0), jnp.ones((3, 2)), rank=rank)


def test_few_numbers_of_rows_are_kept():
    sizes = [preconditioner.num_kept(size) for size in range(1, 3000)]
    assert sizes == sorted(sizes)
    assert sizes[:16] == [*range(1, 17)]
    assert len(set(sizes)) < 70
    assert sizes[-1] == 2000
    assert preconditioner.num_kept(10**6) == preconditioner.num_kept(4000) == 4000
    for size, kept in enumerate(sizes, 1):
        assert 0.88 * min(size, 1000) <= kept <= size
