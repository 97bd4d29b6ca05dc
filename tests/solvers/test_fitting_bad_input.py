"""Arguments that no certified fit can have, refused before anything is compiled."""

import jax
import numpy as np
import pytest

import jaxlin
from jaxlin import linear, losses, normalization
from jaxlin.numerics import device_mesh
from jaxlin.problems import first_iterate
from jaxlin.solvers import certified, fit_checks, streaming

EXAMPLES, WIDTH = 60, 5
SOFTMAX, HINGE = losses.softmax_cross_entropy, losses.weston_watkins_hinge
ROWS = np.random.default_rng(0).normal(size=(EXAMPLES, WIDTH)).astype(np.float32)
LABELS = np.arange(EXAMPLES) % 3
NAN = np.where(np.arange(WIDTH) == 2, np.nan, ROWS)
# Of what is fitted here: the program of `fitting_problems`.
OF_TWO = {"loss": HINGE, "l2": 0.1, "loss_arguments": {"margin": 1.0}}
OF_THREE = {"loss": SOFTMAX, "l2": 0.1}
SOFT = np.full((EXAMPLES, 3), 1 / 3, np.float32)
BAD = {
    "l2 is 0": ({"l2": 0}, "l2 must be above 0, got 0; without it"),
    "l2 is 0.0": ({"l2": 0.0}, "l2 must be above 0, got 0"),
    "negative l2": ({"l2": -0.1}, "l2 must be above 0.*, got -0.1"),
    "l2 not finite": ({"l2": float("nan")}, "l2 must be finite, got nan"),
    "l2 not a number": ({"l2": "0.1"}, "l2 must be a number, got '0.1'"),
    "no l2": ({"l2": None}, "l2 must be a number, got None"),
    "no stop": ({"stop": None}, "stop must be a jaxlin.Stop, got None"),
    "a gap alone": ({"stop": 1e-3}, r"stop must be .*, got 0.001; for instance jaxlin"),
    "no conjugate": (
        {"loss": lambda s, y: 0.0},
        "loss must be .*; jaxlin.train fits any",
    ),
    "name of a loss": (
        {"loss": "softmax"},
        "loss must be one of .*got 'softmax'; give the function",
    ),
    "soft targets": (
        {"labels": SOFT},
        r"labels must be integers \(examples,\) for softmax_cross_entropy, got an "
        "array of rank 2; for distributions over classes use .*rows give labels.argm",
    ),
    "labels for distributions": (
        {"loss": losses.cross_entropy},
        r"labels must be distributions \(examples, classes\) for cross_entropy",
    ),
    "not distributions": (
        {"loss": losses.cross_entropy, "labels": 2 * SOFT},
        "labels must be distributions over classes, got a row with",
    ),
    "margin 0": (
        {"loss": HINGE, "loss_arguments": {"margin": 0}},
        r"loss_arguments\['margin'\] must be above 0.*, got 0",
    ),
    "unknown argument": (
        {"loss": HINGE, "loss_arguments": {"temperature": 1.0}},
        r"loss_arguments must be among those of weston_watkins_hinge \(margin\), got",
    ),
    "no margin": ({"loss_arguments": {"margin": 1.0}}, "loss_arguments must be among"),
    "start not finite": (
        {"start": linear.Params(np.full((3, WIDTH), np.nan), np.zeros(3))},
        "start must be finite",
    ),
    "classes of the start": (
        {"start": linear.Params(np.zeros((2, WIDTH)), np.zeros(2))},
        r"start must have weights \(3, 5\) and bias \(3,\), got \(2, 5\) and \(2,\)",
    ),
    "a start of another kind": (
        {"start": (np.zeros((3, WIDTH)), np.zeros(3))},
        "start must be None, jaxlin.linear.Params or an earlier fit, got a tuple",
    ),
    "bias of the start": (
        {"start": linear.Params(np.zeros((3, WIDTH)), np.zeros(1))},
        "start must have weights",
    ),
    "nan": ({"features": NAN}, "features must be finite, got nan at row 0, feature 2"),
    "one row": ({"features": ROWS[0]}, "features must have shape"),
    "rank 3": ({"features": np.ones((2, 2, 2))}, "features must have shape"),
    "no rows": ({"features": np.ones((0, 5))}, "features must not be empty"),
    "label too large": (
        {"classes": range(2)},
        r"labels must be among the 2 classes \(0, 1\), got 2 at position 2",
    ),
    "labels from 1": (
        {"labels": LABELS + 1, "classes": range(3)},
        r"labels must be among the 3 classes \(0, 1, 2\), got 3 at position 2",
    ),
    "negative label": (
        {"labels": LABELS - 1, "classes": range(3)},
        r"labels must be among the 3 classes .*, got -1 at position 0",
    ),
    "signs": (
        {"labels": 2 * (LABELS > 0) - 1, "classes": range(2)},
        r"labels must be among the 2 classes .*, got -1 at position 0",
    ),
    "a column of distributions": (
        {"labels": LABELS[:, None], "loss": losses.cross_entropy},
        r"labels must be distributions \(examples, classes\)",
    ),
    "several labels": (
        {"labels": np.maximum(np.eye(3)[LABELS], np.eye(3)[0])},
        "several labels per example: row 1 names 2 classes; give one label",
    ),
    "ragged": ({"labels": [[0], [0, 1]] * 30}, "labels must be rectangular"),
    "text": (
        {"labels": ["a", "b"] * 30, "classes": range(2)},
        r"labels must be numbers, as the classes are \(0, 1\), got text; .*astype\(int",
    ),
    "text and numbers": (
        {"labels": np.array(["a", 1] * 30, object)},
        "labels must be integers, booleans or text, got entries of several types, 'a' "
        "at position 0, 1 at position 1",
    ),
    "labels of one class": (
        {"labels": 0 * LABELS},
        "labels must name at least two classes, got only class 0",
    ),
    "labels of one class of three": (
        {"labels": 0 * LABELS + 1, "classes": range(3)},
        "labels must name at least two classes, got only class 1",
    ),
    "one class with weight": (
        {"weights": np.float32(LABELS == 2)},
        "two classes with positive weights, got only class 2",
    ),
    "distributions of one class": (
        {"labels": np.eye(3)[0 * LABELS + 1], "loss": losses.cross_entropy},
        "labels must name at least two classes, got only class 1",
    ),
    "too many columns": (
        {"labels": SOFT, "loss": losses.cross_entropy, "classes": range(4)},
        "classes must be one a column of the labels, 3 of them, got 4",
    ),
    "float labels": (
        {"labels": LABELS + 0.5},
        "labels must be integers, booleans or text, got 0.5 at position 0",
    ),
    "missing labels": (
        {"labels": np.where(LABELS == 1, np.nan, LABELS)},
        "labels must be .*, got the missing label nan at position 1; leave such",
    ),
    "too few labels": (
        {"labels": [0, 1, 2]},
        "labels must have one entry per example",
    ),
    "negative weights": (
        {"weights": -np.ones(EXAMPLES)},
        "weights must be finite and at least 0, got -1.0 at row 0",
    ),
    "weights 0": ({"weights": np.zeros(EXAMPLES)}, "a positive sum"),
    "one class": ({"classes": range(1)}, "number of classes must be at least 2, got 1"),
    "normalization": (
        {"normalization": normalization.identity(3)},
        "normalization must be for 5 features",
    ),
}


