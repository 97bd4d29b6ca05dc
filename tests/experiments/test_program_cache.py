"""Programs kept between runs: where, and what becomes of an entry that is damaged."""

import os

import processes

from experiments.common import program_cache

PROGRAM = """
import warnings
import jax, jax.numpy as jnp
from experiments.common import program_cache

folder = program_cache.enable()
run = jax.jit(lambda x: jnp.sin(x).sum())
run(jnp.ones(3))
(entry,) = folder.glob("jit__lambda-*-cache")
whole = entry.read_bytes()
entry.write_bytes(whole[:50])
jax.clear_caches()
run(jnp.ones(3))
print(len(entry.read_bytes()) > 50)
warnings.warn("another warning is shown")
"""


def test_a_damaged_entry_costs_a_compilation_and_no_warning(tmp_path):
    names = {"JAX_COMPILATION_CACHE_DIR", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"}
    environment = {name: os.environ[name] for name in os.environ if name not in names}
    environment["XDG_CACHE_HOME"] = str(tmp_path)
    process = processes.start("-c", PROGRAM, env=environment)
    code, printed, complained = processes.finish(process)
    assert (code, printed.strip()) == (0, "True"), complained
    assert "Error reading" not in complained
    assert "another warning is shown" in complained
    (folder,) = (tmp_path / "jaxlin" / "programs").iterdir()
    assert folder.name.startswith("jaxlib-")


def test_the_variable_of_jax_wins(monkeypatch, tmp_path):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path))
    assert program_cache.enable() is None
