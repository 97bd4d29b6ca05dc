"""Errors decomposed: the numbers of a run, stopped and resumed, bad settings."""

import csv
import dataclasses
import functools
import math
import types

import jax
import numpy as np
import pytest
from run_helpers import run_study, stopped_at_a_save

import jaxlin
from experiments.common import draws
from experiments.error_decomposition import convex, network, summary
from experiments.error_decomposition.config import SMOKE
from jaxlin import data
from jaxlin.io import checkpoint
from jaxlin.stats.intervals import Interval

run = functools.partial(run_study, "error_decomposition")


@pytest.fixture(scope="module")
def smoke(finished_study):
    """A run."""
    return finished_study("error_decomposition").run


@pytest.mark.full
def test_what_a_run_says(smoke):
    assert list(smoke.numbers("summary")["classes"]) == ["network", "patches"]
    # One on all examples, six on halves, four on quarters, three resamples.
    for name, fits in (("patches", 14), ("network", 8)):
        found = smoke.numbers(name)
        assert found["certified"] == found["fits"] == fits
        assert found["largest_relative_gap"] <= SMOKE.relative_gap


@pytest.mark.full
def test_terms_of_the_table_add_up_to_the_test_error(smoke):
    with open(smoke.folder.path / "results.csv") as file:
        rows = {
            (row["class"], row["loss"], row["term"]): row
            for row in csv.DictReader(file)
        }
    assert len(rows) == 2 * 2 * 5
    for name in SMOKE.classes:
        archive = {}
        if name != "network":
            archive = smoke.arrays(name)
        for kind in ("surrogate", "zero_one"):
            values = {
                term: float(rows[name, kind, term]["value"])
                for term in ("error", *summary.TERMS)
            }
            parts = sum(values[term] for term in summary.TERMS)
            # The reference of the digits is an error of 0.
            assert values["error"] == pytest.approx(parts)
            if archive:
                expected = archive[f"trained-{kind}"].mean()
                assert values["error"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.full
def test_sgd_is_above_the_proven_minimum(smoke):
    one = smoke.numbers("patches")
    low, high = one["optimisation_on_objective"]
    assert 0 < low <= high
    assert one["objective_trained"] - one["objective"] == pytest.approx(low)
    # The dual value is less than the gap below, by what float32 may round.
    assert high - low <= (SMOKE.relative_gap + 2e-5) * one["objective"]


@pytest.mark.full
def test_stopped_in_a_network_and_resumed_it_is_the_same_run(smoke, tmp_path):
    out = tmp_path / "run"
    # In the middle of the second network: the first epoch of two is saved.
    with stopped_at_a_save(3, before=False):
        run(out=out)
    assert (out / "parts" / "network-0-whole.json").exists()
    assert not (out / "parts" / "network-0-half-0.json").exists()
    epochs = [checkpoint.load_metadata(path) for path in out.glob("checkpoint-*")]
    assert {"epochs": 1} in epochs
    again = run(resume=out).run
    assert again.numbers("summary") == smoke.numbers("summary")
    for name in ("results.csv", "config.json"):
        assert (out / name).read_bytes() == (smoke.folder.path / name).read_bytes()
    # A finished run trains nothing: its checkpoints are not even looked at.
    for path in out.glob("checkpoint-*"):
        path.unlink()
    again = run(resume=out).run
    assert again.numbers("summary") == smoke.numbers("summary")
    assert not list(out.glob("checkpoint-*"))


@pytest.mark.full
def test_training_lowers_the_loss_and_only_members_matter(smoke):
    images, _ = network.images_of(data.load("digits"))
    still = {"weight_decay": 0.0, "dropout": 0.0, "shift": 0}
    config = dataclasses.replace(SMOKE, learning_rate=3e-2, epochs=12, **still)
    members = np.arange(200)
    state = network.init(jax.random.key(0), config, images, 10)
    damaged = images._replace(pixels=images.pixels.at[200:].set(255))
    losses, others = [], []
    for which, found in ((images, losses), (damaged, others)):
        now = jax.tree.map(jax.numpy.copy, state)
        for epoch in range(config.epochs):
            now, loss = network.one_epoch(
                jax.random.key(1), epoch, now, which, members, config
            )
            found.append(loss)
    assert losses == others
    assert losses[-1] < losses[0] - 0.5


def test_augmentation_moves_and_mirrors():
    image = np.random.default_rng(0).normal(size=(6, 5, 2)).astype(np.float32)
    padded = np.pad(image, ((1, 1), (1, 1), (0, 0)))
    moved = [padded[i : i + 6, j : j + 5] for i in range(3) for j in range(3)]
    expected = moved + [one[:, ::-1] for one in moved]
    keys = jax.random.split(jax.random.key(0), 400)
    found = jax.vmap(
        lambda key: network.augmented(
            key, jax.numpy.asarray(image), shift=1, flips=True
        )
    )(keys)
    which = [
        next(i for i, one in enumerate(expected) if np.array_equal(one, each))
        for each in np.asarray(found)
    ]
    counts = np.bincount(which, minlength=18)
    assert counts.min() > 5


@pytest.mark.parametrize(
    ("interval", "change"),
    [
        ([0.0, 0.01], "falls"),
        ([0.1, 0.5], "not measurably"),
        ([0.8, 0.9], "rises"),
    ],
)
def test_the_trade_follows_intervals(interval, change):
    def of(interval):
        term = types.SimpleNamespace(interval=Interval(*interval))
        return {"zero_one": {"modelling": term, "estimation": term}}

    found = summary.trade({"pixels": of([0.2, 0.4]), "patches": of(interval)})
    assert found == {"modelling": change, "estimation": change}
    assert summary.trade({"pixels": of([0.2, 0.4])}) is None


def test_sgd_that_diverges_at_every_rate_is_refused():
    config = dataclasses.replace(SMOKE, train_examples=60, test_examples=500)
    rows, labels = draws.reduced(config, data.load("digits")).train
    problem = jaxlin.problem(np.float32(rows) / 16, labels, classes=range(10))
    for rates in ((1e30, 1e29), (1e30, 1e3)):
        config = dataclasses.replace(
            SMOKE, sgd_learning_rates=rates, batch_size=15, sgd_epochs=2
        )
        with pytest.raises(ValueError, match=r"does not diverge, got .* began at 2\.3"):
            convex.by_sgd(config, problem, 0.1)
    for rates in ((1e-9, 1e3), (1e30, 1e-9)):
        config = dataclasses.replace(config, sgd_learning_rates=rates)
        found = float(convex.by_sgd(config, problem, 0.1).certificate.primal)
        assert found == pytest.approx(math.log(10), rel=1e-3)


@pytest.mark.full
def test_all_three_classes(tmp_path):
    linear_model = pytest.importorskip("sklearn.linear_model")
    classes = ("pixels", "patches", "network")
    made = run(dataclasses.replace(SMOKE, classes=classes), out=tmp_path / "run").run
    found = made.numbers("summary")["classes"]
    assert set(found) == set(classes)
    pixels = made.numbers("pixels")
    assert pixels["features"] == 64
    # The proven bounds hold the minimum that scikit-learn finds in float64.
    rows, labels = draws.reduced(made.config, data.load("digits")).train
    rows = np.hstack([(rows - rows.mean(axis=0)) / 16, np.ones((len(rows), 1))])
    fit = linear_model.LogisticRegression(
        C=1 / (pixels["l2"] * len(rows)), fit_intercept=False, tol=1e-10, max_iter=10**4
    ).fit(rows, labels)
    probabilities = fit.predict_proba(rows)[np.arange(len(rows)), labels]
    penalty = pixels["l2"] / 2 * np.sum(fit.coef_**2)
    low, high = pixels["optimisation_on_objective"]
    minimum = penalty - np.mean(np.log(probabilities))
    assert pixels["objective"] - (high - low) <= minimum <= pixels["objective"]
    page = (tmp_path / "run" / "report.html").read_text()
    assert made.numbers("summary")["trade"].keys() == {"modelling", "estimation"}
    assert "from pixels to patches" in page
    assert "64 to 64" in page
