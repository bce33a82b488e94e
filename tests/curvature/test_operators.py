"""The operators: products, solves, limits, array kinds and types; least squares and plain functions."""

import numpy as np
import pytest
import scipy.sparse.linalg

import refopt
from curvature.reference import near
from networks.cases import CASES
from refopt import curvature
from refopt.curvature import operators
from refopt.networks import Linear, Sequential, Tanh
from refopt.zoo.mgh import INSTANCES

KINDS = {
    "hessian": {},
    "ggn": {},
    "functional_hessian": {},
    "fisher": {},
    "empirical": {"kind": "empirical"},
    "sampled": {"kind": "monte-carlo", "rng": 3, "samples": 2},
    "centred": {"kind": "empirical", "centred": True},
    "ntk": {},
}


def made(problem, x, name):
    function = getattr(operators, name, operators.fisher)
    return function(problem, x, **KINDS[name])


def problem_of(loss="cross-entropy", N=6, rng=0, dtype=float):
    rng = np.random.default_rng(rng)
    net = Sequential(Linear(3, 4), Tanh(), Linear(4, 4))
    y = rng.integers(0, 4, N) if loss == "cross-entropy" else rng.standard_normal((N, 2 if loss == "gaussian" else 4))
    X = rng.standard_normal((N, 3)).astype(dtype)
    return refopt.Supervised(net, loss, X, y if y.dtype.kind == "i" else y.astype(dtype)), net.init(1).astype(dtype)


@pytest.mark.parametrize("name", KINDS)
def test_an_operator_is_its_matrix(name):
    problem, x = problem_of()
    A = made(problem, x, name)
    M, rng = A.dense(), np.random.default_rng(1)
    V = rng.standard_normal((A.shape[1], 3))
    near(A.matvec(V[:, 0]), M @ V[:, 0])
    near(A @ V, M @ V)
    near(A.rmatmat(V), M @ V)
    near(M, M.T)
    near(A.diagonal(), np.diag(M))
    assert A.trace() == pytest.approx(np.trace(M), rel=1e-12)
    assert A.dtype == M.dtype
    assert A.shape == M.shape
    assert name.split("_")[0] in repr(A) or "fisher" in repr(A)
    linear = A.to_scipy()
    assert isinstance(linear, scipy.sparse.linalg.LinearOperator)
    near(linear @ V, M @ V)


def test_jacobian_as_an_operator():
    problem, x = problem_of()
    J = operators.jacobian(problem, x)
    M, rng = J.dense(), np.random.default_rng(2)
    v, u = rng.standard_normal((x.size, 2)), rng.standard_normal((24, 2))
    near(J @ v, M @ v)
    near(J.rmatmat(u), M.T @ u)
    near(J.to_scipy().rmatvec(u[:, 0]), M.T @ u[:, 0])
    assert J.shape == M.shape == (24, x.size)


def test_estimators_see_the_operators():
    """What a trace or a spectrum needs of a matrix is what these have."""
    problem, x = problem_of()
    A = operators.ggn(problem, x)
    M = A.dense()
    assert curvature.trace(A).value == pytest.approx(np.trace(M), rel=1e-12)
    nodes, weights = curvature.spectrum(A, 5, rng=0)
    assert float(weights @ nodes) == pytest.approx(np.trace(M), rel=0.8)


# --- diagonals -----------------------------------------------------------------------------------------------


def test_xdiag_is_exact_where_probes_span_the_range():
    problem, x = problem_of(N=2)  # the rank of G is 2 · 3
    exact = curvature.diagonal(problem, x, "ggn")
    near(curvature.diagonal(problem, x, "ggn", "xdiag", probes=8, rng=0), exact, slack=1e6)


def test_hutchinson_estimates_the_diagonal_not_the_row_sums():
    problem, x = problem_of()
    H, k = curvature.hessian(problem, x), 400
    estimate = curvature.diagonal(problem, x, estimator="hutchinson", probes=k, rng=1)
    deviation = np.sqrt(((H**2).sum(1) - np.diag(H) ** 2) / k)
    assert np.all(np.abs(estimate - np.diag(H)) <= 5 * deviation)
    again, errors = curvature.diagonal(problem, x, estimator="hutchinson", probes=k, rng=1, stderr=True)
    assert (again == estimate).all()
    np.testing.assert_allclose(errors, deviation, rtol=0.5, atol=1e-3 * deviation.max())
    assert curvature.diagonal(problem, x, stderr=True).stderr.tolist() == [0.0] * x.size
    ones = curvature.diagonal(problem, x, estimator="hutchinson", probes=np.ones((x.size, 1)))
    near(ones, H.sum(1))
    assert np.linalg.norm(ones - np.diag(H)) > np.linalg.norm(np.diag(H))


