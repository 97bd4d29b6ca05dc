"""What a run yields is complete, agrees with plain NumPy and was made by the rules."""

import base64
import json
import math

import jax
import numpy as np
import plain_numpy
import pytest
import run_helpers
import sealed_data
from run_helpers import HINGE, METHODS, MINIBATCH, SOFTMAX, STAGES

import jaxlin
from experiments.svm_vs_softmax import protocol
from jaxlin import data


@pytest.fixture(scope="module")
def examples(smoke_run):
    with np.load(smoke_run.path / "per_example.npz", allow_pickle=False) as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def table(smoke_run):
    return run_helpers.table(smoke_run.path)


def correct(examples, name):
    return examples[f"{name}_predictions"] == examples["labels"]


# The run folder


def test_every_file_is_there(drawn_run):
    expected = {"config.json", "environment.json", "data.json", "STATUS", "figures"}
    expected |= {"metrics.jsonl", "results.json", "results.csv", "per_example.npz"}
    expected |= {"report.html", *(f"checkpoint-{stage}.npz" for stage in STAGES)}
    expected |= {f"model-{name}-{seed}.npz" for name in METHODS for seed in range(2)}
    assert {path.name for path in drawn_run.path.iterdir()} == expected
    assert (drawn_run.path / "STATUS").read_text() == "done\n"
    figures = {path.stem for path in (drawn_run.path / "figures").iterdir()}
    both = {f"{kind}-{name}" for name in METHODS for kind in ("templates", "only")}
    assert figures == both | {
        *("tuning", "learning_curves", "per_class", "confusion", "calibration"),
    }


def test_it_prints_the_first_losses_the_verdict_and_last_the_report(smoke_run):
    lines = smoke_run.printed.splitlines()
    assert lines[-1] == str(smoke_run.path / "report.html")
    assert any("expected C - 1 = 9.0000" in line for line in lines)
    assert any("expected log C = 2.3026" in line for line in lines)
    found = run_helpers.results(smoke_run.path)
    for name in METHODS:
        accuracy = f"{100 * found['losses'][name]['test_accuracy']:.2f} %"
        assert any(line.startswith(name) and accuracy in line for line in lines)


def test_data_are_described_by_counts_and_hashes(smoke_run, digits):
    facts = json.loads((smoke_run.path / "data.json").read_text())
    assert facts == data.summary(digits)
    for split in ("train", "test"):
        for field in ("features", "labels"):
            assert len(facts[split][field]["sha256"]) == 64


def test_metrics_have_every_chunk_of_every_stage_once(smoke_run):
    found = run_helpers.metrics(smoke_run.path)
    assert [(one["stage"], one["epoch"]) for one in found] == [
        (stage, epoch) for stage in STAGES for epoch in (2, 4)
    ]
    for one in found:
        is_grid = one["stage"].endswith("grid")
        assert np.shape(one["mean_loss"]) == ((2, 4) if is_grid else (2,))
        assert ("validation_accuracy" in one) == is_grid


def test_training_lowers_the_loss_from_that_of_zero_weights(smoke_run):
    first = run_helpers.results(smoke_run.path)["losses"]
    assert abs(first[HINGE]["first_loss"] - 9) < 0.01
    assert abs(first[SOFTMAX]["first_loss"] - math.log(10)) < 0.001
    for one in run_helpers.metrics(smoke_run.path):
        name = one["stage"].rpartition("-")[0]
        assert np.max(one["mean_loss"]) < first[name]["first_loss"]


def test_report_holds_its_pictures_and_the_numbers_of_the_run(drawn_run):
    page = run_helpers.Page((drawn_run.path / "report.html").read_text())
    assert all(one.startswith(("data:", "#")) for one in page.references)
    shown = {base64.b64decode(image.partition(",")[2]) for image in page.images}
    drawn = {path.read_bytes() for path in (drawn_run.path / "figures").iterdir()}
    assert shown == drawn
    found = run_helpers.results(drawn_run.path)
    for name in METHODS:
        assert f"{100 * found['losses'][name]['test_accuracy']:.2f} %" in page.text
    assert f"{100 * found['comparison']['difference']:+.2f}" in page.text
    # A placeholder that was never filled in.
    assert "{" not in page.text


