"""``iterate`` says what is missing."""

from itertools import islice

import numpy as np
import pytest

from refopt.linesearch import SEARCHES
from refopt.loop import iterate
from refopt.methods import bfgs, lm, newton, trust_ncg
from refopt.problem import LeastSquares, Problem


def fun(x):
    return x @ x


def grad(x):
    return 2 * x


@pytest.mark.parametrize(
    ("method", "problem", "complaint"),
    [
        (bfgs, Problem(fun), r"needs grad, which the Problem lacks: .*refopt\.derivatives\.gradient_of\(fun\)"),
        (newton, Problem(fun, grad), r"needs hess, which the Problem lacks: .*hessian_of\(fun\)"),
        (trust_ncg, Problem(fun, grad), r"needs hvp, which the Problem lacks: .*hvp_of\(fun\)"),
        (lm, LeastSquares(grad), r"needs jacobian, which the LeastSquares lacks: .*jacobian_of\(residual\)"),
        ("bfgs", Problem(fun, grad), "a method is a module, as by: from refopt.methods import bfgs; given was 'bfgs'"),
    ],
)
def test_what_is_missing_is_named(method, problem, complaint):
    with pytest.raises(TypeError, match=complaint):
        list(islice(iterate(method, problem, np.array([1.0, 2.0])), 2))


def test_what_is_no_problem_and_what_are_no_params():
    with pytest.raises(TypeError, match=r"a problem is needed, as refopt.Problem\(fun, grad\)"):
        next(iterate(bfgs, lambda x: x @ x, np.ones(2)))
    with pytest.raises(TypeError, match=r"not a dict: bfgs.Params\(...\)"):
        next(iterate(bfgs, Problem(lambda x: x @ x, lambda x: 2 * x), np.ones(2), {"c1": 0.1}))


def test_a_search_may_be_said_by_name():
    problem = Problem(lambda x: x[0] ** 4 + x[1] ** 2, lambda x: np.array([4 * x[0] ** 3, 2 * x[1]]))
    for place, name in enumerate(SEARCHES):
        by_name, by_place = (
            [state.x.tolist() for state in islice(iterate(bfgs, problem, [3.0, -1.0], bfgs.Params(search=search)), 8)]
            for search in (name, place)
        )
        assert by_name == by_place
    with pytest.raises(ValueError, match=r"search must be one of 'strong-wolfe', .*; it is 'wolfe'"):
        next(iterate(bfgs, problem, [3.0, -1.0], bfgs.Params(search="wolfe")))
