"""L-BFGS: two loops are the dense product, a run is the book's algorithm, and the same on every array kind."""

from fractions import Fraction
from itertools import islice, pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import refopt
from problems import PROBLEMS
from refopt import exact, ops, zoo
from refopt.linesearch import Point
from refopt.loop import iterate
from refopt.methods import bfgs, l_bfgs
from refopt.problem import Problem
from strategies import nonzero_vectors, sizes, spd, vectors

EPS = 2.0**-52


def product_form(H, s, y):
    """(I − ρsyᵀ) H (I − ρysᵀ) + ρssᵀ, as it is printed."""
    rho = 1 / (y @ s)
    V = np.eye(len(s), dtype=int) - rho * np.outer(s, y)
    return V @ H @ V.T + rho * np.outer(s, s)


def dense(gamma, pairs):
    """The matrix that the pairs stand for, oldest first."""
    H = gamma * np.eye(len(pairs[0][0]), dtype=int)
    for s, y in pairs:
        H = product_form(H, s, y)
    return H


def history(pairs, m):
    """Rows written in turn, the newest over the oldest."""
    S = Y = ops.blank_rows(m, pairs[0][0])
    for k, (s, y) in enumerate(pairs):
        S, Y = ops.with_row(S, k, s), ops.with_row(Y, k, y)
    return S, Y


@st.composite
def runs(draw):
    """Pairs as a run leaves them on a quadratic of condition 30, and a gradient."""
    n, count = draw(sizes), draw(st.integers(1, 7))
    A = draw(spd(n, 30))
    S = [draw(nonzero_vectors(n)) for _ in range(count)]
    return [(s, A @ s) for s in S], draw(vectors(n))


# --- the two loops ---------------------------------------------------------------------------------------------------


@given(runs(), st.integers(1, 8), st.floats(1e-3, 1e3))
def test_two_loops_are_the_dense_product_of_the_last_pairs(run, m, gamma):
    pairs, g = run
    found = ops.two_loop(*history(pairs, m), len(pairs), gamma, g)
    H = dense(gamma, pairs[-m:])
    # each of seven updates on either side multiplies by at most 1 + ‖s‖‖y‖/yᵀs ≤ 1 + √κ: roundings of such products
    growth = (1 + 30**0.5) ** (2 * min(m, len(pairs)))
    assert np.linalg.norm(found - H @ g) <= 50 * EPS * growth * (gamma + 1) * np.linalg.norm(g)


@given(st.integers(0, 1000), st.integers(1, 4), st.integers(1, 5))
def test_over_rational_numbers_they_are_exactly_that(seed, n, m):
    rng = np.random.default_rng(seed)
    A, g = exact.spd(rng, n), exact.numbers(rng, n)
    steps = [exact.numbers(rng, n) for _ in range(4)]
    pairs = [(s, A @ s) for s in steps if s.any()]
    assume(pairs)
    found = exact.checked(ops.two_loop(*history(pairs, m), len(pairs), Fraction(2, 3), g))
    assert (found == dense(Fraction(2, 3), pairs[-m:]) @ g).all()


def test_without_pairs_they_multiply_by_gamma():
    g = np.array([1.0, -2.0])
    S = ops.blank_rows(3, g)
    assert (ops.two_loop(S, S, 0, 0.25, g) == 0.25 * g).all()
    assert (g == [1.0, -2.0]).all()


@pytest.mark.parametrize("n", [3, 2000])
def test_two_loops_write_into_nothing_that_was_given(n):
    rng = np.random.default_rng(n)
    pairs = [(s, 2 * s) for s in rng.standard_normal((3, n))]
    S, Y = history(pairs, 3)
    g = rng.standard_normal(n)
    kept = [np.array(S), np.array(Y), g.copy()]
    found = ops.two_loop(S, Y, 3, 0.5, g)
    assert all((np.array(a) == b).all() for a, b in zip((S, Y, g), kept, strict=True))
    assert found == pytest.approx(0.5 * g, rel=1e-12)  # all that there is to know of f = ‖x‖²


