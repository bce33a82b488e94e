"""DFP, Broyden's rank-one method and SR1: steps worked anew from the book, and the same on every array kind."""

from itertools import islice, pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import refopt
from problems import PROBLEMS
from refopt import zoo
from refopt.linesearch import SEARCHES, Point
from refopt.loop import iterate
from refopt.methods import bfgs, broyden, dfp, sr1
from refopt.problem import Problem
from refopt.region import first_radius
from refopt.subproblem import more_sorensen
from strategies import nonzero_vectors, spd, symmetric_indefinite

EPS = 2.0**-52
problems = pytest.mark.parametrize("problem", [PROBLEMS[n] for n in ("rosenbrock", "wood", "brown_dennis", "bard")])


def dfp_formula(H, s, y):
    return H - np.outer(H @ y, H @ y) / (y @ H @ y) + np.outer(s, s) / (y @ s)


def rank_one_formula(H, s, y):
    r = s - H @ y
    return H + np.outer(r, r) / (r @ y)


def functions(squares):
    return Problem(squares.fun, squares.grad)


# --- searches --------------------------------------------------------------------------------------------------------


@problems
def test_each_state_of_dfp_follows_from_the_last(problem):
    states = list(islice(iterate(dfp, functions(problem), problem.x0), 12))
    for old, new in pairwise(states):
        s, y = new.x - old.x, problem.grad(new.x) - problem.grad(old.x)
        wanted = dfp_formula(old.H, s, y)
        # both terms are as large as H; s and y are differences of longer vectors
        assert np.abs(new.H - wanted).max() <= 1e-9 * (np.abs(old.H).max() + np.abs(wanted).max())
        assert (new.p == -(new.H @ new.g)).all()
        assert new.x == pytest.approx(old.x + new.alpha * old.p, rel=1e-14)
        assert new.f <= old.f + 1e-4 * new.alpha * (old.g @ old.p)
        assert abs(new.g @ old.p) <= 0.1 * abs(old.g @ old.p)


@problems
def test_each_state_of_broyden_follows_from_the_last_and_stays_positive_definite(problem):
    states, kept = list(islice(iterate(broyden, functions(problem), problem.x0), 15)), 0
    for old, new in pairwise(states):
        s, y = new.x - old.x, problem.grad(new.x) - problem.grad(old.x)
        wanted = rank_one_formula(old.H, s, y)
        definite = np.linalg.eigvalsh(wanted)[0] > 0
        if definite:
            assert np.abs(new.H - wanted).max() <= 1e-6 * (np.abs(old.H).max() + np.abs(wanted).max())
        else:
            assert (new.H == old.H).all()
        kept += definite
        assert np.linalg.eigvalsh(new.H)[0] > 0
        assert (new.p == -(new.H @ new.g)).all()
    assert kept >= 5


@given(st.data(), st.integers(1, 4))
def test_n_exact_steps_of_dfp_end_at_the_minimiser_of_a_quadratic(data, n):
    A, x = data.draw(spd(n, 10)), data.draw(nonzero_vectors(n))
    problem = Problem(lambda x: 0.5 * x @ A @ x, lambda x: A @ x)
    states = list(islice(iterate(dfp, problem, x, dfp.Params(c1=1e-3, c2=1e-7)), n + 1))
    assume(all(np.linalg.norm(each.g) > 1e-2 * np.linalg.norm(A @ x) for each in states[:n]))
    # c₂ = 1e-7 leaves each search inexact by as much; condition and n steps magnify it
    assert np.linalg.norm(states[n].g) <= 1e-3 * np.linalg.norm(A @ x)


@pytest.mark.parametrize("name", ["dfp", "broyden"])
@pytest.mark.parametrize("search", SEARCHES[:3])
def test_every_search_solves(name, search):
    known = zoo.get("rosenbrock")
    result = refopt.minimize(
        known.problem.fun, known.x0, jac=known.problem.grad, method=name, options={"search": search, "trials": 60}
    )
    assert result.x == pytest.approx([1.0, 1.0], abs=1e-4 if (name, search) == ("dfp", "armijo") else 1e-8)


