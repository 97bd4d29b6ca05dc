"""The study of an l2 per feature group: its gradients, and a small run."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from run_helpers import run_any, smoke_of

from experiments import group_penalties


def test_three_choices_of_one_draw(tmp_path, capsys):
    (row,) = run_any("group_penalties", out=tmp_path / "run")
    config = smoke_of("group_penalties")
    of_one, of_grid, of_gradient = (row[name] for name in group_penalties.METHODS)
    assert (of_one["fits"], of_grid["fits"]) == (2, 8)
    assert 2 < of_gradient["fits"] <= 2 + config.max_evaluations + 1
    # The grid has the single values, and the gradient begins at the best of them.
    for found in (of_grid, of_gradient):
        assert found["validation_loss"] <= of_one["validation_loss"] * (1 + 1e-3)
        assert len(found["l2"]) == len(group_penalties.GROUPS)
        assert 0.1 < found["test_accuracy"] < 1
        assert found["test_loss"] > 0
    assert len(set(of_one["l2"])) == 1
    printed = capsys.readouterr().out
    assert "grid over groups" in printed
    assert "mean" in printed


def test_the_gradient_of_the_validation_loss():
    config = dataclasses.replace(group_penalties.SMOKE, relative_gap=1e-9)
    drawn = group_penalties.draw(config, 0)
    assert drawn.features[0].shape == (60, 64 + 112 + 8)
    assert np.bincount(drawn.group_of).tolist() == [64, 112, 8]

    def loss_of(log_l2):
        params = group_penalties.fitted(config, drawn, log_l2)
        return group_penalties.mean_loss(params, drawn.features[1], drawn.labels[1])

    at = np.log([1e-2, 1e-1, 1.0]).astype(np.float32)
    found = jax.grad(loss_of)(jnp.asarray(at))
    for group in range(3):
        step = 0.1 * np.eye(3, dtype=np.float32)[group]
        quotient = float(loss_of(at + step) - loss_of(at - step)) / 0.2
        assert float(found[group]) == pytest.approx(quotient, rel=2e-2, abs=1e-4)
