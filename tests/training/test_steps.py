"""What every stochastic method promises: pure steps, on every array kind, in the type of the weights; donated ones."""

import inspect

import numpy as np
import pytest

import refopt
from namespaces import NAMESPACES
from refopt.draws import Sampler
from refopt.networks import Dropout, Linear, Sequential, Tanh
from refopt.sampled import Draw, Needs

ENTRIES = refopt.available("train")
STOCHASTIC = [name for name in ENTRIES if name != "l-bfgs"]
KFAC = ["kfac", "kfac-tridiagonal", "ekfac"]
EIGENVECTORS = {"soap": ["Q"], "ekfac": ["inverse"], "kfac-tridiagonal": ["inverse"]}
KINDS = {str(kind): kind for kind in NAMESPACES}

NET = Sequential(Linear(3, 4), Tanh(), Linear(4, 3))
RNG = np.random.default_rng(5)
X, Y = RNG.standard_normal((12, 3)), RNG.integers(3, size=12)
X0 = NET.init(1) + 0.1 * RNG.standard_normal(NET.size)
OPTIONS = {
    "gauss-newton": {"window": 2},
    "adahessian": {"probes": 2, "block": 2},
    "shampoo": {"beta2": 0.9, "grafting": "adam", "every": 2, "block": 3, "beta1": 0.5, "start": 1},
    "soap": {"every": 2},
    "momentum": {"nesterov": True},
    "hessian-free": {"damping": 0.5},
} | {name: {"damping": 2.0, "adapt_every": 2, "candidates_every": 2, "inverse_every": 4} for name in KFAC}


def problem_on(kind, dtype=np.float64):
    return refopt.Supervised(NET, "cross-entropy", kind.asarray(X.astype(dtype)), kind.asarray(Y))


def params_of(name):
    params = ENTRIES[name].module.Params
    return params(**OPTIONS.get(name, {}), **({"weight_decay": 0.1} if "weight_decay" in params._fields else {}))


def run(name, kind, dtype=np.float64, steps=5, donate=False, x=None, state=None):
    """States of a method from X0 on, with draws that are the same on every kind."""
    module, params, problem = ENTRIES[name].module, params_of(name), problem_on(kind, dtype)
    plain = problem_on(KINDS["numpy"], dtype)
    sampler, needs = Sampler(plain, (1,), 5), getattr(module, "needs", lambda params: Needs())(params)
    if state is None:
        state = module.init(problem, kind.asarray(X0.astype(dtype)) if x is None else x, params)
    state = on(kind, state)
    states = [state]
    for t in range(steps):
        draw = Draw() if name == "l-bfgs" else sampler.draw(t, X0.astype(dtype), needs)
        draw = Draw(*(part if part is None or isinstance(part, tuple) else kind.asarray(part) for part in draw))
        state = module.step(problem, state, params, draw, donate=donate)
        states.append(state)
    return states