# Results against plain NumPy


def test_results_have_what_others_rely_on(smoke_run):
    found = run_helpers.results(smoke_run.path, timing=True)
    assert (found["dataset"], found["num_train"], found["num_test"]) == (
        *("digits", 1297, 500),
    )
    assert found["losses"].keys() == set(METHODS)
    for one in found["losses"].values():
        assert one["seeds"] == 2
        assert one["test_accuracy_interval"]["low"] <= one["test_accuracy"]
        assert one["test_accuracy_interval"]["high"] >= one["test_accuracy"]
        for field in ("validation_accuracy", "l2", "learning_rate"):
            assert one[field] > 0
    paired = found["comparison"]
    assert paired["interval"]["low"] <= paired["difference"]
    assert paired["interval"]["high"] >= paired["difference"]
    assert found["timing"]["compile"] > 0
    assert found["timing"]["run"] > 0
    for kind in ("compile", "run"):
        parts = [part[kind] for part in found["timing"]["parts"].values()]
        assert found["timing"][kind] == pytest.approx(sum(parts))


@pytest.mark.parametrize("name", METHODS)
def test_accuracies_are_means_over_examples_and_seeds(smoke_run, examples, name):
    one = run_helpers.results(smoke_run.path)["losses"][name]
    right = correct(examples, name)
    assert right.shape == (2, 500)
    per_seed = [sum(map(bool, row)) / 500 for row in right]
    assert one["test_accuracy"] == pytest.approx(sum(per_seed) / 2, rel=1e-12)
    assert one["test_accuracy_first_seed"] == pytest.approx(per_seed[0], rel=1e-12)
    deviation = abs(per_seed[0] - per_seed[1]) / math.sqrt(2)
    assert one["test_accuracy_standard_deviation"] == pytest.approx(deviation, abs=1e-9)
    # The bootstrap against the normal approximation that 500 examples allow.
    error = right.mean(axis=0).std() / math.sqrt(500)
    interval = one["test_accuracy_interval"]
    width = interval["high"] - interval["low"]
    assert width == pytest.approx(2 * 1.96 * error, rel=0.15)


def test_comparison_is_of_the_first_seeds_and_exact(smoke_run, examples):
    paired = run_helpers.results(smoke_run.path)["comparison"]
    svm, softmax = (correct(examples, name)[0] for name in METHODS)
    only_svm = sum(a and not b for a, b in zip(svm, softmax, strict=True))
    only_softmax = sum(b and not a for a, b in zip(svm, softmax, strict=True))
    assert paired["only_svm_right"] == only_svm
    assert paired["only_softmax_right"] == only_softmax
    assert paired["discordant"] == only_svm + only_softmax > 0
    assert paired["difference"] == pytest.approx((only_softmax - only_svm) / 500)
    exact = run_helpers.mcnemar_p(int(only_svm), int(only_softmax))
    assert paired["mcnemar_p"] == pytest.approx(exact, rel=1e-9)
    same = examples[f"{HINGE}_predictions"][0] == examples[f"{SOFTMAX}_predictions"][0]
    assert paired["agreement"] == pytest.approx(same.mean())
    variance = paired["discordant"] / 500 - paired["difference"] ** 2
    width = paired["interval"]["high"] - paired["interval"]["low"]
    assert width == pytest.approx(2 * 1.96 * math.sqrt(variance / 500), rel=0.2)


def test_per_class_rows_count_the_first_seed(smoke_run, examples):
    rows = run_helpers.results(smoke_run.path)["per_class"]
    for label, row in enumerate(rows):
        members = np.flatnonzero(examples["labels"] == label)
        assert (row["class"], row["count"]) == (str(label), len(members))
        for name in METHODS:
            right = sum(correct(examples, name)[0, i] for i in members)
            assert row[name] == pytest.approx(right / len(members))