@pytest.mark.parametrize(("change", "message"), BAD.values(), ids=BAD.keys())
def test_bad_arguments_are_named(change, message, monkeypatch):
    def compiled(*_, **__):
        raise AssertionError("something was compiled")

    monkeypatch.setattr(certified, "prepare", compiled)
    good = {"features": ROWS, "labels": LABELS, **OF_THREE}
    arguments = {**good, **change}
    given = [arguments.pop(name) for name in ("features", "labels")]
    with pytest.raises(ValueError, match=message):
        jaxlin.fit(*given, **arguments)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"relative_gap": 0}, "relative_gap must be above 0.*, got 0"),
        ({"relative_gap": float("inf")}, "relative_gap must be finite"),
        ({"max_passes": 0}, "max_passes must be at least 1"),
        ({"max_passes": 0.5}, "max_passes must be an int"),
    ],
)
def test_a_stop_that_no_fit_can_have_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        jaxlin.Stop(**change)


def own_loss(scores, label):
    return scores[label]


def focal(scores, label, *, power):
    return power * scores[label]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"params": linear.Params(np.zeros((2, WIDTH)), np.zeros(2))},
            r"params must have weights \(3, 5\) and bias \(3,\), got \(2, 5\) and \(2,",
        ),
        ({"loss": losses.cross_entropy}, "labels must be distributions"),
        ({"l2": -1.0}, "l2 must be above 0, got -1"),
        ({"l2": -1.0, "loss": own_loss}, "l2 must be at least 0, got -1"),
        ({"loss_arguments": {"margin": 1.0}}, "loss_arguments must be among"),
        (
            {"loss": focal},
            r"loss_arguments must have power, for which focal has no default, got "
            r'none; give loss_arguments=\{"power": ...\}',
        ),
        (
            {"loss": focal, "loss_arguments": {"power": 2.0, "margin": 1.0}},
            r"loss_arguments must be among those of focal \(power\), got 'margin'",
        ),
        (
            {"params": linear.Params(np.zeros((WIDTH, 3)), np.zeros(3))},
            r"params must have weights \(3, 5\) .*; transpose the weights",
        ),
        (
            {"loss": lambda scores, label: scores},
            r"loss must return one number per example, of shape \(\), got shape \(3,\)",
        ),
    ],
)
def test_what_cannot_be_certified_is_named(change, message):
    params = linear.Params(np.zeros((3, WIDTH)), np.zeros(3))
    arguments = {"params": params, **OF_THREE, **change}
    with pytest.raises(ValueError, match=message):
        jaxlin.certify(jaxlin.problem(ROWS, LABELS), **arguments)


