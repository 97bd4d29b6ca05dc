"""Problems: examples that are checked once and know their classes."""

import jax
import ml_dtypes
import numpy as np
import pytest
import sweep_problems

import jaxlin
from jaxlin import check, losses, normalization, sharding
from jaxlin.objective import row_blocks
from jaxlin.selection import nested, training

ROWS = np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)
NAMES = np.array(["cat", "dog", "eel"])[np.arange(60) % 3]
SOFTMAX = losses.softmax_cross_entropy


def test_prints_what_it_holds():
    assert repr(jaxlin.problem(ROWS, NAMES)) == (
        "Problem(60 examples, 5 features, 3 classes)"
    )
    fitted = normalization.fit_standard(ROWS)
    assert repr(jaxlin.problem(ROWS, NAMES, normalization=fitted)) == (
        "Problem(60 examples, 5 features, 3 classes, normalized)"
    )
    blocks = row_blocks.over(ROWS, NAMES, block_size=25)
    assert repr(jaxlin.problem(blocks)) == "Problem(blocks of examples, 3 classes)"


def test_labels_become_codes_of_the_classes():
    problem = jaxlin.problem(ROWS, NAMES, weights=np.arange(60.0))
    assert problem.classes.tolist() == ["cat", "dog", "eel"]
    assert problem.num_classes == 3
    np.testing.assert_array_equal(problem.examples.targets, np.arange(60) % 3)
    np.testing.assert_array_equal(problem.examples.example_weights, np.arange(60.0))
    np.testing.assert_array_equal(problem.examples.features, ROWS)


def test_a_function_fits_the_normalization_to_rows_that_count():
    weights = np.r_[np.ones(30), np.zeros(30)]
    problem = jaxlin.problem(
        ROWS, NAMES, weights=weights, normalization=normalization.fit_standard
    )
    wanted = normalization.fit_standard(ROWS[:30])
    for found, part in zip(problem.normalization, wanted, strict=True):
        np.testing.assert_allclose(found, part, rtol=1e-6)


def test_another_normalization_shares_the_rows():
    problem = jaxlin.problem(ROWS, NAMES)
    other = problem.with_normalization(normalization.fit_standard(ROWS))
    assert other.examples.features is problem.examples.features
    assert problem.examples.normalization is None
    np.testing.assert_allclose(
        other.examples.normalization.mean, ROWS.mean(axis=0), atol=1e-6
    )


def test_features_are_looked_at_once(monkeypatch):
    seen = []
    once = check.features

    def counted(*given, **options):
        seen.append(1)
        return once(*given, **options)

    for module in (check, check.targets):  # callers outside the folder and inside
        monkeypatch.setattr(module, "features", counted)
    problem = jaxlin.problem(ROWS, NAMES)
    problem.prepared(loss=SOFTMAX)
    assert problem.prepared(loss=SOFTMAX) is problem.prepared(loss=SOFTMAX)
    assert sum(seen) == 1


def test_what_is_kept_is_not_traced():
    """A program that is compiled around it leaves the problem as it was."""
    problem = jaxlin.problem(ROWS, NAMES)
    for of_problem in (lambda: problem.examples.features, lambda: problem.prepared()):
        with pytest.raises(ValueError, match="arguments must be of concrete numbers"):
            jax.jit(of_problem)()
    np.testing.assert_array_equal(problem.examples.features, ROWS)
    assert jax.jit(lambda: problem.examples.features + 1)()[0, 0] == ROWS[0, 0] + 1
    # Nor is it of another precision than that of the moment.
    wide = jaxlin.problem(ROWS.astype(np.float64), NAMES)
    for x64, dtype in ((True, np.float64), (False, np.float32), (True, np.float64)):
        with jax.enable_x64(x64):
            assert wide.examples.features.dtype == dtype


def test_blocks_name_the_classes_of_all_of_them():
    blocks = [
        row_blocks.Block(ROWS[:2], NAMES[:2]),
        row_blocks.Block(ROWS[2:4], NAMES[2:4]),
    ]
    problem = jaxlin.problem(blocks)
    assert problem.classes.tolist() == ["cat", "dog", "eel"]
    codes = [block.targets.tolist() for block in problem.rows]
    assert codes == [[0, 1], [2, 0]]
    assert jaxlin.problem(blocks, classes=("eel", "dog", "cat", "ant")).num_classes == 4


