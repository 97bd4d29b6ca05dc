"""The probe as an estimator: the choice is that of separate fits."""

import pickle

import jax
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from splitters import GROUPS, OF_PROBES, SPLITTERS
from splitters import LABELS as SPLIT_LABELS

import jaxlin
from jaxlin.normalization import fit_standard
from jaxlin.selection import rules
from jaxlin.sklearn import LinearClassifier, ProbeClassifier

CS = (1e-3, 1e-1, 10.0)
RANDOM = np.random.default_rng(3)
CODES = np.arange(60) % 3
# Standardised features are not the raw ones.
ROWS = 0.3 + 2 * (RANDOM.normal(size=(3, 4))[CODES] + RANDOM.normal(size=(60, 4)))
LABELS = np.array(["cat", "dog", "ship"])[CODES]


@pytest.fixture(
    scope="module",
    params=[None, pytest.param(fit_standard, marks=pytest.mark.full)],
    ids=["raw", "standardised"],
)
def probe(request):
    model = ProbeClassifier(Cs=CS, cv=3, normalization=request.param)
    return model.fit(ROWS, LABELS)


def peer(probe, c):
    """Separate fits on the features as the probe sees them."""
    return make_pipeline(
        StandardScaler() if probe.normalization else FunctionTransformer(),
        LogisticRegression(C=c, solver="newton-cg", tol=1e-12, max_iter=1000),
    )


def test_the_choice_is_that_of_separate_fits(probe):
    splits = list(StratifiedKFold(3).split(ROWS, LABELS))
    expected = [
        [
            peer(probe, c)
            .fit(ROWS[train], LABELS[train])
            .score(ROWS[test], LABELS[test])
            for train, test in splits
        ]
        for c in CS
    ]
    np.testing.assert_allclose(probe.table_.accuracy, expected, rtol=1e-6)
    best = np.argmax(np.mean(expected, axis=1))
    assert probe.l2_ == pytest.approx(1 / (CS[best] * 60))


def test_the_final_fit_is_of_all_examples_and_raw_features(probe):
    other = peer(probe, 1 / (probe.l2_ * 60)).fit(ROWS, LABELS)
    scores, expected = (one.decision_function(ROWS) for one in (probe, other))
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    np.testing.assert_allclose(ROWS @ probe.coef_.T + probe.intercept_, scores)
    np.testing.assert_array_equal(probe.predict(ROWS), other.predict(ROWS))
    assert probe.fit_.converged
    assert probe.certificate_.gap <= 1e-12 * probe.certificate_.primal


@pytest.mark.parametrize(
    "loss",
    [
        "one_vs_rest_hinge",
        pytest.param("crammer_singer_hinge", marks=pytest.mark.full),
        pytest.param("weston_watkins_hinge", marks=pytest.mark.full),
        pytest.param("weston_watkins_squared_hinge", marks=pytest.mark.full),
        pytest.param("softmax", marks=pytest.mark.full),
    ],
)
def test_both_estimators_have_one_model_at_one_c(loss):
    """Two classes, for which scikit-learn penalises one row or two."""
    labels = CODES > 0
    one = LinearClassifier(loss, C=0.5, bias="penalized").fit(ROWS, labels)
    settings = {"bias": "penalized", "cv": 2, "normalization": None}
    other = ProbeClassifier(loss, Cs=[0.5], **settings)
    other.fit(ROWS, labels)
    assert other.l2_ == pytest.approx(one.fit_.l2, rel=1e-12)
    np.testing.assert_allclose(other.coef_, one.coef_, atol=1e-5)
    probed = jaxlin.probe(
        jax.random.key(0),
        *(ROWS, labels, ROWS, labels),
        loss=one.fit_.loss,
        cs=[0.5],
        bias="penalized",
        validation=2,
        normalization=None,
    )
    assert probed.fit.l2 == pytest.approx(one.fit_.l2, rel=1e-12)


def test_probabilities_have_the_temperature(probe):
    assert probe.fit_.temperature != 1
    np.testing.assert_allclose(
        probe.predict_proba(ROWS), jaxlin.probabilities(probe.fit_, ROWS), atol=1e-6
    )


@pytest.mark.parametrize("tol", [1e-2, pytest.param(None, marks=pytest.mark.full)])
def test_float32_rows_with_a_large_mean_keep_their_scores(tol):
    """Weights on raw features are float64: their products with the mean cancel.

    At a wide gap those of the fit itself are float32.
    """
    rows = (ROWS + 1e4).astype(np.float32)
    model = ProbeClassifier(Cs=[0.5], cv=2, tol=tol, cv_tol=1e-2).fit(rows, LABELS)
    is_wide = tol is not None
    assert model.fit_.params.weights.dtype == (np.float32 if is_wide else np.float64)
    assert model.coef_.dtype == model.intercept_.dtype == np.float64
    scores = jaxlin.scores(model.fit_, rows)
    found = model.decision_function(rows)
    np.testing.assert_allclose(found, scores, atol=1e-5)
    expected = jaxlin.probabilities(model.fit_, rows)
    np.testing.assert_allclose(model.predict_proba(rows), expected, atol=1e-6)


def test_pickles_and_clones(probe):
    kept = pickle.loads(pickle.dumps(probe))
    np.testing.assert_array_equal(kept.predict_proba(ROWS), probe.predict_proba(ROWS))
    assert clone(probe).get_params() == probe.get_params()


@pytest.mark.parametrize("name", OF_PROBES)
def test_every_splitter_is_a_cv(name):
    splitter, shape = SPLITTERS[name]
    model = ProbeClassifier(
        l2s=(0.1,), cv=splitter, tol=1e-2, cv_tol=1e-2, normalization=None
    )
    groups = GROUPS if "Group" in type(splitter).__name__ else None
    model.fit(ROWS[:24], SPLIT_LABELS, groups=groups)
    num_splits = splitter.get_n_splits(ROWS[:24], SPLIT_LABELS, groups)
    assert model.table_.accuracy.shape == (1, num_splits)
    assert model.table_.num_repeats == (shape[0] if len(shape) == 2 else 1)


@pytest.mark.full
def test_splitters_groups_weights_and_rules():
    groups = np.arange(60) // 3 % 6
    model = ProbeClassifier(
        l2s=(1e-3, 1e-1),
        cv=GroupKFold(3),
        class_weight={"dog": 2.0},
        choose=rules.one_standard_error,
        bias="penalized",
        normalization=None,
    )
    weights = np.linspace(1, 2, 60)
    model.fit(ROWS, LABELS, sample_weight=weights, groups=groups)
    assert model.table_.accuracy.shape == (2, 3)
    assert model.l2_ in (1e-3, 1e-1)
    # The certificate is of the weighted objective.
    own = weights * np.where(LABELS == "dog", 2.0, 1.0)
    refit = jaxlin.fit(
        ROWS,
        LABELS,
        loss=model.fit_.loss,
        l2=model.l2_,
        weights=own,
        stop=jaxlin.Stop(1e-8),
        refine=True,
    )
    np.testing.assert_allclose(model.coef_, refit.params.weights, rtol=1e-3, atol=1e-6)


@pytest.mark.full
def test_a_gap_that_is_not_proven_warns():
    with pytest.warns(ConvergenceWarning, match="ProbeClassifier proved a relative"):
        ProbeClassifier(Cs=CS, cv=3, max_iter=2).fit(ROWS, LABELS)