# --- solves --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("of", ["ggn", "fisher", "empirical"])
@pytest.mark.parametrize("loss", ["cross-entropy", "gaussian"])
@pytest.mark.parametrize("N", [2, 20])
def test_solves_through_either_side(of, loss, N):
    """Few samples: through the outputs; many: through the parameters."""
    problem, x = problem_of(loss, N)
    kind = {"ggn": curvature.ggn, "fisher": curvature.fisher, "empirical": empirical_fisher}
    M, v = kind[of](problem, x), np.random.default_rng(3).standard_normal((x.size, 2))
    v[:, 1] = M @ v[:, 1]  # a v in the range has a small solution, the difference of two large vectors
    for damping in (10.0, 1e-2, 1e-6):
        A = M + damping * np.eye(x.size)
        solved = curvature.solve(problem, x, v, damping, of)
        near(solved, np.linalg.solve(A, v), 1e2 * np.linalg.cond(A))
        norms = np.linalg.norm(A, 2) * np.linalg.norm(solved, axis=0) + np.linalg.norm(v, axis=0)
        left = np.linalg.norm(A @ solved - v, axis=0)
        assert np.all(left < 1e2 * 2.0**-52 * norms)  # backward stable, whatever the condition


def empirical_fisher(problem, x):
    return curvature.fisher(problem, x, "empirical")


def test_gram_matrix_has_the_spectrum():
    problem, x = problem_of(N=3)
    G = operators.ggn(problem, x)
    K, M = G.gram(), G.dense()
    assert K.shape == (9, 9)  # N(C − 1), the rank
    theirs, ours = np.linalg.eigvalsh(M)[::-1], np.linalg.eigvalsh(K)[::-1]
    near(ours, theirs[:9])
    assert np.abs(theirs[9:]).max() < 1e-13 * theirs[0]


def test_solves_that_make_no_sense():
    problem, x = problem_of()
    with pytest.raises(ValueError, match="damping must be positive"):
        curvature.solve(problem, x, x, 0.0)
    with pytest.raises(ValueError, match="outer products"):
        curvature.solve(problem, x, x, 1.0, "hessian")
    with pytest.raises(ValueError, match="not centred"):
        operators.fisher(problem, x, "empirical", centred=True).gram()


# --- what is too large ---------------------------------------------------------------------------------------


def test_a_matrix_too_large_names_the_operator():
    net = Linear(200, 100)
    problem = refopt.Supervised(net, "squared", np.zeros((2, 200)), np.zeros((2, 100)))
    x = net.init(0)
    for name in ("hessian", "ggn", "functional_hessian", "fisher"):
        with pytest.raises(MemoryError, match=rf"3,232,080,000 bytes.*operators\.{name}\("):
            getattr(curvature, name)(problem, x)
    assert curvature.jacobian(problem, x).shape == (200, 20100)
    with pytest.raises(MemoryError, match="limit is 1,000"):
        curvature.ntk(problem, x, limit=1000)
    with pytest.raises(MemoryError, match=r"limit=…"):
        curvature.ggn(*problem_of(), limit=100)
    assert operators.ggn(problem, x).matvec(x).shape == x.shape
    with pytest.raises(MemoryError, match="fewer samples"):
        operators.ggn(problem, x).gram(limit=10)


# --- wrong inputs --------------------------------------------------------------------------------------------


def test_inputs_that_make_no_sense():
    problem, x = problem_of()
    for wrong, message in (
        (np.zeros((2, 2)), r"vector \(P,\)"),
        (np.zeros(0), r"vector \(P,\)"),
        (np.full_like(x, np.nan), "not finite"),
        (x[:-1], "parameters"),
    ):
        with pytest.raises(ValueError, match=message):
            curvature.ggn(problem, wrong)
    for call in (lambda: curvature.diagonal(problem, x, "fischer"), lambda: curvature.block_diagonal(problem, x, "x")):
        with pytest.raises(ValueError, match="no matrix is called"):
            call()
    with pytest.raises(ValueError, match="estimator"):
        curvature.diagonal(problem, x, estimator="row-sums")
    with pytest.raises(ValueError, match="blocks are by 'layer' or by 'parameter'"):
        curvature.block_diagonal(problem, x, by="row")
    with pytest.raises(ValueError, match="v must have shape"):
        operators.ggn(problem, x).matvec(x[:-1])
    with pytest.raises(ValueError, match="k ≥ 1"):
        operators.ggn(problem, x).matmat(np.ones((len(x), 0)))
    with pytest.raises(TypeError, match="array of shape"):
        operators.ggn(problem, x).matvec([1.0])
    with pytest.raises(TypeError, match="outputs and a loss"):
        curvature.ggn(refopt.Problem(np.sum), x)
    hot = refopt.Supervised(Linear(1, 1), "squared", np.array([[np.inf]]), np.zeros(1))
    with pytest.raises(ValueError, match="outputs at x are not finite"):
        curvature.ggn(hot, np.ones(2))