@pytest.mark.parametrize("method", [bfgs, dfp, broyden])
def test_a_fixed_step_from_the_identity_is_the_book_without_a_search(method):
    """As pages do that leave the search out: α = 0.15 and H₀ = I."""
    known = zoo.get("quartic")
    name = method.__name__.rpartition(".")[2]
    options = {"search": "fixed", "step": 0.15, "hess_inv0": np.eye(2), "trace": True, "maxiter": 6}
    run = refopt.minimize(known.problem.fun, known.x0, jac=known.problem.grad, method=name, options=options)
    formula = {"bfgs": bfgs.update, "dfp": dfp_formula, "broyden": rank_one_formula}[name]
    x, H = known.x0, np.eye(2)
    for state in run.trace:
        assert state.x == pytest.approx(x, rel=1e-10, abs=1e-10)
        assert pytest.approx(H, rel=1e-6, abs=1e-8) == state.H
        new = x - 0.15 * H @ known.problem.grad(x)
        s, y = new - x, known.problem.grad(new) - known.problem.grad(x)
        changed = formula(H.copy(), s, y)
        x, H = new, changed if np.linalg.eigvalsh(changed)[0] > 0 else H


# --- the inverse Hessian of the user's -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["bfgs", "dfp", "broyden"])
def test_a_good_inverse_hessian_shortens_the_run(name):
    known = zoo.get("rosenbrock")
    problem, x0 = known.problem, np.array([1.05, 1.1])
    first = np.linalg.inv(problem.hess(x0))
    first = (first + first.T) / 2
    solve = lambda **options: refopt.minimize(problem.fun, x0, jac=problem.grad, method=name, options=options)
    warm = solve(hess_inv0=first, trace=True)
    assert warm.success
    assert (first == warm.trace[0].H).all()
    assert (warm.trace[0].p == -(first @ problem.grad(x0))).all()
    assert warm.nfev < solve().nfev


def test_sr1_takes_a_hessian():
    known = zoo.get("rosenbrock")
    problem, x0 = known.problem, np.array([1.05, 1.1])
    B = problem.hess(x0)
    solve = lambda **options: refopt.minimize(problem.fun, x0, jac=problem.grad, method="sr1", options=options)
    warm = solve(hess0=B, trace=True)
    assert (warm.trace[0].B == B).all()
    assert warm.success
    assert warm.nfev < solve().nfev


@pytest.mark.parametrize(
    ("wrong", "says"),
    [(np.eye(3), r"shape \(2, 2\)"), (np.ones(2), r"shape \(2, 2\)"), ([[1.0, 2.0], [0.0, 1.0]], "symmetric"),
     (np.full((2, 2), np.nan), "finite")],
)  # fmt: skip
def test_a_wrong_matrix_is_an_error(wrong, says):
    with pytest.raises(ValueError, match=says):
        refopt.minimize(lambda x: x @ x, [1.0, 2.0], method="bfgs", options={"hess_inv0": wrong})


# --- SR1 -------------------------------------------------------------------------------------------------------------


@given(symmetric_indefinite(st.integers(2, 4), 10), st.data())
def test_sr1_learns_an_indefinite_hessian_from_whatever_steps(A, data):
    B = np.eye(len(A))
    for _ in range(len(A)):
        s = data.draw(nonzero_vectors(len(A)))
        r = A @ s - B @ s
        assume(abs(r @ s) > 0.1 * np.linalg.norm(r) * np.linalg.norm(s) > 1e-3)
        assert sr1.learns(B, s, A @ s, 1e-8, False)
        B = sr1.update(B, s, A @ s)
        # every earlier step is remembered
        assert np.linalg.norm(B @ s - A @ s) <= 1e-9 * np.linalg.norm(s)
    # so n steps that are independent leave nothing to learn; how nearly they depend is bounded by the last assumption
    assert np.linalg.norm(B - A) <= 1e-6 * 10 ** len(A)


@pytest.mark.parametrize(
    ("s", "y", "safe"),
    [([1.0, 0.0], [2.0, 0.0], True), ([1.0, 0.0], [1.0, 0.0], False), ([1.0, 0.0], [1.0, 1.0], False),
     ([1.0, 0.0], [1.0 + 1e-9, 1.0], False), ([1.0, 0.0], [-3.0, 1.0], True), ([1.0, 0.0], [np.inf, 0.0], False),
     ([1.0, 0.0], [1e9, 0.0], False)],
)  # fmt: skip
@pytest.mark.parametrize("unit", [2.0**-20, 1.0, 2.0**20])
def test_an_update_is_safe_where_it_is_defined_and_drowns_nothing(s, y, safe, unit):
    """In any unit of f."""
    B, s, g = unit * np.eye(2), np.array(s), unit * np.array(y)
    assert sr1.learns(B, s, g, 1e-8, False) is safe
    fresh = sr1.learns(B, s, g, 1e-8, True)
    assert fresh is (safe or y[0] == 1e9)  # nothing can drown yet


