"""What the least-squares methods share: the dogleg, and a polish that learns."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from problems import PROBLEMS
from refopt import exact, zoo
from refopt.linearised import Path, dogleg, gauss_newton, learnt, polish, regular, resized, tried
from refopt.loop import iterate
from refopt.methods import lm
from refopt.ops import triangular
from refopt.problem import LeastSquares
from strategies import full_rank, seeds, sizes, vectors

EPS = 2.0**-52


def size(x):
    return float(np.linalg.norm(x))


def near_the_end(name, tolerance=1e-8):
    case = zoo.get(f"nist:{name}", start=2)
    states = iterate(lm, case.problem, case.x0)
    return case, next(state for state in states if state.f <= case.fun * (1 + tolerance))


# --- the polish ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Misra1a", "Thurber", "ENSO", "MGH09", "Rat43"])
def test_polish_brings_the_last_digits(name):
    """In few evaluations: Gauss-Newton steps alone need 45 on Thurber, where (JᵀJ)⁻¹S has the eigenvalue 0.67."""
    case, state = near_the_end(name)
    end = polish(case.problem, state, 60, 0)
    assert zoo.matching_digits(state.x, case.certified).min() < 8
    assert zoo.matching_digits(end.x, case.certified).min() >= 10
    assert end.f <= state.f * (1 + 1e-9)
    assert end.nfev - state.nfev <= 10
    assert polish(case.problem, end, 60, 0).nfev <= end.nfev + 1  # nothing is left to do


def test_polish_ends_at_a_whole_state():
    case, state = near_the_end("ENSO")
    end = polish(case.problem, state, 3, 0)
    assert (end.nfev, end.njev) == (state.nfev + 3, state.njev + 3)
    r, J = case.problem.residual(end.x), case.problem.jacobian(end.x)
    assert (end.r == r).all()
    assert (end.J == J).all()
    assert end.f == pytest.approx(0.5 * r @ r, rel=100 * EPS)
    assert end.g == pytest.approx(J.T @ r, abs=100 * EPS * size(J) * size(r))
    assert size(end.R.T @ end.R - J.T @ J) <= 1e3 * EPS * size(J) ** 2
    still = polish(case.problem, state, 0, 0)
    assert all(np.array_equal(a, b) for a, b in zip(still, state, strict=True))


def test_polish_ends_where_the_jacobian_is_not_finite():
    case, state = near_the_end("Thurber")
    broken = case.problem._replace(jacobian=lambda x: np.nan * case.problem.jacobian(x))
    end = polish(broken, state, 60, 9)
    assert (end.x == state.x).all()
    assert (end.nfev, end.njev) == (state.nfev + 1, state.njev + 1)


def test_polish_takes_shrinking_steps_only():
    case, state = near_the_end("ENSO")
    lengths = []
    for count in range(60):
        end = polish(case.problem, state, count, 0)
        if count > 0 and (end.x == polish(case.problem, state, count - 1, 0).x).all():
            break
        lengths.append(size(state.d * np.linalg.lstsq(end.J, -end.r)[0]))
    assert len(lengths) >= 4
    assert all(b < 0.9 * a * (1 + 1e-6) for a, b in pairwise(lengths))


def brown_dennis():
    """Near the minimum, where (JᵀJ)⁻¹S has the eigenvalues 112 and 279: Gauss-Newton steps leave it."""
    problem = PROBLEMS["brown_dennis"]
    squares = LeastSquares(problem.residual, problem.jacobian)
    states = iterate(lm, squares, np.array(problem.x0, float))
    return squares, next(state for state in states if np.abs(state.g).max() < 1e-3)


def test_polish_refuses_what_makes_the_next_step_longer():
    problem, state = brown_dennis()
    end = polish(problem, state, 60, 0)
    assert (end.x == state.x).all()
    assert end.nfev == state.nfev + 1


def test_polish_learns_from_failures():
    problem, state = brown_dennis()
    end = polish(problem, state, 60, 8)
    assert np.abs(end.g).max() < 1e-5 * np.abs(state.g).max()
    assert end.nfev - state.nfev <= 40


def test_polish_does_nothing_without_full_rank():
    problem = LeastSquares(lambda x: np.array([x[0] + x[1], x[0] + x[1] + 1.0]), lambda x: np.ones((2, 2)))
    state = next(iterate(lm, problem, np.ones(2)))
    end = polish(problem, state, 60, 9)
    assert (end.x == state.x).all()
    assert end.nfev == 1


@given(seeds, st.integers(1, 3))
def test_what_is_learnt_explains_the_step_exactly(seed, n):
    """(I + E₊)y = s, and E₊ − E has rank one with rows along sᵀD²(I + E), in rational numbers."""
    rng = np.random.default_rng(seed)
    E, s, y, d = (exact.numbers(rng, shape) for shape in ((n, n), n, n, n))
    row = (d * d * s) @ (np.eye(n, dtype=int) + E)
    new = learnt(E, s, y, d)
    if row @ y == 0:
        assert (new == E).all()
    else:
        assert (y + new @ y == s).all()
        assert all(isinstance(entry, Fraction | int) for entry in new.flat)
        assert (np.outer(new[0] - E[0], row) == np.outer(row, new[0] - E[0])).all()


# --- the dogleg ------------------------------------------------------------------------------------------------------


@st.composite
def models(draw):
    """J of full column rank with condition 100, r, D with entries in [1, 11], and a radius."""
    J = draw(full_rank(None, draw(sizes), condition=1e2))
    r = draw(vectors(len(J)).filter(lambda v: size(v) > 1e-3))
    return J, r, 1.0 + np.abs(draw(vectors(J.shape[1]))), draw(st.sampled_from([1e-3, 0.1, 1.0, 10.0, 1e4]))


@given(models())
def test_dogleg_is_powells_path(case):
    J, r, d, radius = case
    g = J.T @ r
    R, c, _ = triangular(J, r)
    path = dogleg(R, c, g, d, radius)
    newton, h = np.linalg.lstsq(J, -r)[0], g / d
    assert path.length == pytest.approx(size(d * path.p), abs=1e-300, rel=1e-12)
    assert path.promised == pytest.approx(0.5 * (r @ r - size(J @ path.p + r) ** 2), abs=1e4 * EPS * (r @ r))
    if size(d * newton) <= radius * (1 - 1e-9):
        # κ = 100, and its square for what the residual leaves
        assert size(path.p - newton) <= 1e2 * EPS * (1e2 * size(newton) + 1e4 * size(r))
        assert not path.edge
    if size(d * newton) <= radius * (1 + 1e-9) or size(h) <= 1e-9 * size(J) * size(r):
        return
    assert path.edge
    assert path.length == pytest.approx(radius, rel=1e-9)
    cauchy = -(h @ h) / size(J @ (h / d)) ** 2 * h
    if size(cauchy) > radius:
        assert size(d * path.p + radius * h / size(h)) <= 1e-9 * radius
    else:
        leg, away = d * newton - cauchy, d * path.p - cauchy
        t = (away @ leg) / (leg @ leg)
        assert size(away - t * leg) <= 1e-9 * size(d * newton)
        assert -1e-9 <= t <= 1 + 1e-9


def test_dogleg_where_the_scales_are_extreme():
    """‖Jg‖² underflows: the Cauchy step is found all the same."""
    J, r = np.diag([1e-110, 1.0]), np.array([1.0, 1e-200])
    R, c, _ = triangular(J, r)
    path = dogleg(R, c, J.T @ r, np.ones(2), 1.0)
    assert path.length == pytest.approx(1.0)


# --- the radius ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gain", "edge", "least", "expected"),
    [
        (0.95, True, 0.1, 8.0), (0.95, False, 0.1, 5.0), (0.8, True, 0.1, 4.0), (0.8, False, 0.1, 5.0),
        (0.5, True, 0.1, 5.0), (0.2, True, 0.1, 1.0), (0.0, True, 0.1, 1.0), (-1.0, True, 0.1, 0.5),
        (-1e6, True, 0.1, 0.2), (-99.0, True, 0.001, 0.01), (-1e6, True, 0.001, 0.002), (-np.inf, False, 0.1, 0.2),
    ],
)  # fmt: skip
def test_the_next_radius(gain, edge, least, expected):
    # the model promised 1, with slope −1: the parabola through the gain is lowest at ½/(1 − gain) of the step
    step = Path(np.zeros(1), length=2.0, slope=-1.0, promised=1.0, edge=edge)
    assert resized(5.0, step, edge, gain, least) == expected


# --- without full rank -----------------------------------------------------------------------------------------------


@given(seeds)
def test_regular_damps_by_eps_of_the_columns(seed):
    rng = np.random.default_rng(seed)
    J, r = rng.standard_normal((5, 2))[:, [0, 1, 0]], rng.standard_normal(5)
    state = next(iterate(lm, LeastSquares(lambda x: r, lambda x: J), np.ones(3)))
    assert not state.full
    S, z = regular(state.R, state.c, state.full)
    assert size(S.T @ S - J.T @ J - EPS * np.diag(np.diag(J.T @ J))) <= 1e2 * EPS * size(J) ** 2
    assert size(S.T @ z - J.T @ r) <= 1e2 * EPS * size(J) * size(r)
    assert (gauss_newton(state) == 0).all()


@pytest.mark.parametrize("norm", [1e-3, 1.0, 1e3])
def test_regular_leaves_the_square_root_of_eps_of_what_depends(norm):
    """J = norm (1 1): the last entry of S is √(1 + eps − 1/(1 + eps)) norm, about √(2 eps)."""
    S, _ = regular(*triangular(norm * np.array([[1.0, 1.0], [0.0, 0.0]]), np.array([1.0, 2.0])))
    assert abs(S[1, 1]) == pytest.approx(norm * (2 * EPS) ** 0.5, rel=1e-6)


@pytest.mark.parametrize(("promised", "risen", "drowned"), [(10.0, 10.0, True), (10.1, 0.0, False), (5.0, 10.1, False)])
def test_ten_times_the_noise_is_where_a_step_drowns(promised, risen, drowned):
    problem = LeastSquares(lambda x: np.array([(1.0 + 2 * risen) ** 0.5]), noise=1.0)
    assert tried(problem, np.zeros(1), 0.5 + 1e-12, np.ones(1), promised, 1e-4).drowned is drowned
