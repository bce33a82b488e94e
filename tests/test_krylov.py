"""Conjugate gradients and Lanczos on the model, judged by eigenvalues and dense solves."""

from math import inf

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from refopt.krylov import conjugate_gradients, escape, forcing_term, gltr, guarded, steihaug
from refopt.problem import Problem
from strategies import basis, nonzero_vectors, seeds, spd, symmetric_indefinite

EPS = 2.0**-52

radii = st.floats(-3, 3).map(lambda k: 10.0**k)


def products(B):
    """A problem of which nothing but products with B is known."""
    return Problem(None, hvp=lambda x, p: B @ p)


def model(g, B, p):
    return g @ p + 0.5 * p @ B @ p


def run(solver, B, g, radius, *rest):
    return solver(products(B), 0 * g, g, radius, *rest)


def solve_by_cg(B, g, start=0.0, shift=0.0, forcing=1e-10, progress=0.0):
    start = start + 0.0 * g
    return conjugate_gradients(products(B), 0 * g, g, start, shift, inf, forcing, progress, 50 * len(g))


def path(g, B, radius, steps):
    """The iterates of conjugate gradients by the letter of the book, up to the boundary."""
    z, r, d = 0 * g, g, -g
    for _ in range(steps):
        yield z
        bend = d @ B @ d
        if bend <= 0:
            return
        alpha = (r @ r) / bend
        z_new, r_new = z + alpha * d, r + alpha * B @ d
        if np.linalg.norm(z_new) >= radius:
            return
        z, d, r = z_new, -r_new + (r_new @ r_new) / (r @ r) * d, r_new


def exactly(g, B, radius):
    """The global solution by bisection on λ in the eigenbasis (not made for the hard case)."""
    values, Q = np.linalg.eigh(B)
    c = Q.T @ g
    if values[0] > 0 and np.linalg.norm(c / values) <= radius:
        return -Q @ (c / values)
    low = max(0.0, -values[0])
    high = low + np.linalg.norm(g) / radius + 1.0
    while high - low > 4 * EPS * high:
        lam = (low + high) / 2
        low, high = (lam, high) if np.linalg.norm(c / (values + lam)) > radius else (low, lam)
    return -Q @ (c / (values + high))


# --- conjugate gradients ---------------------------------------------------------------------------------------------


@given(st.data(), st.integers(1, 6))
def test_a_definite_system_is_solved(data, n):
    B, g = data.draw(spd(n, 1e2)), data.draw(nonzero_vectors(n))
    cg = solve_by_cg(B, g)
    assert cg.solved
    # ‖r‖ ≤ 1e-10‖g‖ and the smallest eigenvalue is 1 or more; the recurrence drifts from the residual by rounding
    assert np.linalg.norm(B @ cg.z + g) <= 2e-10 * np.linalg.norm(g)
    newton = 0.5 * g @ np.linalg.solve(B, g)
    assert cg.promised == pytest.approx(newton, rel=1e-9)
    assert cg.gain == pytest.approx(newton, rel=1e-9)


@given(st.data(), st.integers(1, 6), st.floats(0.01, 100.0))
def test_a_shift_is_added_to_the_matrix(data, n, shift):
    B, g = data.draw(spd(n, 1e2)), data.draw(nonzero_vectors(n))
    cg = solve_by_cg(B, g, shift=shift)
    assert np.linalg.norm(B @ cg.z + shift * cg.z + g) <= 2e-10 * np.linalg.norm(g)


@given(st.data(), st.integers(1, 6), st.floats(0.001, 0.9))
def test_the_residual_is_as_small_as_asked_for_and_no_smaller_than_needed(data, n, forcing):
    B, g = data.draw(spd(n, 1e2)), data.draw(nonzero_vectors(n))
    cg = solve_by_cg(B, g, forcing=forcing)
    assert np.linalg.norm(B @ cg.z + g) <= forcing * np.linalg.norm(g) * (1 + 1e-9)
    before = list(path(g, B, inf, cg.products))[-1]
    assert np.linalg.norm(B @ before + g) > forcing * np.linalg.norm(g) * (1 - 1e-9)


# --- Steihaug --------------------------------------------------------------------------------------------------------


