"""Error decomposition: terms add up, known curves are found, bad input is refused."""

import math

import numpy as np
import pytest
from scipy import stats

from jaxlin.stats import decomposition, variance_components
from jaxlin.stats.decomposition import Measured

EXAMPLES, SPLITS = 400, 6


def random_measured(seed, *, runs=1, kind="loss"):
    random = np.random.default_rng(seed)
    hard = random.exponential(size=EXAMPLES)

    def losses(*shape, level):
        noisy = hard + 0.2 * random.exponential(size=(*shape, EXAMPLES)) + level
        return noisy > 1.2 if kind == "error" else noisy

    return Measured(
        trained=losses(runs, level=0.1),
        optimum=losses(runs, level=0.0),
        halves=losses(SPLITS if runs == 1 else runs, 2, level=0.2),
        quarters=losses(5, level=0.5),
    )


def curve(at_n, at_half, at_quarter, *, trained=None):
    """Losses that are the same for every example, so that no interval is in the way."""
    trained = at_n if trained is None else trained
    return Measured(
        trained=np.full((1, 9), trained),
        optimum=np.full((1, 9), at_n),
        halves=np.full((3, 2, 9), at_half),
        quarters=np.full((4, 9), at_quarter),
    )


@pytest.mark.parametrize("kind", ["loss", "error"])
@pytest.mark.parametrize("runs", [1, 4])
@pytest.mark.parametrize("is_regular", [True, False])
def test_terms_add_up_and_lie_in_their_intervals(kind, runs, is_regular):
    for seed in range(5):
        found = decomposition.decompose(
            random_measured(seed, runs=runs, kind=kind),
            reference=(0.01, 0.05),
            is_regular=is_regular,
        )
        terms = (found.modelling, found.estimation, found.optimisation)
        total = 0.03 + sum(term.value for term in terms)
        assert found.error.value == pytest.approx(total, abs=1e-12)
        assert found.best_of_class.value == pytest.approx(0.03 + terms[0].value)
        for term in (*terms, found.error, found.best_of_class):
            assert term.interval.low <= term.value <= term.interval.high


def test_a_curve_without_noise_is_found():
    # 0.2 + 0.1 / m with m = 1, 1 / 2, 1 / 4.
    found = decomposition.decompose(
        curve(0.3, 0.4, 0.6, trained=0.35), reference=(0.05, 0.05)
    )
    assert found.estimation.value == pytest.approx(0.1)
    assert found.modelling.value == pytest.approx(0.15)
    assert found.optimisation.value == pytest.approx(0.05)
    assert found.exponent == pytest.approx(1)
    assert found.next_order == pytest.approx(0)
    low, high = found.estimation.interval
    assert high - low == pytest.approx(0, abs=1e-12)


def test_the_next_term_of_a_curve_is_found_and_counted():
    # 0.2 + 0.1 / m + 0.03 / m^2: the first order would say 0.1 + 3 * 0.03.
    found = decomposition.decompose(curve(0.33, 0.52, 1.08), reference=(0.0, 0.0))
    assert found.next_order == pytest.approx(0.13 - 0.19)
    assert found.estimation.value == pytest.approx((0.13 + 0.19) / 2)
    low, high = found.estimation.interval
    assert low <= 0.13 <= high


def test_least_squares_whose_curve_is_known():
    """Risk of least squares on Gaussian rows: 1 + p / (n - p - 1), and 1 for ever."""
    for share in (0.02, 0.05, 0.1):

        def risk(part, share=share):
            return 1 + share / (part - share)

        measured = curve(risk(1.0), risk(0.5), risk(0.25))
        found = decomposition.decompose(measured, reference=(0.0, 0.0))
        truth = risk(1.0) - 1
        assert found.estimation.value == pytest.approx(truth, rel=0.1)
        assert found.estimation.interval.low <= truth <= found.estimation.interval.high
    # With ten examples a parameter either order alone is further off; with fifty the
    # second is nearer than the middle that is taken.
    half = found.next_order / 2
    off = abs(found.estimation.value - truth)
    assert off < abs(found.estimation.value - half - truth)
    assert off < abs(found.estimation.value + half - truth)


