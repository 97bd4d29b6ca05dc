"""A strict JAX for every test: no silent rank promotion, eight CPU devices.

Two thirds of the suite's time is compiling, so programs are compiled with few
optimisations. Files about the compiler itself are marked ``optimized`` (compiled as for
users), tests of rounding run so too, in both modes with ``--full``
(`optimization_modes.BOTH`), and ``JAX_DISABLE_MOST_OPTIMIZATIONS=0 python -m pytest``
compiles everything as for users.

On a GPU: ``JAX_PLATFORMS=cuda,cpu XLA_PYTHON_CLIENT_PREALLOCATE=false python -m
pytest``. What needs several devices is skipped there.
"""

import gc
import importlib.metadata
import os
import pathlib
import tempfile

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# A busy machine makes the threads of a small product wait for one another: a hundred
# times as long, now and then.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
)
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
# Programs are shared by the processes of a session and kept for the next one.
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR",
    os.path.join(
        tempfile.gettempdir(),
        f"jaxlin-programs-of-jax-{importlib.metadata.version('jaxlib')}",
    ),
)
# Small ones too: reading one takes a quarter of the time of compiling it.
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")

import jax
import pytest

from jaxlin.numerics import device_mesh

jax.config.update("jax_numpy_rank_promotion", "raise")

# Regions of memory that a process may map between two files of tests.
_MOST_REGIONS = 20_000


def pytest_addoption(parser):
    parser.addoption("--full", action="store_true", help="run the long tests too")


def pytest_collection_modifyitems(config, items):
    if config.getoption("--full"):
        return
    for item in items:
        # Not by its keywords, among which are the folders that it lies in.
        if item.get_closest_marker("full"):
            item.add_marker(pytest.mark.skip(reason="long; runs with --full"))


def pytest_runtest_setup(item):
    needs = item.get_closest_marker("devices")
    if needs and jax.device_count() < needs.args[0]:
        pytest.skip(f"needs {needs.args[0]} devices")


@pytest.fixture(scope="module", autouse=True)
def optimizations(request):
    """Compiles the programs of a file in the mode that it asks for."""
    before = jax.config.read("jax_disable_most_optimizations")
    is_quick = getattr(request, "param", before)
    if request.node.get_closest_marker("optimized"):
        is_quick = False
    if is_quick == before:
        yield
        return
    # Programs in memory do not know in which mode they were compiled.
    jax.config.update("jax_disable_most_optimizations", is_quick)
    jax.clear_caches()
    yield
    jax.config.update("jax_disable_most_optimizations", before)
    jax.clear_caches()


@pytest.fixture(scope="module", autouse=True)
def few_programs():
    """Drops compiled programs before they take all regions of memory.

    A process may map 65,530 on Linux, beyond which XLA ends it without a word; each
    program takes some. Later files read their programs from the cache on disk.
    """
    yield
    maps = pathlib.Path("/proc/self/maps")
    if maps.exists() and maps.read_bytes().count(b"\n") > _MOST_REGIONS:
        jax.clear_caches()
        gc.collect()


@pytest.fixture
def as_on_cpu(monkeypatch):
    """Decisions for the kind of machine are those of a CPU."""
    monkeypatch.setattr(device_mesh, "on_accelerator", lambda: False)


@pytest.fixture
def as_on_accelerator(monkeypatch):
    """Decisions for the kind of machine are those of a GPU."""
    monkeypatch.setattr(device_mesh, "on_accelerator", lambda: True)


@pytest.fixture(scope="module")
def float64():
    """Arrays made from NumPy stay float64 unless a test says otherwise."""
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="session")
def real_cifar10():
    """The data set itself, for tests marked cifar10; they are skipped without it."""
    from jaxlin import data

    try:
        return data.load("cifar10", download=False)
    except data.DataUnavailableError as error:
        pytest.skip(str(error))
