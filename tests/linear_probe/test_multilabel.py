"""The probe of several labels: each label is a problem of its own, done by hand."""

import jax
import numpy as np
import pytest
import sklearn.metrics
from sklearn.linear_model import LogisticRegression

import jaxlin
from jaxlin import linear_probe, losses, normalization
from jaxlin.selection import rules
from jaxlin.solvers import batch_pass, batch_step

KEY = jax.random.key(0)
GENERATOR = np.random.default_rng(2)
NAMES = ("cat", "dog", "sky", "tree")
CS = (100.0, 0.01, 1.0)
NUM_TRAIN = 120
FEATURES = GENERATOR.normal(size=(200, 4)).astype(np.float32)
_TEACHER = GENERATOR.normal(size=(4, 4))
LABELS = FEATURES @ _TEACHER + 2 * GENERATOR.normal(size=(200, 4)) > [1, 2, 0, -1]
TRAIN, TEST = slice(NUM_TRAIN), slice(NUM_TRAIN, None)
DATA = (FEATURES[TRAIN], LABELS[TRAIN], FEATURES[TEST], LABELS[TEST])
FOLDS = np.arange(NUM_TRAIN) % 2
STOP = jaxlin.Stop(1e-5)


def probe(*data, **changes):
    options = {"cs": CS, "names": NAMES, "validation": FOLDS, "stop": STOP, "slots": 4}
    return linear_probe.multilabel_probe(KEY, *(data or DATA), **{**options, **changes})


@pytest.fixture(scope="module")
def found():
    return probe()


def logistic(rows, labels, *, c, weights=None):
    model = LogisticRegression(C=c, tol=1e-10, max_iter=10_000)
    return model.fit(rows, labels, sample_weight=weights)


def standardised(train, *others):
    fitted = normalization.fit_standard(train)
    return [
        (np.float64(rows) - fitted.mean) / fitted.scale for rows in (train, *others)
    ]


@pytest.mark.parametrize("label", range(4))
def test_each_fit_is_that_of_its_label(found, label):
    """The same objective as a fit of its own, and scikit-learn's probabilities."""
    own = found.fits[label]
    alone = jaxlin.fit(
        FEATURES[TRAIN],
        LABELS[TRAIN, label],
        loss=losses.softmax_cross_entropy,
        l2=own.l2,
        bias="free",
        normalization=normalization.fit_standard,
        stop=jaxlin.Stop(1e-8),
    )
    assert own.converged
    assert alone.certificate.dual <= own.certificate.primal
    # Primal values of float32 have an error beside that of the gap; the dual has both.
    assert own.certificate.dual <= alone.certificate.primal
    np.testing.assert_allclose(
        own.certificate.primal, alone.certificate.primal, rtol=1e-5
    )
    train, test = standardised(FEATURES[TRAIN], FEATURES[TEST])
    expected = logistic(train, LABELS[TRAIN, label], c=found.cs[label])
    log_odds = linear_probe.label_scores(found, FEATURES[TEST])[:, label]
    np.testing.assert_allclose(
        1 / (1 + np.exp(-log_odds)), expected.predict_proba(test)[:, 1], atol=0.02
    )


def test_labels_of_final_fits_are_certified_at_small_gaps(found):
    """By the radius of a fit of one label, which is not known at wider gaps."""
    is_known = np.isfinite(found.fits.bias_radius)
    np.testing.assert_array_equal(is_known, found.fits.relative_gap <= 1e-6)
    assert not is_known.all()
    precise = probe(cs=(1.0,), validation=None, stop=jaxlin.Stop(1e-9))
    for label, fit in enumerate(precise.fits):
        alone = jaxlin.fit(
            FEATURES[TRAIN],
            LABELS[TRAIN, label],
            loss=losses.softmax_cross_entropy,
            l2=fit.l2,
            bias="free",
            normalization=normalization.fit_standard,
            stop=jaxlin.Stop(1e-9),
        )
        distance = np.float64(fit.params.bias) - np.float64(alone.params.bias)
        distance = np.linalg.norm(distance - distance.mean())
        assert distance <= fit.bias_radius + alone.bias_radius < 0.1
        certified = jaxlin.certified_labels(fit, FEATURES[TEST])
        assert certified.mean() > 0.9
        assert jaxlin.evaluate(fit, FEATURES[TEST], LABELS[TEST, label]).optimum.low > 0


def held_out_by_hand(label):
    """Average precision of scikit-learn's fits, for each C and fold."""
    table = np.zeros((len(CS), 2))
    for fold in range(2):
        out = fold == FOLDS
        train, test = standardised(FEATURES[TRAIN][~out], FEATURES[TRAIN][out])
        for i, c in enumerate(CS):
            fit = logistic(train, LABELS[TRAIN, label][~out], c=c)
            table[i, fold] = sklearn.metrics.average_precision_score(
                LABELS[TRAIN, label][out], fit.decision_function(test)
            )
    return table


