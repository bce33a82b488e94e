"""K-FAC, its block-tridiagonal form and EKFAC: steps against dense matrices, each trick on and off."""

import numpy as np
import pytest

import refopt
from literal_kfac_steps import Options, run
from refopt.kfac_type import averaging, candidates, damped_inverse, model, pair, rescaling
from refopt.networks import Conv2d, Flatten, LayerNorm, Linear, Sequential, Tanh
from refopt.sampled import Draw
from refopt.stochastic import ekfac, kfac, kfac_tridiagonal

METHODS = {"kfac": kfac, "kfac-tridiagonal": kfac_tridiagonal, "ekfac": ekfac}
NET = Sequential(Linear(3, 4), Tanh(), Linear(4, 3))
RNG = np.random.default_rng(11)
X, Y = RNG.standard_normal((9, 3)), RNG.integers(3, size=9)
X0 = 0.6 * RNG.standard_normal(NET.size)
PROBLEM = refopt.Supervised(NET, "cross-entropy", X, Y)
DRAWS = [(RNG.permutation(9)[:5], RNG.integers(3, size=(2, 5))) for _ in range(6)]
OVERSHOOTING = {"rescale": False, "momentum": False, "damping": 0.02, "step": 4.0}

SWITCHED = {
    "as it is": {},
    "factors of the batch": {"averaging": 0.0},
    "two labels": {"samples": 2},
    "exact Fisher": {"fisher": "exact"},
    "empirical": {"fisher": "empirical"},
    "no pi": {"rule": "factored"},
    "no rescaling": {"rescale": False},
    "no momentum": {"momentum": False},
    "neither": {"rescale": False, "momentum": False},
    "fixed damping": {"adapt_every": 0},
    "no candidates": {"candidates_every": 0},
    "inverses each step": {"inverse_every": 1},
    "no weight decay": {"l2": 0.0},
    "exact damping": {"rule": "exact"},
    "overshooting": OVERSHOOTING,
}


def steps(name, options, draws=DRAWS, problem=PROBLEM, x=X0):
    method = METHODS[name]
    given = Options(**options)
    params = method.Params(**given._asdict())
    state, states = method.init(problem, x, params), []
    for batch, labels in draws:
        state = method.step(problem, state, params, Draw(batch=batch, labels=labels[: given.samples]))
        states.append(state)
    return states


@pytest.mark.parametrize("what", SWITCHED)
@pytest.mark.parametrize("name", METHODS)
def test_steps_are_those_of_dense_matrices(name, what):
    """Damped by 2 or so, all matrices here have a condition below 1e3, and seven steps lose little."""
    options = SWITCHED[what]
    if options.get("rule") == "exact" and name != "kfac":
        pytest.skip("K-FAC's own")
    draws = [(batch, labels[: Options(**options).samples]) for batch, labels in DRAWS]
    expected = run(name, options, X[:, None, :], Y, X0, draws)
    for ours, theirs in zip(steps(name, options), expected, strict=True):
        assert np.allclose(ours.x, theirs.x, rtol=1e-9, atol=1e-10)
        assert np.isclose(ours.damping, theirs.damping, rtol=1e-12)
        assert np.isclose(ours.gamma, theirs.gamma, rtol=1e-12)


@pytest.mark.parametrize("name", METHODS)
def test_every_trick_changes_the_steps(name):
    """So that the comparison above says something of each."""
    plain = steps(name, {})[-1].x
    for what, options in SWITCHED.items():
        if options and not (name != "kfac" and "rule" in options):
            assert abs(steps(name, options)[-1].x - plain).max() > 1e-5, what


def test_the_damping_goes_up_and_down():
    """Both ways are visited by the comparison above."""
    damping = [[state.damping for state in steps("kfac", options)[::2]] for options in ({}, OVERSHOOTING)]
    assert min(np.diff(damping[0])) < 0.0 < max(np.diff(damping[1]))


@pytest.mark.parametrize("name", METHODS)
def test_on_a_linear_model_a_step_is_newtons(name):
    """Squared errors of one layer: F = H is I ⊗ A, which K-FAC has exactly with the exact Fisher, and α is 1."""
    problem = refopt.Supervised(Linear(3, 2), "squared", X, RNG.standard_normal((9, 2)))
    x = RNG.standard_normal(8)
    method = METHODS[name]
    params = method.Params(damping=1e-13, l2=0.0, fisher="exact")
    new = method.step(problem, method.init(problem, x, params), params, Draw())
    expected = x - np.linalg.solve(problem.hess(x), problem.grad(x))
    assert np.allclose(new.x, expected, atol=1e-5)  # γ = √λ damps the factors by 3e-7


@pytest.mark.parametrize("name", METHODS)
def test_every_kind_of_layer_is_trained(name):
    """Convolutions in groups and normalisation have blocks in another order and diagonal ones."""
    net = Sequential(Conv2d(2, 4, 3, padding=1, groups=2), Tanh(), LayerNorm(5), Flatten(), Linear(80, 3))
    images = RNG.standard_normal((30, 2, 4, 5))
    problem = refopt.Supervised(net, "cross-entropy", images, RNG.integers(3, size=30))
    x = net.init(0)
    result = refopt.train(problem, x, name, 30, 15, 0, {"damping": 1.0, "sharing": "reduce"})
    assert result.success
    assert result.fun < 0.5 * problem.fun(x)