def on(kind, value):
    """The state with NumPy's arrays as those of another kind."""
    if isinstance(value, tuple):
        parts = [on(kind, part) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    return kind.asarray(value) if isinstance(value, np.ndarray) and str(kind) != "numpy" else value


def arrays(value):
    if isinstance(value, tuple):
        return [array for part in value for array in arrays(part)]
    return [value] if hasattr(value, "shape") else []


@pytest.mark.parametrize("name", ENTRIES)
def test_a_method_is_a_module_by_the_contract(name):
    module = ENTRIES[name].module
    assert list(inspect.signature(module.init).parameters) == ["problem", "x", "params"]
    assert list(inspect.signature(module.step).parameters)[:4] == ["problem", "state", "params", "draw"]
    assert module.State._fields[:3] == ("x", "f", "g")
    assert "t" in module.State._fields
    module.Params()
    if name != "l-bfgs":
        assert list(inspect.signature(module.update).parameters)[:4] == ["state", "grad", "params", "draw"]
        assert inspect.signature(module.update).parameters["draw"].default is None
    assert ENTRIES[name].door == "train"
    assert all((ENTRIES[name].family, ENTRIES[name].cost, ENTRIES[name].memory))


@pytest.mark.parametrize("name", ENTRIES)
def test_states_are_the_same_on_every_array_kind(name, namespace):
    """Sums in another order differ by eps; a method that divides by roots of tiny numbers magnifies that.

    Eigenvectors have either sign, and no direction at all where eigenvalues coincide: only what is made of them counts;
    and SOAP, which keeps what a null space gave it, begins alike on all.
    """
    first = run(name, KINDS["numpy"], steps=1)[-1] if name == "soap" else None
    expected, found = run(name, KINDS["numpy"], state=first), run(name, namespace, state=first)
    free = dict.fromkeys(EIGENVECTORS.get(name, ()), ())
    for ours, theirs in zip(expected, found, strict=True):
        assert all(namespace.owns(array) for array in arrays(theirs))
        for a, b in zip(arrays(ours._replace(**free)), arrays(theirs._replace(**free)), strict=True):
            assert np.allclose(a, namespace.to_numpy(b), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", ENTRIES)
def test_single_precision_stays_and_leads_to_nearly_the_same(name):
    double, single = run(name, KINDS["numpy"], steps=2), run(name, KINDS["numpy"], np.float32, steps=2)
    assert all(array.dtype == np.float32 for state in single for array in arrays(state))
    assert isinstance(single[-1].f, float)
    assert np.allclose(double[-1].x, single[-1].x, atol=0.02)


@pytest.mark.parametrize("name", STOCHASTIC)
def test_donated_steps_are_the_same_to_the_last_bit(name):
    pure = run(name, KINDS["numpy"])
    donated = run(name, KINDS["numpy"], donate=True)
    for a, b in zip(arrays(pure[-1]), arrays(donated[-1]), strict=True):
        assert np.array_equal(a, b)


def test_donation_writes_into_the_state_and_nothing_else():
    x = X0.copy()
    states = run("adam", KINDS["numpy"], donate=True, x=x)
    assert all(state.x is x for state in states)
    assert not np.array_equal(x, X0)
    frozen = X0.copy()
    frozen.flags.writeable = False
    assert run("adam", KINDS["numpy"], donate=True, x=frozen)[-1].x is not frozen


@pytest.mark.parametrize(
    "name", ["sgd", "momentum", "adagrad", "rmsprop", "adam", "adamw", "adam-no-sqrt", "shampoo", "soap"]
)
def test_a_step_is_the_update_by_the_gradient_of_the_draw(name):
    module, params, problem = ENTRIES[name].module, params_of(name), problem_on(KINDS["numpy"])
    state, draw = module.init(problem, X0, params), Draw(batch=np.array([3, 1, 4]))
    part = refopt.Supervised(NET, "cross-entropy", X[[3, 1, 4]], Y[[3, 1, 4]])
    for _ in range(2):
        g = part.grad(state.x)
        stepped, updated = module.step(problem, state, params, draw), module.update(state, g, params)
        assert np.array_equal(stepped.x, updated.x)
        assert np.array_equal(stepped.g, g)
        assert stepped.f == part.fun(state.x)
        assert stepped.t == state.t + 1
        state = stepped


@pytest.mark.parametrize(
    "name", ["sgd", "momentum", "adagrad", "rmsprop", "adam", "adahessian", "diagonal-newton", "shampoo"]
)
def test_an_objective_without_samples_does_too(name):
    """min ½‖x − 1‖² + ¼Σxᵢ⁴ by every method that needs no network."""
    problem = refopt.Problem(
        lambda x: 0.5 * ((x - 1) ** 2).sum() + 0.25 * (x**4).sum(),
        lambda x: x - 1 + x**3,
        hess=lambda x: np.diag(1 + 3 * x**2),
    )
    module = ENTRIES[name].module
    params = module.Params(step=0.1)
    state = module.init(problem, np.zeros(3), params)
    for _ in range(100):
        state = module.step(problem, state, params, Draw(probes=np.ones((1, 3))))
    assert abs(state.x - 0.6823278).max() < 0.1


@pytest.mark.parametrize("name", STOCHASTIC)
def test_a_gradient_of_another_shape_is_refused(name):
    module, params, problem = ENTRIES[name].module, params_of(name), problem_on(KINDS["numpy"])
    with pytest.raises(ValueError, match="the gradient has shape"):
        module.update(module.init(problem, X0, params), X0[1:], params)


@pytest.mark.parametrize("name", ENTRIES)
@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (np.zeros((2, 2)), ValueError, "x must be a vector"),
        (np.zeros(0), ValueError, "x must be a vector"),
        (np.zeros(3) * 1j, TypeError, "x must hold real numbers; it has dtype complex128"),
        (np.array([1.0, np.nan, 2.0]), ValueError, "not finite"),
        ([[1.0], [2.0]], ValueError, r"x must be a vector .* shape \(2, 1\)"),
    ],
)
def test_weights_that_are_none_are_refused(name, x, error, message):
    module = ENTRIES[name].module
    problem = refopt.Problem(lambda x: 0.0, lambda x: x)
    with pytest.raises(error, match=message):
        module.init(problem, x, module.Params())


