"""Networks: the R-operator, what is linear and what is not, shared weights, and what some layers do not see.

Small networks on small data: f = V φ(W X) with φ = ReLU or none, ½‖f − Y‖², X (N, n). Rational numbers stay rational.
"""

from itertools import permutations, product

import numpy as np

from refopt.networks import Conv2d, Dropout, LayerNorm, Linear, ReLU, SelfAttention, Sequential
from refopt.oracle.claim import Fails, claim
from refopt.oracle.claims import NW
from refopt.oracle.draw import bulk, size

PEARLMUTTER = "B. A. Pearlmutter, Neural Computation 6 (1994) 147"
SCHRAUDOLPH = "N. N. Schraudolph, Neural Computation 14 (2002) 1723"
SUMS = "sums of a few products of this size"


def network(W, V, phi):
    layers = [Linear(W.shape[1], W.shape[0], bias=False), Linear(V.shape[1], V.shape[0], bias=False)]
    return Sequential(layers[0], ReLU(), layers[1]) if phi else Sequential(*layers)


def joined(*arrays):
    return np.concatenate([array.reshape(-1) for array in arrays])


def hessian_product(W, V, X, Y, dW, dV, phi):
    """∇²(½‖f − Y‖²) times (dW, dV), as one vector, by the R-operator."""
    net = network(W, V, phi)
    p, dp, found = net.nested(joined(W, V)), net.nested(joined(dW, dV)), []
    f, tape = net.forward(p, X)
    df, dtape = net.jvp(p, tape, dp, None)
    net.rvjp(p, tape, dp, dtape, f - Y, df, lambda layer, *tapes: found.append(layer.rsums(*tapes)), False)
    return net.flat(found)


def gauss_newton_product(W, V, X, Y, dW, dV, phi):
    """JᵀJ times (dW, dV)."""
    net = network(W, V, phi)
    p, found = net.nested(joined(W, V)), []
    _, tape = net.forward(p, X)
    df, _ = net.jvp(p, tape, net.nested(joined(dW, dV)), None)
    net.vjp(p, tape, df, lambda layer, *tapes: found.append(layer.sums(*tapes)), False)
    return net.flat(found)


def applied(product, made):
    return product(*(made[name] for name in ("W", "V", "X", "Y", "dW", "dV", "phi")))


def loss(W, V, X, Y, phi):
    z = X @ W.T
    r = (np.where(z > 0, z, 0 * z) if phi else z) @ V.T - Y
    return (r * r).sum() / 2


def drawn(draw, phi=True):
    """W, V, X, Y, and directions along which no unit of W X changes its sign within five steps."""
    n, m, k, N = draw.size(1, 3), draw.size(1, 3), draw.size(1, 2), draw.size(1, 3)
    W, V, X, Y = draw.matrix(m, n), draw.matrix(k, m), draw.matrix(N, n), draw.matrix(N, k)
    z, dW, dV = X @ W.T, draw.matrix(m, n), draw.matrix(k, m)
    if not (z != 0).all() or abs(z).min() < 1e-3 * abs(z).max():
        return drawn(draw, phi)
    moved = abs(X @ dW.T).max()
    if phi and moved != 0:
        dW = dW * abs(z).min() / (4 * moved)
    return {"W": W, "V": V, "X": X, "Y": Y, "dW": dW, "dV": dV, "phi": phi}


def magnitude(W, V, X, Y, dW, dV):
    """Twice the loss at most, at any of five steps."""
    weights = (size(W) + 2 * size(dW)) * (size(V) + 2 * size(dV))
    return (weights * size(X) + size(Y)) ** 2


def bent(W, V, X, Y, dW, dV):
    """‖∇²(½‖f − Y‖²)‖‖(dW, dV)‖ at most: the slopes of f, squared, and its residual times its bend."""
    slope, bend = size(X) * (size(W) + size(V)), 2 * size(X)
    return (slope**2 + (size(X) * size(W) * size(V) + size(Y)) * bend) * size(joined(dW, dV))


# --- products ----------------------------------------------------------------------------------------------------


def second_order(draw, hessian_product):
    made = drawn(draw, bool(draw.rng.integers(2)))
    other = {"dW": draw.matrix(*made["W"].shape), "dV": draw.matrix(*made["V"].shape)}
    return made | {
        "Hv": applied(hessian_product, made),
        "u": joined(*other.values()),
        "Hu": applied(hessian_product, made | other),
    }