def test_a_power_law_without_theory():
    # 0.1 + 0.2 * m ** -0.5
    measured = curve(0.3, 0.1 + 0.2 * math.sqrt(2), 0.5)
    found = decomposition.decompose(measured, reference=(0.0, 0.02), is_regular=False)
    assert found.exponent == pytest.approx(0.5)
    assert found.estimation.value == pytest.approx(0.2)
    assert found.modelling.value == pytest.approx(0.09)
    # From a fall as 1 / n to one that ends at the lower end of the reference.
    first = 0.2 * (math.sqrt(2) - 1)
    assert found.estimation.interval == pytest.approx((first, 0.3))
    assert found.modelling.interval == pytest.approx((0, 0.3 - first))


@pytest.mark.parametrize(
    ("three", "estimation"),
    [
        ((0.3, 0.4, 0.45), 0.3),  # falls ever faster: nothing says where it ends
        ((0.3, 0.3, 0.5), 0.0),  # does not fall any more
        ((0.3, 0.35, 0.55), 0.05),  # faster than 1 / n: taken as 1 / n
    ],
)
def test_curves_that_are_no_power_laws(three, estimation):
    found = decomposition.decompose(
        curve(*three), reference=(0.0, 0.0), is_regular=False
    )
    assert found.estimation.value == pytest.approx(estimation)


def test_intervals_count_both_ends_of_the_reference():
    known = decomposition.decompose(random_measured(0), reference=(0.1, 0.1))
    between = decomposition.decompose(random_measured(0), reference=(0.0, 0.2))
    assert between.modelling.value == pytest.approx(known.modelling.value)
    for end, shift in ((0, -0.1), (1, 0.1)):
        moved = known.modelling.interval[end] + shift
        assert between.modelling.interval[end] == pytest.approx(moved)
    assert between.estimation == known.estimation


def test_components_of_variance_are_those_that_were_made():
    random = np.random.default_rng(0)
    rows = random.normal(size=(300, 1)) * 0.5
    columns = random.normal(size=(1, 200)) * 2
    noise = random.normal(size=(300, 200))
    found, freedom = variance_components.component(rows + columns + noise)
    assert found == pytest.approx(0.25, rel=0.2)
    assert freedom == 299
    # Noise alone is no difference between rows.
    assert variance_components.component(columns + noise)[0] < 0.002


def zero_one(num_changed, *, size=500, runs=1):
    """No label is wrong but of what was trained, where the first few are."""
    trained = np.zeros((runs, size), bool)
    trained[:, :num_changed] = True
    return Measured(
        trained=trained,
        optimum=np.zeros((runs, size), bool),
        halves=np.zeros((max(runs, 3), 2, size), bool),
        quarters=np.zeros((4, size), bool),
    )


@pytest.mark.parametrize("changed", [0, 1, 7])
def test_a_difference_of_zero_one_losses_has_half_a_pair_more_in_each_cell(changed):
    found = decomposition.decompose(zero_one(changed), reference=(0.0, 0.0))
    # As Agresti and Min write it: n12 and n21 pairs disagree.
    n12, n21, total = changed + 0.5, 0.5, 502
    variance = ((n12 + n21) - (n12 - n21) ** 2 / total) / total**2
    half = stats.t.ppf(0.975, 499) * math.sqrt(variance)
    value, interval = found.optimisation
    assert value == changed / 500
    assert interval == pytest.approx((value - half, value + half))


