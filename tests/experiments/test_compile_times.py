"""Seconds of first calls, and of the programs that they compile."""

import jax
import jax.numpy as jnp
import pytest

from experiments import compile_times
from experiments.common import cli, measurements

MADE = compile_times.MEASUREMENTS

TRACE, LOWER, COMPILE = (
    "/jax/core/compile/jaxpr_trace_duration",
    "/jax/core/compile/jaxpr_to_mlir_module_duration",
    "/jax/core/compile/backend_compile_duration",
)


@pytest.fixture(scope="module")
def programs():
    """JAX has no way to stop listening, hence one for the file."""
    return compile_times.Programs()


@jax.jit
def _doubled_for_this_test(x):
    return 2 * x


def test_a_program_is_listed_once_it_is_compiled(programs):
    programs.taken()
    x = jnp.ones(3)
    _doubled_for_this_test(x)
    (found,) = [
        row for row in programs.taken() if row["program"] == "_doubled_for_this_test"
    ]
    assert found["compiled"] == 1
    assert min(found[stage] for stage in compile_times.STAGES) > 0
    _doubled_for_this_test(x)
    assert programs.taken() == []


def test_a_nested_span_counts_for_the_inner_program_alone(programs):
    """JAX reports the inner trace first; both end now, and one contains the other."""
    programs.taken()
    record = jax.monitoring.record_event_duration_secs
    record(TRACE, 1.0, fun_name="inner")
    record(TRACE, 3.0, fun_name="outer")
    record(LOWER, 1e-9, fun_name="jit(outer)")
    record(COMPILE, 1e-9, fun_name="jit(outer)")
    outer, inner = programs.taken()
    assert (outer["program"], inner["program"]) == ("outer", "inner")
    assert inner["trace"] == pytest.approx(1)
    assert outer["trace"] == pytest.approx(2)
    assert (outer["compiled"], inner["compiled"]) == (1, 0)


def test_a_run_measures_a_new_process(tmp_path, capsys):
    options = cli.RunOptions(out=tmp_path / "run")
    (found,) = measurements.run(MADE, MADE.smoke, options)
    assert found["task"] == "nearest"
    assert found["imports"] > 0
    first, repeated = found["first"], found["repeated"]
    assert first["seconds"] > repeated["seconds"] > 0
    stages = sum(
        row[stage] for row in first["programs"] for stage in compile_times.STAGES
    )
    assert 0 < stages < first["seconds"]
    assert sum(row["compiled"] for row in first["programs"]) > 0
    assert repeated["programs"] == []
    printed = capsys.readouterr().out
    assert "first nearest" in printed
    assert first["programs"][0]["program"] in printed
