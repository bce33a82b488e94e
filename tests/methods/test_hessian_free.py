"""Hessian-free optimization: steps worked anew by dense algebra, the damping, warm starts, Gauss-Newton products."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import refopt
from methods.second_order import problem_of, quadratic, states_of
from problems import PROBLEMS
from refopt.krylov import conjugate_gradients
from refopt.linesearch import SEARCHES, Point
from refopt.methods import hessian_free
from refopt.problem import Problem
from strategies import nonzero_vectors, seeds, spd

EPS = 2.0**-52

TIGHT = {"forcing": 0.0, "progress": 0.0, "search": SEARCHES.index("armijo"), "c1": 1e-2}


# --- the step --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["rosenbrock", "wood", "box", "bard", "beale", "freudenstein_roth"])
def test_each_state_follows_from_the_last(name):
    """With residuals of √eps, p is −(B + λI)⁻¹g where B + λI ≻ 0; the damping is Martens' by the whole step."""
    problem, seen = PROBLEMS[name], set()
    for old, new in pairwise(states_of(hessian_free, problem_of(problem), problem.x0, 14, **TIGHT)):
        B = problem.hess(old.x)
        shifted = B + old.lam * np.eye(len(B))
        if old.gain == np.inf or old.promised == 0.0 or old.f - new.f < 1e-6 * old.first:
            continue  # beside negative curvature, or the end
        if np.linalg.eigvalsh(shifted)[0] > 0:
            wanted = -np.linalg.solve(shifted, old.g)
            residual = np.linalg.norm(shifted @ old.p + old.g)
            # conjugate gradients end at √eps ‖g‖ of their own residual, which drifts by κ eps
            assert residual <= (1.1 * EPS**0.5 + 100 * EPS * np.linalg.cond(shifted)) * np.linalg.norm(old.g)
            assert old.g @ old.p == pytest.approx(old.g @ wanted, rel=1e-5)
        promised = -(old.g @ old.p) - 0.5 * old.p @ B @ old.p
        assert old.promised == pytest.approx(promised, rel=1e-6)
        rho = (old.f - problem.fun(old.x + old.p)) / promised
        zone = 1.5 if rho < 0.25 else 2 / 3 if rho > 0.75 else 1.0
        seen.add(zone)
        assert new.lam == pytest.approx(zone * old.lam, rel=1e-12)
        alpha = 1.0
        while problem.fun(old.x + alpha * old.p) > old.f + 1e-2 * alpha * (old.g @ old.p):
            alpha /= 2
        assert new.x == pytest.approx(old.x + alpha * old.p, rel=1e-14)
    assert 2 / 3 in seen


RATIOS = {-3.0: 1.5, 0.0: 1.5, 0.24: 1.5, 0.25: 1.0, 0.5: 1.0, 0.75: 1.0, 0.76: 2 / 3, 1.0: 2 / 3, 9.0: 2 / 3}


@pytest.mark.parametrize(("ratio", "factor"), RATIOS.items())
def test_the_damping_has_three_zones(ratio, factor):
    assert hessian_free.adapted(6.0, ratio) == 6.0 * factor


def test_the_first_damping_is_a_thousandth_of_what_takes_g_to_x():
    problem = problem_of(PROBLEMS["wood"])._replace(hvp=lambda x, p: PROBLEMS["wood"].hess(x) @ p)
    x0 = PROBLEMS["wood"].x0
    first = lambda x, **options: hessian_free.init(problem, x, hessian_free.Params(**options)).lam
    g = problem.grad(x0)
    assert first(x0) == pytest.approx(1e-3 * np.linalg.norm(g) / np.linalg.norm(x0))
    assert first(0 * x0) == pytest.approx(1e-3 * np.linalg.norm(problem.grad(0 * x0)))
    assert first(x0, damping=7.0) == 7.0


def test_the_damping_is_never_below_the_rounding_of_the_hessian():
    states = states_of(
        hessian_free, quadratic(np.diag([1.0, 9.0]), np.zeros(2)), np.array([5.0, 7.0]), 5, damping=1e-300
    )
    assert [state.lam > EPS for state in states] == [False, True, True, True, True]


def test_negative_curvature_makes_the_damping_grow():
    """f = cos x + cos y + … near its top: CG ends at once, the search goes along −g."""
    problem = Problem(lambda x: float(np.cos(x).sum()), lambda x: -np.sin(x), lambda x: -np.diag(np.cos(x)))
    first, second = states_of(hessian_free, problem, np.array([0.1, 0.2]), 2, damping=1e-3)
    assert first.gain == np.inf
    assert first.promised == 0.0
    assert first.p @ first.g < 0
    assert second.lam == pytest.approx(1.5e-3)
    assert second.f < first.f