def test_one_row_of_two_classes_is_told_how_it_becomes_two():
    """The remedy, applied to scikit-learn's row, gives its decision function."""
    problem = jaxlin.problem(ROWS, LABELS > 0)
    row, intercept = ROWS[:1], np.ones(1, np.float32)
    with pytest.raises(
        ValueError, match=r"got \(1, 5\) .*\[-w, w\]\) / 2, and the bias"
    ):
        jaxlin.certify(problem, linear.Params(row, intercept), **OF_THREE)
    params = linear.Params(*(np.concatenate([-w, w]) / 2 for w in (row, intercept)))
    scores = jaxlin.scores(jaxlin.certify(problem, params, **OF_THREE), ROWS)
    np.testing.assert_allclose(
        scores[:, 1] - scores[:, 0], (ROWS @ row.T + intercept)[:, 0], atol=1e-5
    )


def test_unknown_and_missing_arguments_are_refused():
    problem = jaxlin.problem(ROWS, LABELS)
    with pytest.raises(TypeError, match="relative_gp"):
        jaxlin.fit(problem, **OF_THREE, relative_gp=1e-3)
    with pytest.raises(TypeError, match="loss"):
        jaxlin.fit(problem, l2=0.1)


OF_TWO_CLASSES = {
    "booleans": (LABELS > 0, [False, True]),
    "signs": (2 * (LABELS > 0) - 1, [-1, 1]),
    "from 1": (1 + (LABELS > 0), [1, 2]),
    "with a gap": (np.where(LABELS > 0, 7, 0), [0, 7]),
    "whole floats": (np.where(LABELS > 0, 2.0, -3.0), [-3, 2]),
    "text": (np.where(LABELS > 0, "dog", "cat"), ["cat", "dog"]),
}


@pytest.mark.parametrize("kind", OF_TWO_CLASSES)
def test_labels_of_any_kind_are_those_of_two_classes(kind):
    labels, classes = OF_TWO_CLASSES[kind]
    found = jaxlin.fit(ROWS, labels, **OF_TWO)
    expected = jaxlin.fit(ROWS, (LABELS > 0).astype(int), **OF_TWO)
    assert found.classes.tolist() == classes
    assert found.params.weights.shape == (2, WIDTH)
    np.testing.assert_array_equal(found.params.weights, expected.params.weights)


def test_unprepared_examples_are_refused():
    examples = jaxlin.problem(ROWS, LABELS).examples
    with pytest.raises(ValueError, match="examples must be prepared"):
        certified.row_source(examples, loss=SOFTMAX)


