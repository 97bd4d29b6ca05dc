"""Facts about the machine, the versions and the command of a run."""

import datetime
import importlib.metadata
import os
import platform
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import jaxlin

_PACKAGES = ("jax", "jaxlib", "optax", "chex", "numpy")

# Settings that change what XLA compiles or how many threads it uses, besides JAX_*.
_VARIABLES = ("XLA_FLAGS", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "TFDS_DATA_DIR")

_CHECKOUT = Path(__file__).resolve().parents[2]


def describe() -> dict[str, Any]:
    """Returns what one needs to know to repeat a run, as JSON types."""
    # Here, so that a process that only writes files of a run need not load it.
    import jax

    devices = jax.devices()
    return {
        "versions": {
            "python": platform.python_version(),
            "jaxlin": jaxlin.__version__,
            **{name: importlib.metadata.version(name) for name in _PACKAGES},
        },
        "device": {
            "platform": devices[0].platform,
            "kind": devices[0].device_kind,
            "count": len(devices),
        },
        "machine": {
            "system": platform.platform(),
            "processor": processor(),
            "cores": os.cpu_count(),
            "usable_cores": usable_cores(),
        },
        "variables": {
            name: value
            for name, value in sorted(os.environ.items())
            if name in _VARIABLES or name.startswith("JAX_")
        },
        "git": git_state(_CHECKOUT),
        "command": shlex.join([*program(), *sys.argv[1:]]),
        "started": utc_now().isoformat(),
    }


def utc_now() -> datetime.datetime:
    """Returns the time in UTC, to the second."""
    return datetime.datetime.now(datetime.UTC).replace(microsecond=0)


def program() -> list[str]:
    """Returns how this program is called: ``python -m <module>`` or a script."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if spec is None:
        return ["python", sys.argv[0]]
    # A package run with -m reports its __main__ module.
    return ["python", "-m", spec.name.removesuffix(".__main__")]


def processor() -> str:
    """Returns the model of the CPU, or what the platform calls it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    for line in lines:
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def usable_cores() -> int:
    """Returns how many cores this process may use, which a container can limit."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def git_state(root: Path) -> dict[str, Any] | None:
    """Returns the commit of the checkout at ``root`` and whether files differ from it.

    None if ``root`` is no checkout of its own: a copy that lies inside some other
    repository must not report that repository's commit.
    """
    top = _git(root, "rev-parse", "--show-toplevel")
    commit = _git(root, "rev-parse", "HEAD")
    changes = _git(root, "status", "--porcelain")
    if not top or not commit or Path(top) != root.resolve():
        return None
    return {"commit": commit, "dirty": changes != ""}


def _git(root: Path, *arguments: str) -> str | None:
    """Returns the output of a git command, or None if it fails."""
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