def test_a_step_that_leads_uphill_is_turned_round():
    """From a warm start, before negative curvature: q(p) < 0 although gᵀp > 0, so q(−p) is lower still."""
    B = np.array([[0.0, -0.57, -1.75], [-0.57, -1.35, 0.93], [-1.75, 0.93, 1.33]])
    g, last = np.array([-1.34, 0.36, 1.29]), np.array([0.45, -1.69, -0.73])
    problem = Problem(None, hvp=lambda x, p: B @ p)
    raw = conjugate_gradients(problem, 0 * g, g, last, 0.0, np.inf, 1e-8, 0.0, 30).z
    p = hessian_free.damped(problem, 0 * g, g, last, 0.0, 1e-8, 0.0).step.p
    assert g @ raw > 0
    assert p == pytest.approx(-raw)
    assert g @ p + 0.5 * p @ B @ p < g @ raw + 0.5 * raw @ B @ raw < 0


@pytest.mark.parametrize("name", PROBLEMS)
def test_every_direction_descends(name):
    problem = PROBLEMS[name]
    for state in states_of(hessian_free, problem_of(problem), problem.x0, 30):
        if np.linalg.norm(state.g) < 1e-100:
            break  # products of numbers that are no longer there
        assert state.g @ state.p < 0 or state.bend < 0


def test_a_search_by_name():
    problem = PROBLEMS["rosenbrock"]
    for search in SEARCHES[:3]:
        result = refopt.minimize(
            problem.fun, problem.x0, jac=problem.grad, hess=problem.hess, method="hessian-free",
            options={"search": search, "trace": True},
        )  # fmt: skip
        assert result.x == pytest.approx([1.0, 1.0], abs=1e-8)
        assert all(new.f < old.f for old, new in pairwise(result.trace))
    fixed = {"search": "fixed", "damping": 1e3, "trace": True}
    run = refopt.minimize(
        problem.fun, problem.x0, jac=problem.grad, hess=problem.hess, method="hessian-free", options=fixed
    )
    assert run.success
    assert all((new.x == old.x + old.p).all() for old, new in pairwise(run.trace))


def test_a_larger_forcing_term_takes_fewer_products_in_a_step():
    A, b = np.diag(np.logspace(0, 3, 50)), np.ones(50)
    products = [
        states_of(hessian_free, quadratic(A, b), np.zeros(50), 1, forcing=forcing, progress=0.0)[0].nhvp
        for forcing in (0.5, 0.1, 1e-3)
    ]
    assert products == sorted(set(products))


# --- conjugate gradients that begin somewhere ------------------------------------------------------------------------


def cg(B, g, start, forcing=1e-10, progress=0.0, limit=300):
    problem = Problem(None, hvp=lambda x, p: B @ p)
    return conjugate_gradients(problem, 0 * g, g, start, 0.0, np.inf, forcing, progress, limit)


@given(st.data(), st.integers(1, 6))
def test_from_any_start_they_end_at_the_solution(data, n):
    B, g, start = data.draw(spd(n, 1e2)), data.draw(nonzero_vectors(n)), data.draw(nonzero_vectors(n))
    found = cg(B, g, start)
    newton = np.linalg.solve(B, g)
    # a residual of 1e-10 ‖g‖, drifting by κ eps; eigenvalues of 1 and more
    assert np.linalg.norm(found.z + newton) <= 2e-10 * np.linalg.norm(g)
    assert found.promised == pytest.approx(0.5 * g @ newton, rel=1e-9)


@given(st.data(), st.integers(1, 6))
def test_they_begin_at_the_best_multiple_of_the_start_and_the_model_falls_from_there(data, n):
    B, g, start = data.draw(spd(n, 1e2)), data.draw(nonzero_vectors(n)), data.draw(nonzero_vectors(n))
    slope, bend = g @ start, start @ B @ start
    best = 0.5 * slope**2 / bend if slope < 0 else 0.0
    promises = [cg(B, g, start, limit=k).promised for k in range(1, n + 1)]
    assert promises[0] >= best * (1 - 1e-12)
    assert (np.diff(promises) >= -1e-12 * promises[-1]).all()
    assert cg(B, g, start, limit=0).promised == pytest.approx(best)
    assert cg(B, g, start, limit=0).z == pytest.approx(max(-slope / bend, 0.0) * start, rel=1e-12)


