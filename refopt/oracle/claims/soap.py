"""SOAP: Adam in the eigenbases of Shampoo's factors."""

import numpy as np

from refopt.oracle.claim import Fails, claim
from refopt.oracle.draw import bulk, condition, size, with_spectrum
from refopt.problem import Problem
from refopt.stochastic import soap

VYAS = "N. Vyas et al., SOAP, arXiv:2409.11321, "


def layer(draw, turned):
    Q1, Q2, G = draw.orthogonal(m := draw.size(1, 4)), draw.orthogonal(n := draw.size(1, 4)), draw.matrix(m, n)
    there = turned(G, (Q1, Q2))
    return {"Q1": Q1, "Q2": Q2, "G": G, "there": there, "back": turned(there, (Q1, Q2), True)}


@claim(
    "soap.rotation",
    "Gradients are turned, Q₁ᵀGQ₂, and steps turned back; nothing is lost, and no length changes",
    VYAS + "Algorithm 3",
    layer,
    given="Q₁ and Q₂ orthogonal",
    uses=("soap.turned",),
    scale=lambda G: (size(G), size(G), size(G) ** 2),
    because="products with orthogonal matrices",
)
def rotation(Q1, Q2, G, there, back):
    return there - Q1.T @ G @ Q2, back - G, (there**2).sum() - (G**2).sum()


def run(gradients, **options):
    """The library's displacements under some gradients of one array."""
    params = soap.Params(step=0.1, shapes=(gradients[0].shape,), every=2, **options)
    state = soap.init(Problem(None), 0.0 * gradients[0].ravel(), params)  # type: ignore[arg-type]
    for G in gradients:
        state = soap.update(state, G.ravel(), params)
    return state.x


def rescaled(draw, eps=0.0):
    n = draw.size(2, 3)
    gradients, c = [draw.matrix(n, n) for _ in range(4)], 2.0 ** int(draw.rng.integers(2, 7))
    return {"x": run(gradients, eps=eps), "x_scaled": run([c * G for G in gradients], eps=eps)}


@claim(
    "soap.scale-free",
    "f → cf changes no step",
    VYAS + "Algorithm 3",
    rescaled,
    "conditional",
    given="ε = 0",
    scale=lambda x: bulk(x),
    because="c is a power of 2: what differs is what the eigenvectors' routine makes of another size",
    exact=False,
    fails=(Fails("ε = 1", lambda draw: rescaled(draw, 1.0), lambda x, x_scaled: (x_scaled - x) / bulk(x)),),
)
def scale_free(x, x_scaled):
    return x_scaled - x


def reordered(draw, refreshed):
    """Eigenvectors Q of L in rising order of their eigenvalues, which is the wrong one, and second moments V."""
    n = draw.size(2)
    values = np.sort(1.0 + draw.rng.random(n)) * np.arange(1, n + 1)
    Q, V = draw.orthogonal(n), 1.0 + np.arange(n) + draw.rng.random(n)
    L = with_spectrum(Q, values)
    (Q_new,), V_new = refreshed((L,), (Q,), V)
    return {"L": L, "Q": Q, "V": V, "Q_new": Q_new, "V_new": V_new}


@claim(
    "soap.moments",
    "When the bases are renewed the second moments may stay where they are",
    VYAS + "§4",
    reordered,
    "false",
    corrected="They belong to the columns of Q: where these change places V does too, and Q diag(V) Qᵀ stays",
    uses=("soap.refreshed",),
    scale=lambda L, V: condition(L) * size(V),
    because="eigenvectors are renewed to eps κ",
    exact=False,
    fails=(
        Fails(
            "as stated",
            reordered,
            lambda Q, V, Q_new: ((Q_new * V) @ Q_new.T - (Q * V) @ Q.T) / V.max(),
        ),
    ),
)
def moments(Q, V, Q_new, V_new):
    return (Q_new * V_new) @ Q_new.T - (Q * V) @ Q.T
