"""The estimator in scikit-learn's tools, with the results of its own classes."""

import numpy as np
import pytest
from estimator_peers import assert_same_model, examples, peer
from sklearn.calibration import CalibratedClassifierCV
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from jaxlin.sklearn import LinearClassifier, ProbeClassifier

# One value of C, so that the probe is scikit-learn's model at this C and fits are few.
PROBE = ProbeClassifier(Cs=[0.7], cv=2, cv_tol=1e-2, normalization=None)


def test_names_of_features():
    pandas = pytest.importorskip("pandas")
    rows, labels = examples(3)
    frame = pandas.DataFrame(rows, columns=list("abcd"))
    model = make_pipeline(StandardScaler(), LinearClassifier(C=0.7))
    model.set_output(transform="pandas").fit(frame, pandas.Series(labels))
    assert [*model[-1].feature_names_in_] == list("abcd")
    other = make_pipeline(StandardScaler(), peer(C=0.7)).fit(rows, labels)
    np.testing.assert_array_equal(model.predict(frame), other.predict(rows))
    with pytest.raises(ValueError, match="feature names should match"):
        model[-1].predict(frame[["b", "a", "c", "d"]])


def test_in_a_pipeline_and_a_grid_search():
    rows, labels = examples(3)
    found, expected = (
        GridSearchCV(
            make_pipeline(StandardScaler(), model), {f"{name}__C": [0.01, 1.0]}, cv=3
        ).fit(rows, labels)
        for model, name in (
            (LinearClassifier(), "linearclassifier"),
            (peer(), "logisticregression"),
        )
    )
    np.testing.assert_array_equal(
        found.cv_results_["mean_test_score"], expected.cv_results_["mean_test_score"]
    )
    assert [*found.best_params_.values()] == [*expected.best_params_.values()]
    assert_same_model(
        found.best_estimator_[-1],
        expected.best_estimator_[-1],
        found.best_estimator_[0].transform(rows),
    )


def test_cross_val_score():
    rows, labels = examples(3)
    scoring = "neg_log_loss"
    np.testing.assert_allclose(
        cross_val_score(LinearClassifier(), rows, labels, cv=3, scoring=scoring),
        cross_val_score(peer(), rows, labels, cv=3, scoring=scoring),
        rtol=1e-6,
    )


def test_calibration():
    rows, labels = examples(3)
    found, expected = (
        CalibratedClassifierCV(model, cv=3).fit(rows, labels).predict_proba(rows)
        for model in (LinearClassifier(), peer())
    )
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_probe_in_a_pipeline_and_in_cross_validation():
    rows, labels = examples(3)
    found, expected = (
        cross_val_score(make_pipeline(StandardScaler(), model), rows, labels, cv=2)
        for model in (PROBE, peer(C=0.7))
    )
    np.testing.assert_array_equal(found, expected)


def test_a_probe_in_a_grid_search():
    rows, labels = examples(3)
    grid = {"Cs": [[1e-4], [0.7]]}
    search = GridSearchCV(PROBE, grid, cv=2).fit(rows, labels)
    own = [cross_val_score(peer(C=c), rows, labels, cv=2).mean() for c in (1e-4, 0.7)]
    np.testing.assert_allclose(search.cv_results_["mean_test_score"], own, rtol=1e-12)
    assert search.best_params_["Cs"] == [(1e-4, 0.7)[int(np.argmax(own))]]
    assert_same_model(search.best_estimator_, peer(C=0.7).fit(rows, labels), rows)


def test_calibration_of_a_probe():
    """Folds of its own in each fold; scores of the peer at this C are the same."""
    rows, labels = examples(3)
    found, expected = (
        CalibratedClassifierCV(model, cv=2).fit(rows, labels).predict_proba(rows)
        for model in (PROBE, peer(C=0.7))
    )
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.full
def test_calibration_gives_probabilities_of_a_hinge():
    rows, labels = examples(2)
    hinge = LinearClassifier("one_vs_rest_hinge", bias="penalized")
    model = CalibratedClassifierCV(hinge, cv=3).fit(rows, labels)
    settings = {"loss": "hinge", "tol": 1e-10, "max_iter": 10**6, "random_state": 0}
    other = CalibratedClassifierCV(LinearSVC(**settings), cv=3).fit(rows, labels)
    np.testing.assert_allclose(
        model.predict_proba(rows), other.predict_proba(rows), atol=1e-3
    )