@given(st.data(), st.integers(2, 6))
def test_a_start_at_the_solution_needs_one_product(data, n):
    B, g = data.draw(spd(n, 1e2)), data.draw(nonzero_vectors(n))
    found = cg(B, g, -7.0 * np.linalg.solve(B, g), forcing=1e-8)
    assert found.products == 1
    assert found.solved


def test_the_rule_of_progress_by_the_letter():
    """They end at the first of the looks, 10, 20, … apart, where k iterations have gained less than kε of all."""
    B, g = np.diag(np.logspace(0, 3, 300)), np.ones(300)
    whole = [cg(B, g, 0 * g, forcing=0.0, limit=k).promised for k in range(150)]
    for progress in (1e-2, 1e-3, 1e-4):
        found = cg(B, g, 0 * g, forcing=0.0, progress=progress)
        looks = [k for k in range(10, 101, 10) if whole[k] - whole[k - 10] < 10 * progress * whole[k]]
        assert found.solved
        assert found.products == looks[0]


# --- a Gauss-Newton matrix in place of the Hessian -------------------------------------------------------------------


@given(seeds)
def test_with_gauss_newton_products_a_fit_is_solved_without_negative_curvature(seed):
    """f = ½‖tanh(Ax) − y‖², whose Hessian is not definite everywhere."""
    rng = np.random.default_rng(seed)
    A, y = rng.standard_normal((12, 4)), rng.uniform(-0.5, 0.5, 12)

    def residual(x):
        return np.tanh(A @ x) - y

    def jacobian(x):
        return (1 - np.tanh(A @ x) ** 2)[:, None] * A

    def products(x, p):
        return jacobian(x).T @ (jacobian(x) @ p)

    result = refopt.minimize(
        lambda x: 0.5 * residual(x) @ residual(x), rng.standard_normal(4), jac=lambda x: jacobian(x).T @ residual(x),
        hessp=products, method="hessian-free", options={"trace": True},
    )  # fmt: skip
    assert result.success
    assert all(state.gain < np.inf for state in result.trace)
    assert all(new.f <= old.f * (1 + 10 * EPS) for old, new in pairwise(result.trace))


def test_where_f_has_lost_its_digits_slopes_tell_the_ratio():
    problem = Problem(lambda x: 1e9 + 1e-8 * float(x @ x), lambda x: 2e-8 * x, lambda x: 2e-8 * np.eye(2))
    states = states_of(hessian_free, problem, np.ones(2), 4)
    lams = [state.lam for state in states]
    assert lams[1] == pytest.approx(2 / 3 * lams[0])  # on a quadratic ρ = 1


@pytest.mark.parametrize(("promised", "by_slopes"), [(10.0, True), (11.0, False)])
def test_up_to_ten_times_the_noise_slopes_tell_the_ratio(promised, by_slopes):
    """From f = 0, slope −1, to f = −3, slope 0, one away: 3 is gained, or by the trapezoid rule ½."""
    problem = Problem(None, noise=1.0)
    state = begun()._replace(f=0.0, g=-np.ones(1), promised=promised)
    point = Point(np.ones(1), -3.0, np.zeros(1), 1.0, 1, 1, True, True)
    assert hessian_free.ratio(problem, state, point) == (0.5 if by_slopes else 3.0) / promised


def test_the_noise_is_that_of_the_point_left():
    """However large f is where it leads: that a step has failed is no noise."""
    point = Point(np.ones(1), 1e30, np.zeros(1), 1.0, 1, 1, True, True)
    assert hessian_free.ratio(Problem(None), begun()._replace(g=-np.ones(1), promised=1.0), point) == -1e30


def begun():
    problem = Problem(lambda x: float(x @ x), lambda x: 2 * x, hvp=lambda x, p: 2 * p)
    return hessian_free.init(problem, np.zeros(1), hessian_free.Params())


def test_negative_curvature_ahead_does_not_lead_back_along_a_start_without_slope():
    """Where a search has ended, the old direction has no slope."""
    found = cg(np.diag([1.0, -1.0]), np.array([-1e-9, 1.0]), np.array([1.0, 0.0]))
    assert found.concave
    assert (found.z == 0.0).all()
    assert found.promised == 0.0
    result = refopt.minimize(
        lambda x: 0.5 * np.sum(x**4 - 16 * x**2 + 5 * x),
        np.array([0.0, 1.0, -1.0, 0.2]),
        jac=lambda x: 2 * x**3 - 16 * x + 2.5,
        hessp=lambda x, d: (6 * x**2 - 16) * d,
        method="hessian-free",
    )
    assert result.success
    assert (6 * result.x**2 > 16).all()
