"""Parameters: names, order, ways in and out; what layers refuse; the functions that the array standard lacks."""

import mpmath
import numpy as np
import pytest

from networks.cases import CASES
from refopt import networks
from refopt.networks import (
    Conv2d,
    Dropout,
    Embedding,
    FixedPositions,
    LayerNorm,
    Linear,
    Residual,
    SelfAttention,
    Sequential,
    Tanh,
)
from refopt.networks.functions import erfc, erfc_series, sigmoid

EPS = 2.0**-52


def test_the_flat_vector_holds_w_before_b_layer_by_layer_in_c_order():
    net = Sequential(Linear(2, 3), Tanh(), Linear(3, 1))
    assert net.size == 13
    arrays = net.unravel(np.arange(13.0))
    assert list(arrays) == ["0.W", "0.b", "2.W", "2.b"]
    np.testing.assert_array_equal(arrays["0.W"], [[0, 1], [2, 3], [4, 5]])
    np.testing.assert_array_equal(arrays["2.b"], [12])
    np.testing.assert_array_equal(net.ravel(arrays), np.arange(13.0))
    np.testing.assert_array_equal(net.ravel(list(arrays.values())), np.arange(13.0))
    assert net.unravel(np.zeros((4, 13)))["0.W"].shape == (4, 3, 2)


def test_names_and_shapes_of_layers_made_of_others():
    net = Sequential(Residual(LayerNorm(4), SelfAttention(4, 2)), Conv2d(2, 4, (3, 2), groups=2))
    assert [(slot.name, slot.shape) for slot in net.plan.slots] == [
        ("0.0.w", (4,)),
        ("0.0.b", (4,)),
        ("0.1.in.W", (12, 4)),
        ("0.1.in.b", (12,)),
        ("0.1.out.W", (4, 4)),
        ("0.1.out.b", (4,)),
        ("1.W", (4, 1, 3, 2)),
        ("1.b", (4,)),
    ]


def test_a_shared_array_is_one_array():
    net = Sequential(Embedding(5, 3, "tokens"), Linear(3, 5, shared_as="tokens"))
    assert [(slot.name, slot.shape) for slot in net.plan.slots] == [("tokens", (5, 3)), ("1.b", (5,))]
    with pytest.raises(ValueError, match="shared"):
        Sequential(Embedding(5, 3, "tokens"), Linear(3, 4, shared_as="tokens")).init(0)


def test_the_vision_transformer_has_its_size():
    net = networks.vit()
    assert net.size == 556_042
    assert sum(slot.name.endswith(".t") for slot in net.plan.slots) == 1
    x = net.init(0)
    X = np.random.default_rng(1).standard_normal((2, 3, 32, 32))
    f = net(x, X)
    assert f.shape == (2, 10)
    token = next(slot for slot in net.plan.slots if slot.name.endswith(".t"))
    x[token.part] += 1.0
    assert np.abs(net(x, X) - f).max() > 1e-3  # what is read out begins with the class token
    assert len(net.draw_masks(x, X, 0)) == 8
    with pytest.raises(ValueError, match="patches"):
        networks.vit(size=30)


@pytest.mark.parametrize("name", CASES)
def test_init_is_a_function_of_the_seed(name):
    net = CASES[name].network
    x = net.init(3)
    assert x.shape == (net.size,)
    np.testing.assert_array_equal(x, net.init(np.random.default_rng(3)))
    assert not np.array_equal(x, net.init(4))


def test_dense_layers_from_arrays():
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(shape) for shape in [(4, 3), (4,), (2, 4)]]
    net = networks.from_arrays(arrays, activation=networks.ReLU())
    X = rng.standard_normal((5, 3))
    x = net.init()
    np.testing.assert_allclose(net(x, X), np.maximum(X @ arrays[0].T + arrays[1], 0.0) @ arrays[2].T)
    np.testing.assert_array_equal(x, np.concatenate([a.ravel() for a in arrays]))


def test_arrays_for_given_layers(tmp_path):
    layers = Sequential(Conv2d(1, 2, 3), networks.Flatten(), Linear(8, 2))
    arrays = list(layers.unravel(layers.init(0)).values())
    net = networks.from_arrays(arrays, layers)
    np.testing.assert_array_equal(net.init(), layers.init(0))
    networks.save(tmp_path / "net.npz", net, net.x)
    np.testing.assert_array_equal(networks.load(tmp_path / "net.npz", layers), net.x)
    with pytest.raises(ValueError, match="arrays"):
        networks.load(tmp_path / "net.npz", Linear(2, 2))