@claim(
    "networks.r-operator",
    "The R-operator, one sweep forward and one backward with their tangents, gives the product Hv; H is symmetric",
    PEARLMUTTER + "; " + NW + "§8.2",
    second_order,
    uses=("networks.hessian_product",),
    scale=lambda W, V, X, Y, dW, dV, u: (
        32 * magnitude(W, V, X, Y, dW, dV), bent(W, V, X, Y, dW, dV) * size(u),
    ),
    because="five values of the loss, a quartic along a line, as large as this; " + SUMS,
)  # fmt: skip
def r_operator(W, V, X, Y, dW, dV, phi, Hv, u, Hu):
    values = [loss(W + t * dW, V + t * dV, X, Y, phi) for t in (-2, -1, 0, 1, 2)]
    v = joined(dW, dV)
    return np.array([-1, 16, -30, 16, -1]) @ np.array(values) - 12 * (v @ Hv), u @ Hv - v @ Hu


def one_layer(draw, hessian_product, gauss_newton_product):
    """V held fixed: f is linear in W."""
    made = drawn(draw, False)
    made |= {"dV": 0 * made["dV"]}
    H, G = applied(hessian_product, made), applied(gauss_newton_product, made)
    cut = made["W"].size
    return made | {"gap": H[:cut] - G[:cut]}


def two_layers(draw, hessian_product, gauss_newton_product):
    """Both move, and the residual is not zero."""
    made = drawn(draw, False)
    H, G = applied(hessian_product, made), applied(gauss_newton_product, made)
    gap = (H - G) / bulk(G) if bulk(G) else H - G
    return {"gap": gap} if size(gap) > 1e-3 else two_layers(draw, hessian_product, gauss_newton_product)


@claim(
    "networks.linear",
    "For a linear network the Gauss-Newton matrix is the Hessian",
    SCHRAUDOLPH + "; " + NW + "§10.2",
    one_layer,
    "conditional",
    given="it is linear in its parameters: one layer. Two linear layers are linear in X but not in the parameters",
    uses=("networks.hessian_product", "networks.gauss_newton_product"),
    scale=bent,
    because=SUMS,
    fails=(Fails("two linear layers", two_layers, lambda gap: gap),),
)
def linear(gap):
    return gap


def within_layers(draw, hessian_product, gauss_newton_product):
    """Products with one layer's directions, seen in that layer."""
    made = drawn(draw)
    cut, gaps = made["W"].size, []
    for which in ("dW", "dV"):
        alone = made | {name: 0 * made[name] for name in ("dW", "dV") if name != which}
        gap = applied(hessian_product, alone) - applied(gauss_newton_product, alone)
        gaps.append(gap[:cut] if which == "dW" else gap[cut:])
    return made | {"first": gaps[0], "second": gaps[1]}


def curved(draw, hessian_product, gauss_newton_product):
    """The curvature along a change of V, where a unit is active."""
    made = drawn(draw)
    alone = made | {"dW": 0 * made["dW"], "dV": draw.array(np.ones(made["V"].shape, int))}
    h = np.where(made["X"] @ made["W"].T > 0, made["X"] @ made["W"].T, 0)
    if not h.sum(axis=1).any():
        return curved(draw, hessian_product, gauss_newton_product)
    bend = joined(alone["dW"], alone["dV"]) @ applied(hessian_product, alone)
    return {"relative": bend / ((h.sum(axis=1) ** 2).sum() * len(made["V"]))}


@claim(
    "networks.relu-curvature",
    "The second derivative of ReLU is zero, and with it the curvature of a network of ReLU and linear layers",
    SCHRAUDOLPH,
    within_layers,
    "false",
    corrected="The block of H of each layer is its Gauss-Newton block, which is not zero where units are active",
    uses=("networks.hessian_product", "networks.gauss_newton_product"),
    scale=bent,
    because=SUMS,
    fails=(Fails("as stated, along a change of the second layer", curved, lambda relative: relative),),
)
def relu_curvature(first, second):
    return first, second


# --- weights that are used more than once ----------------------------------------------------------------------------


def squares(a, g):
    """Σₙ (∇Wₙ)² of a linear layer, for inputs a (N, R, n) and cotangents g (N, R, m)."""
    return Linear(a.shape[2], g.shape[2], bias=False).squares(a, g)[0]