@given(st.data(), st.integers(2, 6), radii)
def test_steihaugs_iterates_grow_and_the_model_falls_at_least_to_cauchys_point(data, n, radius):
    B, g = data.draw(symmetric_indefinite(n, 1e2)), data.draw(nonzero_vectors(n))
    found = run(steihaug, B, g, radius, 1e-8)
    walked = [*path(g, B, radius, 10 * n), found.p]
    lengths, values = [np.linalg.norm(z) for z in walked], [model(g, B, z) for z in walked]
    # each is a sum of terms of the size of the last, for a condition of 1e2
    assert (np.diff(lengths) >= -1e-9 * lengths[-1]).all()
    assert (np.diff(values) <= 1e-9 * abs(values[-1])).all()
    d, length = -g / np.linalg.norm(g), np.linalg.norm(g)
    tau = min(radius, length / (d @ B @ d)) if d @ B @ d > 0 else radius
    assert values[-1] <= model(g, B, tau * d) * (1 - 1e-9)
    assert found.promised == pytest.approx(-values[-1], rel=1e-9)
    assert found.edge == (abs(lengths[-1] - radius) <= 1e-9 * radius)
    assert lengths[-1] <= radius * (1 + 1e-9)


@given(st.data(), st.integers(1, 6))
def test_a_newton_step_inside_is_taken(data, n):
    B, g = data.draw(spd(n, 1e2)), data.draw(nonzero_vectors(n))
    newton = -np.linalg.solve(B, g)
    found = run(steihaug, B, g, 2.0 * np.linalg.norm(newton), 1e-10)
    assert not found.edge
    assert np.linalg.norm(found.p - newton) <= 2e-10 * np.linalg.norm(g)  # eigenvalues of 1 and more


@given(st.data(), st.integers(2, 6))
def test_half_of_the_best_decrease_is_certain_where_the_model_is_convex(data, n):
    """Y. Yuan, Math. Program. 87 (2000) 1: Steihaug's step gains at least half as much as the exact solution."""
    B, g, radius = data.draw(spd(n, 1e3)), data.draw(nonzero_vectors(n)), data.draw(radii)
    found = run(steihaug, B, g, radius, 1e-10)
    assert 2 * found.promised >= -model(g, B, exactly(g, B, radius)) * (1 - 1e-6)


def test_without_curvature_it_goes_downhill_to_the_boundary():
    g = np.array([3.0, 4.0])
    found = run(steihaug, np.zeros((2, 2)), g, 10.0, 0.1)
    assert found.p == pytest.approx([-6.0, -8.0])
    assert (found.promised, found.edge, found.gain) == (pytest.approx(50.0), True, inf)


@pytest.mark.parametrize("unit", [2.0**-40, 1.0, 2.0**40])
@pytest.mark.parametrize(("part", "followed"), [(5.0, False), (10.0, False), (11.0, True)])
def test_curvature_within_ten_roundings_of_the_matrix_is_none(part, followed, unit):
    """dᵀHd = part · eps ‖Hd‖‖d‖ along d = −e₁."""
    B, g = unit * np.array([[part * EPS, 1.0], [1.0, 0.0]]), np.array([1.0, 0.0])
    cg = conjugate_gradients(products(B), 0 * g, g, 0 * g, 0.0, inf, 0.1, 0.0, 1)
    assert cg.z.any() == followed


@pytest.mark.parametrize(("bend", "concave"), [(-(2.0**-27), False), (-(2.0**-26), False), (-(2.0**-25), True)])
def test_curvature_is_negative_beyond_half_of_the_digits(bend, concave):
    """√eps is 2⁻²⁶."""
    cg = solve_by_cg(np.array([[bend, 1.0], [1.0, 0.0]]), np.array([1.0, 0.0]))
    assert (cg.concave, cg.gain == inf, cg.bend) == (concave, concave, bend)


def test_a_minimiser_on_the_boundary_is_on_the_boundary():
    found = run(steihaug, np.eye(2), np.array([4.0, 0.0]), 4.0, 0.1)
    assert found.edge
    assert found.p == pytest.approx([-4.0, 0.0])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_product_that_is_not_finite_counts_as_no_curvature(bad):
    g = np.array([3.0, 4.0])
    found = run(steihaug, np.full((2, 2), bad), g, 10.0, 0.1)
    assert found.p == pytest.approx([-6.0, -8.0])
    assert found.promised == pytest.approx(50.0)
    assert np.isnan(found.gain)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_gltr_makes_no_step_of_a_product_that_is_not_finite(bad):
    problem, g = Problem(None, hvp=lambda x, p: np.full(2, bad)), np.array([3.0, 0.0])
    found = gltr(problem, 0 * g, g, 10.0, 0.1, 5)
    assert found.p.tolist() == [0.0, 0.0]
    assert (found.promised, found.edge, found.products) == (0.0, False, 1)
    assert np.isnan(found.gain)