def test_histories_are_pure_and_in_turn():
    x = np.array([1.0, 2.0])
    S = ops.blank_rows(2, x)
    once = ops.with_row(S, 0, x)
    thrice = ops.with_row(ops.with_row(once, 1, 2 * x), 2, 3 * x)
    assert np.array(S).tolist() == [[0, 0], [0, 0]]
    assert np.array(thrice).tolist() == [[3, 6], [2, 4]]
    assert ops.latest(thrice, 3).tolist() == [[2, 4], [3, 6]]
    assert ops.latest(once, 1).tolist() == [[1, 2]]
    assert ops.latest(S, 0).shape == (0, 2)
    for count in range(9):  # of a matrix as of a tuple of rows: the last three that were written, in turn
        rows, written = (0 * x,) * 3, [k * x for k in range(count)]
        for k, row in enumerate(written):
            rows = ops.with_row(rows, k, row)
        assert ops.latest(np.array(rows), count).tolist() == np.array(written[-3:]).reshape(-1, 2).tolist()
        assert ops.latest(rows, count).tolist() == ops.latest(np.array(rows), count).tolist()
    matrix = np.array(thrice)
    assert ops.with_row(matrix, 3, x).tolist() == [[3, 6], [1, 2]]
    assert matrix.tolist() == [[3, 6], [2, 4]]


# --- a step ----------------------------------------------------------------------------------------------------------


def start(x, g, params=l_bfgs.Params()):  # noqa: B008
    return l_bfgs.init(Problem(lambda x: 1.0, lambda x: g), x, params)


def point(x, g, lower=True, wolfe=True):
    return Point(x, 0.5, g, 0.25, 4, 2, lower, wolfe)


@given(runs())
def test_advance_learns_the_differences_of_x_and_g(run):
    pairs, g = run
    assume(np.linalg.norm(g) > 1e-3)
    params = l_bfgs.Params(memory=3)
    state = start(np.zeros(len(g)), g, params)
    for s, y in pairs:
        state = l_bfgs.advance(state, point(state.x + s, state.g + y), params)
    S, Y = state.history
    assert len(S) == min(3, len(pairs))
    # x and g are sums of earlier steps: their roundings
    total = sum(abs(s).max() for s, _ in pairs)
    for k, (s, y) in enumerate(pairs[-3:]):
        assert abs(S[k] - s).max() <= 8 * EPS * total
        assert abs(Y[k] - y).max() <= 8 * EPS * (60 * total + abs(g).max())
    assert state.gamma == Y[-1] @ S[-1] / (Y[-1] @ Y[-1])
    assert (state.p == -ops.two_loop(state.S, state.Y, state.pairs, state.gamma, state.g)).all()
    assert state.pairs == len(pairs)
    assert state.nfev == 1 + 4 * len(pairs)
    assert state.njev == 1 + 2 * len(pairs)


@pytest.mark.parametrize("y", [[-1.0, 0.0], [0.0, 1.0], [1e-11, 1.0], [0.0, 0.0]])
def test_a_pair_is_left_out_where_curvature_is_not_safely_positive(y):
    state = start(np.zeros(2), np.ones(2))
    new = l_bfgs.advance(state, point(np.array([1.0, 0.0]), np.ones(2) + y), l_bfgs.Params())
    assert (new.pairs, new.fresh, new.gamma) == (0, True, state.gamma)
    assert new.p == pytest.approx(-state.gamma * (np.ones(2) + y))


def test_scaling_can_be_left_out():
    state = start(np.zeros(2), np.ones(2))
    new = l_bfgs.advance(state, point(np.array([1.0, 0.0]), np.array([3.0, 1.0])), l_bfgs.Params(scaling=False))
    assert new.gamma == state.gamma
    assert new.pairs == 1


def test_ok_ends_with_a_search_that_lowers_nothing_or_the_third_without_a_wolfe_point():
    here = start(np.zeros(2), np.ones(2))
    assert not l_bfgs.advance(here, point(here.x, np.ones(2), lower=False, wolfe=False), l_bfgs.Params()).ok
    seen = []
    for _ in range(3):
        here = l_bfgs.advance(here, point(here.x + 1, np.ones(2), wolfe=False), l_bfgs.Params())
        seen.append((here.ok, here.weak))
    assert seen == [(True, 1), (True, 2), (False, 3)]
    assert l_bfgs.resume(here) == here._replace(ok=True, weak=0)


def test_predicted_is_the_decrease_of_the_model():
    A, g = np.array([[2.0, 1.0], [1.0, 3.0]]), np.array([1.0, -2.0])
    state = start(np.zeros(2), g)
    assert l_bfgs.predicted(state) == 0.0
    for s in np.eye(2):
        state = l_bfgs.advance(state, point(state.x + s, state.g + A @ s), l_bfgs.Params())
    H = dense(state.gamma, list(zip(*state.history, strict=True)))
    assert l_bfgs.predicted(state) == pytest.approx(0.5 * state.g @ H @ state.g, rel=100 * EPS)