def one_position(draw, squares, R=1):
    N, n, m = draw.size(1, 4), draw.size(1, 3), draw.size(1, 3)
    a = draw.matrix(N, R * n).reshape(N, R, n)
    g = draw.matrix(N, R * m).reshape(N, R, m)
    return {"a": a, "g": g, "found": squares(a, g)}


def several_positions(draw, squares):
    made = one_position(draw, squares, 2)
    gap = made["found"] - product_of_squares(made["a"], made["g"])
    scale = bulk(product_of_squares(made["a"], made["g"]))
    if scale == 0 or not size(gap) > 1e-3 * float(scale):
        return several_positions(draw, squares)
    return {"gap": gap / scale}


def product_of_squares(a, g):
    a, g = a.reshape(-1, a.shape[2]), g.reshape(-1, g.shape[2])
    return (g * g).T @ (a * a)


@claim(
    "networks.squared-gradients",
    "The squared gradients of a linear layer sum to a product of squares: Σₙ (∇Wₙ)ᵢⱼ² = Σ gᵢ²aⱼ²",
    "F. Dangel, F. Kunstner & P. Hennig, ICLR 2020, arXiv:1912.10985",
    one_position,
    "conditional",
    given="each sample passes once; where it passes at several positions, as in a convolution, there are cross terms",
    uses=("networks.squares",),
    scale=lambda a, g: bulk(a) ** 2 * bulk(g) ** 2,
    because=SUMS,
    fails=(Fails("two positions", several_positions, lambda gap: gap),),
)
def squared_gradients(a, g, found):
    return found - product_of_squares(a, g)


def shared(draw):
    """f = W W x with both W one array: its gradient, and those of either W alone, by the chain rule."""
    n = draw.size(1, 3)
    W, x, u = draw.matrix(n, n), draw.vector(n), draw.vector(n)
    net = Sequential(*(Linear(n, n, bias=False, shared_as="W") for _ in range(2)))
    p, found = net.nested(joined(W)), []
    _, tape = net.forward(p, x[None, :])
    net.vjp(p, tape, u[None, :], lambda layer, *tapes: found.append(layer.sums(*tapes)), False)
    outer, inner = u[:, None] * (W @ x), (W.T @ u)[:, None] * x
    return {"W": W, "x": x, "u": u, "whole": net.flat(found), "outer": joined(outer), "inner": joined(inner)}


def crossed(draw):
    made = shared(draw)
    whole, parts = made["whole"] ** 2, made["outer"] ** 2 + made["inner"] ** 2
    if not size(whole - parts) > 1e-3 * float(bulk(parts)):
        return crossed(draw)
    return {"gap": (whole - parts) / bulk(parts)}


@claim(
    "networks.shared-weights",
    "The gradient of a shared weight, and the square of it, is the sum over the places where it is used",
    "R. Eschenhagen et al., NeurIPS 36 (2023), arXiv:2311.00636",
    shared,
    "false",
    corrected="The gradient is; its square has the cross terms as well",
    scale=lambda W, x, u: bulk(W) * bulk(x) * bulk(u),
    because=SUMS,
    fails=(Fails("the square", crossed, lambda gap: gap),),
)
def shared_weights(whole, outer, inner):
    return whole - outer - inner


