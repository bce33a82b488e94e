"""How long a minimization takes, beside SciPy's method of the same name."""

from functools import cache

import numpy as np
import pytest
import scipy.linalg
import scipy.optimize
from scipy.optimize import rosen, rosen_der, rosen_hess

import refopt


@cache
def start(n: int) -> np.ndarray:
    """Made once, because it would take a fifth of the time of a solve; no contender writes into it."""
    x0 = np.resize([-1.2, 1.0], n)
    x0.flags.writeable = False
    return x0


@pytest.fixture(scope="module")
def jitted():
    """Rosenbrock's function, gradient and Hessian in compiled loops, the same for both contenders."""
    import numba

    @numba.njit
    def fun(x):
        total = 0.0
        for i in range(x.size - 1):
            total += 100.0 * (x[i + 1] - x[i] * x[i]) ** 2 + (1.0 - x[i]) ** 2
        return total

    @numba.njit
    def grad(x):
        g = np.zeros_like(x)
        for i in range(x.size - 1):
            d = x[i + 1] - x[i] * x[i]
            g[i] -= 400.0 * d * x[i] + 2.0 * (1.0 - x[i])
            g[i + 1] += 200.0 * d
        return g

    @numba.njit
    def hess(x):
        H = np.zeros((x.size, x.size))
        for i in range(x.size - 1):
            H[i, i] += 1200.0 * x[i] * x[i] - 400.0 * x[i + 1] + 2.0
            H[i + 1, i + 1] += 200.0
            H[i, i + 1] -= 400.0 * x[i]
            H[i + 1, i] -= 400.0 * x[i]
        return H

    return fun, grad, hess


@pytest.mark.jit
@pytest.mark.parametrize("n", [2, 10])
def test_a_jitted_bfgs_solve(paired, jitted, n):
    fun, grad, _ = jitted
    options = {"gtol_abs": 1e-5}
    ours, theirs = paired(
        f"bfgs, jitted Rosenbrock, n = {n}, a solve",
        lambda: refopt.minimize(fun, start(n), jac=grad, options=options),
        "SciPy BFGS",
        lambda: scipy.optimize.minimize(fun, start(n), jac=grad, method="BFGS"),
    )
    assert ours.success
    assert ours.fun <= theirs.fun + 1e-8


@pytest.mark.jit
@pytest.mark.parametrize("n", [100, 200, 500])
def test_a_jitted_bfgs_iteration(paired, jitted, n):
    fun, grad, _ = jitted
    steps = 200 if n == 100 else 20
    ours, theirs = paired(
        f"bfgs, jitted Rosenbrock, n = {n}, an iteration",
        lambda: refopt.minimize(fun, start(n), jac=grad, options={"maxiter": steps}),
        "SciPy BFGS",
        lambda: scipy.optimize.minimize(fun, start(n), jac=grad, method="BFGS", options={"maxiter": steps}),
        per=lambda result: result.nit,
    )
    assert ours.nit == theirs.nit == steps
    assert ours.fun < fun(start(n))


@pytest.mark.jit
@pytest.mark.parametrize("n", [2, 10, 100])
def test_a_jitted_trust_region_solve(paired, jitted, n):
    fun, grad, hess = jitted
    ours, theirs = paired(
        f"trust-exact, jitted Rosenbrock, n = {n}, a solve",
        lambda: refopt.minimize(fun, start(n), jac=grad, hess=hess, method="trust-exact", options={"gtol_abs": 1e-5}),
        "SciPy trust-exact",
        lambda: scipy.optimize.minimize(
            fun, start(n), jac=grad, hess=hess, method="trust-exact", options={"gtol": 1e-5}
        ),
    )
    assert ours.success
    assert theirs.success


@pytest.mark.parametrize("n", [2, 10, 100])
def test_a_bfgs_solve_in_numpy(paired, n):
    ours, _ = paired(
        f"bfgs, NumPy Rosenbrock, n = {n}, a solve",
        lambda: refopt.minimize(rosen, start(n), jac=rosen_der, options={"gtol_abs": 1e-5}),
        "SciPy BFGS",
        lambda: scipy.optimize.minimize(rosen, start(n), jac=rosen_der, method="BFGS"),
    )
    assert ours.success


