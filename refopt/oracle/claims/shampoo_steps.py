"""Shampoo's steps: tensors of any order, what turns with the coordinates, and what may not enter the statistics."""

import numpy as np

from refopt.linalg import inverse_root
from refopt.oracle.claim import Fails, claim
from refopt.oracle.draw import bulk, condition, eye, inverse, size
from refopt.problem import Problem
from refopt.stochastic import shampoo
from refopt.tensors import gram

GUPTA = "V. Gupta, T. Koren & Y. Singer, ICML 2018, arXiv:1802.09568, "
ANIL = "R. Anil et al., arXiv:2002.09018"
SOLVED = "each inverse of a root loses eps κ"
ROOTS = "inverse roots are known to eps κ, and κ is 1e3 at most with ε ≥ 0.1 and a few gradients of order 1"


def tensor(draw, preconditioned):
    """Roots Pᵢ ≻ 0 of the factors Lᵢ = Pᵢ²ᵏ of k = 3 axes, and a gradient; and all for f → cf, c = dᵏ."""
    P = [draw.spd(draw.size(2, 3), 10) for _ in range(3)]
    G = draw.vector(int(np.prod([len(p) for p in P]))).reshape([len(p) for p in P])
    d, roots, half = draw.number(2, 4), tuple(map(inverse, P)), tuple(inverse(p @ p) for p in P)
    scaled = tuple(root / d for root in roots), tuple(root / d**2 for root in half)
    return {
        "P1": P[0], "P2": P[1], "P3": P[2], "G": G, "D": preconditioned(G, roots),
        "D_scaled": preconditioned(d**3 * G, scaled[0]),
        "half": preconditioned(G, half), "half_scaled": preconditioned(d**3 * G, scaled[1]),
    }  # fmt: skip


def loss_of(P1, P2, P3, G):
    lost = sum(map(condition, (P1, P2, P3)))
    return lost * size(inverse(P1)) * size(inverse(P2)) * size(inverse(P3)) * size(G)


@claim(
    "shampoo.tensor",
    "G ×₁ L₁^{−1/2k} … ×ₖ Lₖ^{−1/2k} is (L₁ ⊗ … ⊗ Lₖ)^{−1/2k} times the gradient of a tensor",
    GUPTA + "Algorithm 2",
    tensor,
    given="entries in C order, k = 3, Lᵢ = Pᵢ²ᵏ",
    uses=("shampoo.preconditioned",),
    scale=lambda P1, P2, P3, G: size(P1) * size(P2) * size(P3) * loss_of(P1, P2, P3, G),
    because=SOLVED,
)
def of_tensor(P1, P2, P3, G, D):
    return np.kron(np.kron(P1, P2), P3) @ D.ravel() - G.ravel()


@claim(
    "shampoo.order",
    "The exponent is −1/k for tensors of order k",
    GUPTA + "Algorithm 2",
    tensor,
    "false",
    corrected="It is −1/2k: f → cf changes no step. With −1/k a step is c times shorter where f is c times larger",
    uses=("shampoo.preconditioned",),
    scale=lambda P1, P2, P3, G: (loss_of(P1, P2, P3, G), size(P1) * size(P2) * size(P3) * loss_of(P1, P2, P3, G)),
    because=SOLVED,
    fails=(Fails("as stated, k = 3", tensor, lambda half, half_scaled: (half_scaled - half) / bulk(half)),),
)
def order(P1, P2, P3, G, D, D_scaled):
    return D_scaled - D, np.kron(np.kron(P1, P2), P3) @ D.ravel() - G.ravel()


def turned(draw, preconditioned, gathered):
    """A layer in coordinates turned by U and V: the factors, their roots, the gradient and the step."""
    P, Q = draw.spd(m := draw.size(2, 3), 10), draw.spd(n := draw.size(2, 3), 10)
    U, V, G, beta = draw.orthogonal(m), draw.orthogonal(n), draw.matrix(m, n), draw.number("1/10", "9/10")
    L, H = P @ P @ P @ P, U @ G @ V.T
    there = gathered(U @ L @ U.T, H, 0, beta), preconditioned(H, (U @ inverse(P) @ U.T, V @ inverse(Q) @ V.T))
    here = gathered(L, G, 0, beta), preconditioned(G, (inverse(P), inverse(Q)))
    return {
        "P": P,
        "Q": Q,
        "U": U,
        "V": V,
        "G": G,
        "L": here[0],
        "D": here[1],
        "L_there": there[0],
        "D_there": there[1],
    }


def by_diagonals(draw, preconditioned, gathered):
    """The same with the diagonals of the factors alone, one quarter of a turn: L = diag(16, 1), G of ones."""
    U, G = np.array([[0.6, -0.8], [0.8, 0.6]]), np.ones((2, 2)) * draw.number(1, 2)
    L = np.diag([16.0, 1.0])
    steps = [preconditioned(H, (np.diag(A.diagonal() ** -0.25), np.eye(2))) for A, H in ((L, G), (U @ L @ U.T, U @ G))]
    return {"U": U, "V": np.eye(2), "D": steps[0], "D_there": steps[1]}