def test_no_gradient_no_step():
    for solver, rest in ((steihaug, (0.1,)), (gltr, (0.1, 10))):
        found = run(solver, np.diag([1.0, -1.0]), np.zeros(2), 1.0, *rest)
        assert not found.p.any()
        assert (found.promised, found.gain, found.products, found.edge) == (0.0, 0.0, 0, False)


# --- GLTR ------------------------------------------------------------------------------------------------------------


@given(st.integers(1, 8), seeds, radii, st.booleans())
@example(5, 0, 0.001, False)
def test_gltr_is_exact_where_the_krylov_space_is_everything(n, seed, radius, convex):
    rng = np.random.default_rng(seed)
    values = rng.uniform(1.0, 30.0, n) * (1.0 if convex else rng.choice([-1, 1], n))
    assume(n == 1 or np.diff(np.sort(values)).min() > 0.3)
    Q = basis(n, seed)
    B, g = (Q * values) @ Q.T, Q @ rng.choice([-1, 1], n) * rng.uniform(0.5, 1.0)
    B = (B + B.T) / 2
    found, wanted = run(gltr, B, g, radius, 1e-9, 100), exactly(g, B, radius)
    # the residual is 1e-9 of g; the model is flat at its minimum, the length of p known to a tenth of 1e-9
    assert found.promised == pytest.approx(-model(g, B, wanted), rel=1e-7)
    assert np.linalg.norm(found.p) <= radius * (1 + 1e-8)
    if values.min() > 0:  # beside a small region the space ends before it is everything, and shows a part of the gain
        whole = 0.5 * g @ np.linalg.solve(B, g)
        assert found.promised * (1 - 1e-6) <= found.gain <= whole * (1 + 1e-6)
        assert found.gain == pytest.approx(whole, rel=1e-6) or found.products < n


@given(st.data(), st.integers(2, 6), radii)
def test_gltr_gains_no_less_than_steihaug(data, n, radius):
    B, g = data.draw(symmetric_indefinite(n, 1e2)), data.draw(nonzero_vectors(n))
    assert run(gltr, B, g, radius, 0.1, 100).promised >= run(steihaug, B, g, radius, 0.1).promised * (1 - 0.02)


def test_gltr_stops_at_the_largest_space_allowed():
    B, g = np.diag(np.arange(1.0, 21.0)), np.ones(20)
    found = run(gltr, B, g, 100.0, 1e-12, 3)
    assert found.products == 3
    krylov = np.linalg.qr(np.array([g, B @ g, B @ B @ g]).T)[0]
    best = krylov @ np.linalg.solve(krylov.T @ B @ krylov, -krylov.T @ g)
    assert found.p == pytest.approx(best, rel=1e-9)


def test_a_residual_that_is_just_small_enough_will_do():
    """‖Bp + g‖ = ½‖g‖ after one product."""
    B, g = np.array([[1.0, 0.5], [0.5, 1.0]]), np.array([1.0, 0.0])
    assert run(gltr, B, g, 10.0, 0.5, 2).products == 1
    assert run(gltr, B, g, 10.0, 0.49, 2).products == 2


# --- negative curvature ----------------------------------------------------------------------------------------------


@given(st.data(), st.integers(2, 8))
def test_negative_curvature_is_found(data, n):
    B, g = data.draw(symmetric_indefinite(n, 1e3)), data.draw(nonzero_vectors(n))
    out = run(escape, B, g, 3.0)
    assert out.edge
    assert np.linalg.norm(out.p) == pytest.approx(3.0, rel=1e-12)
    assert out.p @ B @ out.p < 0
    assert out.p @ g <= 0
    assert out.promised == pytest.approx(-model(g, B, out.p), rel=1e-9)
    assert out.gain == inf


