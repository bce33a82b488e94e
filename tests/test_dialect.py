"""Every method that compiles is written in the dialect, its twin does the same; what is not in the dialect is named."""

import ast
import inspect
from collections import namedtuple
from collections.abc import Callable
from math import sqrt
from typing import NamedTuple, get_type_hints

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import rosen, rosen_der, rosen_hess, rosen_hess_prod

from refopt import catalogue, loop, stopping, words
from refopt.dialect import Bound, DialectError, Twins, entry_source, groups_of, signature
from refopt.linesearch.wolfe import between
from refopt.ops import Choice, Matrix, Symmetric, Vector, dot, norm, norm_inf, rank_two
from refopt.problem import Problem
from strategies import seeds, spd

EPS = 2.0**-52

COMPILED = [entry for entry in catalogue.available().values() if entry.compiles]
MINIMIZERS = [entry for entry in COMPILED if entry.door == "minimize"]

methods = pytest.mark.parametrize("entry", COMPILED, ids=lambda entry: entry.name)
minimizers = pytest.mark.parametrize("entry", MINIMIZERS, ids=lambda entry: entry.name)


def plain(search=0):
    """Twins that stay Python functions."""
    return Twins(lambda python, kinds, result: python, search)


def twin_of(function, *kinds):
    return plain().of(function, kinds or signature(function)[0])[0]


# --- the methods -----------------------------------------------------------------------------------------------------


@methods
@pytest.mark.parametrize("function", ["step", "predicted"])
def test_every_method_is_written_in_the_dialect(entry, function):
    function = getattr(entry.module, function)
    kinds, result = signature(function)
    assert plain().of(function, kinds)[1] == result


@methods
def test_every_state_can_cross(entry):
    """The fields of a state are arrays and numbers, each annotated."""
    hints = get_type_hints(entry.module.State)
    assert set(hints.values()) <= {Vector, Matrix, Symmetric, float, int, bool}
    assert set(get_type_hints(entry.module.Params).values()) <= {float, int, bool, Choice}


@minimizers
@pytest.mark.parametrize("n", [2, 5])
def test_the_twin_of_the_loop_goes_the_same_way(entry, n):
    method, x0 = entry.module, np.linspace(-1.2, 1.0, n)
    problem = Problem(rosen, rosen_der, rosen_hess, rosen_hess_prod)
    params, tests = method.Params(), stopping.Tests()
    kinds = method, stopping, Bound(Problem), method.State, stopping.Watch, method.Params, stopping.Tests, int
    twin, result = plain(getattr(params, "search", 0)).of(loop.run, kinds)
    assert result == tuple[method.State, stopping.Watch, int]
    state = method.State(*map(arrayed, method.init(problem, x0, params)))
    watch = stopping.watch(state.x, state.f, state.g, abs(state.x))
    for _ in range(10):
        wanted, wanted_watch, _ = loop.run(method, stopping, problem, state, watch, params, tests, 1)
        found, found_watch, k = twin(problem, state, watch, params, tests, 1)
        assert k == 1
        same_to_rounding(found, wanted, state)
        same_to_rounding(found_watch, wanted_watch, watch)
        state, watch = wanted, wanted_watch
        if watch.verdict != stopping.RUNNING:
            break


def arrayed(value):
    """A history of vectors as the matrix that it is in the compiled reading."""
    return np.array(value) if isinstance(value, tuple) else value


def same_to_rounding(found, wanted, old):
    """Equal counts and verdicts; numbers and lower triangles to rounding, of what they are or were before the step."""
    assert type(found) is type(wanted)
    for name, a, b, before in zip(found._fields, found, wanted, old, strict=True):
        if isinstance(b, (int, bool)) or np.isinf(b).all():
            assert a == b, name
        else:
            b = np.asarray(b)
            part = np.tril_indices(len(b)) if get_type_hints(type(wanted))[name] is Symmetric else ...
            size = max(np.abs(b).max(), np.abs(before).max(where=np.isfinite(before), initial=0.0))
            # one step from the same state: sums of a few numbers in another order, and a subproblem of condition < 1e4
            assert np.allclose(np.asarray(a)[part], b[part], rtol=1e4 * EPS, atol=1e4 * EPS * size), name


def test_the_entry_returns_numbers_only():
    """Building arrays or tuples for Python would run bytecode, and a signal pending then ends the process."""
    for entry in MINIMIZERS:
        groups = groups_of(entry.module, stopping)
        source, kinds = entry_source(groups, Bound(Problem, frozenset({"hess"})))
        *values, k = ast.parse(source.splitlines()[-1].strip().removeprefix("return ")).body[0].value.elts
        for value in map(ast.unparse, values):
            group, _, field = value.partition(".")
            assert value.startswith("leave_") or get_type_hints(groups[group])[field] in (float, int, bool)
        assert k.id == "k"
        assert len(kinds) == source.splitlines()[0].count(",") + 1


# --- what becomes of expressions -------------------------------------------------------------------------------------


