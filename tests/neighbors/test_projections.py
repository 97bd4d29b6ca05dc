"""Projections of wide rows: bounds below every distance; searches that stay exact."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlin import neighbors
from jaxlin.neighbors import distances, projections, scan, search
from tests.neighbors.test_search import assert_nearest, draw_rows

WIDTH = 64


def draw_images(draw, count):
    """Rows that few directions nearly determine, as those of images are."""
    parts = draw.normal(size=(count, 3)) @ draw.normal(size=(3, WIDTH))
    noisy = 128 + 40 * parts + draw.normal(size=(count, WIDTH))
    return np.clip(np.round(noisy), 0, 255).astype(np.uint8)


def kinds_of_rows():
    draw = np.random.default_rng(0)
    extreme = 255 * draw.integers(0, 2, (256, WIDTH), dtype=np.uint8)
    extreme[:4] = [[0], [255], [127], [128]]
    return {
        "images": draw_images(draw, 256),
        "noise": draw.integers(0, 256, (256, WIDTH), dtype=np.uint8),
        "extreme": extreme,
        "constant": np.full((256, WIDTH), 7, np.uint8),
        "few values": draw_rows(np.random.default_rng(6), np.uint8, 256, WIDTH),
    }


KINDS = kinds_of_rows()
moved = functools.partial(scan.transform_block, transform=projections.project)
keys = jax.jit(projections.MEASURE.keys)


def exact_squares(queries, rows):
    # Row by row: all differences of wide rows would fill the memory.
    rows = rows.astype(np.int64)
    return np.stack([np.square(rows - query).sum(axis=1) for query in queries])


@pytest.mark.parametrize("kind", KINDS)
def test_no_direction_stretches(kind):
    screen = projections.screen(KINDS[kind])
    assert screen.directions.shape == (WIDTH // 8, WIDTH)
    factors = np.asarray(screen.factors, np.float64)[:, None]
    directions = factors * np.asarray(screen.directions, np.float64)
    largest = np.linalg.svd(directions, compute_uv=False)[0]
    assert 0.999 < largest <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_bounds_are_below_every_distance(kind):
    rows = KINDS[kind]
    # Directions of other rows are as right, and less tight.
    for of in (kind, "images"):
        screen = projections.screen(KINDS[of])
        found = moved(screen, rows)
        bounds = np.asarray(keys(screen, found, found), np.float64)
        exact = exact_squares(rows, rows)
        assert (bounds <= exact).all()
        # And by little, where the directions miss little.
        if kind == of == "images":
            lost = (exact - bounds)[exact > 0] / exact[exact > 0]
            assert np.median(lost) < 0.02


def test_the_remainder_makes_bounds_tighter():
    # A row far from all directions, and one within them.
    rows = KINDS["images"].copy()
    screen = projections.screen(rows)
    rows[0, ::2], rows[0, 1::2] = 255, 0
    found = np.asarray(moved(screen, rows))
    both = np.asarray(keys(screen, found, found))[0, 1:]
    projection = found[:, : WIDTH // 8].astype(np.float64)
    alone = np.square(projection[0] - projection[1:]).sum(axis=1)
    exact = exact_squares(rows[:1], rows[1:])[0]
    assert (both > alone + 0.3 * (exact - alone)).all()


@pytest.fixture
def always(monkeypatch):
    """Uses projections for any number of rows; counts the queries searched in full."""
    monkeypatch.setattr(projections, "is_worthwhile", lambda *_, k: True)
    in_full, counts = search._in_integers, []

    def counted(metric, part, k, **options):
        counts.append(len(part.queries))
        return in_full(metric, part, k, **options)

    monkeypatch.setattr(search, "_in_integers", counted)
    return counts


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("k", [1, 9, 256])
def test_searches_stay_exact(kind, k, always):
    rows = KINDS[kind]
    found = neighbors.nearest(rows, rows[:8], metric=distances.squared_euclidean, k=k)
    assert found.distances.dtype == np.int32
    assert_nearest(found, rows, rows[:8], "squared")
    # Where rows have projections worth the name, no query is left to the full search.
    if kind == "images" and k < 256:
        assert always == []


def test_queries_that_shadows_leave_open_are_searched_in_full(always):
    rows = KINDS["extreme"]
    found = neighbors.nearest(rows, rows[:8], metric=distances.euclidean, k=1)
    assert_nearest(found, rows, rows[:8], "euclidean")
    rows = KINDS["noise"]
    found = neighbors.nearest(rows, rows[:8], metric=distances.euclidean, k=9)
    assert_nearest(found, rows, rows[:8], "euclidean")
    assert 0 < sum(always) <= 8


def test_leave_one_out_and_folds(always):
    rows = KINDS["images"]
    folds = np.random.default_rng(2).integers(0, 5, len(rows))
    for groups in (None, folds):
        found = neighbors.nearest_others(
            rows, metric=distances.squared_euclidean, k=9, groups=groups
        )
        own = np.arange(len(rows)) if groups is None else groups
        hidden = own[:, None] == own[None, :]
        assert_nearest(found, rows, rows, "squared", hidden=hidden)


def test_who_is_worth_it():
    rows = np.broadcast_to(np.uint8(0), (50_000, 3072))
    assert projections.is_worthwhile(2000, rows, k=10)
    assert not projections.is_worthwhile(1500, rows, k=10)
    assert not projections.is_worthwhile(2000, rows[:16_000], k=10)
    assert not projections.is_worthwhile(2000, rows[:, :784], k=10)
    assert not projections.is_worthwhile(2000, rows, k=50)


@pytest.mark.full
def test_bounds_of_wide_rows_are_below_every_distance():
    # As wide as CIFAR-10: 384 directions, sums of as many squares.
    draw = np.random.default_rng(3)
    smooth = draw.normal(size=(2000, 60)) @ draw.normal(size=(60, 3072))
    noise = draw.normal(size=(2000, 3072))
    for noisy in (0, 2, 40):
        rows = np.clip(np.round(128 + 9 * smooth + noisy * noise), 0, 255)
        rows = np.concatenate([rows, [[0] * 3072, [255] * 3072]]).astype(np.uint8)
        found = moved(projections.screen(rows), rows)
        bounds = np.asarray(keys(None, found[-100:], found), np.float64)
        exact = exact_squares(rows[-100:], rows)
        assert (bounds <= exact).all()


@pytest.mark.parametrize("platform", ["cpu", "cuda", "tpu"])
def test_shadows_lower_for_every_platform(platform):
    rows = jax.ShapeDtypeStruct((256, WIDTH), jnp.uint8)
    screen = projections.Screen(
        jax.ShapeDtypeStruct((8, WIDTH), jnp.int8),
        jax.ShapeDtypeStruct((8,), jnp.float32),
    )
    scan.transform_block.trace(screen, rows, transform=projections.project).lower(
        lowering_platforms=(platform,)
    )
    found = jax.ShapeDtypeStruct((256, 8 + 2), jnp.float32)
    keys.trace(screen, found, found).lower(lowering_platforms=(platform,))
