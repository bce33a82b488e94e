"""Levenberg-Marquardt's step: the damped least-squares solution of its radius, and what it says of itself."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from refopt.linearised import regular
from refopt.methods import lm
from refopt.ops import triangular
from strategies import basis, full_rank, seeds, sizes, vectors

EPS = 2.0**-52
EXACT = 1e-10  # the accuracy of ‖Dp‖ = Δ asked for where it must be the solution


def size(x):
    return float(np.linalg.norm(x))


@st.composite
def subproblems(draw, wide=True):
    """J of any shape with singular values in [1, 100], r, D with entries in [1, 11], and a radius."""
    J = draw(full_rank(draw(sizes), draw(sizes), condition=1e2) if wide else full_rank(condition=1e2))
    r, d = draw(vectors(len(J))), 1.0 + np.abs(draw(vectors(J.shape[1])))
    return J, r, d, draw(st.sampled_from([1e-3, 0.1, 1.0, 10.0, 1e4]))


def constrained(J, r, d, radius, accuracy=EXACT):
    R, c = regular(*triangular(J, r))
    return lm.constrained(R, c, d, radius, 0.0, accuracy)


@given(subproblems(wide=False))
def test_the_step_is_the_augmented_least_squares_solution(case):
    J, r, d, radius = case
    step = constrained(J, r, d, radius)
    A = np.vstack([J, np.diag(step.lam**0.5 * d)])
    p = np.linalg.lstsq(A, np.append(-r, 0 * d))[0]
    # κ(A)² where the residual is not small
    assert size(step.p - p) <= 200 * EPS * np.linalg.cond(A) ** 2 * (size(p) + size(r))


@given(subproblems())
def test_the_step_solves_the_trust_region_problem_of_its_radius(case):
    J, r, d, radius = case
    step = constrained(J, r, d, radius)

    def model(p):
        return 0.5 * size(J @ p + r) ** 2

    length = size(d * step.p)
    assert length <= radius * (1 + 2 * EXACT)
    assert step.lam == 0.0 or length == pytest.approx(radius, rel=2 * EXACT)
    gradient = J.T @ (J @ step.p + r) + step.lam * d * d * step.p
    # the normal equations are as good as the QR that solved them; a wide J is damped by eps‖Jⱼ‖² besides
    assert size(gradient) <= 1e3 * EPS * (1 + size(J)) * (size(r) + size(J) * size(step.p))
    rng = np.random.default_rng(0)
    for _ in range(20):  # no point of the ball is better
        q = rng.standard_normal(len(d)) / d
        q *= radius * rng.random() / size(d * q)
        assert model(step.p) <= model(q) + 1e-8 * (1 + model(q))


@given(subproblems())
def test_what_the_step_says_of_itself(case):
    J, r, d, radius = case
    step = constrained(J, r, d, radius, 0.1)
    scale = 1e4 * EPS * (1 + r @ r)  # a few roundings, times κ = 100
    assert step.length == pytest.approx(size(d * step.p), rel=4 * EPS, abs=1e-300)
    assert step.slope == pytest.approx((J.T @ r) @ step.p, abs=scale)
    decrease = 0.5 * (r @ r) - 0.5 * size(J @ step.p + r) ** 2
    assert step.promised == pytest.approx(decrease, abs=scale)
    assert size(step.S.T @ step.S - (J.T @ J + step.lam * np.diag(d * d))) <= 1e3 * EPS * (
        size(J) ** 2 + step.lam * 200
    )


@given(st.integers(1, 4), seeds)
def test_without_full_rank_a_long_radius_gives_nearly_the_shortest_step(rank, seed):
    rng = np.random.default_rng(seed)
    J = basis(7, seed)[:, :rank] @ rng.standard_normal((rank, 5)) * 10.0 ** rng.integers(-3, 3, 5)
    r, norms = rng.standard_normal(7), np.linalg.norm(J, axis=0)
    assume(np.linalg.cond((J / norms)[:, :rank]) < 10)  # else a dependent column looks like a short independent one
    values = np.linalg.svd(J / norms)[1][:rank]
    shortest = -np.linalg.pinv(J / norms, rcond=1e-11) @ r  # in the norm ‖diag(‖Jⱼ‖) p‖
    R, c, full = triangular(J, r)
    assert not full
    R, c = regular(R, c, full)
    step = lm.constrained(R, c, norms, 1e6 * size(shortest), 0.0, EXACT)
    assert step.lam == 0.0
    # damping by eps moves the step by eps κ², rounding of the null space by √eps κ
    assert size(norms * step.p - shortest) <= 1e3 * EPS**0.5 * values[0] / values[-1] * size(shortest)


@given(subproblems())
def test_the_parameter_falls_as_the_radius_grows(case):
    J, r, d, radius = case
    assert constrained(J, r, d, radius).lam >= constrained(J, r, d, 1.5 * radius).lam * (1 - 1e-6)


def test_no_region_no_step():
    step = constrained(np.eye(2), np.ones(2), np.ones(2), 0.0)
    assert step.length >= 0.0
    assert constrained(np.zeros((3, 2)), np.ones(3), np.ones(2), 1.0).promised == 0.0


@given(subproblems(wide=False))
def test_an_accuracy_beyond_rounding_ends_with_what_rounding_allows(case):
    """λ is known to eps κ(JD⁻¹)² of itself, and ‖Dp‖ moves no faster than λ does."""
    J, r, d, radius = case
    assume(size(J.T @ r) > 1e-3)
    step = constrained(J, r, d, radius, accuracy=0.0)
    assert step.length <= radius * (1 + 1e3 * EPS * np.linalg.cond(J / d) ** 2)
    assert step.lam == 0.0 or step.length >= radius * (1 - 1e3 * EPS * np.linalg.cond(J / d) ** 2)


def test_newtons_iteration_for_the_multiplier_needs_a_step():
    """p = 0 has no w = S⁻ᵀD²p to divide by; −1 is below every multiplier, and no iterate."""
    none = lm.Step(np.zeros(2), np.eye(2), 0.5, 0.0, 0.0, 0.0)
    assert lm.newton(none, np.ones(2), 1.0) == -1.0