def test_choice_is_that_of_average_precision(found):
    """C is that of the compared fits' weight; the final l2 is of all examples."""
    expected = np.stack([held_out_by_hand(label) for label in range(4)])
    np.testing.assert_allclose(found.held_out, expected, atol=0.02)
    for label in range(4):
        best = rules.best(found.held_out[label], strength=-np.array(CS))
        assert found.cs[label] == pytest.approx(CS[best])
    np.testing.assert_allclose(found.l2, 2 / (found.cs * NUM_TRAIN))
    np.testing.assert_array_equal(found.at_edge, found.cs.round(9) != 1)
    assert found.num_converged == found.num_compared == 4 * 3 * 2


def test_one_l2_is_that_of_the_mean(found):
    shared = probe(one_l2=True)
    best = rules.best(found.held_out.mean(axis=0), strength=-np.array(CS))
    np.testing.assert_allclose(shared.cs, CS[best])


def test_metrics_are_scikit_learns(found):
    scores = linear_probe.label_scores(found, FEATURES[TEST])
    present = LABELS[TEST]
    expected = sklearn.metrics.average_precision_score(present, scores)
    assert found.test.mean_average_precision.value == pytest.approx(expected)
    for average, estimate in (
        ("micro", found.test.micro_f1),
        ("macro", found.test.macro_f1),
    ):
        expected = sklearn.metrics.f1_score(present, scores > 0, average=average)
        assert estimate.value == pytest.approx(expected)
        assert estimate.interval.low < expected < estimate.interval.high
    assert [row["label"] for row in found.rows()] == list(NAMES)
    assert found.rows()[2]["f1"] == found.test.f1[2].value
    assert "4 of 4 final fits and 24 of 24 compared fits proven" in str(found)
    # The label of a fit is that of its score.
    np.testing.assert_array_equal(
        jaxlin.predict(found.fits[1], FEATURES[TEST]), scores[:, 1] > 0
    )


def test_weights_count_like_repeated_examples():
    weights = np.where(np.arange(NUM_TRAIN) % 5 == 0, 3.0, 1.0)
    weighted = probe(weights=weights, cs=None, l2s=(1e-2,), validation=None)
    repeated = np.repeat(np.arange(NUM_TRAIN), weights.astype(int))
    other = probe(
        *(part[repeated] for part in DATA[:2]),
        *DATA[2:],
        cs=None,
        l2s=(1e-2,),
        validation=None,
    )
    assert weighted.held_out is None
    np.testing.assert_allclose(
        *(one.fits.certificate.primal for one in (weighted, other)), rtol=2e-5
    )
    np.testing.assert_allclose(weighted.cs, 2 / (1e-2 * weights.sum()))


def test_a_validation_set_of_its_own_is_the_last_part_of_the_training():
    is_out = np.arange(NUM_TRAIN) >= 80
    masked = probe(validation=is_out)
    given = probe(
        FEATURES[:80],
        LABELS[:80],
        *DATA[2:],
        validation=(FEATURES[80:NUM_TRAIN], LABELS[80:NUM_TRAIN]),
    )
    np.testing.assert_array_equal(given.held_out, masked.held_out)
    np.testing.assert_array_equal(given.fits.params.weights, masked.fits.params.weights)


def test_goes_on_from_its_files(tmp_path):
    """Each fold has a sweep, and each sweep a file."""

    class Killed(Exception):
        pass

    def kill(state):
        if len(state.finished) > 5:
            raise Killed

    path = tmp_path / "probe.npz"
    whole = probe()
    with pytest.raises(Killed):
        probe(checkpoint=path, callback=kill)
    resumed = probe(checkpoint=path)
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "probe-0.npz",
        "probe-1.npz",
    ]
    np.testing.assert_array_equal(resumed.held_out, whole.held_out)
    np.testing.assert_array_equal(
        resumed.fits.params.weights, whole.fits.params.weights
    )


def test_more_labels_need_no_more_programs(found):
    """Twice the labels in as many slots: the shapes of the labels alone are new."""
    programs = (batch_pass.evaluate, batch_step._advance, batch_step._advance_quickly)

    def compiled(labels):
        before = [program._cache_size() for program in programs]
        linear_probe.multilabel_probe(
            KEY, DATA[0], labels[TRAIN], DATA[2], labels[TEST], cs=(1.0,), slots=2
        )
        return [
            program._cache_size() - count
            for program, count in zip(programs, before, strict=True)
        ]

    few, many = (compiled(np.tile(LABELS, (1, times))) for times in (2, 4))
    assert sum(few) > 0
    assert sum(many) <= sum(few)


