"""Signals during a compiled run do no harm: they are served between chunks, and may end it."""

import os
import signal

import pytest

from processes import SCRIPT, SOLVE, finish, start
from refopt import stopping

pytest.importorskip("numba")

pytestmark = [pytest.mark.jit, pytest.mark.xdist_group("jit")]

TIMER = """
import signal
served = 0
def serve(number, frame):
    global served
    served += 1
signal.signal(signal.SIGALRM, serve)
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
runs = 0
while served < 300:  # a signal is pending at the end of nearly every chunk
    found, _, k = run(0.0, state, watch, bfgs.Params(), stopping.Tests(gtol=0.0), 100000)
    runs += 1
signal.setitimer(signal.ITIMER_REAL, 0.0)
"""

INTERRUPT = """
import signal
def serve(number, frame):
    raise KeyboardInterrupt
signal.signal(signal.SIGALRM, serve)
signal.setitimer(signal.ITIMER_REAL, 0.05)
try:
    while True:
        found, _, k = run(0.0, state, watch, bfgs.Params(), stopping.Tests(), 100000)
except KeyboardInterrupt:
    pass
"""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no interval timer")
@pytest.mark.parametrize("script", [TIMER, INTERRUPT], ids=["served", "raising"])
def test_a_signal_during_a_chunk_does_no_harm(script):
    answer, _, _ = finish(start(SCRIPT + script + SOLVE, os.environ["REFOPT_CACHE_DIR"]))
    assert answer[1:] == (stopping.DONE, "[1.0, 1.0]")