@pytest.mark.parametrize("name", ["net", "net.npz"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_file_holds_every_kind(namespace, dtype, name, tmp_path):
    layers, place = Linear(3, 2), tmp_path / name
    x = namespace.asarray(np.arange(8.0).astype(dtype))
    networks.save(place, layers, x)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert networks.load(place, layers).dtype == dtype
    again = networks.load(place, layers, like=x)
    assert namespace.owns(again)
    assert again.dtype == x.dtype
    np.testing.assert_array_equal(namespace.to_numpy(again), np.arange(8.0))


def test_a_file_is_the_old_one_until_the_new_one_is_whole(tmp_path, monkeypatch):
    layers, place = Linear(3, 2), tmp_path / "net.npz"
    networks.save(place, layers, np.ones(8))

    def full(file, **arrays):
        file.write(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="no space"):
        networks.save(place, layers, np.zeros(8))
    assert [path.name for path in tmp_path.iterdir()] == ["net.npz"]
    np.testing.assert_array_equal(networks.load(place, layers), np.ones(8))
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        networks.save(tmp_path / "none" / "net.npz", layers, np.ones(8))


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: Linear(3, 2).ravel([np.zeros((2, 3))]), "2 arrays"),
        (lambda: Linear(3, 2).ravel([np.zeros((2, 2)), np.zeros(2)]), r"W has shape \(2, 3\)"),
        (lambda: Linear(3, 2).ravel({"W": np.zeros((2, 3))}), "'b'"),
        (lambda: networks.from_arrays([np.zeros((2, 3, 3, 3))]), "dense"),
        (lambda: Linear(3, 2).unravel(np.zeros(5)), "8 parameters"),
        (lambda: Conv2d(3, 4, 3, groups=2), "groups"),
        (lambda: SelfAttention(6, 4), "heads"),
        (lambda: Dropout(1.0), "rate"),
        (lambda: FixedPositions(2, 2, 6), "multiple of 4"),
        (lambda: Conv2d(1, 1, 3)(np.zeros(10), np.zeros((1, 1, 2, 5))), "does not fit"),
        (lambda: Conv2d(1, 1, 3)(np.zeros(10), np.zeros((1, 5, 5))), r"\(N, 1, H, W\)"),
        (lambda: Residual(Linear(3, 2))(np.zeros(8), np.zeros((1, 3))), "residual"),
        (lambda: LayerNorm(3)(np.zeros(6), np.zeros((1, 2))), "features=3"),
        (lambda: networks.Positions(3, 2)(np.zeros(6), np.zeros((1, 4, 2))), r"\(N, 3, 2\)"),
    ],
)
def test_what_layers_refuse(call, says):
    with pytest.raises(ValueError, match=says):
        call()


def test_layers_come_one_by_one():
    with pytest.raises(TypeError, match="one by one"):
        Sequential([Linear(1, 1)])
    assert repr(Sequential(Residual(Tanh()))) == "Sequential(Residual(Tanh()))"


def test_no_causal_token_sees_a_later_one():
    net = Sequential(SelfAttention(4, 2, causal=True))
    x, rng = net.init(0), np.random.default_rng(0)
    X = rng.standard_normal((1, 5, 4))
    changed = X.copy()
    changed[0, 3:] += 1.0
    np.testing.assert_array_equal(net(x, changed)[0, :3], net(x, X)[0, :3])
    assert np.abs(net(x, changed)[0, 3:] - net(x, X)[0, 3:]).min() > 0.0


@pytest.mark.parametrize("function", [erfc, erfc_series])
def test_erfc(function):
    """Beside fifty digits: rounding of x alone moves erfc by 2x² eps, the sums and products by some tens."""
    x = np.concatenate([np.linspace(-6.0, 6.0, 97), [-30.0, 1.999999, 2.0, 2.000001, 10.0, 20.0, 26.0]])
    with mpmath.workdps(50):
        exact = np.array([float(mpmath.erfc(mpmath.mpf(value))) for value in x])
    assert (np.abs(function(x) - exact) <= (50 + 2 * x**2) * EPS * exact).all()


def test_erfc_on_every_kind(namespace):
    for dtype in (np.float64, np.float32):
        x = namespace.asarray(np.linspace(-3, 3, 7).astype(dtype))
        y = erfc(x)
        assert namespace.owns(y)
        assert namespace.to_numpy(y).dtype == dtype
        np.testing.assert_allclose(namespace.to_numpy(y), erfc(np.linspace(-3, 3, 7)), rtol=100 * np.finfo(dtype).eps)


def test_sigmoid_to_the_last_digits():
    x = np.array([-700.0, -30.0, -1.0, 0.0, 1.0, 30.0, 800.0])
    with mpmath.workdps(50):
        exact = np.array([float(1 / (1 + mpmath.exp(-mpmath.mpf(value)))) for value in x])
    np.testing.assert_allclose(sigmoid(x), exact, rtol=4 * EPS)