def counted(function):
    """The twin, and the names of the words that it calls."""
    called = []

    def make(python, kinds, result):
        def spy(*arguments):
            called.append(python.__name__)
            return python(*arguments)

        return spy if python.__module__.startswith("refopt.words") else python

    return Twins(make).of(function, signature(function)[0])[0], called


def far(x: Vector, a: float, p: Vector) -> Vector:
    return x + a * p


def back(x: Vector, a: float, p: Vector) -> Vector:
    return x - 2.0 * a * p


def reversed_far(x: Vector, a: float, p: Vector) -> Vector:
    return a * p + x


def quotient(x: Vector, a: float, p: Vector) -> Vector:
    return -(x / 3) * p


def direction(H: Symmetric, g: Vector, a: float) -> Vector:
    return -(H @ g)


def damped_direction(H: Symmetric, g: Vector, a: float) -> Vector:
    return a * -(2 * (H @ g)) * 0.5


def residual(H: Symmetric, g: Vector, a: float) -> Vector:
    return g + H @ g - a * g


@pytest.mark.parametrize(
    ("function", "expected"),
    [(far, ["moved"]), (back, ["moved"]), (reversed_far, ["moved"]), (quotient, ["divided", "scaled", "times"]),
     (direction, ["symmetric_product"]), (damped_direction, ["symmetric_product"]),
     (residual, ["symmetric_product", "plus", "moved"])],
)  # fmt: skip
@given(spd(), seeds, st.floats(-2.0, 2.0))
def test_an_expression_becomes_few_loops_of_the_same_value(function, expected, H, seed, a):
    x, p = np.random.default_rng(seed).standard_normal((2, len(H)))
    arguments = (x, a, p) if "x" in inspect.signature(function).parameters else (H, x, a)
    twin, called = counted(function)
    found, wanted = twin(*arguments), function(*arguments)
    # at most n products of each row and three sums, in another order
    assert np.abs(found - wanted).max() <= 20 * EPS * (np.abs(x).max() + np.abs(p).max()) * max(1.0, np.abs(H).sum())
    assert [name for name in called if name in expected] == expected


def rectangular(A: Matrix, x: Vector) -> Vector:
    return A @ x


def test_a_rectangular_matrix_is_read_as_a_whole():
    A, x = np.arange(6.0).reshape(2, 3), np.array([1.0, 2.0, -1.0])
    assert (twin_of(rectangular)(A, x) == A @ x).all()


class Pair(NamedTuple):
    x: Vector
    n: int


FACTOR = 3.0


def everything(pair: Pair, a: float) -> tuple[Vector, float, int]:
    """Loops, branches, tuples, constants and calls."""
    total, k = 0.0, 0
    for i in range(pair.n):
        if i == 3 or (i > 4 and not i < 6):
            continue
        total += between(0.0, a, -1.0, 1.0, a + i, 1.0, False, 0.0)
        k += 1
        if k > 5:
            break
    while k < 20:
        k = k * 2 + 1
    low, (high, _) = min(total, a), (max(total, a, 1), k)
    y = pair.x if low < high else -pair.x
    return FACTOR * y, sqrt(abs(high - low)) ** 2 + float(k) + (high or 1.0), k


@given(st.integers(0, 9), st.floats(-5.0, 5.0))
def test_statements_keep_their_meaning(n, a):
    pair = Pair(np.array([1.0, -2.0]), n)
    found, wanted = twin_of(everything)(pair, a), everything(pair, a)
    assert found[1:] == wanted[1:]
    assert (found[0] == wanted[0]).all()


def fails(x: Vector) -> float:
    a = 1.0
    return sqrt(a - 2.0 * norm(x))


class Options(NamedTuple):
    kind: Choice = 0
    size: float = 3.0


DOUBLED, NEGATED = 1, 2


def changed(x: float, kind: Choice) -> float:
    if kind == DOUBLED:
        return 2.0 * x
    if kind == NEGATED:
        return -x
    return x


def changed_twice(x: float, options: Options) -> float:
    x = changed(changed(x, options.kind), NEGATED)
    return x + options.size if options.kind != DOUBLED else x


@pytest.mark.parametrize("chosen", [0, DOUBLED, NEGATED])
def test_of_a_choice_only_the_chosen_case_is_made(chosen):
    """A choice handed on is a constant of the code; another one that the source makes has a twin of its own."""
    sources = {}
    twins = Twins(lambda python, kinds, result: sources.setdefault((python.__name__, len(sources)), python), chosen)
    twin, _ = twins.of(changed_twice, signature(changed_twice)[0])
    assert twin(7.0, Options(chosen)) == changed_twice(7.0, Options(chosen))
    assert len(sources) == (2 if chosen == NEGATED else 3)
    for (name, _), python in sources.items():
        assert python.__code__.co_argcount == (2 if name == "changed_twice" else 1)


def test_line_numbers_are_those_of_the_source():
    with pytest.raises(ValueError, match="math domain") as caught:
        twin_of(fails)(np.ones(2))
    place = caught.traceback[-1]
    assert str(place.path) == __file__
    assert place.lineno + 1 == inspect.getsourcelines(fails)[1] + 2