@pytest.mark.parametrize(
    "name",
    ["adam-true-fisher", "adam-true-fisher-batch", "gauss-newton", "natural-gradient", "hessian-free", *KFAC],
)
def test_a_method_that_looks_into_the_network_says_so(name):
    module = ENTRIES[name].module
    problem = refopt.Problem(lambda x: 0.0, lambda x: x)
    state = module.init(problem, np.ones(2), module.Params())
    with pytest.raises(TypeError, match=rf"{name} needs a refopt.Supervised"):
        module.step(problem, state, module.Params(), Draw())


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("adahessian", "draw.probes"),
        ("diagonal-newton", "draw.probes"),
        ("adam-true-fisher", "draw.labels"),
        ("adam-true-fisher-batch", "draw.labels"),
        *((name, "draw.labels") for name in KFAC),
    ],
)
def test_a_draw_that_lacks_something_is_refused(name, what):
    module, problem = ENTRIES[name].module, problem_on(KINDS["numpy"])
    state = module.init(problem, X0, module.Params())
    with pytest.raises(ValueError, match=rf"a step of {name} needs {what}"):
        module.step(problem, state, module.Params(), Draw(batch=np.array([0, 1])))


@pytest.mark.parametrize(
    "name", ["adahessian", "adam-true-fisher", "gauss-newton", "natural-gradient", "hessian-free", *KFAC]
)
def test_an_update_that_lacks_something_is_refused(name):
    module, problem = ENTRIES[name].module, problem_on(KINDS["numpy"])
    state = module.init(problem, X0, module.Params())
    with pytest.raises(ValueError, match=rf"a step of {name} needs"):
        module.update(state, X0, module.Params(), Draw(probes=np.ones((1, len(X0)))))


def test_shapes_must_fill_the_vector():
    for name in ("shampoo", "soap", "adahessian"):
        module = ENTRIES[name].module
        with pytest.raises(ValueError, match=r"arrays of shapes .* hold 6 numbers, x has 5"):
            module.init(refopt.Problem(None), np.ones(5), module.Params(shapes=((2, 3),)))


def test_indices_of_a_batch_must_be_a_vector():
    problem = problem_on(KINDS["numpy"])
    for wrong in (np.zeros((2, 2), int), np.zeros(0, int)):
        with pytest.raises(ValueError, match="a batch is a vector"):
            ENTRIES["sgd"].module.step(
                problem,
                ENTRIES["sgd"].module.init(problem, X0, None),
                ENTRIES["sgd"].module.Params(),
                Draw(batch=wrong),
            )


def test_masks_alone_are_a_draw():
    """All samples, with some entries dropped."""
    net = Sequential(Linear(3, 4), Dropout(0.5), Linear(4, 3))
    problem, mask = refopt.Supervised(net, "cross-entropy", X, Y), RNG.integers(2, size=(12, 4)).astype(float)
    sgd, x = ENTRIES["sgd"].module, net.init(0)
    new = sgd.step(problem, sgd.init(problem, x, None), sgd.Params(), Draw(masks=(mask,)))
    masked = refopt.Supervised(net, "cross-entropy", X, Y, masks=(mask,))
    assert new.f == masked.fun(x) != problem.fun(x)
    assert np.array_equal(new.g, masked.grad(x))
    assert np.array_equal(sgd.step(masked, sgd.init(problem, x, None), sgd.Params(), Draw()).g, new.g)
