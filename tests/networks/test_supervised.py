"""``Supervised``: every array kind, models of one's own, batches, use in the front doors, and what is refused."""

import autograd.numpy as anp
import numpy as np
import pytest

import refopt
from networks.cases import CASES
from networks.independent import LOSSES
from refopt.methods import bfgs
from refopt.networks import Dropout, Embedding, Linear, Sequential, Tanh

EPS = 2.0**-52
KINDS = ["dense GELU", "dilated convolution in groups", "causal transformer", "vit", "pooled transformer"]


def labelled(case, loss, dtype=np.float64):
    """Inputs and labels of this type; classes stay integers."""
    f = case.model(case.x, case.X)
    rng = np.random.default_rng(3)
    y = {
        "cross-entropy": lambda: rng.integers(0, f.shape[-1], f.shape[:-1]),
        "poisson": lambda: rng.poisson(2.0, f.shape),
        "binary-cross-entropy": lambda: rng.integers(0, 2, f.shape),
        "gaussian": lambda: rng.standard_normal((*f.shape[:-1], f.shape[-1] // 2)),
    }.get(loss, lambda: rng.standard_normal(f.shape))()
    X = case.X if np.issubdtype(case.X.dtype, np.integer) else case.X.astype(dtype)
    return X, y if np.issubdtype(y.dtype, np.integer) else y.astype(dtype)


def everything(problem, x, v, u):
    """Every array that comes out of a problem."""
    point = problem.at(x)
    found = {
        "f": point.f,
        "jvp": point.jvp(v),
        "vjp": point.vjp(u),
        "grad": point.grad,
        "hvp": point.hvp(v),
        "ggnvp": point.ggnvp(v),
        "fisher_vp": point.fisher_vp(v),
        "empirical_fisher_vp": point.empirical_fisher_vp(v),
        "per_sample_grad": point.per_sample_grad(),
        "squared_grad": point.squared_grad(),
        "jacobian": point.jacobian(),
        "factor": point.factor()[0],
        "fisher_factor": point.fisher_factor(),
        "sample": point.sample(5),
        "per_sample_vjp": point.per_sample_vjp(point.fisher_factor()),
    }
    for k, mask in enumerate(problem.network.draw_masks(x, problem.X, 6)):
        found[f"mask{k}"] = mask
    for k, capture in enumerate(point.captures(u)):
        found |= {f"a{k}": capture.a, f"g{k}": capture.g}
    return found


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    ("name", "loss"), [*[(name, "cross-entropy") for name in KINDS], *[("dense Tanh", loss) for loss in LOSSES]]
)
def test_every_array_kind(namespace, name, loss, dtype):
    """Kind, device and type are kept, nothing is written into, and the numbers are those of NumPy in float64."""
    case, rng = CASES[name], np.random.default_rng(4)
    X, y = labelled(case, loss)
    masks = case.masks
    v, u = rng.standard_normal(case.x.size), rng.standard_normal(case.model(case.x, case.X).shape)
    reference = everything(refopt.Supervised(case.network, loss, X, y, masks=masks), case.x, v, u)
    X, y = labelled(case, loss, dtype)
    kind = namespace.asarray
    problem = refopt.Supervised(
        case.network, loss, kind(X), kind(y), masks=tuple(kind(mask.astype(dtype)) for mask in masks)
    )
    found = everything(problem, kind(case.x.astype(dtype)), kind(v.astype(dtype)), kind(u.astype(dtype)))
    loose = 1e5 * (EPS if dtype == "float64" else 2.0**-23)  # sums of hundreds of products, through a few layers
    for what, array in found.items():
        assert namespace.owns(array), what
        array, theirs = namespace.to_numpy(array), reference[what]
        if what != "sample":
            assert array.dtype == dtype, what
            np.testing.assert_allclose(array, theirs, rtol=0, atol=loose * max(1.0, np.abs(theirs).max()), err_msg=what)
    assert isinstance(problem.fun(kind(case.x.astype(dtype))), float)


def test_integers_and_lists_become_numbers():
    problem = refopt.Supervised(Linear(2, 1), "squared", [[1, 2], [3, 4]], [5, 6], "sum")
    assert problem.fun(np.array([1.0, 1.0, 0.0])) == 0.5 * (2.0**2 + 1.0**2)
    assert problem.X.dtype == np.float64


def test_a_network_by_hand():
    """f = w₂ tanh(w₁X), X = 2, y = 1, at w₁ = 0, w₂ = 3: all by hand, since tanh 0 = 0, tanh′ = 1, tanh″ = 0."""
    net = Sequential(Linear(1, 1, bias=False), Tanh(), Linear(1, 1, bias=False))
    problem = refopt.Supervised(net, "squared", np.array([[2.0]]), np.array([[1.0]]))
    x = np.array([0.0, 3.0])
    assert problem.fun(x) == 0.5
    np.testing.assert_array_equal(problem.jacobian(x), [[6.0, 0.0]])
    np.testing.assert_array_equal(problem.grad(x), [-6.0, 0.0])
    np.testing.assert_array_equal(problem.hess(x), [[36.0, -2.0], [-2.0, 0.0]])  # f″ = (0, 2; 2, 0), r = −1
    np.testing.assert_array_equal(problem.ggnvp(x, np.array([1.0, 1.0])), [36.0, 0.0])


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(("method", "loose"), [("autograd", 1e4 * EPS), ("cs", 1e-7), ("3-point", 1e-3)])
def test_a_model_of_ones_own(loss, method, loose):
    """A plain function has the matrices of the network it computes; differences are as good as differences are.

    Second differences lose two thirds of the digits (3-point: ε^⅓ = 6e-6, times derivatives of order 100), the complex
    step, differenced once, one third.
    """
    case = CASES["dense Tanh"]
    X, y = labelled(case, loss)

    def model(x, X):
        W, b, V, c = x[:12].reshape(4, 3), x[12:16], x[16:24].reshape(2, 4), x[24:]
        return anp.tanh(X @ W.T + b) @ V.T + c

    ours = refopt.Supervised(case.network, loss, X, y)
    theirs = refopt.Supervised(model, loss, X, y, derivatives=method)
    rng = np.random.default_rng(0)
    v, u = rng.standard_normal(case.x.size), rng.standard_normal((2, 5, 2))
    for what in ("jvp", "hvp", "ggnvp", "fisher_vp", "empirical_fisher_vp"):
        a, b = (getattr(problem, what)(case.x, v) for problem in (theirs, ours))
        np.testing.assert_allclose(a, b, rtol=0, atol=loose * np.abs(b).max(), err_msg=what)
    for what in ("grad", "per_sample_grad", "jacobian", "hess"):
        a, b = (getattr(problem, what)(case.x) for problem in (theirs, ours))
        np.testing.assert_allclose(a, b, rtol=0, atol=loose * np.abs(b).max(), err_msg=what)
    for cotangents in (u, u[0]):
        a, b = (problem.vjp(case.x, cotangents) for problem in (theirs, ours))
        np.testing.assert_allclose(a, b, rtol=0, atol=loose * np.abs(b).max())
    a, b = theirs.at(case.x), ours.at(case.x)
    assert abs(a.fun - b.fun) < 1e3 * EPS * abs(b.fun)
    np.testing.assert_allclose(a.squared_grad(), b.squared_grad(), atol=loose * np.abs(b.squared_grad()).max())
    with pytest.raises(TypeError, match="layers"):
        a.captures(u)


def test_a_model_with_one_number_per_sample():
    X, y = np.arange(3.0)[:, None], np.array([1.0, 2.0, 3.0])
    problem = refopt.Supervised(lambda x, X: X[:, 0] * x[0] + x[1], "squared", X, y, "sum")
    np.testing.assert_allclose(problem.grad(np.zeros(2)), [-8.0, -6.0])
    np.testing.assert_allclose(problem.hess(np.zeros(2)), [[5.0, 3.0], [3.0, 3.0]])
    assert problem.c == 1.0
    with pytest.raises(ValueError, match="at a point"):
        _ = refopt.Supervised(lambda x, X: X * x, "squared", X, y, "mean-elements").c


def test_a_model_of_ones_own_on_every_kind(namespace):
    """A line fitted to four points, f = x₀X + x₁: all matrices are known, and differences of f are exact."""
    X, y = np.array([[0.0], [1.0], [2.0], [4.0]]), np.array([1.0, 0.0, 2.0, 1.0])
    problem = refopt.Supervised(
        lambda x, X: X * x[0] + x[1],
        "squared",
        namespace.asarray(X),
        namespace.asarray(y),
        "sum",
        derivatives="3-point",
    )
    A = np.hstack([X, np.ones((4, 1))])
    x, v = np.array([0.5, -1.0]), np.array([1.0, 2.0])
    point, v = problem.at(namespace.asarray(x)), namespace.asarray(v)
    expected = {
        "grad": A.T @ (A @ x - y),
        "hvp": A.T @ A @ [1.0, 2.0],
        "ggnvp": A.T @ A @ [1.0, 2.0],
        "per_sample_grad": A * (A @ x - y)[:, None],
        "squared_grad": (A * (A @ x - y)[:, None]).T ** 2 @ np.ones(4),
        "jacobian": A,
    }
    for what, theirs in expected.items():
        found = getattr(point, what)
        found = found if what == "grad" else found(v) if what.endswith("vp") else found()
        assert namespace.owns(found), what
        np.testing.assert_allclose(namespace.to_numpy(found), theirs, atol=1e-5, err_msg=what)  # second differences


def test_minimize_and_iterate_take_it():
    """Softmax regression, separable by none: the front doors agree, and the gradient vanishes."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((40, 3)), rng.integers(0, 3, 40)
    problem = refopt.Supervised(Linear(3, 3), "cross-entropy", X, y)
    x0 = problem.network.init(1)
    result = refopt.minimize(problem.fun, x0, jac=problem.grad)
    both = refopt.minimize(problem.fun_and_grad, x0, jac=True)
    newton = refopt.minimize(problem.fun, x0, jac=problem.grad, hessp=problem.hvp, method="newton-cg")
    assert result.success
    assert newton.success
    assert np.abs(problem.grad(result.x)).max() < 1e-8
    assert abs(result.fun - newton.fun) < 1e-12
    np.testing.assert_array_equal(result.x, both.x)
    states = refopt.iterate(bfgs, problem, x0, bfgs.Params())
    first = next(states)
    assert next(states).f < first.f == problem.fun(x0)


def test_a_batch_is_the_problem_on_other_data():
    case = CASES["dense Tanh"]
    X, y = labelled(case, "cross-entropy")
    problem = refopt.Supervised(case.network, "cross-entropy", X, y)
    assert problem.c == 1 / 5
    batch, whole = problem.batch(X[:2], y[:2]), refopt.Supervised(case.network, "cross-entropy", X[:2], y[:2])
    assert batch.c == 1 / 2
    np.testing.assert_array_equal(batch.grad(case.x), whole.grad(case.x))
    assert problem.c == 1 / 5


def test_dropout_masks_are_data():
    net = Sequential(Linear(3, 4), Dropout(0.25), Tanh(), Linear(4, 4), Dropout(0.5))
    X, y = np.ones((500, 3)), np.zeros((500, 4))
    x = net.init(0)
    masks = net.draw_masks(x, X, 1)
    assert [mask.shape for mask in masks] == [(500, 4), (500, 4)]
    for mask, rate in zip(masks, (0.25, 0.5), strict=True):
        assert set(np.unique(mask)) == {0.0, 1.0}
        assert abs(mask.mean() - (1 - rate)) < 5 * np.sqrt(rate * (1 - rate) / mask.size)
    np.testing.assert_array_equal(masks[0], net.draw_masks(x, X, 1)[0])
    dropped, kept = (refopt.Supervised(net, "mse", X, y, masks=given) for given in (masks, ()))
    assert not dropped.outputs(x)[masks[1] == 0].any()
    np.testing.assert_array_equal(
        kept.grad(x), refopt.Supervised(Sequential(*[net.layers[k] for k in (0, 2, 3)]), "mse", X, y).grad(x)
    )
    with pytest.raises(ValueError, match="2 layers of Dropout"):
        refopt.Supervised(net, "mse", X, y, masks=masks[:1]).fun(x)
    with pytest.raises(ValueError, match="mask"):
        refopt.Supervised(net, "mse", X, y, masks=(masks[0][:3], masks[1])).fun(x)


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda: refopt.Supervised(Linear(2, 1), "mse", np.zeros((0, 2)), np.zeros((0, 1))), ValueError, "no samples"),
        (lambda: refopt.Supervised(Linear(2, 1), "mse", np.zeros((3, 4)), np.zeros((3, 1))), ValueError, r"N, …, 2"),
        (lambda: refopt.Supervised(Tanh(), "mse", np.zeros((3, 4)), np.zeros((3, 4))), ValueError, "no parameters"),
        (lambda: refopt.Supervised("net", "mse", np.zeros((3, 4)), np.zeros((3, 1))), TypeError, "made of layers"),
        (
            lambda: refopt.Supervised(len, "mse", np.zeros((3, 4)), np.zeros(3), derivatives="jax"),
            ValueError,
            "unknown method",
        ),
        (
            lambda: refopt.Supervised(Embedding(3, 2), "mse", np.zeros((3, 1)), np.zeros((3, 1, 2))),
            TypeError,
            "integers",
        ),
        (
            lambda: refopt.Supervised(Embedding(3, 2), "mse", np.array([[3], [0], [0]]), np.zeros((3, 1, 2))),
            ValueError,
            "outside",
        ),
    ],
)
def test_what_does_not_fit_is_said(make, error, says):
    with pytest.raises(error, match=says):
        make()


def test_wrong_parameters_and_cotangents():
    problem = refopt.Supervised(Linear(2, 1), "mse", np.zeros((3, 2)), np.zeros((3, 1)))
    with pytest.raises(ValueError, match=r"3 parameters.*\(4,\)"):
        problem.fun(np.zeros(4))
    with pytest.raises(ValueError, match="3 parameters"):
        problem.hvp(np.zeros(3), np.zeros((3, 1)))
    with pytest.raises(ValueError, match="cotangents"):
        problem.vjp(np.zeros(3), np.zeros((3, 2)))


def test_what_is_not_finite_stays_visible():
    problem = refopt.Supervised(Linear(2, 1), "mse", np.array([[np.nan, 0.0]]), np.zeros((1, 1)))
    assert np.isnan(problem.fun(np.ones(3)))
    assert np.isnan(problem.grad(np.ones(3))).any()


@pytest.mark.parametrize("positions", [(), (5,)])
@pytest.mark.parametrize(
    "net",
    [
        Sequential(Linear(3, 0), Tanh(), Linear(0, 2)),
        Sequential(Linear(0, 3), Tanh(), Linear(3, 2)),
        Sequential(Linear(0, 2, bias=False), Linear(2, 2)),
        Linear(0, 2),
    ],
)
def test_layers_without_inputs_or_outputs(net, positions):
    """What is left is the bias behind them: y = b, so that the Hessian of ½‖b − y‖² is known."""
    first = net if isinstance(net, Linear) else net.children[0]
    y = np.arange(8.0 * (positions or (1,))[0]).reshape(4, *positions, 2)
    problem = refopt.Supervised(net, "squared", np.ones((4, *positions, first.inputs)), y)
    x = net.init(0)
    point, v = problem.at(x), np.ones(net.size)
    J = point.jacobian()
    G = J.T @ J / 4
    close = {"rtol": 0, "atol": 200 * EPS * np.linalg.norm(y) * max(1.0, np.linalg.norm(G))}
    np.testing.assert_allclose(point.grad, J.T @ (point.f - y).ravel() / 4, **close)
    np.testing.assert_allclose(point.per_sample_grad().mean(0), point.grad, **close)
    np.testing.assert_allclose(point.ggnvp(v), G @ v, **close)
    for made in (refopt.curvature.ggn(problem, x), refopt.curvature.fisher(problem, x)):
        np.testing.assert_allclose(made, G, **close)
    S = point.per_sample_grad()
    found = refopt.curvature.diagonal(problem, x, of="empirical")
    np.testing.assert_allclose(found, (S * S).mean(0), rtol=0, atol=200 * EPS * np.sum(S * S))
    if net.size == 2:  # y = b, at each position
        np.testing.assert_allclose(problem.hess(x), (positions or (1,))[0] * np.eye(2), **close)


def test_lists_and_integers_are_arrays_to_every_product():
    net = Sequential(Linear(3, 4), Tanh(), Linear(4, 2))
    x, v = np.arange(net.size) % 3 - 1, np.arange(net.size) % 5
    X, y = np.arange(15).reshape(5, 3) % 4, [0, 1, 1, 0, 1]
    problem, real = refopt.Supervised(net, "cross-entropy", X.tolist(), y), x.astype(float)
    for name in ("jvp", "hvp", "ggnvp", "fisher_vp", "empirical_fisher_vp"):
        wanted = getattr(problem, name)(real, v.astype(float))
        for given in (v, v.tolist()):
            assert np.array_equal(getattr(problem, name)(x.tolist(), given), wanted), name
    u = np.arange(10).reshape(5, 2)
    assert np.array_equal(problem.vjp(x, u.tolist()), problem.vjp(real, u.astype(float)))
    assert np.array_equal(problem.hess(x.tolist()), problem.hess(real))
    assert np.array_equal(net(x.tolist(), X.tolist()), net(real, X.astype(float)))
    assert np.array_equal(net.ravel(net.unravel(x.tolist())), real)
    kfac = refopt.curvature.kfac
    assert np.array_equal(kfac(problem, x.tolist()).dense(), kfac(problem, real).dense())
    own = refopt.Supervised(
        lambda w, Z: anp.tanh(Z @ w)[:, None] * anp.ones((1, 2)), "cross-entropy", X.astype(float), y
    )
    w = np.array([0.1, -0.2, 0.3])
    for name in ("jvp", "hvp", "ggnvp"):
        assert np.array_equal(getattr(own, name)(w, [1, 0, 2]), getattr(own, name)(w, np.array([1.0, 0.0, 2.0])))


@pytest.mark.parametrize(
    "network", [Linear(3, 2), Sequential(Linear(3, 4), Tanh(), Linear(4, 2)), lambda x, X: X @ x.reshape(3, 2)]
)
def test_gradients_per_sample_written_in_place(network):
    """Into an array, into every second row of one, and into no other shape; buffers keep their size."""
    rng = np.random.default_rng(0)
    problem = refopt.Supervised(network, "squared", rng.standard_normal((5, 3)), rng.standard_normal((5, 2)))
    x, before = rng.standard_normal(getattr(network, "size", 6)), np.getbufsize()
    wanted, whole = problem.per_sample_grad(x), np.full((10, x.size), np.nan)
    for out in (np.full((5, x.size), np.nan), whole[::2]):
        assert problem.per_sample_grad(x, out=out) is out
        np.testing.assert_array_equal(out, wanted)
    assert np.isnan(whole[1::2]).all()
    assert np.getbufsize() == before
    with pytest.raises(ValueError, match=r"out has shape \(5, 1\)"):
        problem.per_sample_grad(x, out=np.zeros((5, 1)))


@pytest.mark.parametrize(
    ("network", "shape"),
    [
        (Sequential(Linear(3, 2), Linear(2, 0)), (4, 0)),
        (Linear(3, 2), (4, 0, 2)),
        (lambda x, X: X[..., :2] + x[0], (4, 0, 2)),
    ],
    ids=["no classes", "no tokens", "a function"],
)
def test_what_has_no_outputs_is_named(network, shape):
    with pytest.raises(ValueError, match="there are no outputs"):
        refopt.Supervised(network, "mse", np.ones((*shape[:-1], 3)), np.zeros(shape)).at(np.ones(1))


@pytest.mark.parametrize("loss", ["binary-cross-entropy", "cross-entropy"])
def test_labels_that_a_plane_separates_are_known_by_it(loss):
    """Beside linear programming, which finds a plane wherever there is one: y(Xw + b) ≥ 1."""
    from scipy.optimize import linprog

    rng, found = np.random.default_rng(4), []
    outputs = 1 if loss == "binary-cross-entropy" else 2
    for _ in range(40):
        X, y = rng.standard_normal((7, 2)), rng.integers(2, size=7)
        A = (1 - 2 * y)[:, None] * np.column_stack([X, np.ones(7)])
        plane = linprog(np.zeros(3), A, -np.ones(7), bounds=(None, None))
        problem = refopt.Supervised(Linear(2, outputs), loss, X, y)
        w = plane.x if plane.success else rng.standard_normal(3)
        x = w if outputs == 1 else np.array([0, 0, *w[:2], 0, w[2]])
        assert problem.separated(x) == plane.success
        assert not problem.separated(-x)
        found.append(plane.success)
        if plane.success:
            assert np.allclose(problem.margins(x), (2 * y - 1) * (X @ w[:2] + w[2]))
            values = [problem.fun(t * x) for t in (1, 10, 100)]
            assert values[0] > values[1] > values[2] >= 0.0
            assert values[2] < 1e-40
    assert 5 < sum(found) < 35


def test_what_has_no_classes_is_not_separated():
    X = np.ones((3, 2))
    assert not refopt.Supervised(Linear(2, 1), "squared", X, np.zeros(3)).separated(np.zeros(3))
    assert not refopt.Supervised(Linear(2, 2), "cross-entropy", X, np.full(3, -100)).separated(np.ones(6))
    assert not refopt.Supervised(Linear(2, 1), "binary-cross-entropy", X, np.zeros(3)).separated(np.zeros(3))
