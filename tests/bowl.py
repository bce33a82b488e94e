"""A jitted function with one minimum, at 0, for the tests of compiled runs."""

import pytest

numba = pytest.importorskip("numba")


@numba.njit
def bowl(x):
    return x @ x + (x @ x) ** 2


@numba.njit
def bowl_grad(x):
    return 2.0 * (1.0 + 2.0 * (x @ x)) * x