SPREAD = np.full((60, 3), 1 / 3, np.float32)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"labels": None}, "labels must be given with features"),
        ({"labels": ["cat"] * 60}, "got only class cat; a classifier has nothing"),
        (
            {"labels": NAMES, "weights": NAMES == "eel"},
            "with positive weights, got only class eel",
        ),
        ({"labels": NAMES, "weights": np.zeros(60)}, "weights must have a positive"),
        ({"labels": NAMES[:59]}, "labels must have one entry per example"),
        ({"labels": NAMES, "classes": ("cat", "dog")}, "got eel at position 2"),
        ({"labels": SPREAD, "classes": ("cat", "dog")}, "classes must be one a column"),
        ({"labels": NAMES, "normalization": 3}, "normalization must be"),
        (
            {"labels": NAMES, "normalization": normalization.identity(4)},
            "normalization must be for 5 features",
        ),
    ],
)
def test_what_is_no_problem_is_refused(arguments, words):
    labels = arguments.pop("labels")
    with pytest.raises(ValueError, match="must") as caught:
        jaxlin.problem(ROWS, labels, **arguments)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("blocks", "arguments", "words"),
    [
        ([], {}, "blocks must hold at least one block"),
        (iter([]), {}, "blocks must be iterable many times"),
        (3, {}, "blocks must be iterable"),
        ([(ROWS, NAMES)], {"weights": np.ones(60)}, "weights must be in the blocks"),
        (
            [(ROWS, NAMES)],
            {"normalization": normalization.fit_standard},
            "normalization must be fitted already",
        ),
    ],
)
def test_blocks_that_are_no_problem_are_refused(blocks, arguments, words):
    with pytest.raises(ValueError, match="must") as caught:
        jaxlin.problem(blocks, **arguments)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "given",
    [{"labels": NAMES}, {"weights": np.ones(60)}, {"classes": ("a", "b")}],
)
def test_beside_a_problem_nothing_of_it_is_taken(given):
    labels = given.pop("labels", None)
    with pytest.raises(ValueError, match="beside a Problem"):
        jaxlin.fit(jaxlin.problem(ROWS, NAMES), labels, loss=SOFTMAX, l2=1.0, **given)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.ones(60), "weight_sets must have shape (sets, 60)"),
        (np.ones((2, 59)), "weight_sets must have shape (sets, 60)"),
        (-np.ones((1, 60)), "weight_sets[0] must be finite and at least 0"),
        ([np.ones(60), np.zeros(60)], "weight_sets[1] must have a positive sum"),
        (
            [NAMES == "dog"],
            "weight_sets[0] must leave examples of at least two classes",
        ),
    ],
)
def test_weight_sets_are_checked(values, words):
    problem = jaxlin.problem(ROWS, NAMES)
    with pytest.raises(ValueError, match="must") as caught:
        problem.weight_sets(values)
    assert words in str(caught.value)
    assert problem.weight_sets(None) is None


@pytest.mark.devices(8)
def test_rows_and_weight_sets_are_padded_on_a_mesh():
    with jax.set_mesh(sharding.mesh(rows=8)):
        problem = jaxlin.problem(ROWS, NAMES)
        sets = problem.weight_sets(np.ones((2, 60)))
        assert problem.examples.features.shape == (64, 5)
        assert sets.shape == (2, 64)
        np.testing.assert_array_equal(
            problem.examples.example_weights, np.r_[np.ones(60), np.zeros(4)]
        )
    # Without the mesh the same problem has its rows on one device.
    assert problem.examples.features.shape == (60, 5)


_KEY = jax.random.key(0)
FUNCTIONS_OF_A_PROBLEM = {
    "certify": lambda *data: jaxlin.certify(*data, loss=SOFTMAX, l2=0.1),
    "sweep": lambda *data: jaxlin.sweep(*data, losses=(SOFTMAX,), l2s=(0.1,)),
    "cross_validate": lambda *data: jaxlin.cross_validate(
        *data, losses=(SOFTMAX,), l2s=(0.1,), folds=NAMES
    ),
    "nested.cross_validate": lambda *data: nested.cross_validate(
        _KEY, *data, losses=(SOFTMAX,), l2s=(0.1,), folds=NAMES, num_inner_folds=2
    ),
    "train": lambda *data: jaxlin.train(_KEY, *data),
    "accuracies": lambda *data: training.accuracies(None, *data),
}


@pytest.mark.parametrize(
    "function", FUNCTIONS_OF_A_PROBLEM.values(), ids=list(FUNCTIONS_OF_A_PROBLEM)
)
@pytest.mark.parametrize("data", [(ROWS,), (ROWS, NAMES)], ids=["rows", "rows, labels"])
def test_arrays_in_place_of_a_problem_are_told_how_to_become_one(function, data):
    with pytest.raises(
        ValueError,
        match=r"problem must be a jaxlin.Problem, got a ndarray; give jaxlin.problem",
    ):
        function(*data)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_half_precision_rows_stay_and_fit_like_a_float32_copy(dtype):
    """The same bits of the sweep and of its certificates, with half the memory."""
    half = sweep_problems.ROWS.astype(dtype)
    problems = [
        jaxlin.problem(
            rows, sweep_problems.LABELS, normalization=normalization.fit_standard
        )
        for rows in (half, half.astype(np.float32))
    ]
    assert problems[0].examples.features.dtype == dtype
    found = [
        jaxlin.sweep(problem, losses=(SOFTMAX,), l2s=(1e-3, 1e-1), refine=True)
        for problem in problems
    ]
    for name in ("params", "certificate", "passes", "float64_passes"):
        jax.tree.map(
            np.testing.assert_array_equal, *(getattr(one, name) for one in found)
        )
    scores = [jaxlin.scores(one[0], half) for one in found]
    np.testing.assert_array_equal(*scores)
