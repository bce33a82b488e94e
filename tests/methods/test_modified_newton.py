"""Modified and saddle-free Newton, and the dogleg: what they do with a Hessian that is not definite."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from methods.second_order import states_of
from refopt.linesearch import strong_wolfe
from refopt.methods import modified_newton, newton_cg, saddle_free_newton
from refopt.problem import Problem
from refopt.subproblem import cauchy, decrease, dogleg, promise
from strategies import nonzero_vectors, spd, symmetric_indefinite, vectors

EPS = 2.0**-52

radii = st.floats(-3, 3).map(lambda k: 10.0**k)


# --- modified Newton -------------------------------------------------------------------------------------------------


@given(st.data(), st.integers(2, 6), st.floats(1e-4, 1.0))
def test_tau_is_the_first_of_its_sequence_that_makes_the_matrix_definite(data, n, beta):
    H, g = data.draw(symmetric_indefinite(n, 1e2)), data.draw(nonzero_vectors(n))
    p, tau = modified_newton.direction(H, g, beta)
    least, first = np.linalg.eigvalsh(H)[0], beta * np.linalg.norm(H)
    assert least + tau > 0
    doublings = np.log2(tau / first)
    assert doublings == pytest.approx(round(doublings), abs=1e-9)
    assert least + (0.0 if tau < 1.5 * first else tau / 2) <= 1e-12 * np.linalg.norm(H)
    assert np.linalg.norm(H @ p + tau * p + g) <= 1e-9 * (np.linalg.norm(H) + tau) * np.linalg.norm(p)
    assert p @ g < 0


@given(st.data(), st.integers(1, 6))
def test_a_definite_hessian_is_left_alone(data, n):
    H, g = data.draw(spd(n)), data.draw(nonzero_vectors(n))
    p, tau = modified_newton.direction(H, g, 1e-3)
    assert tau == 0.0
    assert np.linalg.norm(H @ p + g) <= 100 * n * EPS * np.linalg.norm(H) * np.linalg.norm(p)


def test_what_is_definite_by_rounding_only_is_raised():
    """The first Hessian of McCormick's function from the origin: singular, but Cholesky's factorisation succeeds."""
    H, g = np.array([[2.0, -2.0], [-2.0, 2.0 + 2 * EPS]]), np.array([-0.5, 3.5])
    np.linalg.cholesky(H)  # does not raise
    p, tau = modified_newton.direction(H, g, 1e-3)
    assert tau == 1e-3 * np.linalg.norm(H)
    assert np.linalg.norm(p) <= np.linalg.norm(g) / tau


def test_without_curvature_the_step_is_downhill_and_of_unit_length():
    p, _ = modified_newton.direction(np.zeros((2, 2)), np.array([3.0, 4.0]), 1e-3)
    assert p == pytest.approx([-0.6, -0.8])
    assert saddle_free_newton.direction(np.zeros((2, 2)), np.array([3.0, 4.0]), 1e-12) == pytest.approx([-0.6, -0.8])


# --- saddle-free Newton ----------------------------------------------------------------------------------------------


@given(st.data(), st.integers(2, 6))
def test_along_each_eigenvector_the_step_is_downhill_and_newtons_in_length(data, n):
    H, g = data.draw(symmetric_indefinite(n)), data.draw(nonzero_vectors(n))
    values, Q = np.linalg.eigh(H)
    p = saddle_free_newton.direction(H, g, 1e-12)
    # eigenvectors are known to eps κ; eigenvalues lie in [1, 1e4] in modulus
    assert Q.T @ p == pytest.approx(-(Q.T @ g) / abs(values), abs=1e-9 * abs(g).max())


@given(st.data(), st.integers(1, 6))
def test_a_definite_hessian_gives_newtons_step(data, n):
    H, g = data.draw(spd(n)), data.draw(nonzero_vectors(n))
    assert saddle_free_newton.direction(H, g, 1e-12) == pytest.approx(np.linalg.solve(H, -g), abs=1e-9 * abs(g).max())


def test_small_eigenvalues_are_raised_to_the_floor():
    p = saddle_free_newton.direction(np.diag([4.0, 1e-3, -1e-3, 0.0]), np.ones(4), 0.1)
    assert p == pytest.approx([-0.25, -2.5, -2.5, -2.5])


@given(st.data(), st.integers(2, 5), st.floats(0.01, 10.0))
def test_with_a_radius_the_step_has_that_length_in_the_norm_of_the_absolute_hessian(data, n, radius):
    """p minimises gᵀp over pᵀ|H|p ≤ Δ²: √(pᵀ|H|p) = Δ, and p is parallel to −|H|⁻¹g."""
    H, g = data.draw(symmetric_indefinite(n, 1e2)), data.draw(nonzero_vectors(n))
    values, Q = np.linalg.eigh(H)
    absolute = (Q * abs(values)) @ Q.T
    whole = saddle_free_newton.direction(H, g, 1e-12)
    p = saddle_free_newton.within(whole, g, radius)
    size = np.sqrt(whole @ absolute @ whole)
    assert np.sqrt(p @ absolute @ p) == pytest.approx(min(radius, size), rel=1e-9)
    assert p == pytest.approx(min(1.0, radius / size) * whole, rel=1e-9)
    assert saddle_free_newton.within(whole, g, 0.0) is whole


def test_it_runs_down_from_a_saddle_where_newton_climbs_to_it():
    problem = Problem(
        lambda x: x[0] ** 2 - x[1] ** 2 + x[1] ** 4 / 2,
        lambda x: np.array([2 * x[0], -2 * x[1] + 2 * x[1] ** 3]),
        lambda x: np.diag([2.0, -2 + 6 * x[1] ** 2]),
    )
    states = states_of(saddle_free_newton, problem, np.array([0.5, 0.1]), 12)
    assert abs(states[1].x[1]) > 0.1
    assert states[-1].f == pytest.approx(-0.5, rel=1e-12)


# --- the dogleg ------------------------------------------------------------------------------------------------------


def path(g, B, t):
    """Powell's path for B ≻ 0."""
    steepest = -(g @ g) / (g @ B @ g) * g
    newton = np.linalg.solve(B, -g)
    return t * steepest if t <= 1 else steepest + (t - 1) * (newton - steepest)