@pytest.mark.parametrize("name", METHODS)
def test_scores_predictions_and_losses_belong_together(smoke_run, examples, name):
    scores = examples[f"{name}_scores"].astype(float)
    expected = [
        [
            plain_numpy.example_loss(name, s, y)
            for s, y in zip(rows, examples["labels"], strict=True)
        ]
        for rows in scores
    ]
    np.testing.assert_allclose(examples[f"{name}_losses"], expected, 2e-5, 2e-5)
    np.testing.assert_array_equal(
        examples[f"{name}_predictions"], scores.argmax(axis=2)
    )
    found = run_helpers.results(smoke_run.path)["losses"][name]
    assert found["test_loss"] == pytest.approx(np.mean(expected), rel=1e-4)


@pytest.mark.parametrize("name", METHODS)
def test_saved_models_make_the_saved_predictions(smoke_run, examples, digits, name):
    """By jaxlin.predict, and by NumPy with nothing but the arrays of the file."""
    found = run_helpers.results(smoke_run.path)["losses"][name]
    objectives = []
    for seed in range(2):
        path = smoke_run.path / f"model-{name}-{seed}.npz"
        expected = examples[f"{name}_predictions"][seed]
        images = digits.test.features.reshape(-1, 8, 8)
        trained = jaxlin.load(path)
        np.testing.assert_array_equal(
            jaxlin.predict(trained, images), np.array(digits.class_names)[expected]
        )
        assert (trained.loss.__name__, trained.l2) == (name, found["l2"])
        assert tuple(trained.classes) == digits.class_names
        train = digits.train.features.astype(float)
        mean = train.mean(axis=0)
        weights, bias = (np.asarray(leaf, float) for leaf in trained.params)
        rows = (digits.test.features - mean) / 16
        scores = rows @ weights.T + bias
        np.testing.assert_allclose(scores, examples[f"{name}_scores"][seed], atol=1e-4)
        scores = (train - mean) / 16 @ weights.T + bias
        labels = digits.train.labels
        losses = map(plain_numpy.example_loss, [name] * len(labels), scores, labels)
        squares = (weights**2).sum() + (bias**2).sum()
        objectives.append(np.mean([*losses]) + found["l2"] / 2 * squares)
    assert found["training_objective"] == pytest.approx(np.mean(objectives), rel=1e-4)


# The choice


def test_table_has_a_row_for_each_model(smoke_run, table, examples):
    assert len(table) == 2 * (2 * 2 * 2 + 2)
    keys = [
        (row["loss"], row["stage"], row["l2"], row["learning_rate"], row["seed"])
        for row in table
    ]
    assert len(set(keys)) == len(table)
    for row in table:
        # Models of a grid never see the test set.
        assert (row["test_accuracy"] == "") == (row["stage"] == "grid")
        assert (row["validation_accuracy"] == "") == (row["stage"] == "refit")
        if row["stage"] == "refit":
            right = correct(examples, row["loss"])[int(row["seed"])]
            assert float(row["test_accuracy"]) == pytest.approx(right.mean())


@pytest.mark.parametrize("name", METHODS)
def test_choice_is_the_best_mean_validation_accuracy(smoke_run, table, name):
    by_setting = {}
    for row in table:
        if row["loss"] == name and row["stage"] == "grid":
            setting = float(row["l2"]), float(row["learning_rate"])
            accuracy = float(row["validation_accuracy"])
            by_setting.setdefault(setting, []).append(accuracy)
    assert {len(seeds) for seeds in by_setting.values()} == {2}
    means = {setting: np.mean(seeds) for setting, seeds in by_setting.items()}
    best = max(means.values())
    # Of equally good settings the one with the strongest penalty, then the slowest.
    l2, learning_rate = max(
        (one for one in means if best - means[one] < 1e-6),
        key=lambda one: (one[0], -one[1]),
    )
    found = run_helpers.results(smoke_run.path)["losses"][name]
    assert found["validation_accuracy"] == pytest.approx(best, abs=1e-6)
    assert (found["l2"], found["learning_rate"]) == (l2, learning_rate)
    assert found["settings_tried"] == 4
    refits = [row for row in table if (row["loss"], row["stage"]) == (name, "refit")]
    assert {(float(r["l2"]), float(r["learning_rate"])) for r in refits} == {
        (l2, learning_rate)
    }