def test_restart_forgets_and_keeps_the_length():
    state = start(np.zeros(2), np.array([1.0, -2.0]))
    state = l_bfgs.advance(state, point(np.ones(2), np.array([3.0, -1.0])), l_bfgs.Params())
    new = l_bfgs.restart(state._replace(ok=False, weak=3))
    assert (new.fresh, new.ok, new.weak) == (True, True, 0)
    assert np.linalg.norm(new.p) == pytest.approx(np.linalg.norm(state.p), rel=8 * EPS)
    assert new.p @ new.g == pytest.approx(-np.linalg.norm(new.p) * np.linalg.norm(new.g), rel=8 * EPS)
    assert (l_bfgs.restart(state._replace(g=0 * state.g)).p == 0.0).all()


def test_the_first_trial_goes_a_tenth_of_the_length_of_x_and_later_ones_the_whole_step():
    tried = []
    problem = Problem(lambda x: tried.append(float(x[0])) or float((x[0] - 100) ** 2), lambda x: 2 * (x - 100))
    first = l_bfgs.init(problem, np.array([4.0]), l_bfgs.Params())
    second = l_bfgs.step(problem, first, l_bfgs.Params())
    assert tried[:2] == [4.0, pytest.approx(4.4)]
    l_bfgs.step(problem, second, l_bfgs.Params())
    assert tried[second.nfev] == pytest.approx(100.0)  # one pair is all there is to know in one variable


# --- a path ----------------------------------------------------------------------------------------------------------


def literal(fun, grad, states, m):
    """Every x but the first, by the book's product form and the α of the states given."""
    pairs, g = [], grad(states[0].x)
    p = -states[0].gamma * g
    for old, new in pairwise(states):
        x = old.x + new.alpha * p
        yield x, p
        s, y = new.x - old.x, grad(new.x) - grad(old.x)
        pairs = [*pairs, (s, y)][-m:]
        p = -dense((s @ y) / (y @ y), pairs) @ grad(new.x)


@pytest.mark.parametrize("m", [1, 3, 10])
@pytest.mark.parametrize("name", ["rosenbrock", "wood", "brown_dennis", "helical_valley"])
def test_each_state_follows_from_the_last(name, m):
    """With the step lengths that the search chose, everything else is worked anew from the book."""
    problem = PROBLEMS[name]
    states = list(islice(iterate(l_bfgs, functions(problem), problem.x0, l_bfgs.Params(memory=m)), 15))
    for (x, p), (old, new) in zip(literal(problem.fun, problem.grad, states, m), pairwise(states), strict=True):
        # pairs of a curved valley: products of ten updates lose some digits
        assert np.linalg.norm(new.x - x) <= 1e-6 * np.linalg.norm(new.alpha * p)
        assert new.f == problem.fun(new.x)
        assert (new.g == problem.grad(new.x)).all()
        assert new.f <= old.f + 1e-4 * new.alpha * (old.g @ p)
        assert abs(new.g @ p) <= 0.9 * abs(old.g @ p) * (1 + 1e-6)


@pytest.mark.parametrize("name", ["rosenbrock", "wood", "helical_valley"])
def test_with_room_for_every_pair_it_is_bfgs(name):
    problem = PROBLEMS[name]
    ours = iterate(l_bfgs, functions(problem), problem.x0, l_bfgs.Params(memory=12, scaling=False))
    theirs = iterate(bfgs, functions(problem), problem.x0, bfgs.Params(c2=0.9))
    for a, b in zip(islice(ours, 12), islice(theirs, 12), strict=True):
        # the same numbers in another order, magnified by twelve steps along a valley of condition 2500
        assert a.x == pytest.approx(b.x, rel=1e-6, abs=1e-6)
        assert a.nfev == b.nfev


def functions(squares):
    return Problem(squares.fun, squares.grad)


# --- the front door --------------------------------------------------------------------------------------------------

ROSENBROCK = zoo.get("rosenbrock:10")


def solve(x0=ROSENBROCK.x0, **options):
    problem = ROSENBROCK.problem
    return refopt.minimize(problem.fun, x0, jac=problem.grad, method="l-bfgs", options=options)