@claim(
    "shampoo.equivariance",
    "Where weights are turned, W → UWVᵀ with orthogonal U and V, factors and steps turn with them",
    GUPTA + "§3",
    turned,
    "conditional",
    given="the factors are whole matrices; those of a diagonal method do not turn",
    uses=("shampoo.preconditioned", "shampoo.gathered"),
    scale=lambda P, Q, G: (
        size(P) ** 4 + size(G) ** 2,
        (condition(P) + condition(Q)) * size(inverse(P)) * size(inverse(Q)) * size(G),
    ),
    because=SOLVED,
    fails=(
        Fails("only diagonals are kept", by_diagonals,
              lambda U, V, D, D_there: (U @ D @ V.T - D_there) / bulk(D), exact=False),
    ),
)  # fmt: skip
def equivariance(U, V, L, D, L_there, D_there):
    return U @ L @ U.T - L_there, U @ D @ V.T - D_there


def run(gradients, **options):
    """The library's steps of length 1 under some gradients of one array, each as a displacement."""
    params = shampoo.Params(step=1.0, shapes=(gradients[0].shape,), **options)
    state = shampoo.init(Problem(None), 0.0 * gradients[0].ravel(), params)  # type: ignore[arg-type]
    found = []
    for G in gradients:
        new = shampoo.update(state, G.ravel(), params)
        found.append((state.x - new.x).reshape(G.shape))
        state = new
    return found


def numbers(draw):
    g, eps = draw.matrix(3, 1)[:, 0] + 2.0, draw.number(0.1, 1)
    D = run([np.array([[each]]) for each in g], eps=eps)
    return {"g": g, "eps": eps, "D": np.array(D)[:, 0, 0]}


@claim(
    "shampoo.one-by-one",
    "A matrix of one entry takes AdaGrad's steps, g/√(ε + Σg²)",
    GUPTA + "§1",
    numbers,
    "conditional",
    given="ε stands inside the root; beside it, g/(√Σg² + ε), the steps are others",
    scale=lambda D: bulk(D),
    because="two inverse roots, each to a few roundings",
    exact=False,
    fails=(
        Fails("ε beside the root", numbers, lambda g, eps, D: (D - g / (np.sqrt(np.cumsum(g**2)) + eps)) / bulk(D)),
    ),
)
def one_by_one(g, eps, D):
    return D - g / np.sqrt(eps + np.cumsum(g**2))


def overwritten(gradients, eps):
    """The last step where R is made of the gradient that L has preconditioned."""
    L, R = eps * np.eye(len(gradients[0])), eps * np.eye(len(gradients[0].T))
    for G in gradients:
        L = L + gram(G, 0)
        H = inverse_root(L, 4)[0] @ G
        R = R + gram(H, 1)
        step = H @ inverse_root(R, 4)[0]
    return step


def transposed(draw):
    m, n = draw.size(2, 3), draw.size(2, 3)
    gradients, eps = [draw.matrix(m, n) for _ in range(2)], draw.number(0.1, 1)
    other = [G.T for G in gradients]
    return {
        "D": run(gradients, eps=eps)[-1], "D_there": run(other, eps=eps)[-1],
        "wrong": overwritten(gradients, eps), "wrong_there": overwritten(other, eps),
    }  # fmt: skip


@claim(
    "shampoo.statistics",
    "R may be gathered from the gradient that L has preconditioned already",
    GUPTA + "Algorithm 1",
    transposed,
    "false",
    corrected="L and R are gathered from the gradient as it is: transposed weights take the transposed step",
    scale=lambda D: 10 * bulk(D),
    because=ROOTS,
    exact=False,
    fails=(
        Fails("as stated", transposed, lambda wrong, wrong_there: (wrong - wrong_there.T) / bulk(wrong)),
    ),
)  # fmt: skip
def statistics(D, D_there):
    return D - D_there.T


def constant(draw):
    """Steps under a gradient that stays the same, with running means of the factors: with a mean of gradients, with a
    momentum of preconditioned directions mixed into the gradient, and with neither."""
    G, eps = draw.matrix(draw.size(2, 3), draw.size(2, 3)) + 1.0, draw.number(0.1, 1)
    held, wrong = G, []
    roots = [inverse_root(gram(G, axis) + eps * eye(gram(G, axis)), 4)[0] for axis in (0, 1)]
    for _ in range(4):
        held = shampoo.preconditioned(0.1 * G + 0.9 * held, tuple(roots))
        wrong.append(held)
    return {
        "D": np.array(run([G] * 4, eps=eps, beta2=0.9)), "mean": np.array(run([G] * 4, eps=eps, beta1=0.9, beta2=0.9)),
        "mixed": np.array(wrong),
    }  # fmt: skip


@claim(
    "shampoo.momentum",
    "Momentum may hold preconditioned directions and be mixed with the next gradient before that is preconditioned",
    ANIL,
    constant,
    "false",
    corrected="A mean is one of gradients, or one of directions: while the gradient stays the same it changes no step",
    scale=lambda D: 10 * bulk(D),
    because=ROOTS,
    exact=False,
    fails=(Fails("as stated", constant, lambda D, mixed: (mixed[-1] - D[-1]) / bulk(D)),),
)
def momentum(D, mean):
    return mean - D