# --- other problems ------------------------------------------------------------------------------------------


def rosenbrock(x):
    return 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2


def rosenbrock_gradient(x):
    return np.array([-400 * x[0] * (x[1] - x[0] ** 2) - 2 * (1 - x[0]), 200 * (x[1] - x[0] ** 2)])


def rosenbrock_hessian(x):
    return np.array([[1200 * x[0] ** 2 - 400 * x[1] + 2, -400 * x[0]], [-400 * x[0], 200.0]])


def test_the_hessian_of_a_plain_problem_by_what_it_has():
    x = np.array([-1.2, 1.0])
    H = rosenbrock_hessian(x)
    for given, slack in (
        ({"hess": rosenbrock_hessian}, 1.0),
        ({"hvp": lambda x, v: rosenbrock_hessian(x) @ v}, 1e1),
        ({"grad": rosenbrock_gradient}, 1e6),
        ({}, 1e11),
    ):
        problem = refopt.Problem(rosenbrock, **given)
        near(curvature.hessian(problem, x), H, slack)
        near(curvature.diagonal(problem, x), np.diag(H), slack)
        near(operators.hessian(problem, x).matvec(x), H @ x, slack)
    near(curvature.hessian(refopt.Problem(rosenbrock, rosenbrock_gradient, rosenbrock_hessian), [-1, 2]),
         rosenbrock_hessian(np.array([-1.0, 2.0])))  # fmt: skip
    with pytest.raises(ValueError, match="has shape"):
        curvature.hessian(refopt.Problem(rosenbrock, hess=lambda x: np.eye(3)), x)
    with pytest.raises(ValueError, match="by 'layer'"):
        curvature.block_diagonal(refopt.Problem(rosenbrock, hess=rosenbrock_hessian), x, "hessian", by="parameter")


def test_least_squares():
    """r = (10(x₂ − x₁²), 1 − x₁): half of Rosenbrock's function."""
    residual = lambda x: np.array([10 * (x[1] - x[0] ** 2), 1 - x[0]])
    jacobian = lambda x: np.array([[-20 * x[0], 10.0], [-1.0, 0.0]])
    x = np.array([-1.2, 1.0])
    J, r = jacobian(x), residual(x)
    for problem, slack in ((refopt.LeastSquares(residual, jacobian), 1e1), (refopt.LeastSquares(residual), 1e5)):
        near(curvature.jacobian(problem, x), J, slack)
        near(curvature.ggn(problem, x), J.T @ J, slack)
        near(curvature.fisher(problem, x), J.T @ J, slack)
        near(curvature.ntk(problem, x), J @ J.T, slack)
        near(curvature.fisher(problem, x, "empirical"), (J.T * r**2) @ J, slack)
        near(curvature.fisher(problem, x, "empirical", labels=-r + 1), (J.T * (2 * r - 1) ** 2) @ J, slack)
        twice = slack**2 * 1e5  # differences of J, given or itself by differences
        near(curvature.hessian(problem, x), rosenbrock_hessian(x) / 2, twice)
        near(curvature.functional_hessian(problem, x), np.diag([-20 * r[0], 0.0]), twice)
        near(curvature.solve(problem, x, x, 0.5), np.linalg.solve(J.T @ J + 0.5 * np.eye(2), x), 1e10)
        near(curvature.diagonal(problem, x, "empirical"), (J**2).T @ r**2, slack)
    moments = curvature.gradient_moments(refopt.LeastSquares(residual, jacobian), x)
    near(moments.mean, J.T @ r / 2)
    with pytest.raises(ValueError, match="residual must be an array"):
        curvature.ggn(refopt.LeastSquares(lambda x: np.ones((2, 2))), x)


@pytest.mark.parametrize(("problem", "sizes"), INSTANCES.items(), ids=lambda value: getattr(value, "name", ""))
def test_problems_of_more_garbow_and_hillstrom(problem, sizes):
    """JᵀJ and Σ rᵢ∇²rᵢ beside the analytic curvature of the zoo: differences of Jᵀr err by some ε^⅔ of it."""
    x = np.array(problem.start(sizes[0]), float) + 0.01
    fit = refopt.LeastSquares(problem.residual, problem.jacobian)
    J, r = problem.jacobian(x), problem.residual(x)
    near(curvature.ggn(fit, x), J.T @ J)
    atol = 1e-8 * (np.abs(problem.hess(x)).max() + np.abs(J).max() * np.abs(r).max())
    np.testing.assert_allclose(2 * curvature.hessian(fit, x), problem.hess(x), rtol=0, atol=atol)
    np.testing.assert_allclose(curvature.functional_hessian(fit, x), problem.curvature(x, r), rtol=0, atol=atol)