@pytest.mark.parametrize(
    ("num_classes", "message"),
    [
        (1, "the number of classes must be at least 2"),
        (2, "labels must be among the 2"),
    ],
)
def test_fewer_classes_than_the_labels_have_are_refused(num_classes, message):
    with pytest.raises(ValueError, match=message):
        jaxlin.problem(ROWS, LABELS, classes=range(num_classes))


@pytest.mark.parametrize("num_classes", [2, 4])
def test_other_classes_than_distributions_have_are_refused(num_classes):
    with pytest.raises(ValueError, match="classes must be one a column of the labels"):
        jaxlin.problem(ROWS, SOFT, classes=range(num_classes))


@pytest.mark.parametrize(
    ("targets", "num_classes"), [(LABELS, 1), (LABELS, 2), (SOFT, 2), (SOFT, 4)]
)
def test_solvers_refuse_other_classes_than_the_examples_have(targets, num_classes):
    with pytest.raises(ValueError, match="num_classes must be"):
        fit_checks.check_classes(targets, num_classes)


@pytest.mark.parametrize(
    ("l2s", "message"),
    [
        ([], "l2s must not be empty"),
        ([0.1, 0.0], r"l2s\[1\] must be above 0.*, got 0"),
        ([0.1, 0.1], "l2s must be distinct"),
        ([0.1, None], r"l2s\[1\] must be a number"),
    ],
)
def test_bad_strengths_are_refused_at_the_call(l2s, message):
    problem = jaxlin.problem(ROWS, LABELS)
    with pytest.raises(ValueError, match=message):
        jaxlin.sweep(problem, losses=(SOFTMAX,), l2s=l2s)


# --- Memory.


@pytest.mark.parametrize(
    ("rows", "num_classes", "loss", "size"),
    [
        # 16 arrays of classes x (features + 1), and the rows.
        ((1000, 10**6), 1000, SOFTMAX, "got at least 68 GB .state 64 GB, rows 4 GB"),
        # An example's duals.
        ((10**7, 10), 100, HINGE, r"shape \(10000000, 100\), .*state 4 GB"),
    ],
)
def test_states_that_do_not_fit_are_refused(rows, num_classes, loss, size, monkeypatch):
    monkeypatch.setattr(device_mesh, "memory_bytes", lambda: 4 * 10**9)
    shape = jax.ShapeDtypeStruct(rows, np.float32)
    with pytest.raises(ValueError, match=f"{size}.*use fewer features or classes"):
        fit_checks.check_memory(shape, num_classes=num_classes, loss=loss)
    monkeypatch.setattr(device_mesh, "memory_bytes", lambda: 10**12)
    fit_checks.check_memory(shape, num_classes=num_classes, loss=loss)


@pytest.mark.parametrize("loss", [SOFTMAX, HINGE])
def test_no_array_is_as_large_as_the_square_of_the_classes(loss, monkeypatch):
    monkeypatch.setattr(device_mesh, "memory_bytes", lambda: 10**9)
    shape = jax.ShapeDtypeStruct((10, 10), np.float32)
    fit_checks.check_memory(shape, num_classes=10**5, loss=loss)


def test_memory_is_asked_for_before_anything_is_made(monkeypatch):
    monkeypatch.setattr(device_mesh, "memory_bytes", lambda: 10**5)

    def made(*_, **__):
        raise AssertionError("something was made")

    many = {"classes": range(1000)}
    problem = jaxlin.problem(ROWS, LABELS, **many)
    for module, names in {
        certified: ("prepare", "row_source"),
        streaming: ("row_statistics", "row_source"),
        first_iterate: ("make",),
    }.items():
        for name in names:
            monkeypatch.setattr(module, name, made)
    for door in (
        lambda: jaxlin.fit(ROWS, LABELS, **many, **OF_THREE),
        lambda: jaxlin.fit(problem, **OF_THREE),
        lambda: jaxlin.fit([(ROWS, LABELS, None)], **many, **OF_THREE),
    ):
        with pytest.raises(ValueError, match="must fit into the memory of 0.0001 GB"):
            door()


def test_there_is_memory():
    assert 10**8 < device_mesh.memory_bytes() < 10**14
