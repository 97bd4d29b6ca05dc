"""Functions that take rows, for the tests of inputs."""

import jax
from input_rows import LABELS, ROWS

import jaxlin
from jaxlin import linear_probe, losses, normalization
from jaxlin.objective import row_blocks

KEY = jax.random.key(0)
SOFTMAX = losses.softmax_cross_entropy
FIT = jaxlin.fit(ROWS, LABELS, loss=SOFTMAX, l2=0.1)


def fit(rows):
    found = jaxlin.fit(rows, LABELS, loss=SOFTMAX, l2=0.1)
    return found.params, found.certificate


def fit_of_blocks(rows):
    blocks = row_blocks.over(rows, LABELS, block_size=20)
    return jaxlin.fit(blocks, loss=SOFTMAX, l2=0.1).params


def fit_of_a_list_of_blocks(rows):
    blocks = [(rows[:24], LABELS[:24]), (rows[24:], LABELS[24:])]
    return jaxlin.fit(blocks, loss=SOFTMAX, l2=0.1).params


def evaluation(rows):
    found = jaxlin.evaluate(FIT, rows, LABELS)
    return found.example_log_losses, found.accuracy, found.optimum


def probe(rows):
    found = jaxlin.probe(KEY, rows, LABELS, rows, LABELS, l2s=(0.1,), validation=None)
    return found.fit.params, found.test.example_log_losses


def few_shot(rows):
    found = linear_probe.few_shot(
        KEY, rows, LABELS, rows, LABELS, num_shots=9, num_draws=1, l2s=(0.1,)
    )
    return found.results[0].fit.params


def multilabel_probe(rows):
    found = linear_probe.multilabel_probe(
        KEY, rows, ROWS[:, :2] > 2, rows, ROWS[:, :2] > 2, l2s=(0.1,), validation=None
    )
    return found.fits.params


DOORS = {
    "fit": fit,
    "blocks": fit_of_blocks,
    "list of blocks": fit_of_a_list_of_blocks,
    "scores": lambda rows: jaxlin.scores(FIT, rows),
    "predict": lambda rows: jaxlin.predict(FIT, rows),
    "probabilities": lambda rows: jaxlin.probabilities(FIT, rows),
    "certified labels": lambda rows: jaxlin.certified_labels(FIT, rows),
    "evaluate": evaluation,
    "standardise": normalization.fit_standard,
    "probe": probe,
    "few shot": few_shot,
    "multilabel probe": multilabel_probe,
}
