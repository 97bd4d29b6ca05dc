"""Random cases of losses, and programs that take all of them at once."""

import functools

import jax
import numpy as np


def random_cases(seed, count=42):
    generator = np.random.default_rng(seed)
    for i in range(count):
        classes = (2, 10)[i % 2]
        yield generator.normal(size=classes) * 3, int(generator.integers(classes))


def in_batches(cases):
    """Cases of as many classes as arrays: all of them are one call of one program."""
    cases = list(cases)
    sizes = sorted({len(scores) for scores, _ in cases})
    of_size = [[case for case in cases if len(case[0]) == size] for size in sizes]
    return [tuple(map(np.array, zip(*some, strict=True))) for some in of_size]


def one_by_one(*batches):
    """Rows of batches of one form, a batch of each of ``batches`` after another."""
    for parts in zip(*batches, strict=True):
        yield from zip(*(np.asarray(x) for part in parts for x in part), strict=True)


@functools.cache
def of_batches(loss):
    """Value and gradient for every case of every batch, compiled as a whole."""
    one = jax.vmap(jax.value_and_grad(loss))
    return jax.jit(lambda batches: [one(*batch) for batch in batches])
