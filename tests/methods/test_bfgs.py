"""BFGS: the update is the book's, a run is the book's algorithm, and the same on every array kind."""

from fractions import Fraction
from itertools import islice, pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import refopt
from problems import PROBLEMS
from refopt import zoo
from refopt.linesearch import Point
from refopt.loop import iterate
from refopt.methods import bfgs
from refopt.problem import Problem
from strategies import nonzero_vectors, sizes, spd, vectors

EPS = 2.0**-52


def product_form(H, s, y):
    """(I − ρsyᵀ) H (I − ρysᵀ) + ρssᵀ, as it is printed."""
    rho = 1 / (y @ s)
    V = np.eye(len(s)) - rho * np.outer(s, y)
    return V @ H @ V.T + rho * np.outer(s, s)


@st.composite
def updates(draw):
    """H positive definite, s and y with yᵀs > 0 and an angle that is not nearly right."""
    size = draw(sizes)
    H = draw(spd(size, 1e3))
    s, y = draw(nonzero_vectors(size)), draw(nonzero_vectors(size))
    ys = y @ s
    assume(abs(ys) > 1e-2 * np.linalg.norm(s) * np.linalg.norm(y))
    return H, s, np.sign(ys) * y


def growth(H, s, y):
    """What the terms of the update can be as large as: roundings are of this size."""
    rho = 1 / (y @ s)
    size = 1 + abs(rho) * np.linalg.norm(s) * np.linalg.norm(y)
    return size**2 * np.linalg.norm(H) + rho * (s @ s)


# --- the update ------------------------------------------------------------------------------------------------------


@given(updates())
def test_update_is_the_textbook_product(case):
    H, s, y = case
    assert abs(bfgs.update(H, s, y) - product_form(H, s, y)).max() <= 50 * EPS * growth(*case)


@given(updates())
def test_secant_equation_and_symmetry(case):
    H, s, y = case
    new = bfgs.update(H, s, y)
    # H₊y = s holds but for the rounding of H₊, times y
    assert np.linalg.norm(new @ y - s) <= 50 * EPS * growth(*case) * np.linalg.norm(y)
    assert abs(new - new.T).max() <= 4 * EPS * growth(*case)


@given(updates())
def test_positive_definiteness_is_inherited(case):
    H, s, y = case
    # wherever rounding, relative to the largest eigenvalue, leaves room for the smallest
    assume(growth(*case) < 1e8 * np.linalg.eigvalsh(product_form(*case))[0])
    assert np.linalg.eigvalsh(bfgs.update(H, s, y))[0] > 0


@given(updates(), st.integers(-20, 20), st.integers(-20, 20))
def test_update_in_other_units(case, a, b):
    """x in units of 2ᵃ, f in units of 2ᵇ: powers of two round nothing, so it is the same to the last bit."""
    H, s, y = case
    t, u = 2.0**a, 2.0**b
    assert (bfgs.update(H * (t * t / u), s * t, y * (u / t)) == bfgs.update(H, s, y) * (t * t / u)).all()


def test_update_of_rationals_is_exact():
    H, s, y = np.array([[2, 1], [1, 3]], dtype=object), np.array([1, Fraction(1, 3)]), np.array([Fraction(1, 7), 2])
    H = H + Fraction(0)
    rho = 1 / (y @ s)
    V = np.array([[1, 0], [0, 1]], dtype=object) - rho * np.outer(s, y)
    assert (bfgs.update(H, s, y) == V @ H @ V.T + rho * np.outer(s, s)).all()
    assert (bfgs.update(H, s, y) @ y == s).all()


# --- a step ----------------------------------------------------------------------------------------------------------


def state(H, x, g):
    return bfgs.State(x, 1.0, g, H, -(H @ g), 0.0, True, 0, True, True, 3, 2)


def point(x, g, lower=True, wolfe=True):
    return Point(x, 0.5, g, 0.25, 4, 2, lower, wolfe)


@given(updates())
def test_advance_updates_by_the_differences_of_x_and_g(case):
    H, s, y = case
    x, g = np.zeros(len(s)), np.cos(np.arange(len(s)))
    new = bfgs.advance(state(H, x, g), point(x + s, g + y), bfgs.Params())
    # Hy = H(g + y) − Hg, and −H₊(g + y) without a product with H₊: roundings of |H||g|, magnified where yᵀs is small
    y = (g + y) - g
    ys, size = y @ s, np.linalg.norm(H, 2) * np.linalg.norm(np.abs(g) + np.abs(y))
    once = 16 * len(s) * EPS * size
    wanted = bfgs.update(H, s, y)
    near = once * (np.linalg.norm(s) / ys) * (1 + np.linalg.norm(s) * np.linalg.norm(y) / ys)
    assert np.abs(new.H - wanted).max() <= near + 16 * len(s) * EPS * np.abs(wanted).max()
    assert np.abs(new.p + new.H @ (g + y)).max() <= once + (near + 64 * EPS * np.abs(wanted).max()) * size
    assert (new.f, new.alpha, new.nfev, new.njev) == (0.5, 0.25, 7, 4)
    assert (new.fresh, new.taken, new.ok, new.weak) == (False, True, True, 0)