# --- array kinds and types -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_array_kind(namespace, dtype):
    host, x0 = problem_of(dtype=dtype)
    asarray = namespace.asarray
    problem = refopt.Supervised(host.network, host.loss, asarray(host.X), asarray(host.y))
    x, v = asarray(x0), asarray(np.linspace(-1, 1, x0.size).astype(dtype))
    tolerance = 3e3 * np.finfo(dtype).eps
    calls = {name: lambda p, x, v, name=name: made(p, x, name).dense() for name in KINDS}
    calls |= {
        "jacobian": lambda p, x, v: curvature.jacobian(p, x),
        "product": lambda p, x, v: operators.ggn(p, x) @ v,
        "solve": lambda p, x, v: curvature.solve(p, x, v, 0.5),
        "diagonal": lambda p, x, v: curvature.diagonal(p, x, "ggn"),
        "block": lambda p, x, v: curvature.block_diagonal(p, x, "hessian").blocks[1].dense(),
        "gram": lambda p, x, v: operators.fisher(p, x).gram(),
        "moments": lambda p, x, v: curvature.gradient_moments(p, x).variance,
        "xdiag": lambda p, x, v: curvature.diagonal(p, x, "fisher", "xdiag", probes=5, rng=0),
    }
    for name, call in calls.items():
        if name == "centred" and dtype == "float32":
            continue  # a difference of larger numbers
        found, wanted = call(problem, x, v), call(host, x0, np.linspace(-1, 1, x0.size).astype(dtype))
        assert namespace.owns(found), name
        assert namespace.to_numpy(found).dtype == dtype, name
        scale = np.abs(wanted).max()
        np.testing.assert_allclose(namespace.to_numpy(found), wanted, rtol=0, atol=tolerance * scale, err_msg=name)


def test_convolutions_on_every_array_kind(namespace):
    """Rows of gradients, in place of linear maps."""
    case = CASES["pooled convolution"]
    problem = refopt.Supervised(case.network, "squared", case.X, np.zeros((3, 2)))
    other = refopt.Supervised(case.network, "squared", namespace.asarray(case.X), namespace.asarray(np.zeros((3, 2))))
    for of in ("ggn", "hessian", "empirical"):
        found = curvature.block_diagonal(other, namespace.asarray(case.x), of).dense()
        near(namespace.to_numpy(found), curvature.block_diagonal(problem, case.x, of).dense())


def test_least_squares_on_every_array_kind(namespace):
    residual = lambda x: x * x - 1.0
    x = namespace.asarray(np.array([0.5, 2.0]))
    found = curvature.ggn(refopt.LeastSquares(residual), x)
    assert namespace.owns(found)
    near(namespace.to_numpy(found), np.diag([1.0, 16.0]), 1e7)


@pytest.mark.parametrize("of", ["hessian", "ggn", "fisher", "empirical"])
def test_layers_without_inputs_or_outputs_have_no_block(of):
    net = Sequential(Linear(3, 0), Tanh(), Linear(0, 2))
    problem = refopt.Supervised(net, "mse", np.ones((4, 3)), np.arange(8.0).reshape(4, 2))
    blocks = curvature.block_diagonal(problem, np.ones(2), of)
    assert blocks.shape == (2, 2)
    near(blocks.dense(), curvature.dense.named(problem, np.ones(2), of).dense())


@pytest.mark.parametrize("name", ["hessian", "ggn", "fisher", "jacobian", "kfac", "ekfac", "kfoc", "gradient_moments"])
def test_parameters_are_real_and_finite(name):
    problem, x = problem_of()
    with pytest.raises(TypeError, match="real numbers; it has dtype complex128"):
        getattr(curvature, name)(problem, x + 0j)
    with pytest.raises(ValueError, match="x is not finite"):
        getattr(curvature, name)(problem, np.where(x == x[3], np.nan, x))


def test_the_hessian_of_a_problem_is_refused_where_it_does_not_fit():
    problem, x = problem_of()
    with pytest.raises(MemoryError, match=r"hvp\(x, v\), refopt\.curvature\.operators\.hessian"):
        problem.hess(x, limit=8 * x.size**2 - 1)
    assert problem.hess(x, limit=8 * x.size**2).shape == (x.size, x.size)
    with pytest.raises(MemoryError, match=r"operators\.jacobian\(…\), with \.matvec, \.rmatvec"):
        curvature.jacobian(problem, x, limit=8)
