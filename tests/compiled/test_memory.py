"""The memory of the compiled loops: what is not needed any more is given back."""

import numpy as np
import pytest

import refopt
from bowl import bowl, bowl_grad

numba = pytest.importorskip("numba")
from numba.core.runtime import _nrt_python as runtime  # noqa: E402  # numba may be missing

pytestmark = [pytest.mark.jit, pytest.mark.xdist_group("jit")]


def blocks():
    """How many blocks are allocated and not freed."""
    return runtime.memsys_get_stats_alloc() - runtime.memsys_get_stats_free()


@pytest.mark.parametrize("n", [2, 500])
def test_gradients_of_the_user_do_not_pile_up(n):
    """The user's functions make their results elsewhere: the spare blocks of a loop are only so many."""
    runtime.memsys_enable_stats()
    try:
        refopt.minimize(bowl, np.full(n, 0.5), jac=bowl_grad, method="l-bfgs")
        before, evaluations = blocks(), 0
        for _ in range(50):
            evaluations += refopt.minimize(bowl, np.full(n, 0.5), jac=bowl_grad, method="l-bfgs").njev
        assert blocks() - before < 200 < evaluations
    finally:
        runtime.memsys_disable_stats()
