"""Every layer in a network beside the same network written out and differentiated by autograd."""

import autograd
import numpy as np
import pytest

import refopt
from networks.cases import CASES
from networks.independent import LOSSES
from refopt.networks import GELU, Linear, Residual, Sequential, Sigmoid, Tanh

EPS = 2.0**-52


@pytest.fixture(params=CASES, scope="module")
def case(request):
    return CASES[request.param]


def labels(f, loss, rng):
    """Labels for outputs of this shape."""
    if loss == "cross-entropy":
        return rng.integers(0, f.shape[-1], f.shape[:-1])
    return {
        "binary-cross-entropy": lambda: rng.integers(0, 2, f.shape),
        "poisson": lambda: rng.poisson(2.0, f.shape),
        "gaussian": lambda: rng.standard_normal((*f.shape[:-1], f.shape[-1] // 2)),
    }.get(loss, lambda: rng.standard_normal(f.shape))()


def near(ours, theirs):
    """Equal but for rounding: sums of some hundred products, each √n ε, through ten layers, of the largest entry."""
    assert np.shape(ours) == np.shape(theirs)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=100 * EPS * np.abs(theirs).max())


def problem_of(case, loss="cross-entropy", reduction="mean"):
    y = labels(case.model(case.x, case.X), loss, np.random.default_rng(3))
    return refopt.Supervised(case.network, loss, case.X, y, reduction, case.masks)


def test_outputs(case):
    near(case.network(case.x, case.X, case.masks), case.model(case.x, case.X))


def test_jacobian(case):
    problem, x, J = problem_of(case), case.x, case.jacobian
    near(problem.jacobian(x), J)
    v = np.random.default_rng(4).standard_normal(x.size)
    near(problem.jvp(x, v).ravel(), J @ v)


def test_cotangents_alone_and_in_a_stack(case):
    problem, x, rng = problem_of(case), case.x, np.random.default_rng(5)
    point, J = problem.at(x), case.jacobian
    u = rng.standard_normal((2, 3, *point.f.shape))
    rows = u.reshape(2, 3, problem.samples, -1)
    by_sample = np.einsum("abnk,nkp->abnp", rows, J.reshape(problem.samples, -1, x.size))
    near(point.per_sample_vjp(u), by_sample)
    near(point.vjp(u), by_sample.sum(2))
    near(point.squared_vjp(u), (by_sample**2).sum((0, 1, 2)))
    near(point.vjp(u[0, 0]), by_sample[0, 0].sum(0))


@pytest.mark.parametrize("loss", ["squared", "cross-entropy"])
def test_hessian_gauss_newton_and_gradients(case, loss):
    problem, x = problem_of(case, loss), case.x
    total, model, X, y = LOSSES[loss], case.model, case.X, problem.y

    def fun(x):
        return total(model(x, X), y) / len(X)

    near(problem.fun(x), fun(x))
    near(problem.grad(x), autograd.grad(fun)(x))
    v = np.random.default_rng(6).standard_normal(x.size)
    near(problem.hvp(x, v), autograd.make_hvp(fun)(x)[0](v))
    f = model(x, X)
    bend = autograd.make_hvp(lambda f: total(f, y) / len(X))(f)[0]
    J = case.jacobian
    product = J.T @ np.ravel(bend(np.reshape(J @ v, f.shape)))
    near(problem.ggnvp(x, v), product)
    near(problem.fisher_vp(x, v), product)  # f are natural parameters
    scores = [autograd.grad(lambda x, n=n: total(model(x, X)[n], y[n]))(x) for n in range(len(X))]
    near(problem.per_sample_grad(x), np.stack(scores))


def test_what_is_captured_are_the_gradients(case):
    """∇W = Σ g aᵀ over positions; where W is shared, summed over its occurrences."""
    problem, x = problem_of(case), case.x
    point = problem.at(x)
    u = np.random.default_rng(7).standard_normal((2, *point.f.shape))
    found, gradients = {}, point.per_sample_vjp(u)
    for capture in point.captures(u):
        assert capture.a.shape[:2] == capture.g.shape[1:3]
        W = np.einsum("snro,nri->snoi", capture.g, capture.a)
        key = capture.weight.start, capture.weight.stop
        found[key] = found.get(key, 0.0) + W.reshape(*W.shape[:2], -1)
        if capture.bias is not None:
            near(capture.g.sum(2), gradients[..., capture.bias])
    tied = [slot.part for slot in case.network.plan.slots if slot.name == "tokens"]
    for (start, stop), W in found.items():
        if slice(start, stop) not in tied:  # the embedding's part is no linear map
            near(W, gradients[..., start:stop])
    assert found


ANALYTIC = [name for name in CASES if name.removeprefix("dense ") not in ("Sigmoid", "Softplus", "ReLU")]


@pytest.mark.parametrize("name", ANALYTIC)
def test_the_complex_step_through_the_sweeps_themselves(name):
    """Im f(x + ihv)/h and Im ∇f(x + ihv)/h, h = 10⁻³⁰, without any rounding of a difference.

    Where |x| or a comparison occurs (sigmoid, ReLU, log(1 + eˣ)) no complex step is defined.
    """
    case = CASES[name]
    problem, x = problem_of(case, "squared"), case.x
    v = np.random.default_rng(8).standard_normal(x.size)
    near(problem.jvp(x, v), problem.outputs(x + 1e-30j * v).imag / 1e-30)
    near(problem.hvp(x, v), problem.grad(x + 1e-30j * v).imag / 1e-30)


def test_differences(case):
    """Central differences of the objective and of its gradient: errors of ε^⅔ times derivatives of moderate order."""
    problem, x = problem_of(case), case.x
    v = np.random.default_rng(9).standard_normal(x.size)
    slope = refopt.derivatives.jacobian(lambda t: np.array([problem.fun(x + t[0] * v)]), np.zeros(1), scale=np.ones(1))
    bend = refopt.derivatives.jacobian(lambda t: problem.grad(x + t[0] * v), np.zeros(1), scale=np.ones(1))
    assert abs(slope[0, 0] - problem.grad(x) @ v) < 1e-7 * max(1.0, np.abs(v @ problem.grad(x)), np.linalg.norm(v))
    np.testing.assert_allclose(bend[:, 0], problem.hvp(x, v), rtol=0, atol=1e-6 * max(1.0, np.abs(bend).max()))


def test_products_are_linear_and_symmetric(case):
    problem, x, rng = problem_of(case), case.x, np.random.default_rng(10)
    u, v = rng.standard_normal((2, x.size))
    for what in ("hvp", "ggnvp", "fisher_vp", "empirical_fisher_vp"):
        of = getattr(problem.at(x), what)
        near(of(2.0 * u - v), 2.0 * of(u) - of(v))
        scale = max(1.0, np.linalg.norm(of(v)) * np.linalg.norm(u))
        assert abs(u @ of(v) - v @ of(u)) < 1e3 * EPS * scale
        if what != "hvp":
            assert v @ of(v) >= -1e3 * EPS * scale


@pytest.mark.parametrize("loss", ["cross-entropy", "gaussian", "poisson"])
def test_factors_make_the_matrices(case, loss):
    """c Σ σ_s (Jₙᵀu_sn)(Jₙᵀu_sn)ᵀ is the Gauss-Newton or the Fisher matrix, also where a sample has several tokens."""
    if loss == "gaussian" and case.model(case.x, case.X).shape[-1] % 2:
        loss = "mse"
    problem, x = problem_of(case, loss), case.x
    point, v = problem.at(x), np.random.default_rng(11).standard_normal(x.size)
    (u, signs), w = point.factor(), point.fisher_factor()
    assert len(signs) == len(u)
    rows = point.per_sample_vjp(u)
    near(problem.c * np.einsum("s,snp,snq,q->p", signs, rows, rows, v, optimize=True), point.ggnvp(v))
    rows = point.per_sample_vjp(w)
    near(problem.c * np.einsum("snp,snq,q->p", rows, rows, v, optimize=True), point.fisher_vp(v))
    near(problem.c * np.einsum("snp,snp->p", rows, rows), problem.c * point.squared_vjp(w))


@pytest.mark.parametrize("stack", [(), (3,)], ids=["one", "stack"])
def test_cotangents_are_read_only(stack):
    """Activations before, after and beside linear maps: uᵀ(Jv) = (Jᵀu)ᵀv, and u and its captures are what they were."""
    inside = [Residual(Linear(4, 4), Tanh()), Residual(Sigmoid()), Residual(GELU(), Linear(4, 4)), Sequential(Tanh())]
    network = Sequential(Tanh(), Linear(3, 4), Tanh(), Sigmoid(), *inside, Linear(4, 2), Tanh())
    rng = np.random.default_rng(0)
    problem, x = refopt.Supervised(network, "squared", rng.standard_normal((5, 3)), np.zeros((5, 2))), network.init(1)
    point, v, u = problem.at(x), rng.standard_normal(network.size), rng.standard_normal((*stack, 5, 2))
    before = u.copy()
    near(point.vjp(u) @ v, (u * point.jvp(v)).sum(axis=(-2, -1)))
    np.testing.assert_array_equal(u, before)
    for capture in point.captures(u):
        near(np.einsum("...nro,nri->...oi", capture.g, capture.a).ravel(), point.vjp(u)[..., capture.weight].ravel())
