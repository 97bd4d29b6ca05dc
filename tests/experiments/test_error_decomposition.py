"""Errors decomposed: a run, its networks, and terms of losses drawn at random."""

import dataclasses
import functools
import math
import types

import jax
import numpy as np
import pytest
from run_helpers import assert_same, run_study, stopped_at_a_save, table

import jaxlin
from experiments.common import cli, draws, open_run, run_folder
from experiments.common.config import check
from experiments.common.files import json_ready
from experiments.common.study import Measured
from experiments.error_decomposition import config as settings
from experiments.error_decomposition import convex, network, summary
from experiments.error_decomposition.config import DIGITS, SMOKE, Config
from jaxlin import data, linear
from jaxlin.io import checkpoint
from jaxlin.stats.intervals import Interval

run = functools.partial(run_study, "error_decomposition")


@pytest.fixture(scope="module")
def smoke(finished_study):
    """A run."""
    return finished_study("error_decomposition").run


@pytest.mark.full
def test_terms_of_the_table_add_up_to_the_test_error(smoke):
    assert list(smoke.numbers("summary")["classes"]) == ["network", "patches"]
    values = {
        (row["class"], row["loss"], row["term"]): float(row["value"])
        for row in table(smoke.folder.path)
    }
    assert len(values) == 2 * 2 * 5
    # One on all examples, six on halves, four on quarters, three resamples.
    for name, fits in (("patches", 14), ("network", 8)):
        found = smoke.numbers(name)
        assert found["certified"] == found["fits"] == fits
        assert found["largest_relative_gap"] <= SMOKE.relative_gap
        for kind in ("surrogate", "zero_one"):
            error = values[name, kind, "error"]
            # The reference of the digits is an error of 0.
            parts = sum(values[name, kind, term] for term in summary.TERMS)
            assert error == pytest.approx(parts)
            if name == "patches":
                expected = smoke.arrays(name)[f"trained-{kind}"].mean()
                assert error == pytest.approx(expected, rel=1e-5)


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
    run(resume=out)
    assert_same(out, smoke.folder.path)
    # A finished run trains nothing: its checkpoints are not even looked at.
    for path in out.glob("checkpoint-*"):
        path.unlink()
    run(resume=out)
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


# Terms of losses drawn at random, and what is known of CIFAR-10


def of_random(config=DIGITS, *, halves=0.3, seeds=3):
    """Results of two classes, of losses drawn at random."""
    random = np.random.default_rng(0)

    def losses(*shape, level):
        drawn = random.exponential(size=(*shape, 400)) * level
        return {"surrogate": drawn, "zero_one": drawn > 0.7}

    found = {}
    for name, runs in (("patches", 1), ("network", seeds)):
        parts = {
            "trained": losses(runs, level=0.28),
            "optimum": losses(runs, level=0.25),
            "halves": losses(runs if runs > 1 else 3, 2, level=halves),
            "quarters": losses(4, level=0.4),
        }
        arrays = {
            f"{part}-{kind}": both[kind]
            for part, both in parts.items()
            for kind in both
        }
        found[name] = Measured({}, arrays)
    return summary.results(config, found, num_classes=10)


def test_what_is_known_of_cifar10_is_said_of_it_alone():
    other = Config(dataset="noise.npz")
    given = dataclasses.replace(other, published_error=0.02, human_error=0.1)
    for config, errors, sources in (
        (Config(), (0.005, 0.06), ("ViT-H/14", "A. Karpathy")),
        (Config(human_error=0), (0.005, 0), ("ViT-H/14", None)),
        (other, (0.0, 0.0), (None, None)),
        (given, (0.02, 0.1), (None, None)),
    ):
        found = of_random(config)
        assert found["reference"]["zero_one"] == (0.0, errors[0])
        names = ("published_error", "human_error")
        assert tuple(settings.known(config, name)[0] for name in names) == errors
        for name, words in zip(("published_by", "human_by"), sources, strict=True):
            assert (words or "") in (found[name] or "")
            assert bool(words) == bool(found[name])
    assert of_random(other)["reference"]["surrogate"] == (0.0, 0.0)


def test_a_run_that_names_the_numbers_of_cifar10_can_be_resumed(tmp_path):
    # As config.json of a default run has it, since both depend on the data set.
    old = {**json_ready(Config()), "published_error": 0.005, "human_error": 0.06}
    folder = run_folder.create(tmp_path / "run", config=old)
    config, options = cli.parse(
        Config(),
        smoke=SMOKE,
        of_dataset={DIGITS.dataset: DIGITS},
        arguments=["--resume", str(folder.path)],
    )
    assert json_ready(check(config)) == old
    open_run.resume_run(options.resume, config=json_ready(config))
    for name in ("published_error", "human_error"):
        assert settings.known(config, name) == settings.known(Config(), name)


def test_of_a_network_only_the_sum_is_measured():
    linear, network = (
        of_random()["classes"][name]["zero_one"] for name in ("patches", "network")
    )
    assert linear["split"] == "measured"
    assert network["split"] == "between bounds"
    together = sum(network[term].value for term in summary.TERMS)
    irreducible = sum(network["reference"]) / 2
    assert together + irreducible == pytest.approx(network["error"].value)
    low, high = network["estimation"].interval
    assert low < network["estimation"].value < high


def test_a_network_whose_error_does_not_fall_has_no_split():
    terms = of_random(halves=0.25, seeds=2)["classes"]["network"]["zero_one"]
    assert terms["split"] == "not measurable"


@pytest.mark.parametrize(
    ("exponent", "in_doubt"),
    [(-1.609, True), (math.nan, True), (0.9, False), (0.5, False), (2.1, True)],
)
def test_an_exponent_far_from_1_is_a_doubt(exponent, in_doubt):
    assert summary.is_in_doubt(exponent) == in_doubt
    # Of networks theory says nothing.
    network = of_random(halves=0.25, seeds=2)["classes"]["network"]
    assert not network["zero_one"]["in_doubt"]
    assert not network["surrogate"]["in_doubt"]


@pytest.mark.full
@pytest.mark.cifar10
def test_a_network_of_the_default_recipe_reaches_70_percent(real_cifar10, tmp_path):
    config = Config()
    train, test = network.images_of(real_cifar10)
    folder = run_folder.create(tmp_path / "run", config={})
    everything = np.arange(len(train.labels))
    made, _ = network.trained(
        folder, "network", config, jax.random.key(1), train, 10, everything
    )
    rows = network.features(made.body, test)
    predicted = jax.numpy.argmax(
        jax.vmap(linear.scores, (None, 0))(made.head, rows), axis=1
    )
    # How long it takes is printed by the training (`-s -n 0`), since machines differ.
    assert jax.numpy.mean(predicted == test.labels) >= 0.70