@pytest.mark.parametrize("is_regular", [True, False])
@pytest.mark.parametrize("runs", [1, 3])
def test_no_interval_of_zero_one_losses_is_a_point(runs, is_regular):
    found = decomposition.decompose(
        zero_one(0, runs=runs), reference=(0.0, 0.0), is_regular=is_regular
    )
    for term in (found.error, found.modelling, found.best_of_class):
        assert term.value == term.interval.low == 0
        assert 0.004 < term.interval.high < 0.008
    assert found.optimisation.interval.low < 0 < found.optimisation.interval.high
    assert found.estimation.interval.low < 0
    # The same numbers as losses of another kind: nothing was imagined.
    other = Measured(*(np.asarray(part, float) for part in zero_one(7)))
    same = decomposition.decompose(other, reference=(0.0, 0.0))
    assert same.estimation.interval == (0, 0)


def test_the_error_of_one_run_has_wilsons_interval():
    found = decomposition.decompose(zero_one(7), reference=(0.0, 0.0)).error
    wilson = stats.binomtest(7, 500).proportion_ci(0.95, "wilson")
    assert found.interval == pytest.approx((wilson.low, wilson.high))


def test_bootstrap_refits_of_zero_one_losses():
    never = np.zeros((5, 500), bool)
    found = decomposition.bootstrap_estimation(never[0], never[1:])
    half = stats.t.ppf(0.975, 499) / 502
    assert found.interval == pytest.approx((-half, half))


@pytest.mark.parametrize("is_regular", [True, False])
def test_intervals_end_where_no_risk_can_be(is_regular):
    random = np.random.default_rng(0)
    # Two seeds that differ by chance: one degree of freedom.
    rates = np.array([[0.2, 0.5], [0.6, 0.3]])
    measured = Measured(
        trained=random.uniform(size=(2, 300)) < 0.3,
        optimum=random.uniform(size=(2, 300)) < 0.3,
        halves=random.uniform(size=(2, 2, 300)) < rates[..., None],
        quarters=random.uniform(size=(2, 300)) < np.array([[0.2], [0.8]]),
    )
    found = decomposition.decompose(
        measured, reference=(0.02, 0.06), is_regular=is_regular
    )
    best_on_sample = measured.optimum.mean()
    assert found.best_of_class.interval.high == 1
    assert found.best_of_class.interval.low == pytest.approx(0.02)
    assert found.modelling.interval == pytest.approx((0, 0.98))
    assert found.estimation.interval.low == pytest.approx(best_on_sample - 1)
    # A loss without an upper end: only the reference ends anything.
    losses = Measured(*(3.0 * np.asarray(part) for part in measured))
    found = decomposition.decompose(
        losses, reference=(0.02, 0.06), is_regular=is_regular
    )
    assert found.best_of_class.interval.high > 3
    assert found.best_of_class.interval.low == pytest.approx(0.02)


def test_a_reference_above_the_error_is_told_by_a_term_below_0():
    found = decomposition.decompose(curve(0.3, 0.4, 0.6), reference=(0.5, 0.7))
    assert found.modelling.value == pytest.approx(0.2 - 0.6)
    low, high = found.modelling.interval
    assert low <= found.modelling.value <= high


def test_bootstrap_refits():
    random = np.random.default_rng(0)
    optimum = random.uniform(size=500)
    refits = optimum + 0.05 + 0.01 * random.normal(size=(40, 500))
    found = decomposition.bootstrap_estimation(optimum, refits)
    assert found.value == pytest.approx((refits - optimum).mean())
    assert found.interval.low < 0.05 < found.interval.high
    assert found.interval.high - found.interval.low < 0.01