@given(st.data(), st.integers(1, 6), radii)
def test_the_step_is_where_the_path_leaves_the_region(data, n, radius):
    B, g = data.draw(spd(n, 1e2)), data.draw(nonzero_vectors(n))
    p, edge = dogleg(g, B, radius)
    newton = np.linalg.solve(B, -g)
    if np.linalg.norm(newton) < radius:
        assert not edge
        assert p == pytest.approx(newton, rel=1e-9, abs=1e-12 * abs(newton).max())
        return
    low, high = 0.0, 2.0
    for _ in range(80):
        t = (low + high) / 2
        low, high = (t, high) if np.linalg.norm(path(g, B, t)) < radius else (low, t)
    assert edge
    assert p == pytest.approx(path(g, B, low), abs=1e-8 * radius)


@given(st.data(), st.integers(1, 6))
def test_along_the_path_the_length_grows_and_the_model_falls(data, n):
    B, g = data.draw(spd(n, 1e2)), data.draw(nonzero_vectors(n))
    points = [path(g, B, t) for t in np.linspace(0, 2, 41)]
    lengths, gains = [np.linalg.norm(p) for p in points], [decrease(g, B, p) for p in points]
    assert (np.diff(lengths) >= -1e-9 * lengths[-1]).all()
    assert (np.diff(gains) >= -1e-9 * gains[-1]).all()


@given(st.data(), st.integers(2, 6), radii)
def test_where_the_matrix_is_not_definite_the_step_ends_on_the_boundary_below_cauchys(data, n, radius):
    B, g = data.draw(symmetric_indefinite(n, 1e2)), data.draw(vectors(n))
    p, edge = dogleg(g, B, radius)
    assert edge
    assert np.linalg.norm(p) == pytest.approx(radius, rel=1e-9)
    lam = -np.linalg.eigvalsh(B)[0]
    raised = decrease(g, B + 1.5 * lam * np.eye(n), cauchy(g, B + 1.5 * lam * np.eye(n), radius))
    assert decrease(g, B, p) >= raised * (1 - 1e-9)
    if not g.any():
        assert decrease(g, B, p) == pytest.approx(0.5 * lam * radius**2, rel=1e-8)


def test_without_curvature_it_is_the_steepest_descent_to_the_boundary():
    p, edge = dogleg(np.array([3.0, 4.0]), np.zeros((2, 2)), 10.0)
    assert edge
    assert p == pytest.approx([-6.0, -8.0])


@given(st.data(), st.integers(1, 5))
def test_the_promise_of_newtons_step(data, n):
    B, g = data.draw(spd(n, 1e3)), data.draw(vectors(n))
    # ½gᵀB⁻¹g through a backward stable solve of condition 1e3
    assert promise(g, B) == pytest.approx(0.5 * g @ np.linalg.solve(B, g), rel=1e3 * 50 * n * EPS)


@given(symmetric_indefinite())
def test_the_promise_is_infinite_beside_negative_curvature(B):
    assert promise(np.zeros(len(B)), B) == np.inf


@pytest.mark.parametrize("method", [modified_newton, saddle_free_newton, newton_cg])
def test_the_search_has_the_constants_that_are_asked_for(method):
    """On √(1 + t²) from 2, where Newton's step −t(1 + t²) goes too far: c₂ = 0.6 ends sooner than c₂ = 0.01."""
    problem = Problem(
        lambda x: float(1 + x @ x) ** 0.5,
        lambda x: x / (1 + x @ x) ** 0.5,
        lambda x: np.diag((1 + x**2) ** -1.5),
        hvp=lambda x, p: (1 + x**2) ** -1.5 * p,
    )
    x, params = np.array([2.0]), method.Params(c1=0.01, c2=0.6)
    new = method.step(problem, method.init(problem, x, params), params)
    f, g, p = problem.fun(x), problem.grad(x), -x * (1 + x**2)
    wanted, closer = (strong_wolfe(problem, x, f, g, p, 0.01, c2, 40, 1.0) for c2 in (0.6, 0.01))
    assert new.x == pytest.approx(wanted.x, rel=1e-12)
    assert (new.nfev, new.njev) == (1 + wanted.nfev, 1 + wanted.njev)
    assert closer.nfev > wanted.nfev