def test_equations_where_they_degenerate():
    assert pair(((2.0, 2.0), (2.0, 2.0)), (1.0, 1.0), 1e-14) == (-0.5, 0.0)
    assert rescaling(0.0, 1.0) == 0.0
    assert [averaging(k, 0.95) for k in (1, 2, 4, 100)] == [0.0, 0.5, 0.75, 0.95]
    assert candidates(4.0, 0.5) == (4.0, 2.0, 8.0)
    assert model(((2.0,),), (3.0,), (5.0,)) == 40.0


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("shift", [1e-2, 1e-9])
def test_the_damped_inverse_of_a_singular_factor(namespace, dtype, shift):
    """(DᵀD + δI)⁻¹ = (I − Dᵀ(DDᵀ + δI)⁻¹D)/δ, of rank 2 in 5; where rounding hides δ, the part that D does not reach.

    That part is 1/δ times a projection, and known to the rounding of A beside the gap between its eigenvalues.
    """
    D = np.random.default_rng(3).standard_normal((2, 5)).astype(dtype).astype(float)
    A, eps = D.T @ D, np.finfo(dtype).eps
    expected = (np.eye(5) - D.T @ np.linalg.solve(D @ D.T + shift * np.eye(2), D)) / shift
    found = damped_inverse(namespace.asarray(A.astype(dtype)), shift)
    assert namespace.owns(found)
    rounding = 5 * eps * np.linalg.norm(A) / min(np.linalg.eigvalsh(D @ D.T))
    hidden = shift < 5 * eps * abs(A).max()
    error = abs(namespace.to_numpy(found) - expected).max() * shift
    assert error < 10 * (rounding if hidden else rounding + 5 * eps * np.linalg.norm(A) / shift)
    assert hidden == (dtype is np.float32 and shift == 1e-9)


@pytest.mark.parametrize("name", METHODS)
def test_at_a_minimum_it_stays(name):
    problem = refopt.Supervised(Linear(3, 2), "squared", X, 0 * X[:, :2])
    method, x = METHODS[name], np.zeros(8)
    params = method.Params(fisher="exact")
    state = method.init(problem, x, params)
    for _ in range(6):
        state = method.step(problem, state, params, Draw())
    assert np.array_equal(state.x, x)
    assert np.isfinite(state.damping)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"damping": 0.0}, "damping must be positive"),
        ({"omega": 1.5}, "omega must be positive, 1 at most"),
        ({"omega": 0.0}, "omega must be positive, 1 at most"),
        ({"inverse_every": 0}, "inverse_every of kfac must be at least 1"),
        ({"averaging": 1.0}, r"averaging of kfac must be in \[0, 1\)"),
        ({"fisher": "forward-only"}, "fisher must be one of 'monte-carlo'|fisher must be one of 'exact'"),
        ({"rule": "none"}, "rule must be one of"),
    ],
)
def test_a_mistake_is_one_clear_error(options, message):
    with pytest.raises(ValueError, match=message):
        refopt.train(PROBLEM, X0, "kfac", 3, 5, 0, options)


def test_the_tridiagonal_inverse_damps_factors_only():
    with pytest.raises(ValueError, match="rule must be 'pi' or 'factored'"):
        refopt.train(PROBLEM, X0, "kfac-tridiagonal", 3, 5, 0, {"rule": "exact"})


def test_a_function_has_no_layers():
    problem = refopt.Supervised(lambda x, X: X @ x[:, None], "squared", X, X[:, :1])
    with pytest.raises(TypeError, match="a network made of layers"):
        refopt.train(problem, np.ones(3), "kfac", 1)


@pytest.mark.parametrize("name", [*METHODS, "hessian-free"])
def test_a_loss_that_is_not_finite_stops_the_run(name):
    """The seventh sample is infinitely far away, and comes at step 2."""
    far = X.copy()
    far[6] = np.inf
    problem = refopt.Supervised(NET, "cross-entropy", far, Y)
    seed = next(s for s in range(99) if 6 in np.random.default_rng([s, 0, 0]).permutation(9)[6:])
    with np.errstate(invalid="ignore"):
        result = refopt.train(problem, X0, name, 5, 3, seed, {"damping": 1.0})
    assert result.status == refopt.Status.NOT_FINITE
    assert result.nit == 2
    assert np.isfinite(result.x).all()


@pytest.mark.parametrize("name", METHODS)
def test_a_gradient_that_is_not_finite_changes_nothing(name):
    method, params = METHODS[name], METHODS[name].Params()
    state = steps(name, {})[-1]
    seen = (None, None, None, 0.0)
    new = method.update(state, np.full(len(X0), np.nan), params, seen=seen)
    assert np.array_equal(new.x, state.x)
    assert new.t == state.t + 1