@pytest.mark.parametrize("n", [500, 1000])
def test_a_bfgs_iteration_in_numpy(paired, n):
    ours, _ = paired(
        f"bfgs, NumPy Rosenbrock, n = {n}, an iteration",
        lambda: refopt.minimize(rosen, start(n), jac=rosen_der, options={"maxiter": 5}),
        "SciPy BFGS",
        lambda: scipy.optimize.minimize(rosen, start(n), jac=rosen_der, method="BFGS", options={"maxiter": 5}),
        per=lambda result: result.nit,
    )
    assert ours.nit == 5


@pytest.mark.parametrize("n", [2, 10, 50])
def test_a_trust_region_solve_in_numpy(paired, n):
    options = {"gtol_abs": 1e-5}
    call = {"jac": rosen_der, "hess": rosen_hess}
    ours, _ = paired(
        f"trust-exact, NumPy Rosenbrock, n = {n}, a solve",
        lambda: refopt.minimize(rosen, start(n), method="trust-exact", options=options, **call),
        "SciPy trust-exact",
        lambda: scipy.optimize.minimize(rosen, start(n), method="trust-exact", options={"gtol": 1e-5}, **call),
    )
    assert ours.success


# --- the other methods beside their counterparts ---------------------------------------------------------------------


@pytest.mark.jit
@pytest.mark.parametrize("n", [2, 10, 100])
def test_a_jitted_l_bfgs_solve(paired, jitted, n):
    fun, grad, _ = jitted
    options = {"gtol_abs": 1e-5}
    ours, theirs = paired(
        f"l-bfgs, jitted Rosenbrock, n = {n}, a solve",
        lambda: refopt.minimize(fun, start(n), jac=grad, method="l-bfgs", options=options),
        "SciPy L-BFGS-B",
        lambda: scipy.optimize.minimize(fun, start(n), jac=grad, method="L-BFGS-B", options={"ftol": 0, "gtol": 1e-5}),
    )
    assert ours.success
    assert ours.fun <= theirs.fun + 1e-8


@pytest.mark.jit
def test_a_jitted_l_bfgs_iteration(paired, jitted):
    fun, grad, _ = jitted
    ours, theirs = paired(
        "l-bfgs, jitted Rosenbrock, n = 1000, an iteration",
        lambda: refopt.minimize(fun, start(1000), jac=grad, method="l-bfgs", options={"maxiter": 100}),
        "SciPy L-BFGS-B",
        lambda: scipy.optimize.minimize(fun, start(1000), jac=grad, method="L-BFGS-B", options={"maxiter": 100}),
        per=lambda result: result.nit,
    )
    assert ours.nit == theirs.nit == 100


@pytest.mark.parametrize("n", [10, 1000, 10_000, 100_000])
def test_an_l_bfgs_iteration_in_numpy(paired, n):
    steps = 50 if n <= 10_000 else 10
    ours, theirs = paired(
        f"l-bfgs, NumPy Rosenbrock, n = {n}, an iteration",
        lambda: refopt.minimize(rosen, start(n), jac=rosen_der, method="l-bfgs", options={"maxiter": steps}),
        "SciPy L-BFGS-B",
        lambda: scipy.optimize.minimize(
            rosen, start(n), jac=rosen_der, method="L-BFGS-B", options={"maxiter": steps, "ftol": 0, "gtol": 0}
        ),
        per=lambda result: result.nit,
    )
    assert ours.nit >= min(30, steps)
    assert theirs.nit >= min(30, steps)