@pytest.mark.parametrize("y", [[-1.0, 0.0], [0.0, 1.0], [1e-11, 1.0], [0.0, 0.0]])
def test_the_update_is_skipped_where_curvature_is_not_safely_positive(y):
    x, g, H = np.zeros(2), np.zeros(2), 2 * np.eye(2)
    new = bfgs.advance(state(H, x, g), point(np.array([1.0, 0.0]), np.array(y)), bfgs.Params())
    assert (new.H == H).all()
    assert new.fresh
    assert new.x[0] == 1.0


def test_skip_is_relative_to_both_lengths():
    x, H = np.zeros(2), np.eye(2)
    for skip, fresh in ((0.5, False), (0.7, True)):  # cos 50° = 0.64
        angle = np.deg2rad(50)
        y = 1e-9 * np.array([np.cos(angle), np.sin(angle)])
        new = bfgs.advance(state(H, x, 0 * x), point(np.array([1e5, 0.0]), y), bfgs.Params(skip=skip))
        assert new.fresh is fresh


def test_ok_ends_with_a_search_that_lowers_nothing_or_the_third_without_a_wolfe_point():
    x, H = np.zeros(2), np.eye(2)
    here = state(H, x, np.ones(2))
    assert not bfgs.advance(here, point(x, np.ones(2), lower=False, wolfe=False), bfgs.Params()).ok
    seen = []
    for _ in range(3):
        here = bfgs.advance(here, point(here.x + 1, np.ones(2), wolfe=False), bfgs.Params())
        seen.append((here.ok, here.weak))
    assert seen == [(True, 1), (True, 2), (False, 3)]
    assert bfgs.advance(here, point(here.x + 1, np.ones(2)), bfgs.Params()).weak == 0


def test_the_first_trial_does_not_depend_on_the_units():
    """−γg is as long as x₀, or of length one at the origin."""
    for x, g, length in (([3.0, 4.0], [1e12, 0.0], 5.0), ([0.0, 0.0], [0.0, 1e-9], 1.0)):
        gamma = bfgs.first_guess(np.array(x), np.array(g))
        assert gamma * np.linalg.norm(g) == pytest.approx(length, rel=4 * EPS)
    assert bfgs.first_guess(np.ones(2), np.zeros(2)) == 1.0


def test_init():
    problem = PROBLEMS["wood"]
    first = bfgs.init(problem, problem.x0, bfgs.Params())
    assert first.f == problem.fun(problem.x0)
    assert (first.g == problem.grad(problem.x0)).all()
    assert (first.p == -(first.H @ first.g)).all()
    assert np.count_nonzero(first.H - first.H[0, 0] * np.eye(4)) == 0
    assert (first.nfev, first.njev, first.fresh, first.taken, first.ok) == (1, 1, True, True, True)


def test_predicted_is_the_decrease_of_the_model():
    """−gᵀp − ½pᵀH⁻¹p at p = −Hg, and nothing before H has learnt anything."""
    H, g = np.array([[2.0, 1.0], [1.0, 3.0]]), np.array([1.0, -2.0])
    here = state(H, np.zeros(2), g)
    p = -H @ g
    assert bfgs.predicted(here) == 0.0
    # H has condition 2.6
    assert bfgs.predicted(here._replace(fresh=False)) == pytest.approx(
        -(g @ p) - 0.5 * p @ np.linalg.inv(H) @ p, rel=50 * EPS
    )


def test_the_first_trial_goes_a_tenth_of_the_length_of_x_and_later_ones_the_whole_step():
    tried = []
    problem = Problem(lambda x: tried.append(float(x[0])) or float((x[0] - 100) ** 2), lambda x: 2 * (x - 100))
    first = bfgs.init(problem, np.array([4.0]), bfgs.Params())
    second = bfgs.step(problem, first, bfgs.Params())
    assert tried[:2] == [4.0, pytest.approx(4.4)]
    bfgs.step(problem, second, bfgs.Params())
    assert tried[second.nfev] == pytest.approx(100.0)  # H is exact after one step in one variable
    assert second.p[0] == pytest.approx(100 - second.x[0])


