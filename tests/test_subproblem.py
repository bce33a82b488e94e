"""Moré-Sorensen: the conditions that single out the global solution, judged by the whole spectrum."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from refopt.ops import cholesky
from refopt.subproblem import boundary, cauchy, decrease, dogleg, hard_case, more_sorensen, promise
from strategies import basis, seeds, spd, symmetric_indefinite, vectors

EPS = 2.0**-52
EXACT = 1e-12


def judge(g, B, radius, step, accuracy=EXACT):
    """(B + λI)p = −g, B + λI ⪰ 0, λ ≥ 0, ‖p‖ ≤ Δ, λ(Δ − ‖p‖) = 0: necessary and sufficient for a global solution.

    ‖p(λ)‖ moves by size/gap of an error in λ, gap = λ − (−λ₁): no more can be asked of the length than
    n·eps·size/gap, nor of anything than n·eps of what it is made of.
    """
    p, lam, predicted = step
    n, values = len(g), np.linalg.eigvalsh(B)
    size, length = abs(values).max(), np.linalg.norm(p)
    rounding = 100 * n * EPS
    gap = max(lam + values[0], 10 * EPS * size)
    slack = max(accuracy, 1e-9) + (rounding * (size + lam) / gap if size else 0.0)
    scale = (size + lam) * length + np.linalg.norm(g)
    assert np.isfinite(p).all()
    assert lam >= 0
    assert np.linalg.norm(B @ p + lam * p + g) <= rounding * scale
    assert values[0] + lam >= -rounding * size
    assert length <= radius * (1 + slack)
    if lam > rounding * size:
        assert length >= radius * (1 - slack)
    model = -(g @ p) - 0.5 * p @ B @ p
    assert predicted == pytest.approx(model, abs=rounding * scale * length)
    assert predicted >= 0
    return gap


def rotated(spectrum, coefficients, seed):
    """B with this spectrum and g with these coefficients in its eigenvectors; the standard basis for seed 0."""
    Q = basis(len(spectrum), seed)
    B = (Q * np.array(spectrum)) @ Q.T
    return Q @ np.array(coefficients), (B + B.T) / 2


radii = st.floats(-6, 6).map(lambda k: 10.0**k)

# --- any matrix, any gradient, any radius ----------------------------------------------------------------------------


@given(st.data(), st.integers(1, 6), radii)
def test_convex(data, n, radius):
    B = data.draw(spd(n))
    g = data.draw(vectors(n))
    judge(g, B, radius, more_sorensen(g, B, radius, EXACT))


@given(st.data(), st.integers(2, 6), radii)
def test_indefinite(data, n, radius):
    B = data.draw(symmetric_indefinite(n))
    g = data.draw(vectors(n))
    judge(g, B, radius, more_sorensen(g, B, radius, EXACT))


@given(st.data(), st.integers(2, 6), radii, seeds)
def test_no_feasible_point_is_better(data, n, radius, seed):
    B = data.draw(symmetric_indefinite(n, 1e2))
    g = data.draw(vectors(n))
    best = more_sorensen(g, B, radius, EXACT)
    rng = np.random.default_rng(seed)
    others = rng.standard_normal((200, n))
    others *= radius * rng.uniform(0, 1, (200, 1)) ** (1 / n) / np.linalg.norm(others, axis=1, keepdims=True)
    others[-1] = best.p * min(1.0, radius / np.linalg.norm(best.p)) if best.p.any() else 0
    promised = -(others @ g) - 0.5 * np.einsum("ki,ij,kj->k", others, B, others)
    # a radius off by 1e-9 costs 1e-9 of the model, which is at most ‖g‖Δ + ½‖B‖Δ²
    scale = np.linalg.norm(g) * radius + 0.5 * np.linalg.norm(B) * radius**2
    assert promised.max() <= best.predicted + 1e-8 * scale


@given(st.data(), st.integers(1, 6), st.floats(0.01, 0.3), radii)
def test_the_accuracy_is_that_of_the_length(data, n, accuracy, radius):
    B = data.draw(spd(n))
    g = data.draw(vectors(n).filter(np.any))
    judge(g, B, radius, more_sorensen(g, B, radius, accuracy), accuracy)


@given(st.data(), st.integers(2, 5), st.integers(-60, 60), st.integers(-60, 60))
def test_scaling(data, n, a, b):
    """f ↦ 2ᵃf and x ↦ 2ᵇx leave the same problem: p scales with Δ, λ with B, up to the rounding of square roots."""
    B, g = data.draw(symmetric_indefinite(n, 1e2)), data.draw(vectors(n).filter(np.any))
    s, t = 2.0**a, 2.0**b
    here = more_sorensen(g, B, 1.0, EXACT)
    there = more_sorensen(g * (s * t), B * s, t, EXACT)
    gap = judge(g * (s * t), B * s, t, there) / s
    slack = 1e-9 + 1e4 * EPS * np.linalg.norm(B) / gap
    assert there.lam == pytest.approx(here.lam * s, rel=1e-6)
    assert np.linalg.norm(there.p / t - here.p) <= slack or gap < 1e-6 * np.linalg.norm(B)


# --- the interior ----------------------------------------------------------------------------------------------------


@given(st.data(), st.integers(1, 6))
def test_a_newton_step_that_fits_is_the_answer(data, n):
    B, g = data.draw(spd(n)), data.draw(vectors(n))
    newton = np.linalg.solve(B, -g)
    step = more_sorensen(g, B, 1.5 * np.linalg.norm(newton) + 1, 0.1)
    assert step.lam == 0.0
    # two backward stable solves of a system of condition 1e4
    assert np.linalg.norm(step.p - newton) <= 100 * n * EPS * 1e4 * np.linalg.norm(newton)


def test_a_length_that_is_just_accurate_enough_will_do():
    """‖p(0)‖ = 3/2 = (1 + ½) Δ."""
    step = more_sorensen(np.array([1.5, 0.0]), np.diag([1.0, 9.0]), 1.0, 0.5)
    assert step == (pytest.approx([-1.5, 0.0]), 0.0, pytest.approx(1.125))


def test_a_worked_example():
    """B = I, g = (3, 4): p(λ) = −g/(1 + λ), and ‖p‖ = 1 at λ = 4."""
    step = more_sorensen(np.array([3.0, 4.0]), np.eye(2), 1.0, EXACT)
    assert step.lam == pytest.approx(4.0, rel=1e-11)
    assert step.p == pytest.approx([-0.6, -0.8], rel=1e-11)
    assert step.predicted == pytest.approx(4.5, rel=1e-11)


# --- the hard case ---------------------------------------------------------------------------------------------------


@given(st.integers(2, 6), st.integers(1, 3), seeds, seeds, st.floats(-3, 3))
def test_hard_case(n, multiplicity, seed, rotation, exponent):
    """g without a part in the eigenspace of the lowest, negative eigenvalue, and a region that the rest leaves free."""
    rng = np.random.default_rng(seed)
    lowest = -(10.0**exponent)
    spectrum = np.concatenate([[lowest] * multiplicity, lowest + 10 ** rng.uniform(-2, 2, max(n - multiplicity, 0))])
    coefficients = np.concatenate([np.zeros(multiplicity), rng.standard_normal(len(spectrum) - multiplicity)])
    g, B = rotated(spectrum, coefficients, rotation)
    least = np.linalg.norm(coefficients[multiplicity:] / (spectrum[multiplicity:] - lowest))
    for radius in (1.5 * least + 1e-3, 1e3 * least + 1.0):
        step = more_sorensen(g, B, radius, EXACT)
        judge(g, B, radius, step)
        # the eigenvalue itself is known to n·eps·size only
        assert step.lam == pytest.approx(-lowest, abs=100 * len(g) * EPS * abs(spectrum).max())
        assert np.linalg.norm(step.p) == pytest.approx(radius, rel=1e-9)


@given(st.integers(2, 6), seeds, seeds, st.floats(-18, -6), radii)
@example(3, 7, 0, -15.0, 1.0)
def test_nearly_hard_case(n, seed, rotation, exponent, radius):
    """A part along the lowest eigenvector that is tiny, but there: λ must come within that of −λ₁."""
    rng = np.random.default_rng(seed)
    spectrum = np.sort(10 ** rng.uniform(-1, 1, n) * np.append(-1, rng.choice([-1, 1], n - 1)))
    coefficients = rng.standard_normal(n)
    coefficients[0] *= 10.0**exponent
    g, B = rotated(spectrum, coefficients, rotation)
    judge(g, B, radius, more_sorensen(g, B, radius, EXACT))


@given(st.data(), st.integers(1, 6), radii)
def test_no_gradient_and_negative_curvature(data, n, radius):
    """At a saddle the answer is the boundary along the lowest eigenvector: ½|λ₁|Δ² is gained."""
    B = data.draw(symmetric_indefinite(n)) if n > 1 else -np.eye(1)
    step = more_sorensen(np.zeros(n), B, radius, EXACT)
    judge(np.zeros(n), B, radius, step)
    values = np.linalg.eigvalsh(B)
    assert step.predicted == pytest.approx(-0.5 * values[0] * radius**2, rel=1e-8)


@given(st.data(), st.integers(1, 6), radii)
def test_no_gradient_and_no_negative_curvature(data, n, radius):
    B = data.draw(spd(n))
    step = more_sorensen(np.zeros(n), B, radius, EXACT)
    assert not step.p.any()
    assert (step.lam, step.predicted) == (0.0, 0.0)


# --- singular --------------------------------------------------------------------------------------------------------


@given(st.integers(2, 6), st.integers(1, 3), seeds, seeds)
def test_singular_and_consistent(n, rank, seed, rotation):
    """B ⪰ 0 singular and g in its range: the Newton step exists, if not alone."""
    rank = min(rank, n - 1)
    rng = np.random.default_rng(seed)
    spectrum = np.concatenate([np.zeros(n - rank), 10 ** rng.uniform(-1, 1, rank)])
    coefficients = np.concatenate([np.zeros(n - rank), rng.standard_normal(rank)])
    g, B = rotated(spectrum, coefficients, rotation)
    for radius in (1e-3, 1.0, 1e3):
        judge(g, B, radius, more_sorensen(g, B, radius, EXACT))


@given(st.integers(2, 6), seeds, seeds, radii)
@example(2, 3, 4, 1e15)
def test_singular_and_inconsistent(n, seed, rotation, radius):
    """B ⪰ 0 singular and a slope along its null space: the model has no minimum, the ball does."""
    rng = np.random.default_rng(seed)
    spectrum = np.append(0.0, 10 ** rng.uniform(-1, 1, n - 1))
    g, B = rotated(spectrum, rng.standard_normal(n), rotation)
    step = more_sorensen(g, B, radius, EXACT)
    judge(g, B, radius, step)
    assert np.linalg.norm(step.p) == pytest.approx(radius, rel=1e-2)


@pytest.mark.parametrize("unit", [1e-10, 1.0, 1e10])
def test_along_a_flat_valley_the_shortest_step_is_taken(unit):
    """(v₁x₁ + v₂x₂ − 1)²: rounding makes the second eigenvalue −2e-16 or so, no reason to go to the boundary."""
    seen = 0
    for t in np.linspace(0.1, 3, 40):
        v = np.array([1.0, t])
        g, B = unit * 14 * v, unit * 2 * np.outer(v, v)
        if not cholesky(B, 0.0)[1]:
            step = more_sorensen(g, B, 1e3, 0.1)
            # the pseudoinverse through a shift of sqrt(eps) leaves a few eps/sqrt(eps)
            assert np.linalg.norm(step.p) <= (1 + 1e-6) * 7 / np.linalg.norm(v)
            assert step.lam == 0.0
            seen += 1
    assert seen > 5


@pytest.mark.parametrize(("part", "flat"), [(5.0, True), (10.0, True), (11.0, False)])
def test_ten_roundings_of_curvature_or_slope_are_none(part, flat):
    """λ₁ = −part · eps ‖B‖, or vᵀg = part · eps ‖g‖: without either, τ = 0."""
    v = np.array([1.0, 0.0])
    bent = hard_case(np.array([0.0, 1.0]), np.diag([-part * EPS, 1.0]), 5.0, part * EPS, v, 1.0)
    leaning = hard_case(np.array([part * EPS, 1.0]), np.diag([0.0, 1.0]), 5.0, 0.0, v, 1.0)
    for step in (bent, leaning):
        assert np.linalg.norm(step.p) == pytest.approx(1.0 if flat else 5.0)


@pytest.mark.parametrize("unit", [1e-20, 1e20])
def test_in_any_unit_of_f_negative_curvature_is_no_rounding(unit):
    step = more_sorensen(unit * np.array([0.0, 1.0]), unit * np.diag([-1e-3, 1.0]), 5.0, EXACT)
    assert step.lam == pytest.approx(1e-3 * unit)
    assert np.linalg.norm(step.p) == pytest.approx(5.0)


@pytest.mark.parametrize("radius", [1e-9, 1.0, 1e9])
def test_no_curvature_at_all(radius):
    g = np.array([3.0, 4.0])
    step = more_sorensen(g, np.zeros((2, 2)), radius, EXACT)
    assert step.p == pytest.approx(-radius * g / 5, rel=1e-10)
    assert step.predicted == pytest.approx(5 * radius, rel=1e-10)
    assert more_sorensen(0 * g, np.zeros((2, 2)), radius, EXACT).predicted == 0.0


# --- extremes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("g", [-2.0, 0.0, 3.0])
@pytest.mark.parametrize("b", [-4.0, 0.0, 1e-20, 5.0])
@pytest.mark.parametrize("radius", [1e-8, 0.5, 1e8])
def test_one_variable(g, b, radius):
    p, lam, predicted = more_sorensen(np.array([g]), np.array([[b]]), radius, EXACT)
    inside = -g / b if b > 0 and abs(g) <= b * radius else None
    ends = [-radius, radius] if inside is None and (g or b < 0) else [inside if inside is not None else 0.0]
    best = max(-g * q - 0.5 * b * q * q for q in ends)
    # |p| = |g|/(b + λ) loses the digits that b and λ share: at most eight of them, for g/b = 1/2 and Δ = 1e8
    assert predicted == pytest.approx(best, rel=1e-6, abs=1e-300)
    assert abs(p[0]) <= radius * (1 + 1e-6)
    assert lam >= 0


@given(st.data(), st.sampled_from([1e-150, 1e-30, 1e30, 1e150]))
def test_tiny_and_huge_radii(data, radius):
    B, g = data.draw(symmetric_indefinite(3, 1e2)), data.draw(vectors(3).filter(np.any))
    step = more_sorensen(g, B, radius, 1e-3)
    assert np.linalg.norm(step.p / radius) == pytest.approx(1.0, rel=2e-3)
    if radius < 1:  # nothing but the slope is seen
        assert step.p / radius == pytest.approx(-g / np.linalg.norm(g), abs=2e-3)
    else:  # nothing but the curvature
        assert step.predicted / radius**2 == pytest.approx(-0.5 * np.linalg.eigvalsh(B)[0], rel=1e-2)


@pytest.fixture
def spent(monkeypatch):
    """What the solver has done: a factorisation, whether it succeeded, or "lowest" for the lowest eigenpair."""
    from refopt import ops, subproblem

    seen = []

    def factored(B, shift):
        L, ok = ops.cholesky(B, shift)
        seen.append(ok)
        return L, ok

    def eigenpair(B):
        seen.append("lowest")
        return ops.lowest(B)

    monkeypatch.setattr(subproblem, "cholesky", factored)
    monkeypatch.setattr(subproblem, "lowest", eigenpair)
    return seen


def test_two_or_three_factorisations_are_enough(spent):
    """What the docstring says of the cost, at the accuracy that trust-exact asks for, in the median of many."""
    counts, rng = [], np.random.default_rng(1)
    for _ in range(200):
        spent.clear()
        g, B = rotated(
            rng.standard_normal(5) * 10 ** rng.uniform(-1, 2), rng.standard_normal(5), int(rng.integers(1e4))
        )
        more_sorensen(g, B, 10 ** rng.uniform(-3, 1), 0.1)
        counts.append(len(spent) - spent.count("lowest"))
    assert np.median(counts) <= 3
    assert max(counts) <= 15


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_at_an_end_of_its_interval_the_multiplier_is_found_at_once(spent, sign):
    """B = ±bI: λ = ‖g‖/Δ ∓ b is where the interval ends, and rounding may not shut it out."""
    rng = np.random.default_rng(3)
    for _ in range(100):
        spent.clear()
        g, size = rng.standard_normal(int(rng.integers(1, 9))), 10.0 ** rng.uniform(-6, 6)
        step = more_sorensen(g, sign * size * np.eye(len(g)), 0.5 * np.linalg.norm(g) / size, EXACT)
        assert step.lam == pytest.approx((2.0 - sign) * size)
        assert len(spent) <= 3


def test_the_lowest_eigenpair_is_asked_for_after_three_failures_or_eleven_looks(spent):
    reasons = set()
    rng = np.random.default_rng(2)
    for k in range(400):
        spent.clear()
        lowest, others = (-1.0, rng.uniform(-0.9, 0.3, 4)) if k % 2 else (1e-12, 10 ** rng.uniform(-3, 1, 4))
        coefficients = rng.standard_normal(5) * np.append(10.0 ** -rng.uniform(0, 9), np.ones(4))
        g, B = rotated(np.append(lowest, others), coefficients, k)
        more_sorensen(g, B, 10 ** rng.uniform(-1, 8), EXACT)
        if "lowest" in spent:
            before = spent[: spent.index("lowest")]
            assert before.count(False) == 3 or len(before) == 11
            assert before.count(False) <= 3
            assert len(before) <= 11
            reasons.add(before.count(False) == 3)
        else:
            assert spent.count(False) < 3
            assert len(spent) <= 11
    assert reasons == {True, False}


def test_after_a_hundred_factorisations_there_is_no_other(spent):
    """A gradient that is not finite decides nothing; one more is that of −λ₁."""
    more_sorensen(np.array([np.nan, 1.0]), np.eye(2), 1.0, 0.1)
    assert spent.count(True) == 100 + 1


@pytest.mark.parametrize("unit", [1e-20, 1.0, 1e20])
def test_half_of_the_digits_are_the_smallest_eigenvalue_that_a_promise_sees(unit):
    g = np.array([0.0, 1.0])
    assert promise(unit * g, unit * np.diag([-1e-9, 1.0])) == pytest.approx(0.5 * unit)
    assert promise(unit * g, unit * np.diag([-1e-6, 1.0])) == np.inf
    assert promise(0.0 * g, unit * np.diag([-1.0, 1.0])) == np.inf


def test_without_curvature_any_slope_promises_everything():
    assert promise(np.array([0.5, 0.0]), np.zeros((2, 2))) == np.inf
    assert promise(np.zeros(2), np.zeros((2, 2))) == 0.0


# --- its parts -------------------------------------------------------------------------------------------------------


@given(st.data(), st.integers(1, 5), radii)
def test_cauchy_point_minimizes_along_the_gradient(data, n, radius):
    B = data.draw(symmetric_indefinite(n)) if n > 1 else np.array([[data.draw(st.floats(-5, 5))]])
    g = data.draw(vectors(n).filter(np.any))
    p = cauchy(g, B, radius)
    length = np.linalg.norm(g)
    assert np.linalg.norm(p) <= radius * (1 + 8 * EPS)
    along = np.linspace(0, radius / length, 1001)
    promised = along * length**2 - 0.5 * along**2 * (g @ B @ g)
    terms = abs(g) @ abs(B) @ abs(g)  # of gᵀBg, which may cancel
    scale = abs(along * length**2).max() + (0.5 * along**2 * terms).max()
    assert decrease(g, B, p) >= promised.max() - 50 * EPS * scale


def test_cauchy_point_of_no_gradient():
    assert not cauchy(np.zeros(2), np.eye(2), 1.0).any()


def test_hardly_a_way_to_the_boundary_keeps_its_digits():
    """From (1 − t)e₁ along e₁ it is t, of which the square of 1 − t keeps the digits beyond eps/t; back, 2 − t."""
    p, d = np.array([1.0 - 1e-9, 0.0]), np.array([1.0, 0.0])
    t = 1.0 - p[0]
    assert boundary(p, d, 1.0) == pytest.approx(t, rel=EPS / t)
    assert boundary(p, -d, 1.0) == pytest.approx(2.0 - t, rel=4 * EPS)


def test_decrease_of_rationals_is_exact():
    third = Fraction(1, 3)
    g, p = np.array([third, 1], dtype=object), np.array([-1, third], dtype=object)
    B = np.array([[2, third], [third, 1]], dtype=object)
    assert decrease(g, B, p) == third - third - Fraction(1, 2) * (2 - 2 * third * third + third * third)


# --- array kinds -----------------------------------------------------------------------------------------------------

CASES = {
    "inside": ([1.0, -2.0, 0.5], [1.0, 2.0, 30.0], 10.0),
    "boundary": ([1.0, -2.0, 0.5], [1.0, 2.0, 30.0], 0.5),
    "indefinite": ([1.0, -2.0, 0.5], [-1.0, 2.0, 30.0], 1.0),
    "hard": ([0.0, -2.0, 0.5], [-1.0, 2.0, 30.0], 5.0),
    "saddle": ([0.0, 0.0, 0.0], [-1.0, 2.0, 30.0], 5.0),
    "nothing": ([0.0, 0.0, 0.0], [0.0, 0.0, 0.0], 1.0),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES)
def test_every_array_kind(namespace, case, dtype):
    coefficients, spectrum, radius = CASES[case]
    g, B = (v.astype(dtype) for v in rotated(spectrum, coefficients, 0))
    reference = more_sorensen(g, B, radius, 0.1)
    p, lam, predicted = more_sorensen(namespace.asarray(g), namespace.asarray(B), radius, 0.1)
    assert namespace.owns(p)
    assert namespace.to_numpy(p).dtype == np.dtype(dtype)
    # different solvers of well-conditioned systems; an eigenvector may come with either sign
    tolerance = 200 * float(np.finfo(dtype).eps) * max(map(abs, spectrum))
    assert abs(namespace.to_numpy(p)) == pytest.approx(abs(reference.p), abs=tolerance)
    assert lam == pytest.approx(reference.lam, abs=tolerance)
    assert predicted == pytest.approx(reference.predicted, abs=tolerance)


@pytest.mark.parametrize("size", [1e-100, 1e-170, 1e-300])
def test_the_dogleg_where_the_square_of_the_gradient_is_no_number(size):
    """g = size (1, 1), B = diag(1, −½): to the boundary, and not above the Cauchy point of diag(1.75, 0.25)."""
    g = np.full(2, size)
    p, edge = dogleg(g, np.diag([1.0, -0.5]), size)
    assert edge
    assert np.linalg.norm(p / size) == pytest.approx(1.0)
    assert (p < 0).all()


@given(st.integers(2, 8), seeds, st.sampled_from([1e-20, 1.0, 1e20]))
def test_the_dogleg_of_a_singular_matrix_is_that_of_one_hardly_greater(n, seed, unit):
    """B = JᵀJ with fewer rows than columns and a slope along its null space: a step of any length leads down there."""
    rng = np.random.default_rng(seed)
    J, g = rng.standard_normal((n - 1, n)), rng.standard_normal(n)
    p, edge = dogleg(unit * g, unit * J.T @ J, 3.0)
    assert edge
    assert np.linalg.norm(p) == pytest.approx(3.0)
    least = decrease(g, J.T @ J, cauchy(g, J.T @ J, 3.0))
    assert decrease(g, J.T @ J, p) >= least * (1 - 1e-9)


# --- where λ is known better than p(λ) --------------------------------------------------------------------------------


@pytest.mark.parametrize("leaning", [1e-2, -1e-4, 1e-6])
def test_the_boundary_is_reached_however_little_leads_there(leaning):
    """p(λ) is known to eps‖B‖/(λ + λ₁), here 1e-9 and less, and ‖p‖ = Δ all the same."""
    B, g = np.diag([-2.0, -1.0, 0.5]), np.array([leaning, 1.0, -0.5])
    step = more_sorensen(g, B, 700.0, 1e-13)
    assert np.linalg.norm(step.p) == pytest.approx(700.0, rel=1e-12)
    assert step.p[0] * leaning < 0
    # λ + λ₁ = |vᵀg|/|vᵀp|, and λ is known to eps‖B‖
    assert step.lam - 2.0 == pytest.approx(abs(leaning / step.p[0]), abs=20 * EPS)
    assert np.linalg.norm(B @ step.p + step.lam * step.p + g) <= 100 * EPS * 2.0 * 700.0


def test_nor_does_it_take_long_where_the_lowest_eigenvalue_is_small(spent):
    """λ is known to eps‖B‖, no matter how small it is."""
    rng = np.random.default_rng(4)
    for _ in range(500):
        spent.clear()
        spectrum = np.append(-(10 ** rng.uniform(-12, 0)), 10 ** rng.uniform(-1, 1, int(rng.integers(1, 5))))
        Q, c = np.linalg.qr(rng.standard_normal((len(spectrum),) * 2))[0], rng.standard_normal(len(spectrum))
        c[0] *= 10 ** rng.uniform(-16, 0)
        B, radius = (Q * spectrum) @ Q.T, 10 ** rng.uniform(-2, 5)
        step = more_sorensen(Q @ c, (B + B.T) / 2, radius, 1e-6)
        assert np.linalg.norm(step.p) == pytest.approx(radius, rel=1.001e-6)
        assert len(spent) <= 30


def test_a_gradient_that_is_not_finite_gives_no_number():
    step = more_sorensen(np.array([np.nan, 1.0]), np.diag([-1.0, 1.0]), 1.0, 0.1)
    assert np.isnan(step.p).all()
    assert np.isnan(step.predicted)