@pytest.mark.jit
@pytest.mark.parametrize("n", [2, 10])
@pytest.mark.parametrize(
    ("method", "counterpart"),
    [
        ("trust-dogleg", "dogleg"),
        ("trust-ncg", "trust-ncg"),
        ("trust-krylov", "trust-krylov"),
        ("newton-cg", "Newton-CG"),
    ],
)
def test_a_jitted_newton_solve(paired, jitted, method, counterpart, n):
    """From where the Hessian is positive definite, because SciPy's dogleg needs that."""
    fun, grad, hess = jitted
    x0 = np.resize([1.3, 1.5], n)
    options = {} if counterpart == "Newton-CG" else {"gtol": 1e-5}
    ours, theirs = paired(
        f"{method}, jitted Rosenbrock, n = {n}, a solve",
        lambda: refopt.minimize(fun, x0, jac=grad, hess=hess, method=method, options={"gtol_abs": 1e-5}),
        f"SciPy {counterpart}",
        lambda: scipy.optimize.minimize(fun, x0, jac=grad, hess=hess, method=counterpart, options=options),
    )
    assert ours.success
    assert ours.fun <= theirs.fun + 1e-6


@pytest.mark.jit
@pytest.mark.parametrize("n", [2, 5, 10])
def test_many_starts(paired, jitted, n):
    fun, grad, _ = jitted
    X = np.random.default_rng(n).uniform(-2.0, 2.0, (2000, n))
    ours, theirs = paired(
        f"bfgs, jitted Rosenbrock, n = {n}, a start of many",
        lambda: refopt.minimize_many(fun, X, jac=grad, options={"gtol_abs": 1e-5}),
        "SciPy BFGS",
        lambda: [scipy.optimize.minimize(fun, x, jac=grad, method="BFGS") for x in X[:20]],
        per=lambda result: len(getattr(result, "fun", result)),
    )
    assert ours.success.all()
    assert len(theirs) == 20


@pytest.mark.jit
@pytest.mark.parametrize(("n", "k"), [(2, 1000), (2, 10_000), (5, 1000), (5, 10_000), (10, 1000), (10, 4000)])
def test_many_starts_beside_a_vmapped_minimiser(paired, jitted, n, k):
    """Both end each run by their own rule; optimistix' BFGS is vmapped and compiled, in double precision."""
    jax, optimistix = pytest.importorskip("jax"), pytest.importorskip("optimistix")
    jax.config.update("jax_enable_x64", True)
    fun, grad, _ = jitted
    X = np.random.default_rng(n).uniform(-2.0, 2.0, (k, n))

    def rosenbrock(x, _):
        return jax.numpy.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)

    def one(x):
        return optimistix.minimise(rosenbrock, optimistix.BFGS(rtol=1e-8, atol=1e-8), x, max_steps=1000, throw=False)

    many = jax.jit(jax.vmap(lambda x: one(x).value))
    ours, theirs = paired(
        f"bfgs, jitted Rosenbrock, n = {n}, {k} starts",
        lambda: refopt.minimize_many(fun, X, jac=grad, options={"gtol_abs": 1e-5}),
        "optimistix BFGS, vmapped",
        lambda: np.asarray(many(X)),
    )
    assert ours.success.all()
    assert np.median([np.abs(grad(x)).max() for x in theirs]) <= 1e-5


# --- the update of a quasi-Newton matrix -----------------------------------------------------------------------------


@pytest.mark.jit
@pytest.mark.parametrize("n", [100, 400, 1000, 2000])
def test_a_rank_two_update(paired, n):
    """The word as methods have it compiled, a ssᵀ − b (szᵀ + zsᵀ) at once, beside BLAS, which adds the latter only."""
    import numba

    from refopt import words
    from refopt.compiled.ways import Apart, Weight
    from refopt.dialect import Twins

    word, _ = Twins(Apart("rank_two", False, False, Weight.SHORT).inner).word(words.rank_two)

    @numba.njit(error_model="numpy")
    def update(H, s, z, a, b):
        word(H, s, z, a, b)
        return 0

    rng = np.random.default_rng(n)
    s, z, H = rng.standard_normal(n), rng.standard_normal(n), np.eye(n)
    blas = np.eye(n, order="F")
    a, b = 1e-9, 1e-9

    def dsyr2():
        return scipy.linalg.blas.dsyr2(-b, s, z, lower=1, a=blas, overwrite_a=1)

    update(H, s, z, 0.0, b)
    np.testing.assert_allclose(np.tril(H), np.tril(dsyr2()), rtol=0, atol=8 * np.finfo(float).eps)
    paired(f"a rank-two update, n = {n}", lambda: update(H, s, z, a, b), "BLAS dsyr2", dsyr2)