def test_the_history_of_a_result_starts_another_run():
    before = solve()
    S, Y = before.history
    assert S.shape == Y.shape == (10, 10)
    x0 = before.x + 1e-3
    warm, cold = solve(x0, history=before.history, trace=True), solve(x0)
    assert warm.success
    first = warm.trace[0]
    H = dense(Y[-1] @ S[-1] / (Y[-1] @ Y[-1]), list(zip(S, Y, strict=True)))
    assert np.linalg.norm(first.p + H @ first.g) <= 1e-6 * np.linalg.norm(first.p)  # κ(H) is 1e4, ten updates
    assert first.pairs == 10
    assert warm.nfev < cold.nfev
    assert solve(x0, history=[part.tolist() for part in before.history]).nfev == warm.nfev


def test_of_a_longer_history_the_last_pairs_are_kept_and_useless_ones_left_out():
    before = solve()
    S, Y = before.history
    short = solve(before.x + 1e-3, history=(S, Y), memory=3, trace=True, maxiter=1).trace[0]
    assert (short.history[0] == S[-3:]).all()
    assert (short.history[1] == Y[-3:]).all()
    turned = solve(before.x + 1e-3, history=(S, -Y), trace=True, maxiter=1).trace[0]
    assert turned.pairs == 0


@pytest.mark.parametrize(
    "wrong", [np.ones((2, 10)), (np.ones((2, 10)),) * 3, (np.ones((2, 9)),) * 2, (np.ones((1, 10)), np.ones((2, 10)))]
)
def test_a_history_of_a_wrong_shape_is_an_error(wrong):
    with pytest.raises(ValueError, match=r"history must be the pair \(S, Y\) of arrays of shape \(k, 10\)"):
        solve(history=wrong)


@pytest.mark.parametrize("search", ["strong-wolfe", "hager-zhang", "armijo"])
@pytest.mark.parametrize("memory", [1, 5, 30])
def test_every_search_and_memory_solves(search, memory):
    result = solve(search=search, memory=memory)
    assert result.success
    assert result.x == pytest.approx(np.ones(10), abs=1e-6)


# --- array kinds -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["rosenbrock", "rosenbrock:10", "quartic", "valley"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_array_kind_takes_the_same_steps(namespace, name, dtype):
    like = namespace.asarray(np.ones(1, dtype))
    plain, same = zoo.get(name, like=np.ones(1, dtype)), zoo.get(name, like=like)
    steps = 12 if dtype == "float64" else 6
    reference = list(islice(iterate(l_bfgs, plain.problem, plain.x0), steps))
    found = islice(iterate(l_bfgs, same.problem, same.x0), steps)
    # sums of products in another order: a few roundings of what the run began with, magnified by its steps
    tolerance = 1e5 * float(np.finfo(dtype).eps)
    for ours, theirs in zip(found, reference, strict=True):
        for field, size in (("x", reference[0].x), ("g", reference[0].g), ("p", reference[0].x)):
            array, expected = getattr(ours, field), getattr(theirs, field)
            assert namespace.owns(array)
            assert namespace.to_numpy(array).dtype == np.dtype(dtype)
            assert abs(namespace.to_numpy(array) - expected).max() <= tolerance * abs(size).max()
        counts = ("pairs", "weak", "taken", "ok", "nfev", "njev")
        assert [getattr(ours, name) for name in counts] == [getattr(theirs, name) for name in counts]
        assert all(namespace.owns(part) for part in ours.history)
        assert type(ours.f) is type(ours.alpha) is float


@pytest.mark.parametrize("name", PROBLEMS)
def test_scaling_f_by_a_power_of_two_changes_no_bit(name):
    problem = PROBLEMS[name]
    c = 2.0**37
    scaled = Problem(lambda x: c * problem.fun(x), lambda x: c * problem.grad(x))
    plain = islice(iterate(l_bfgs, functions(problem), problem.x0), 25)
    for ours, theirs in zip(islice(iterate(l_bfgs, scaled, problem.x0), 25), plain, strict=True):
        assert (ours.x == theirs.x).all()
        assert ours.f == c * theirs.f
        assert ours.gamma * c == theirs.gamma
        assert ours.nfev == theirs.nfev


def test_changes_of_the_gradient_whose_square_is_no_number_teach_nothing():
    """float32 ends at 1e-45: f in such units is given up with a status, and no division by zero."""
    scale = np.float32(1e-20)
    result = refopt.minimize(
        lambda x: scale * x[0] ** 4, np.ones(1, "f"), jac=lambda x: 4 * scale * x**3, method="l-bfgs"
    )
    assert result.status in refopt.Status
