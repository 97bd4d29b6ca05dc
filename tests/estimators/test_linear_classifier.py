"""The estimator beside scikit-learn's own."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
from estimator_peers import assert_same_model, examples, peer
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.svm import LinearSVC

import jaxlin
from jaxlin import losses
from jaxlin.sklearn import LinearClassifier

WEIGHTS = np.random.default_rng(9).uniform(0.5, 3, size=60)


@pytest.fixture(scope="module")
def of_three():
    return LinearClassifier(C=0.7).fit(*examples(3))


@pytest.fixture(scope="module")
def of_two():
    return LinearClassifier(C=0.7).fit(*examples(2))


@pytest.mark.parametrize("num_classes", [2, 3])
def test_it_is_logistic_regression(num_classes, request):
    model = request.getfixturevalue({2: "of_two", 3: "of_three"}[num_classes])
    rows, labels = examples(num_classes)
    other = peer(C=0.7).fit(rows, labels)
    assert_same_model(model, other, rows)
    np.testing.assert_allclose(
        model.predict_proba(rows), other.predict_proba(rows), atol=1e-6
    )
    np.testing.assert_allclose(
        model.predict_log_proba(rows), other.predict_log_proba(rows), atol=1e-4
    )
    assert model.score(rows, labels) == other.score(rows, labels)
    assert model.n_features_in_ == 4


def test_weights_of_examples_and_classes_count_in_c():
    rows, labels = examples(3)
    weighted = peer(C=0.7, class_weight={"dog": 3.0})
    other = weighted.fit(rows, labels, sample_weight=WEIGHTS)
    model = LinearClassifier(C=0.7, class_weight={"dog": 3.0})
    assert_same_model(model.fit(rows, labels, sample_weight=WEIGHTS), other, rows)
    balanced = peer(C=0.7, class_weight="balanced")
    other = balanced.fit(rows, labels, sample_weight=WEIGHTS)
    model = LinearClassifier(C=0.7, class_weight="balanced")
    assert_same_model(model.fit(rows, labels, sample_weight=WEIGHTS), other, rows)


@pytest.mark.parametrize("num_classes", [2, pytest.param(3, marks=pytest.mark.full)])
def test_one_vs_rest_is_linear_svc(num_classes):
    rows, labels = examples(num_classes)
    settings = {"C": 0.7, "tol": 1e-10, "max_iter": 10**6, "random_state": 0}
    other = LinearSVC(loss="hinge", **settings).fit(rows, labels)
    model = LinearClassifier("one_vs_rest_hinge", C=0.7, bias="penalized")
    assert_same_model(model.fit(rows, labels), other, rows, rtol=1e-3)


@pytest.mark.full
@pytest.mark.parametrize("num_classes", [2, 3])
def test_crammer_singer_is_linear_svc(num_classes):
    rows, labels = examples(num_classes)
    settings = {"C": 0.7, "tol": 1e-10, "max_iter": 10**6, "random_state": 0}
    other = LinearSVC(multi_class="crammer_singer", fit_intercept=False, **settings)
    model = LinearClassifier("crammer_singer_hinge", C=0.7, bias="none")
    assert_same_model(model.fit(rows, labels), other.fit(rows, labels), rows, rtol=1e-3)


@pytest.mark.full
@pytest.mark.parametrize(
    ("loss", "name"),
    [
        ("hinge", "weston_watkins_hinge"),
        ("squared_hinge", "weston_watkins_squared_hinge"),
    ],
)
def test_hinges_of_two_classes_are_linear_svc(loss, name):
    rows, labels = examples(2)
    settings = {"C": 0.7, "tol": 1e-10, "max_iter": 10**6, "random_state": 0}
    other = LinearSVC(loss=loss, dual=True, **settings).fit(rows, labels)
    model = LinearClassifier(name, C=0.7, bias="penalized").fit(rows, labels)
    assert_same_model(model, other, rows, rtol=1e-3)


@pytest.mark.parametrize("num_classes", [2, 3])
def test_the_certificate_is_of_scikit_learns_objective(num_classes, request):
    """C times the losses and half the squares, over C times the total weight."""
    model = request.getfixturevalue({2: "of_two", 3: "of_three"}[num_classes])
    rows, labels = examples(num_classes)
    right = np.searchsorted(model.classes_, labels)
    chances = model.predict_proba(rows)[np.arange(60), right]
    objective = 0.7 * -np.log(chances).sum() + 0.5 * np.sum(model.coef_**2)
    certificate = model.certificate_
    assert certificate.primal * 0.7 * 60 == pytest.approx(objective, rel=1e-9)
    assert 0 <= certificate.gap <= 1e-12 * certificate.primal
    assert model.fit_.converged
    assert model.n_iter_ == model.fit_.passes >= 1


def test_l2_is_in_place_of_c(of_three):
    rows, labels = examples(3)
    model = LinearClassifier(l2=1 / (0.7 * 60)).fit(rows, labels)
    np.testing.assert_array_equal(model.coef_, of_three.coef_)


def test_losses_by_name_and_as_functions(of_three):
    rows, labels = examples(3)
    model = LinearClassifier(losses.softmax_cross_entropy, C=0.7).fit(rows, labels)
    np.testing.assert_array_equal(model.coef_, of_three.coef_)


def test_probabilities_are_of_softmax_alone():
    hinge = LinearClassifier("weston_watkins_hinge")
    assert not hasattr(hinge, "predict_proba")
    assert not hasattr(hinge, "predict_log_proba")
    assert hasattr(LinearClassifier(losses.softmax_cross_entropy), "predict_proba")
    with pytest.raises(AttributeError, match="no attribute 'predict_proba'"):
        hinge.predict_proba(np.eye(4))


def test_a_gap_that_is_not_proven_warns():
    with pytest.warns(ConvergenceWarning, match=r"proved .* gap of .* not 1e-12"):
        model = LinearClassifier(C=0.7, max_iter=2).fit(*examples(3))
    assert not model.fit_.converged
    assert model.fit_.relative_gap > 1e-12


def test_passes_are_at_most_max_iter(of_three):
    """Those after the gap is proven, too, of which the whole fit has many."""
    rows, labels = examples(3)
    proven = LinearClassifier(C=0.7, tol=1e-12).fit(rows, labels).n_iter_
    assert of_three.n_iter_ > proven + 3
    for max_iter in (proven, proven + 3):
        model = LinearClassifier(C=0.7, max_iter=max_iter).fit(rows, labels)
        assert model.fit_.converged
        assert proven <= model.n_iter_ <= max_iter


def test_a_warm_start_takes_fewer_passes(of_three):
    model = clone(of_three).set_params(warm_start=True).fit(*examples(3))
    first = model.n_iter_
    np.testing.assert_allclose(model.coef_, of_three.coef_, rtol=1e-6)
    assert model.fit(*examples(3)).n_iter_ < first


def test_pickles_and_clones(of_three):
    rows, _ = examples(3)
    kept = pickle.loads(pickle.dumps(of_three))
    np.testing.assert_array_equal(
        kept.predict_proba(rows), of_three.predict_proba(rows)
    )
    assert kept.certificate_ == of_three.certificate_
    copy = clone(of_three)
    assert copy.get_params() == of_three.get_params()
    assert not hasattr(copy, "coef_")


def test_functions_of_the_library_take_its_fit(of_two, of_three):
    for model, num_classes in ((of_two, 2), (of_three, 3)):
        rows, labels = examples(num_classes)
        predicted = jaxlin.predict(model.fit_, rows)
        np.testing.assert_array_equal(predicted, model.predict(rows))
        assert jaxlin.certified_labels(model.fit_, rows).mean() > 0.9
        accuracy = jaxlin.evaluate(model.fit_, rows, labels).accuracy.value
        assert accuracy == pytest.approx(model.score(rows, labels))


def test_the_fit_knows_the_columns_of_a_frame():
    pandas = pytest.importorskip("pandas")
    rows, labels = examples(3)
    frame = pandas.DataFrame(rows, columns=["a", "b", "c", "d"])
    model = LinearClassifier(C=0.7).fit(frame, labels)
    assert model.fit_.feature_names == ("a", "b", "c", "d")
    with pytest.raises(ValueError, match="in their order, got 'd' in place of 'a'"):
        jaxlin.predict(model.fit_, frame[["d", "c", "b", "a"]])
    np.testing.assert_array_equal(
        jaxlin.predict(model.fit_, frame), model.predict(frame)
    )
    # A fit to rows without names forgets them.
    assert model.fit(rows, labels).fit_.feature_names is None


def test_sparse_rows_are_dense_ones(of_three):
    rows, labels = examples(3)
    model = LinearClassifier(C=0.7).fit(sparse.csr_array(rows), labels)
    np.testing.assert_array_equal(model.coef_, of_three.coef_)
    np.testing.assert_array_equal(
        model.predict(sparse.csc_array(rows)), of_three.predict(rows)
    )


@pytest.mark.parametrize("kind", [sparse.coo_array, sparse.csr_array, sparse.csc_array])
def test_entries_that_are_given_twice_are_added_without_overflow(kind):
    """Each pixel of 200 is two entries of 200, 400 in all and not 144."""
    rows = np.random.default_rng(0).integers(0, 2, size=(60, 4), dtype=np.uint8) * 200
    labels = rows[:, 0] > 0
    given = sparse.coo_array(rows)
    twice = sparse.coo_array(
        (np.tile(given.data, 2), tuple(np.tile(where, 2) for where in given.coords)),
        rows.shape,
    )
    if kind is not sparse.coo_array:
        # Made from their parts: a conversion adds the entries.
        one = kind(rows)
        twice = kind(
            (one.data.repeat(2), one.indices.repeat(2), 2 * one.indptr), rows.shape
        )
    sums = rows.astype(float) * 2
    model = LinearClassifier(C=1e-4).fit(twice, labels)
    np.testing.assert_array_equal(
        model.coef_, LinearClassifier(C=1e-4).fit(sums, labels).coef_
    )
    np.testing.assert_allclose(
        model.decision_function(twice), model.decision_function(sums), rtol=1e-12
    )


@pytest.mark.full
def test_pixels_stay_bytes():
    rows = np.random.default_rng(0).integers(0, 256, size=(60, 4), dtype=np.uint8)
    labels = examples(3)[1]
    model = LinearClassifier(C=1e-4).fit(rows, labels)
    other = peer(C=1e-4).fit(rows.astype(float), labels)
    assert model.coef_.dtype == np.float64
    np.testing.assert_allclose(
        model.predict_proba(rows), other.predict_proba(rows.astype(float)), atol=1e-5
    )


def run(program):
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    return found.returncode, found.stderr


def test_without_scikit_learn_the_remedy_is_named():
    program = "import sys; sys.modules['sklearn'] = None\nimport jaxlin.sklearn"
    code, errors = run(program)
    assert code == 1
    assert errors.splitlines()[-1] == (
        'ImportError: jaxlin.sklearn needs scikit-learn: pip install "jaxlin[sklearn]"'
    )


def test_the_library_does_not_import_scikit_learn():
    program = (
        "import sys, jaxlin; jaxlin.fit; jaxlin.probe; jaxlin.cross_validate\n"
        "assert 'sklearn' not in sys.modules; jaxlin.sklearn.LinearClassifier\n"
        "assert 'sklearn' in sys.modules"
    )
    assert run(program) == (0, "")