class Undecided(NamedTuple):
    fun: Callable[[Vector], float]
    grad: Callable[[Vector], Vector]
    noise: float


def slope(problem: Undecided, x: Vector) -> Vector:
    return problem.grad(x)


def test_a_missing_gradient_is_differenced_and_a_given_one_gets_a_copy():
    x, size = np.array([1.0, 2.0]), np.array([1.0, 5.0])
    twin = twin_of(slope, Bound(Undecided, frozenset({"grad"})), Vector)
    record = namedtuple("record", "fun grad noise scale")
    found = twin(record(rosen, None, 0.0, size), x)
    assert (found == words.difference_gradient(rosen, x, size)).all()

    def careless(x):
        x[0] = 7.0
        return 2 * x

    assert (twin_of(slope, Bound(Undecided), Vector)(record(rosen, careless, 0.0, size), x) == [14.0, 4.0]).all()
    assert x[0] == 1.0


# --- what is not in the dialect --------------------------------------------------------------------------------------


def untyped(x, a: float) -> Vector:
    return a * x


def changes(x: Vector) -> float:
    a = 0
    a = norm(x)
    return a


def widens(x: Vector) -> float:
    a = 1.0
    for i in range(3):
        a = i
    return a


def writes(x: Vector) -> Vector:
    x[0] = 1.0
    return x


def in_place(x: Vector) -> Vector:
    x += x
    return x


def indexes(x: Vector) -> float:
    return x[0]


def transposes(A: Matrix) -> Matrix:
    return A.T


def compares(x: Vector) -> bool:
    return x > 0.0


def branches(x: Vector) -> float:
    return 1.0 if x else 0.0


def wrong_result(x: Vector) -> float:
    return x


def two_kinds(x: Vector) -> float:
    if norm(x) > 1.0:
        return 1.0
    return dot


def wrong_argument(x: Vector) -> float:
    return dot(x, norm(x))


def too_few(x: Vector) -> float:
    return dot(x)


def by_name(x: Vector) -> float:
    return dot(x=x, y=x)


def no_word(A: Matrix, B: Matrix) -> Matrix:
    return A @ B


def module(x: Vector) -> float:
    return np.sum(x)


def text(x: Vector) -> float:
    return norm("x")


def iterates(x: Vector) -> float:
    total = 0.0
    for value in x:
        total = total + value
    return total


def tries(x: Vector) -> float:
    try:
        return norm(x)
    except ValueError:
        return 0.0


def nothing(x: Vector) -> float:
    norm_inf(x)


def largest(x: Vector, y: Vector) -> Vector:
    return max(x, y)


def no_field(pair: Pair) -> float:
    return pair.m


def no_function(pair: Pair) -> float:
    return pair.x(1.0)


def wrong_matrix(A: Matrix, x: Vector) -> Symmetric:
    return rank_two(A, x, x, 1.0, 1.0)


def parts(x: Vector) -> float:
    a, b = norm(x)
    return a + b


@pytest.mark.parametrize(
    ("function", "line", "says"),
    [(untyped, 1, "a * x is float * Any"), (changes, 2, "a was int and becomes float: write 1.0, not 1"),
     (widens, 3, "a was float and becomes int"), (writes, 1, "x[0] cannot be assigned to"),
     (in_place, 1, "must be a number"), (indexes, 1, "Subscript (x[0]) is not in the dialect"),
     (transposes, 1, "Matrix has no field 'T'"), (compares, 1, "x is Vector, and must be a number here"),
     (branches, 1, "must be a number here"), (wrong_result, 1, "the result is Vector, where float is declared"),
     (two_kinds, 3, "dot is neither"), (wrong_argument, 1, "norm(x) is float, where Vector is declared"),
     (too_few, 1, "dot(x) needs 2 arguments"), (by_name, 1, "arguments are positional"),
     (no_word, 1, "for which there is no word"), (module, 1, "np is neither an argument, a variable nor a number"),
     (text, 1, "'x' is neither number nor truth value"), (iterates, 2, "a loop runs over range"),
     (tries, 1, "Try"), (nothing, 1, "without effect"), (largest, 1, "for arrays there are words"),
     (no_field, 1, "Pair has no field 'm'"), (no_function, 1, "Pair has no function 'x'"),
     (wrong_matrix, 1, "A is Matrix, where Symmetric is declared"), (parts, 1, "(a, b) cannot be taken from float")],
    ids=lambda value: getattr(value, "__name__", ""),
)  # fmt: skip
def test_what_is_not_in_the_dialect_is_named_with_its_line(function, line, says):
    with pytest.raises(DialectError) as caught:
        twin_of(function)
    message = str(caught.value)
    assert message.startswith(f"{__file__}:{inspect.getsourcelines(function)[1] + line}: {function.__name__}: ")
    assert says in message


def test_a_word_without_a_loop_is_named(monkeypatch):
    monkeypatch.delattr(words, "norm")
    with pytest.raises(DialectError, match="the word norm has no loop"):
        twin_of(fails)