def convolved(draw):
    """A kernel of (2, 2) on one channel, stride (1, 2), padding (1, 0), by the definition."""
    H, width, out = draw.size(1, 3), draw.size(2, 4), draw.size(1, 2)
    x, W = draw.matrix(H, width), draw.matrix(out, 4).reshape(out, 1, 2, 2)
    layer = Conv2d(1, out, 2, stride=(1, 2), padding=(1, 0), bias=False)
    y = layer.forward(layer.nested(joined(W)), x[None, None])[0][0]
    padded = np.concatenate([0 * x[:1], x, 0 * x[:1]])
    places = product(range(out), range(H + 1), range((width - 2) // 2 + 1))
    by_hand = [(W[o, 0] * padded[i : i + 2, 2 * j : 2 * j + 2]).sum() for o, i, j in places]
    return {"x": x, "W": W, "y": joined(y), "by_hand": np.array(by_hand)}


@claim(
    "networks.convolution",
    "A convolution is a linear layer, applied to the patch under its kernel at each position",
    "R. Grosse & J. Martens, ICML 2016, arXiv:1602.01407, §2",
    convolved,
    scale=lambda x, W: bulk(x) * bulk(W),
    because=SUMS,
)
def convolution(y, by_hand):
    return y - by_hand


# --- what layers do not see -----------------------------------------------------------------------------------------


def dropped(draw, after=None):
    """A layer after Dropout, averaged over all masks, beside the layer without."""
    n = draw.size(2, 3)
    x, w = draw.vector(n), draw.vector(n)
    layer = Dropout(draw.array("1/2")[()])
    inputs = [layer.forward((np.array([mask]),), x[None, :])[0][0] for mask in product((0, 1), repeat=n)]
    after = after or (lambda z: z)
    mean = sum(after(z @ w) for z in inputs) / len(inputs)
    return {"x": x, "w": w, "mean": mean, "without": after(x @ w)}


def rectified(draw):
    made = dropped(draw, lambda z: z if z > 0 else 0 * z)
    gap = (made["mean"] - made["without"]) / (bulk(made["x"]) * bulk(made["w"]))
    return {"gap": gap} if abs(gap) > 1e-3 else rectified(draw)


@claim(
    "networks.dropout",
    "Dropout with division by 1 − rate leaves expected outputs as they are",
    "N. Srivastava et al., JMLR 15 (2014) 1929, §10",
    dropped,
    "conditional",
    given="what follows is affine; the expectation does not pass through a nonlinear layer",
    scale=lambda x, w: 4 * bulk(x) * bulk(w),
    because=SUMS,
    fails=(Fails("a ReLU follows", rectified, lambda gap: gap),),
)
def dropout(mean, without):
    return mean - without


def normalised(draw, eps=0.0):
    """The derivative of layer normalisation along x − mean x, and along the vector of ones."""
    n = draw.size(2, 5)
    x = draw.vector(n)
    centred = x - x.sum() / n
    if size(centred) < 0.1 * size(x):
        return normalised(draw, eps)
    core = LayerNorm(n, eps).children[0]
    _, tape = core.forward((), x[None, :])
    along, ones = core.jvp((), tape, (), centred[None, :])[0], core.pull((), tape, 1 + 0 * x[None, :])
    return {"x": x, "along": along, "ones": ones}


def damped(draw):
    """ε = 1 on inputs whose variance is about that."""
    return {"along": normalised(draw, 1.0)["along"]}


@claim(
    "networks.layer-norm",
    "Layer normalisation does not see the mean or the size of its inputs",
    "J. L. Ba, J. R. Kiros & G. E. Hinton, arXiv:1607.06450, §5",
    normalised,
    "conditional",
    given="ε = 0; the ε of practice makes small inputs smaller",
    exact=False,
    scale=lambda x: (centred := size(x - x.sum() / len(x)), (size(x) / centred, len(x) * size(x) / centred**2))[1],
    because="x − mean has the roundings of x, and all is divided by its size: once along it, twice along ones",
    fails=(Fails("ε = 1", damped, lambda along: along, False),),
)
def layer_norm(along, ones):
    return along, ones


def attended(draw, causal=False):
    """Self-attention on tokens in another order, beside its outputs in that order."""
    T, d = draw.size(2, 3), 2
    layer = SelfAttention(d, 1, causal)
    p, x = layer.nested(draw.vector(layer.size)), draw.matrix(T, d)
    order = list(list(permutations(range(T)))[-1])
    return {"moved": layer.forward(p, x[None, order])[0], "outputs": layer.forward(p, x[None])[0][:, order]}


def causal(draw):
    made = attended(draw, True)
    gap = (made["moved"] - made["outputs"]) / bulk(made["outputs"])
    return {"gap": gap} if size(gap) > 1e-3 else causal(draw)


@claim(
    "networks.attention",
    "Self-attention does not see the order of its tokens: outputs are permuted as they are",
    "A. Vaswani et al., NeurIPS 30 (2017), arXiv:1706.03762, §3.5",
    attended,
    "conditional",
    given="no positions are added and no token is hidden from another; with a causal mask the order matters",
    exact=False,
    scale=lambda outputs: 1 + bulk(outputs),
    because="logits of moderate size, exponentiated",
    fails=(Fails("a causal mask", causal, lambda gap: gap, False),),
)
def attention(moved, outputs):
    return moved - outputs