@pytest.mark.parametrize("validation", [0.3, 3])
def test_a_rare_label_is_chosen_with_the_others(validation):
    """One positive example stays in training, where nothing judges its l2."""
    labels = LABELS.copy()
    labels[1:, 0] = False
    labels[0, 0] = True
    rare = probe(DATA[0], labels[TRAIN], DATA[2], labels[TEST], validation=validation)
    assert np.isnan(rare.held_out[0]).all()
    best = rules.best(np.nanmean(rare.held_out, axis=0), strength=-np.array(CS))
    assert rare.cs[0] == pytest.approx(CS[best])
    assert rare.fits.converged.all()
    assert len(rare.notes) == 3
    # The others have some, but few.
    others = np.count_nonzero(labels[TEST], axis=0)[1:]
    assert (others > 0).all()
    assert (others < 100).all()
    assert f"{len(others)} labels with fewer than 100 positive" in str(rare)
    assert "1 label without a positive test example" in str(rare)


def test_each_row_of_fold_ids_is_a_repeat_where_a_label_leaves_parts_out():
    """The standard error of drawn splits is that of the parts, however many remain."""
    ids = np.where(np.arange(NUM_TRAIN) % 3 == np.arange(3)[:, None], 0, -1)
    labels = LABELS[TRAIN].copy()
    # Nothing in the first part judges it.
    labels[ids[0] == 0, 0] = False
    seen = []

    def choose(scores, *, strength, num_repeats):
        seen.append((np.shape(scores)[1], num_repeats))
        return rules.best(scores, strength=strength, num_repeats=num_repeats)

    probe(DATA[0], labels, DATA[2], LABELS[TEST], validation=ids, choose=choose)
    assert set(seen) == {(3, 3), (2, 2)}


def test_a_hinge_predicts_by_its_margin():
    hinge = probe(
        loss=losses.crammer_singer_hinge,
        cs=None,
        l2s=(1e-2,),
        validation=None,
        stop=jaxlin.Stop(1e-3),
    )
    assert hinge.fits.converged.all()
    scores = linear_probe.label_scores(hinge, FEATURES[TEST])
    expected = sklearn.metrics.f1_score(LABELS[TEST], scores > 0, average="micro")
    assert hinge.test.micro_f1.value == pytest.approx(expected)
    # `LinearSVC` penalises two rows with this loss.
    np.testing.assert_allclose(hinge.cs, 1 / (1e-2 * NUM_TRAIN))


def indicators(change):
    found = LABELS[TRAIN].astype(float)
    change(found)
    return found


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({1: LABELS[TRAIN, 0]}, r"indicators must have shape \(examples, labels\)"),
        ({1: LABELS[: NUM_TRAIN - 1]}, "indicators must have one .* got 119 for 120"),
        (
            {1: indicators(lambda found: found.__setitem__((3, 2), 2))},
            "indicators must be booleans, or 0 and 1, got 2.0 in row 3, label 2",
        ),
        (
            {1: indicators(lambda found: found.__setitem__((3, 2), np.nan))},
            "indicators must be booleans, or 0 and 1, got nan in row 3, label 2",
        ),
        (
            {1: indicators(lambda found: found.__setitem__((slice(None), 1), 0))},
            "got no positive one of label dog",
        ),
        (
            {1: indicators(lambda found: found.__setitem__((slice(None), 2), 1))},
            "got no negative one of label sky",
        ),
        (
            {1: indicators(lambda found: found.__setitem__((FOLDS == 1, 3), 0))},
            "label tree must have an example .* got none in class True",
        ),
        ({3: LABELS[TEST, :3]}, r"test_indicators must have shape \(examples, 4\)"),
        (
            {3: LABELS[NUM_TRAIN + 1 :]},
            "test_indicators must have one .* got 79 for 80",
        ),
        ({"names": NAMES[:3]}, "names must be 4 distinct names"),
        ({"l2s": (0.1,)}, "cs must not be given with l2s"),
        ({"validation": None}, "validation must be given to choose among 3"),
    ],
)
def test_bad_input_is_refused_by_name(changes, message):
    data = [changes.get(i, part) for i, part in enumerate(DATA)]
    options = {name: value for name, value in changes.items() if isinstance(name, str)}
    with pytest.raises(ValueError, match=message):
        probe(*data, **options)


def test_the_probe_of_one_label_names_this_one():
    with pytest.raises(ValueError, match=r"linear_probe\.multilabel_probe"):
        jaxlin.probe(KEY, *DATA)
