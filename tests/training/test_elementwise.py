"""A cell read on whole vectors, written piece by piece, and in one compiled pass: the same numbers to the last bit."""

import numpy as np
import pytest

from refopt import elementwise
from refopt.elementwise import PIECE, WORTH, applied, distance, in_pieces, outputs
from refopt.moments import of_gradient, of_probe, of_squares, of_sum
from refopt.stochastic.momentum import heavy_ball
from refopt.stochastic.sgd import descent

NUMBERS = {
    of_gradient: (0.9, 0.1, 0.99, 0.01, 0.02, 1.7, 1e-8, 0.5, 0.999),
    of_probe: (0.9, 0.1, 0.99, 0.01, 0.02, 1.7, 1e-8, 0.5, 0.999),
    of_squares: (0.9, 0.1, 0.99, 0.01, 0.02, 1.7, 1e-6, 1.0, 0.999),
    of_sum: (1.0, 1.0, 0.1, 1e-10, 0.5, 1.0),
    heavy_ball: (0.9, 0.8, 0.1, 1.0, 0.9, 0.99),
    descent: (0.1, 0.99),
}
COUNTS = {of_gradient: 4, of_probe: 6, of_squares: 5, of_sum: 3, heavy_ball: 3, descent: 2}


def vectors(cell, n, dtype, seed=0):
    drawn = abs(np.random.default_rng(seed).standard_normal((COUNTS[cell], n))).astype(dtype)
    drawn[0] -= 1
    return tuple(drawn[k].copy() for k in range(COUNTS[cell]))


@pytest.mark.parametrize("cell", NUMBERS, ids=lambda cell: cell.__name__)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [0, 1, PIECE - 1, PIECE, 2 * PIECE + 3])
def test_pieces_are_the_whole(cell, dtype, n):
    given = vectors(cell, n, dtype)
    expected = cell(*given, *NUMBERS[cell])
    found = applied(cell, given, NUMBERS[cell], donate=True)
    assert len(found) == outputs(cell) == len(expected)
    for a, b, mine in zip(expected, found, given, strict=False):
        assert b is mine
        assert a.dtype == b.dtype == dtype
        assert np.array_equal(a, b)
    assert all(
        np.array_equal(a, b) for a, b in zip(given[len(found) :], vectors(cell, n, dtype)[len(found) :], strict=True)
    )


@pytest.mark.jit
@pytest.mark.parametrize("cell", NUMBERS, ids=lambda cell: cell.__name__)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_compiled_pass_is_the_whole(cell, dtype):
    from refopt.compiled.passes import in_one_pass

    given = vectors(cell, WORTH + 7, dtype)
    expected = cell(*given, *NUMBERS[cell])
    found = applied(cell, given, NUMBERS[cell], donate=in_one_pass)
    assert all(np.array_equal(a, b) for a, b in zip(expected, found, strict=True))


@pytest.mark.jit
def test_what_a_pass_cannot_do_is_done_in_pieces():
    """Another exponent, vectors of two types, short ones."""
    from refopt.compiled import passes

    numbers = (*NUMBERS[of_sum][:4], 0.3, 1.0)
    mixed = vectors(of_sum, WORTH, np.float64)
    for given in (
        vectors(of_sum, WORTH, np.float64),
        (*mixed[:2], mixed[2].astype(np.float32)),
        vectors(of_sum, 5, np.float64),
    ):
        expected = of_sum(*given, *numbers)
        passes.in_one_pass(of_sum, given, numbers)
        assert all(np.array_equal(a, b) for a, b in zip(expected, given, strict=False))


def test_what_may_not_be_written_is_not():
    given = vectors(descent, 9, np.float64)
    given[0].flags.writeable = False
    assert applied(descent, given, NUMBERS[descent], donate=True)[0] is not given[0]
    strided = np.zeros(18)[::2]
    assert applied(descent, (strided, given[1]), NUMBERS[descent], donate=True)[0] is not strided
    assert not strided.any()


def test_zero_over_zero_is_no_step():
    """ε = 0 and no gradient yet."""
    from refopt.stochastic import adam

    for dtype in (np.float32, np.float64):
        x = np.ones(3, dtype)
        state = adam.update(adam.init(None, x, adam.Params()), 0 * x, adam.Params(eps=0.0))
        assert np.array_equal(state.x, x)


def test_distance_of_vectors_longer_than_a_piece():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, PIECE + 5))
    assert np.isclose(distance(x, y), np.linalg.norm(x - y), rtol=1e-13)
    assert elementwise.distance(x, x) == 0.0


def test_pieces_write_only_what_the_cell_returns():
    given = vectors(heavy_ball, 10, np.float64)
    g = given[2].copy()
    in_pieces(heavy_ball, given, NUMBERS[heavy_ball])
    assert np.array_equal(given[2], g)