def test_validation_is_of_examples_that_the_grid_never_saw(smoke_run, table, digits):
    """Recomputed by NumPy from the weights of the checkpoints."""
    prepared = protocol.prepare(digits, MINIBATCH)
    searched, held_out = (
        np.asarray(examples.features, float)
        for examples in (prepared.search.examples, prepared.held_out)
    )
    assert len(held_out) == 130
    together = np.concatenate([searched, held_out])
    order = np.lexsort(together.T)
    everything = digits.train.features
    np.testing.assert_array_equal(together[order], everything[np.lexsort(everything.T)])
    counts = np.bincount(prepared.held_out.targets)
    assert np.ptp(counts) <= 1, "stratified"
    rows = (held_out - searched.mean(axis=0)) / 16
    for name in METHODS:
        path = smoke_run.path / f"checkpoint-{name}-grid.npz"
        expected = plain_numpy.accuracies(path, rows, prepared.held_out.targets)
        found = [
            float(row["validation_accuracy"])
            for row in table
            if (row["loss"], row["stage"]) == (name, "grid")
        ]
        # The table has the seeds of a setting in consecutive rows.
        np.testing.assert_allclose(found, expected.T.ravel(), atol=1e-6)


# Again: the same, and without compiling


def test_a_grid_is_one_program(smoke_run):
    """Per loss one for 4 settings x 2 seeds, and one for the refit."""
    advancing = [name for name in smoke_run.programs if "_advance" in name]
    assert len(advancing) == len(STAGES)


def test_saved_config_reruns_exactly_and_compiles_nothing(smoke_run, tmp_path):
    config, options = run_helpers.parse(
        *("--config", smoke_run.path / "config.json", "--out", tmp_path / "again"),
    )
    assert config == MINIBATCH
    again = run_helpers.run(config, out=options.out, pictures=False)
    assert again.programs == []
    run_helpers.assert_same_run(again.path, smoke_run.path)


@pytest.fixture(scope="module")
def watched(smoke_run, digits, tmp_path_factory):
    """Other l2 and learning rates, the same shapes, a sealed test set."""
    return sealed_data.watched_run(digits, tmp_path_factory.mktemp("watched") / "run")


def test_other_settings_of_the_same_shapes_compile_nothing(watched):
    assert watched.run.programs == []


def test_the_test_set_is_touched_once_after_all_training(watched):
    """The seal did not break the run, and it was opened after the last refit."""
    assert len(watched.tested) == len(METHODS)
    for seen in watched.tested:
        assert seen == [stage for stage in STAGES for _ in range(2)]


def test_both_losses_have_the_same_start_order_and_examples(watched):
    """Minibatches are drawn from a seed's key and the epoch, and from nothing else."""
    assert [stage.name for stage in watched.stages] == [*STAGES]
    first = watched.stages[0]
    keys = jax.random.key_data(first.keys)
    assert (keys[0] != keys[1]).any()
    assert np.ptp(np.asarray(first.params.weights), axis=0).max() > 0, "seeds differ"
    for stage in watched.stages[1:]:
        np.testing.assert_array_equal(jax.random.key_data(stage.keys), keys)
        for leaf, of_first in zip(stage.params, first.params, strict=True):
            np.testing.assert_array_equal(leaf, of_first)
        assert (stage.epochs, stage.evaluate_every) == (4, 2)
    grid, refit, other_grid, other_refit = (stage.problem for stage in watched.stages)
    assert grid is other_grid
    assert refit is other_refit
    assert (len(grid.targets), len(refit.targets)) == (1297 - 130, 1297)