@problems
def test_each_state_of_sr1_follows_from_the_last(problem):
    states, refused = list(islice(iterate(sr1, functions(problem), problem.x0), 20)), 0
    assert states[0].radius == first_radius(problem.x0, 0.0)
    for old, new in pairwise(states):
        if new.taken:
            s = new.x - old.x
            y = problem.grad(new.x) - problem.grad(old.x)
            assert np.linalg.norm(s) <= 1.1 * old.radius * (1 + 1e-9)
            r = y - old.B @ s
            if abs(r @ s) > 1e-6 * np.linalg.norm(r) * np.linalg.norm(s):
                assert np.linalg.norm(new.B @ s - y) <= 1e-6 * np.linalg.norm(y)
            assert new.f < old.f
        else:
            refused += 1
            assert (new.x == old.x).all()
            assert new.radius < old.radius
            assert new.njev == old.njev + 1
    assert np.linalg.matrix_rank(states[1].B - states[0].B) == 1


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("name", ["rosenbrock", "wood", "beale"])
def test_sr1_with_a_search_along_the_regions_step(search, name):
    problem = PROBLEMS[name]
    options = {"search": search, "trace": True}
    result = refopt.minimize(problem.fun, problem.x0, jac=problem.grad, method="sr1", options=options)
    assert result.success
    assert result.fun == pytest.approx(min(problem.minima, key=lambda m: abs(m - result.fun)), abs=1e-9)
    for old, new in pairwise(result.trace[:-5]):
        if new.taken and search != "fixed":
            step = more_sorensen(old.g, old.B, old.radius, 0.1)
            s, alpha = new.x - old.x, np.linalg.norm(new.x - old.x) / np.linalg.norm(step.p)
            assert s == pytest.approx(alpha * step.p, rel=1e-6, abs=1e-9 * np.linalg.norm(old.x))
            assert new.f <= old.f + 1e-4 * (old.g @ s) + 1e-12 * abs(old.f)
            assert new.radius >= np.linalg.norm(s) * (1 - 1e-12)


def test_sr1_goes_a_part_of_the_regions_step():
    problem, params = PROBLEMS["beale"], sr1.Params(step=0.3)
    for old, new in pairwise(islice(iterate(sr1, functions(problem), problem.x0, params), 8)):
        p = 0.3 * more_sorensen(old.g, old.B, old.radius, 0.1).p
        promised = -(old.g @ p) - 0.5 * p @ old.B @ p
        kept = problem.fun(old.x + p) < old.f - 1e-3 * promised
        assert new.x == pytest.approx(old.x + p if kept else old.x, rel=1e-14)


def test_sr1_leaves_a_saddle_that_it_did_not_begin_on():
    problem = zoo.get("saddle").problem
    result = refopt.minimize(problem.fun, [0.3, 1e-3], jac=problem.grad, method="sr1")
    assert result.success
    assert np.linalg.eigvalsh(problem.hess(result.x))[0] > 0


def test_sr1_restarts_and_resumes():
    state = list(islice(iterate(sr1, functions(PROBLEMS["wood"]), PROBLEMS["wood"].x0), 5))[-1]
    stuck = state._replace(radius=1e-30, rejected=9, ok=False)
    again = sr1.resume(stuck)
    assert (again.radius, again.rejected, again.ok) == (np.linalg.norm(state.x), 0, True)
    new = sr1.restart(stuck)
    assert (new.fresh, new.ok, new.rejected) == (True, True, 0)
    assert (new.B[0, 0] * np.eye(4) == new.B).all()
    assert sr1.predicted(new) == 0.0
    assert sr1.predicted(state) > 0.0
    primed = sr1.primed(new, 2 * np.eye(4))
    # the minimiser of gᵀp + ‖p‖² is inside a region that is long enough
    assert sr1.predicted(primed._replace(radius=1e9)) == pytest.approx(state.g @ state.g / 4, rel=1e-12)