@given(st.data(), st.integers(1, 8))
def test_none_is_found_where_there_is_none(data, n):
    B, g = data.draw(spd(n, 1e6)), data.draw(nonzero_vectors(n))
    assert not run(escape, B, g, 3.0).edge
    B[0, :] = B[:, 0] = 0.0  # singular
    assert not run(escape, B, g, 3.0).edge


@pytest.mark.parametrize(("apart", "count"), [(1e-9, 1), (1e-6, 2)])
def test_the_look_for_curvature_ends_at_half_of_the_digits(apart, count):
    """The second residual is about `apart` of the first."""
    assert run(escape, np.diag([1.0, 1.0 + apart]), np.ones(2), 1.0).products == count


def test_a_saddle_is_left_only_where_little_is_left_to_gain():
    B, g = np.diag([1.0, -1.0]), np.array([1e-3, 0.0])
    step = run(steihaug, B, g, 1.0, 0.1)
    assert run(lambda *a: guarded(*a, step, 1e-9), B, g, 1.0) == step
    out = run(lambda *a: guarded(*a, step, 1e-3), B, g, 1.0)
    assert out.edge
    assert out.p[1] != 0.0
    assert out.products > step.products


def test_the_forcing_term_follows_the_gradient():
    assert forcing_term(np.array([3.0, 4.0]), 5.0) == 0.5
    assert forcing_term(np.array([3.0, 4.0]), 500.0) == pytest.approx(0.1)
    assert forcing_term(np.zeros(2), 0.0) == 0.5


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("solver", [steihaug, gltr, escape], ids=lambda solver: solver.__name__)
def test_every_array_kind(namespace, solver, dtype):
    Q = basis(4, 3)
    B, g = ((Q * [-1.0, 2.0, 5.0, 9.0]) @ Q.T).astype(dtype), np.array([1.0, -2.0, 0.5, 1.0], dtype)
    rest = {steihaug: (0.01,), gltr: (0.01, 10), escape: ()}[solver]
    wanted = run(solver, B, g, 2.0, *rest)
    found = run(solver, namespace.asarray(B), namespace.asarray(g), 2.0, *rest)
    assert namespace.owns(found.p)
    assert namespace.to_numpy(found.p).dtype == np.dtype(dtype)
    # a few products of condition 9
    assert namespace.to_numpy(found.p) == pytest.approx(wanted.p, abs=1e4 * float(np.finfo(dtype).eps))
    assert (found.edge, found.products) == (wanted.edge, wanted.products)


# --- starts, looks and limits ----------------------------------------------------------------------------------------


def test_a_start_without_positive_curvature_is_none():
    """gᵀs < 0 and sᵀBs < 0: no multiple of s is the lowest point along it, and they begin at 0."""
    B, g, start = np.diag([1.0, -1.0]), np.array([1.0, 0.25]), np.array([-0.5, -2.0])
    assert g @ start < 0 > start @ B @ start
    begun, fresh = solve_by_cg(B, g, start), solve_by_cg(B, g)
    assert (begun.z == fresh.z).all()
    assert begun.products == fresh.products + 1
    flat = solve_by_cg(np.diag([1.0, 0.0]), np.array([0.0, 1.0]), np.array([0.0, -1.0]))
    assert not flat.z.any()


@pytest.mark.parametrize("begun", [0, 1])
def test_where_too_little_is_gained_it_ends_at_the_tenth_step_after_the_start(begun):
    B, g = np.diag(np.arange(1.0, 21.0)), np.ones(20)
    assert solve_by_cg(B, g, start=-0.1 * begun * g, forcing=0.0, progress=1.0).products == 10 + begun


def test_gltr_ends_inside_where_conjugate_gradients_do():
    """After nine products where nine will do; and without a step where none are allowed."""
    B, g = np.diag(np.linspace(1.0, 30.0, 40)), np.ones(40)
    residuals = [np.linalg.norm(B @ z + g) for z in path(g, B, inf, 20)]
    forcing = (residuals[9] * residuals[8]) ** 0.5 / np.linalg.norm(g)
    found = gltr(products(B), 0 * g, g, 1e3, forcing, 40)
    assert found.products == 9
    none = gltr(products(B), 0 * g, g, 1e3, forcing, 0)
    assert (none.products, none.promised, none.edge) == (0, 0.0, False)
    assert not none.p.any()
