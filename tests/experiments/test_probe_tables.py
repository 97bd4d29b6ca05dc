"""Tables beside the probe: parity with scikit-learn, time at many classes."""

import pytest
from run_helpers import run_any, smoke_of


@pytest.mark.full
def test_a_fit_and_scikit_learn_have_one_optimum(tmp_path, capsys):
    """The certificate allows what scikit-learn is lower by."""
    pytest.importorskip("sklearn")
    plain, weighted = run_any("parity", out=tmp_path / "run")
    assert (plain["is_weighted"], weighted["is_weighted"]) == (False, True)
    assert plain["l2"] == pytest.approx(1 / 60)
    for row in (plain, weighted):
        assert row["converged"]
        assert -row["relative_gap"] - 1e-12 <= row["distance"] <= 1e-6
        assert 0 < row["probability_difference"] <= 1e-4
    assert "3, weighted" in capsys.readouterr().out


def test_first_pass_and_memory_of_a_shape(tmp_path, capsys):
    (row,) = run_any("many_classes", out=tmp_path / "run")
    assert row["shape"] == list(smoke_of("many_classes").shapes[0])
    for times in (row["with_compiling"], row["compiled"]):
        assert 0 < times["first_pass"] <= times["seconds"]
        assert times["passes"] <= 3
    assert row["weights_mb"] == pytest.approx(4 * 3 * 6 / 2**20)
    assert row["peak_mb"] is None or row["peak_mb"] > row["rows_mb"]
    assert "60 x 5 x 3" in capsys.readouterr().out