# --- array kinds -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [dfp, broyden, sr1])
@pytest.mark.parametrize("name", ["rosenbrock:10", "quartic"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_array_kind_takes_the_same_steps(namespace, method, name, dtype):
    like = namespace.asarray(np.ones(1, dtype))
    plain, same = zoo.get(name, like=np.ones(1, dtype)), zoo.get(name, like=like)
    steps = 8 if dtype == "float64" else 4
    reference = list(islice(iterate(method, plain.problem, plain.x0), steps))
    found = islice(iterate(method, same.problem, same.x0), steps)
    # sums of products in another order: a few roundings of what the run began with, magnified by its steps
    tolerance = 1e5 * float(np.finfo(dtype).eps)
    for ours, theirs in zip(found, reference, strict=True):
        for field, size in (("x", reference[0].x), ("g", reference[0].g)):
            array, expected = getattr(ours, field), getattr(theirs, field)
            assert namespace.owns(array)
            assert namespace.to_numpy(array).dtype == np.dtype(dtype)
            assert abs(namespace.to_numpy(array) - expected).max() <= tolerance * abs(size).max()
        counts = ("fresh", "taken", "ok", "nfev", "njev")
        assert [getattr(ours, name) for name in counts] == [getattr(theirs, name) for name in counts]


@pytest.mark.parametrize("method", [dfp, broyden])
def test_scaling_f_by_a_power_of_two_changes_no_bit(method):
    problem, c = PROBLEMS["brown_dennis"], 2.0**37
    scaled = Problem(lambda x: c * problem.fun(x), lambda x: c * problem.grad(x))
    plain = islice(iterate(method, functions(problem), problem.x0), 12)
    for ours, theirs in zip(islice(iterate(method, scaled, problem.x0), 12), plain, strict=True):
        assert (ours.x == theirs.x).all()
        assert ours.nfev == theirs.nfev


@given(st.data(), st.integers(2, 4))
def test_the_rank_one_update_is_the_books(data, n):
    H, s, y = data.draw(spd(n, 1e2)), data.draw(nonzero_vectors(n)), data.draw(nonzero_vectors(n))
    r = s - H @ y
    assume(abs(r @ y) > 0.01 * np.linalg.norm(r) * np.linalg.norm(y))
    wanted = rank_one_formula(H, s, y)
    # r is what s and Hy leave, and is magnified by ‖r‖/|rᵀy| ≤ 100/‖y‖
    scale = 100 * (np.abs(H).max() + np.linalg.norm(s) / np.linalg.norm(y)) * (1 + np.abs(wanted).max())
    assert broyden.update(H.copy(), s, y) == pytest.approx(wanted, abs=100 * EPS * scale)


@pytest.mark.parametrize("unit", [2.0**-20, 1.0, 2.0**20])
@pytest.mark.parametrize(("cosine", "learns"), [(0.49, False), (0.51, True)])
def test_broyden_skips_by_the_angle_between_r_and_y(cosine, learns, unit):
    """cos ∠(r, y) > skip = ½, in any unit of x.   H = I, r = s − y of the length of y."""
    y = unit * np.array([1.0, 0.0])
    r = unit * np.array([cosine, (1 - cosine**2) ** 0.5])
    problem, params = Problem(lambda x: 0.0, lambda x: -unit * np.ones(2)), broyden.Params(skip=0.5)
    state = broyden.primed(broyden.init(problem, np.zeros(2), params), np.eye(2))
    point = Point(y + r, -1.0, state.g + y, 1.0, 1, 1, True, True)
    new = broyden.advance(state, point, params)
    wanted = broyden.update(np.eye(2), y + r, y) if learns else np.eye(2)
    assert np.abs(new.H - wanted).max() <= 100 * EPS


def test_sr1_learns_nothing_from_what_it_knows():
    """B is the Hessian: y = Bs, and r = 0 decides no update."""
    problem = Problem(lambda x: x @ x, lambda x: 2.0 * x)
    state = sr1.primed(sr1.init(problem, np.ones(2), sr1.Params()), 2.0 * np.eye(2))
    new = sr1.step(problem, state, sr1.Params())
    assert new.taken
    assert (2.0 * np.eye(2) == new.B).all()


def test_a_search_of_sr1_that_finds_nothing_lower_shrinks_the_region():
    problem = Problem(lambda x: 1.0 if (x == 1.0).all() else 2.0, lambda x: np.array([1.0, 2.0]))
    params = sr1.Params(search=SEARCHES.index("armijo"))
    state = sr1.init(problem, np.ones(2), params)
    new = sr1.step(problem, state, params)
    assert (new.x == state.x).all()
    assert not new.taken
    assert new.rejected == 1
    assert new.radius < state.radius
    assert [sr1.step(problem, state._replace(rejected=k), params).ok for k in (28, 29)] == [True, False]


@pytest.mark.parametrize(("promised", "radius"), [(1e-9, 2.0), (0.0, 2.0), (1e9, 1.0)])
def test_what_sr1_gains_is_more_than_a_promise_of_nothing(promised, radius):
    """From 1 to 0 on x², to the edge of the region: as for any promise that is kept, it doubles."""
    problem, params = Problem(lambda x: float(x @ x), lambda x: 2.0 * x), sr1.Params(search=SEARCHES.index("armijo"))
    state = sr1.init(problem, np.ones(1), params)._replace(radius=1.0)
    new = sr1.sought(problem, state, -np.ones(1), promised, True, params)
    assert (new.taken, new.x, new.radius) == (True, 0.0, radius)
