"""What the least-squares methods share: the dogleg, and a polish that learns."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from problems import PROBLEMS
from refopt import exact, zoo
from refopt.linearised import Path, dogleg, gauss_newton, learnt, polish, refused, regular, resized, tried
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


def newton_steps(steps, residuals=None, noise=0.0):
    """Slopes that make steps[x] the Gauss-Newton step at x, with the residual 1, or the one given."""
    r = lambda x: np.array([(residuals or {}).get(float(x[0]), 1.0)])
    problem = LeastSquares(r, lambda x: (-r(x) / steps[float(x[0])])[:, None], noise=noise)
    return problem, next(iterate(lm, problem, np.zeros(1)))


@pytest.mark.parametrize(("next_step", "taken"), [(0.89, True), (0.91, False)])
def test_polish_asks_for_a_step_that_is_shorter_by_a_tenth(next_step, taken):
    """Where f tells nothing."""
    end = polish(*newton_steps({0.0: 1.0, 1.0: next_step}), 1, 0)
    assert end.x.tolist() == [1.0 if taken else 0.0]


def test_polish_compares_gauss_newton_steps_with_each_other():
    """What was learnt at 1 from 1.0 and 0.95 makes the second step 20; a Gauss-Newton step there of 1 is no shorter."""
    problem, state = newton_steps({0.0: 1.0, 1.0: 0.95, 20.0: 1.0})
    (residual, jacobian, _), tried = problem, []
    near = problem._replace(residual=lambda x: tried.append(x[0]) or residual(np.round(x)),
                            jacobian=lambda x: jacobian(np.round(x)))  # fmt: skip
    end = polish(near, state, 2, 5)
    assert tried == pytest.approx([1.0, 20.0], rel=1e3 * EPS)  # 1 − 0.95 has a twentieth of the digits
    assert end.x.tolist() == [0.0]


@pytest.mark.parametrize(("part", "taken"), [(0.5, False), (2.0, True)])
def test_polish_takes_a_longer_step_only_where_f_falls_by_more_than_its_noise(part, taken):
    noise = 1e-6
    problem, state = newton_steps({0.0: 1.0, 1.0: 1.0}, {1.0: (1.0 - 2 * part * noise) ** 0.5}, noise)
    assert polish(problem, state, 1, 0).x.tolist() == [1.0 if taken else 0.0]


@pytest.mark.parametrize(("risen", "taken"), [(0.5e-10, True), (2e-10, False)])
def test_polish_lets_f_rise_by_a_part_of_1e_10_and_no_more(risen, taken):
    problem, state = newton_steps({0.0: 1.0, 1.0: 0.5}, {1.0: (1.0 + risen) ** 0.5})
    assert polish(problem, state, 1, 0).x.tolist() == [1.0 if taken else 0.0]


def test_polish_asks_for_no_jacobian_where_the_residuals_are_not_finite():
    problem, state = newton_steps({0.0: 1.0, 1.0: 0.5}, {1.0: np.inf})
    end = polish(problem, state, 3, 5)
    assert (end.nfev, end.njev) == (state.nfev + 1, state.njev)
    assert end.x.tolist() == [0.0]


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


def test_dogleg_goes_downhill_to_the_boundary_where_even_the_length_of_jg_underflows():
    J, r = np.diag([1e-200, 1.0]), np.array([1e-100, 0.0])
    R, c, _ = triangular(J, r)
    path = dogleg(R, c, J.T @ r, np.ones(2), 3.0)
    assert path.p == pytest.approx([-3.0, 0.0])
    assert path.edge


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


@pytest.mark.parametrize(("promised", "most"), [(1.0, 40), (0.5e-3, 8)])
def test_forty_steps_in_a_row_may_be_refused_or_eight_that_noise_hides(promised, most):
    problem = LeastSquares(np.arctan, lambda x: np.diag(1 / (1 + x * x)), noise=1e-3)
    state = lm.init(problem, np.array([1.5]), lm.Params())
    step = Path(np.ones(1), length=1.0, slope=-1.0, promised=promised, edge=False)
    oks = [refused(problem, state._replace(rejected=k), step, -1.0, 1, 1).ok for k in range(most)]
    assert oks == [True] * (most - 1) + [False]


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