def test_restart_forgets_and_keeps_the_length():
    H, g = np.array([[2.0, 1.0], [1.0, 3.0]]), np.array([1.0, -2.0])
    here = state(H, np.zeros(2), g)._replace(fresh=False, ok=False, weak=3)
    new = bfgs.restart(here)
    assert (new.fresh, new.ok, new.weak) == (True, True, 0)
    assert np.linalg.norm(new.p) == pytest.approx(np.linalg.norm(here.p), rel=8 * EPS)
    assert new.p @ g == pytest.approx(-np.linalg.norm(new.p) * np.linalg.norm(g), rel=8 * EPS)
    assert (np.eye(2) == bfgs.restart(here._replace(g=0 * g)).H).all()
    tiny = bfgs.restart(here._replace(g=1e-9 * g))
    assert np.linalg.norm(tiny.p) == pytest.approx(np.linalg.norm(here.p), rel=8 * EPS)


def test_resume_tries_the_same_direction_again():
    here = state(np.eye(2), np.zeros(2), np.ones(2))._replace(ok=False, weak=3)
    assert bfgs.resume(here) == here._replace(ok=True, weak=0)


# --- a path ----------------------------------------------------------------------------------------------------------


def literal(A, b, x, steps):
    """The algorithm box, word by word, on ½xᵀAx − bᵀx with exact searches."""
    g = A @ x - b
    H = np.linalg.norm(x) / np.linalg.norm(g) * np.eye(len(x))
    for _ in range(steps):
        yield x, g, H
        p = -H @ g
        alpha = -(g @ p) / (p @ A @ p)
        s = alpha * p
        x = x + s
        y = (A @ x - b) - g
        g = g + y
        rho = 1 / (y @ s)
        left = np.eye(len(x)) - rho * np.outer(s, y)
        H = left @ H @ left.T + rho * np.outer(s, s)


@given(st.data(), st.integers(2, 5))
def test_on_a_quadratic_it_is_the_box_worked_literally(data, n):
    """Nearly exact searches: the parabola is exact but for rounding, magnified by steps and kappa."""
    A = data.draw(spd(n, 30))
    x, b = data.draw(nonzero_vectors(n)), data.draw(vectors(n))
    assume(np.linalg.norm(A @ x - b) > 1e-2)
    problem = Problem(lambda x: 0.5 * x @ A @ x - b @ x, lambda x: A @ x - b)
    found = iterate(bfgs, problem, x, bfgs.Params(c1=1e-3, c2=1e-7))
    start = np.linalg.norm(A @ x - b)
    for ours, (x_k, g_k, H_k) in zip(found, literal(A, b, x, n), strict=False):
        if np.linalg.norm(g_k) < 1e-4 * start:
            break  # the end; what follows is rounding
        # c₂ = 1e-7 leaves each search inexact by as much; four steps at condition 30 magnify it
        assert ours.x == pytest.approx(x_k, rel=1e-3, abs=1e-3 * np.linalg.norm(x))
        assert ours.g == pytest.approx(g_k, abs=1e-3 * start)
        assert np.linalg.norm(ours.H - H_k) <= 1e-2 * np.linalg.norm(H_k)


@pytest.mark.parametrize("name", ["rosenbrock", "wood", "brown_dennis", "helical_valley"])
def test_each_state_follows_from_the_last(name):
    """With the step lengths that the search chose, everything else is worked anew from the book."""
    problem = PROBLEMS[name]
    states = list(islice(iterate(bfgs, problem_of(problem), problem.x0), 15))
    terms = np.linalg.norm(states[0].H)  # of which H was made, that p is not multiplied from
    for old, new in pairwise(states):
        p, rounding = -old.H @ old.g, 10 * EPS * terms * np.linalg.norm(old.g)
        assert new.x == pytest.approx(old.x + new.alpha * p, rel=10 * EPS, abs=new.alpha * rounding)
        assert new.f == problem.fun(new.x)
        assert (new.g == problem.grad(new.x)).all()
        s, y = new.x - old.x, new.g - old.g
        assert y @ s > 0  # by the curvature condition
        terms = growth(old.H, s, y)
        assert abs(new.H - product_form(old.H, s, y)).max() <= 50 * EPS * terms
        assert new.f <= old.f + 1e-4 * new.alpha * (old.g @ p)
        assert abs(new.g @ p) <= 0.7 * abs(old.g @ p)


