"""The table that contract tests of conjugates run over, and random cases of it."""

import functools
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest
import references

from jaxlin import losses
from jaxlin.losses import conjugates

MARGIN = 0.7


class Entry(NamedTuple):
    """A loss, a plain reference of it and the domain of its conjugate's duals."""

    loss: Any
    reference: Any
    # (generator, classes, label) to random duals, often on the boundary.
    draw: Any
    # classes to the largest |g|^2 of the domain; None for a smooth loss.
    largest_square: Any = None
    # classes to a bound of the excess over the smoothing, for dual_center 0.
    largest_excess: Any = None

    @property
    def conjugate(self):
        return conjugates.of(self.loss)

    @property
    def arguments(self):
        has_margin = "hinge" in self.loss.__name__
        return {"margin": MARGIN} if has_margin else {}

    def target(self, generator, classes):
        label = int(generator.integers(classes))
        if self.loss is not losses.cross_entropy:
            return label, label
        target = generator.dirichlet(np.full(classes, 0.5))
        target[label] = 0
        return label, target / target.sum()


def squared(scores, label, margin):
    return references.weston_watkins(scores, label, margin, power=2)


def in_box(generator, classes, label):
    g = np.clip(generator.uniform(-0.5, 1.5, size=classes), 0, 1)
    g[label] = 0
    return g


def in_whole_box(generator, classes, label):
    return np.clip(generator.uniform(-0.5, 1.5, size=classes), 0, 1)


def not_negative(generator, classes, label):
    g = np.maximum(generator.normal(size=classes) * 2, 0)
    g[label] = 0
    return g


def on_simplex(generator, classes, label):
    q = generator.dirichlet(np.full(classes, 0.5))
    q[generator.uniform(size=classes) < 0.3] = 0
    if generator.uniform() < 0.2 or q.sum() == 0:
        q = np.eye(classes)[generator.integers(classes)]
    return q / q.sum()


def in_capped_simplex(generator, classes, label):
    """Rest of a distribution after the right class is struck out."""
    q = on_simplex(generator, classes, label)
    q[label] = 0
    if generator.uniform() < 0.4 and q.sum() > 0:
        q /= q.sum()
    return q


ENTRIES = {
    entry.loss.__name__: entry
    for entry in (
        Entry(
            losses.weston_watkins_hinge,
            references.weston_watkins,
            in_box,
            largest_square=lambda classes: classes - 1,
            largest_excess=lambda classes: (classes - 1) / 4,
        ),
        Entry(losses.weston_watkins_squared_hinge, squared, not_negative),
        Entry(
            losses.crammer_singer_hinge,
            references.crammer_singer,
            in_capped_simplex,
            largest_square=lambda classes: 1,
            largest_excess=lambda classes: 1 / 2,
        ),
        Entry(
            losses.one_vs_rest_hinge,
            references.one_vs_rest,
            in_whole_box,
            largest_square=lambda classes: classes,
            largest_excess=lambda classes: classes / 4,
        ),
        Entry(
            losses.softmax_cross_entropy, references.softmax_cross_entropy, on_simplex
        ),
        Entry(losses.cross_entropy, references.cross_entropy, on_simplex),
    )
}


def over(entries):
    return pytest.mark.parametrize("entry", entries, ids=lambda e: e.loss.__name__)


SMOOTH = [entry for entry in ENTRIES.values() if entry.largest_square is None]
HINGES = [entry for entry in ENTRIES.values() if entry.largest_square is not None]
every_entry = over(list(ENTRIES.values()))
every_smooth_entry = over(SMOOTH)
every_hinge = over(HINGES)
# Every number of classes is a program of its own.
over_sizes = pytest.mark.parametrize(
    "sizes", [(3,), pytest.param((2, 3, 10, 100), marks=pytest.mark.full)]
)
over_small_sizes = pytest.mark.parametrize(
    "sizes", [(3,), pytest.param((2, 3, 5), marks=pytest.mark.full)]
)


def over_dtypes(*dtypes):
    """Each loss with one of them, in turn; with all of them in the long run."""
    return pytest.mark.parametrize(
        ("entry", "dtype"),
        [
            pytest.param(
                entry,
                dtype,
                id=f"{entry.loss.__name__}-{dtype.__name__}",
                marks=[] if i % len(dtypes) == j else [pytest.mark.full],
            )
            for i, entry in enumerate(ENTRIES.values())
            for j, dtype in enumerate(dtypes)
        ],
    )


def cases(entry, seed, sizes, count=24, scales=(0.3, 3.0, 300.0)):
    """Scores, target, label and duals, in NumPy float64."""
    generator = np.random.default_rng(seed)
    for i in range(count):
        classes = sizes[i % len(sizes)]
        label, target = entry.target(generator, classes)
        scores = generator.normal(size=classes) * scales[i // len(sizes) % len(scales)]
        yield scores, target, label, entry.draw(generator, classes, label)


@functools.cache
def point_and_value(entry):
    """Point of a target and duals, and the value of the conjugate there."""

    def both(target, duals):
        return (
            entry.conjugate.score_gradient(target, duals),
            entry.conjugate.value(target, duals, **entry.arguments),
        )

    return jax.jit(both)


def definition(entry, scores, target, duals):
    """Loss plus conjugate minus inner product: the Fenchel-Young term as defined."""
    point, value = map(np.asarray, point_and_value(entry)(target, duals))
    loss = entry.reference(scores, target, **entry.arguments)
    return loss + value - point @ scores


def everything(entry, scores, target, dual_center, smoothing, arguments):
    """All five functions at the duals of the smoothed loss."""
    conjugate, more = entry.conjugate, {"smoothing": smoothing, **arguments}
    duals = conjugate.duals(scores, target, dual_center, **more)
    return (
        duals,
        conjugate.score_gradient(target, duals),
        conjugate.value(target, duals, **arguments),
        conjugate.excess(scores, target, duals, **arguments),
        conjugate.smoothed(scores, target, duals, dual_center, **more),
    )
