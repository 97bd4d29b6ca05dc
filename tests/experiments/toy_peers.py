"""Peers that do one thing each, found by name in another process.

In a file of their own, so that such a process loads nothing else of the tests.
"""

import itertools
import operator
import os
import time
import types

import processes

from experiments.benchmark_solvers import isolation


def looping(rows, recorder, *, loss, l2):
    """A point every 20 ms, by a clock that is set by hand."""
    now = types.SimpleNamespace(seconds=0.0)
    isolation.time = types.SimpleNamespace(perf_counter=lambda: now.seconds)
    recorder.start()
    for count in itertools.count(1):
        now.seconds += 0.02
        recorder.point(l2 * rows.features[:2], evaluations=count)


def deaf(rows, recorder, *, loss, l2, marker):
    recorder.point(rows.features[:2], evaluations=1)
    marker.touch()
    time.sleep(processes.HANGS_AFTER_S)


def dying(rows, recorder, *, loss, l2):
    recorder.start()
    recorder.point(rows.features[:2], evaluations=1)
    os._exit(7)


# Cannot be called like a peer.
failing = operator.neg