@pytest.mark.parametrize(("n", "njev", "anew"), [(2, 298, False), (2, 299, True), (60, 299, False), (60, 1199, True)])
def test_after_many_gradients_h_starts_anew(n, njev, anew):
    problem = Problem(lambda x: float(x @ x + (x**4).sum()), lambda x: 2 * x + 4 * x**3)
    state = next(islice(iterate(bfgs, problem, np.arange(1.0, n + 1)), 3, None))._replace(njev=njev)
    new = bfgs.advance(state, bfgs.searched(problem, state, bfgs.Params())._replace(njev=1), bfgs.Params())
    assert new.fresh is anew
    assert (new.H[0, 0] * np.eye(n) == new.H).all() == anew
    assert new.p == pytest.approx(-new.H @ new.g, rel=1e-12, abs=1e-12 * np.linalg.norm(new.p))


@pytest.mark.parametrize("bits", range(4))
def test_a_canyon_does_not_last_for_ever(bits):
    """Osborne's first function from ten times its start, and from beside that: g falls where H has become rounding."""
    case = zoo.get("mgh:osborne_1")
    fun, jac = case.problem.fun, case.problem.grad
    x0 = 10 * case.x0 * (1 + bits * EPS)
    result = refopt.minimize(fun, x0, method="bfgs", jac=jac)
    assert abs(result.jac).max() <= 1e-6 * abs(jac(x0)).max()


@given(st.data(), st.integers(1, 5))
def test_n_exact_steps_learn_the_inverse_of_a_quadratic(data, n):
    A, x = data.draw(spd(n, 30)), data.draw(nonzero_vectors(n))
    problem = Problem(lambda x: 0.5 * x @ A @ x, lambda x: A @ x)
    states = list(islice(iterate(bfgs, problem, x, bfgs.Params(c1=1e-3, c2=1e-7)), n + 1))
    assume(all(np.linalg.norm(each.g) > 1e-3 * np.linalg.norm(A @ x) for each in states[:n]))
    # c₂ = 1e-7 again, and H is worse conditioned than x
    assert np.linalg.norm(states[n].H @ A - np.eye(n)) <= 1e-2
    assert np.linalg.norm(states[n].g) <= 1e-4 * np.linalg.norm(A @ x)


def problem_of(squares):
    return Problem(squares.fun, squares.grad, squares.hess)


# --- array kinds -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["rosenbrock", "rosenbrock:10", "quartic", "valley"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_array_kind_takes_the_same_steps(namespace, name, dtype):
    like = namespace.asarray(np.ones(1, dtype))
    plain, same = zoo.get(name, like=np.ones(1, dtype)), zoo.get(name, like=like)
    steps = 12 if dtype == "float64" else 6
    reference = list(islice(iterate(bfgs, plain.problem, plain.x0), steps))
    found = islice(iterate(bfgs, same.problem, same.x0), steps)
    # sums of products in another order: a few roundings of what the run began with, magnified by its steps
    tolerance = 1e5 * float(np.finfo(dtype).eps)
    for ours, theirs in zip(found, reference, strict=True):
        if abs(theirs.g).max() <= tolerance * abs(reference[0].g).max():
            break  # from here on steps follow rounding
        for field, size in (("x", reference[0].x), ("g", reference[0].g), ("H", theirs.H), ("p", reference[0].x)):
            array, expected = getattr(ours, field), getattr(theirs, field)
            assert namespace.owns(array)
            assert namespace.to_numpy(array).dtype == np.dtype(dtype)
            assert abs(namespace.to_numpy(array) - expected).max() <= tolerance * abs(size).max()
        counts = ("fresh", "weak", "taken", "ok", "nfev", "njev")
        assert [getattr(ours, name) for name in counts] == [getattr(theirs, name) for name in counts]
        assert type(ours.f) is type(ours.alpha) is float


@pytest.mark.parametrize("name", PROBLEMS)
def test_scaling_f_by_a_power_of_two_changes_no_bit(name):
    problem = PROBLEMS[name]
    c = 2.0**37
    scaled = Problem(lambda x: c * problem.fun(x), lambda x: c * problem.grad(x))
    plain = islice(iterate(bfgs, problem_of(problem), problem.x0), 25)
    for ours, theirs in zip(islice(iterate(bfgs, scaled, problem.x0), 25), plain, strict=True):
        assert (ours.x == theirs.x).all()
        assert ours.f == c * theirs.f
        assert (ours.H * c == theirs.H).all()
        assert ours.nfev == theirs.nfev


@pytest.mark.parametrize("start", [[3, -2], (3.0, -2.0), np.array([3, -2])])
def test_lists_and_integers_are_starts_too(start):
    problem = Problem(lambda x: x @ x / 2 + x[0], lambda x: x + np.array([1.0, 0.0]))
    wanted = islice(iterate(bfgs, problem, np.array([3.0, -2.0])), 3)
    for ours, theirs in zip(islice(iterate(bfgs, problem, start), 3), wanted, strict=True):
        assert ours.x.dtype == np.float64
        assert (ours.x == theirs.x).all()