def test_fano_bounds_the_entropy_of_every_posterior():
    random = np.random.default_rng(0)
    for classes in (2, 3, 10):
        for _ in range(100):
            posterior = random.dirichlet(np.full(classes, 0.3)) + 1e-12
            posterior /= posterior.sum()
            entropy = -(posterior * np.log(posterior)).sum()
            error = 1 - posterior.max()
            bound = decomposition.least_cross_entropy(error, num_classes=classes)
            assert entropy <= bound + 1e-9
            # Reached where all wrong classes are equally likely.
            even = np.full(classes, error / (classes - 1))
            even[0] = 1 - error
            reached = -(even * np.log(even)).sum()
            assert reached == pytest.approx(bound)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"trained": np.zeros(9)}, "trained must have rank 2"),
        ({"optimum": np.zeros((2, 9))}, "optimum must have a row for each of 1 runs"),
        (
            {"halves": np.zeros((1, 2, 9))},
            "halves must have shape .* at least 2 splits",
        ),
        ({"halves": np.zeros((3, 3, 9))}, "halves must have shape"),
        ({"quarters": np.zeros((4, 8))}, "the same test examples"),
        ({"quarters": np.full((4, 9), np.inf)}, "quarters must be finite, got inf"),
        ({"quarters": np.full((4, 9), "a")}, "quarters must be numbers"),
    ],
)
def test_bad_losses(changes, words):
    measured = curve(0.3, 0.4, 0.6)._replace(**changes)
    with pytest.raises(ValueError, match=words):
        decomposition.decompose(measured, reference=(0.0, 0.0))


def test_bad_numbers():
    measured = curve(0.3, 0.4, 0.6)
    with pytest.raises(ValueError, match="reference must be a lower and an upper end"):
        decomposition.decompose(measured, reference=(0.2, 0.1))
    with pytest.raises(ValueError, match=r"reference\[0\] must be at least 0"):
        decomposition.decompose(measured, reference=(-0.2, 0.1))
    with pytest.raises(ValueError, match=r"reference\[0\] must be at most 1\.0, got 2"):
        decomposition.decompose(zero_one(1), reference=(2, 3))
    assert decomposition.decompose(measured, reference=(2, 3)).reference == (2, 3)
    with pytest.raises(ValueError, match="measured must be a Measured .* got tuple"):
        decomposition.decompose(tuple(measured), reference=(0.0, 0.1))
    with pytest.raises(ValueError, match="confidence must be below 1"):
        decomposition.decompose(measured, reference=(0.0, 0.1), confidence=1.0)
    with pytest.raises(ValueError, match=r"error must be at most 0\.5"):
        decomposition.least_cross_entropy(0.6, num_classes=2)
    with pytest.raises(ValueError, match="number of resamples must be at least 2"):
        decomposition.bootstrap_estimation(np.zeros(9), np.zeros((1, 9)))


def test_bounds_of_an_irregular_class_reach_as_far_as_each_other():
    """If the best of the class is the least there is, the rest is estimation."""
    random = np.random.default_rng(0)
    draws = random.uniform(size=800)
    measured = Measured(
        trained=(draws < 0.32)[None],
        optimum=(draws < 0.30)[None],
        halves=np.broadcast_to(draws < 0.38, (3, 2, 800)),
        quarters=np.broadcast_to(draws < 0.45, (4, 800)),
    )
    found = decomposition.decompose(measured, reference=(0.0, 0.1), is_regular=False)
    risk = np.mean(draws < 0.30)
    assert found.estimation.interval.high + found.best_of_class.interval.low > risk
    # And the noise of the test set comes on top of it.
    noise = 1.96 * math.sqrt(risk * (1 - risk) / 800)
    assert found.estimation.interval.high == pytest.approx(risk + noise, abs=1e-3)


def test_a_value_that_cannot_be_keeps_both_sides_of_its_interval():
    measured = zero_one(0)._replace(trained=np.arange(500)[None] < 50)
    found = decomposition.decompose(measured, reference=(0.29, 0.29))
    for term in (found.error, found.modelling, found.best_of_class):
        assert term.interval.low < term.value < term.interval.high
    assert found.modelling.value < 0


def test_the_error_of_a_loss_is_not_below_the_reference():
    few = np.array([[0.0, 0.0, 0.0, 0.0, 0.0, 6.0]])
    measured = Measured(few, few, np.stack([few, few], 1).repeat(3, 0), few)
    found = decomposition.decompose(measured, reference=(0.5, 0.5))
    assert found.error.interval.low == 0.5
