"""Peers that do one thing each, found by name in another process.

In a file of their own, so that such a process loads nothing else of the tests.
"""

import importlib
import itertools
import operator
import os
import sys
import time
import types

import processes

from experiments.benchmark_solvers import isolation


def looping(recorder, weights):
    """A point every 20 ms, by a clock that is set by hand."""
    now = types.SimpleNamespace(seconds=0.0)
    isolation.time = types.SimpleNamespace(
        perf_counter=lambda: now.seconds, sleep=time.sleep
    )
    recorder.start()
    for count in itertools.count(1):
        now.seconds += 0.02
        recorder.point(weights, passes=count)


def deaf(recorder, weights, marker):
    recorder.point(weights, passes=1)
    marker.touch()
    time.sleep(processes.HANGS_AFTER_S)


def dying(recorder, weights):
    recorder.start()
    recorder.point(weights, passes=1)
    os._exit(7)


def alone(recorder, weights, modules):
    """Loads modules, and ends with the names of the libraries that came with them."""
    for name in modules:
        importlib.import_module(name)
    libraries = {"jax", "torch", "sklearn", "optax"}
    return " ".join(sorted(libraries & set(sys.modules)))


# Cannot be called like a peer.
failing = operator.neg
