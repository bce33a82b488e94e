"""K-FAC's factors from samples: where their product is the Fisher matrix, and where not.

A layer y = Wa at R positions of each sample has the gradient ∇ = Σᵣ gᵣaᵣᵀ for a cotangent of the outputs, and the block
F = c Σ row(∇) row(∇)ᵀ over samples and cotangents. In a deep linear network y is followed by a matrix V, so that
gᵣ = Vᵀu for the cotangent u of an output at position r.
"""

from itertools import product

import numpy as np

from refopt import curvature
from refopt.curvature import factored
from refopt.linalg import kron
from refopt.networks import Linear
from refopt.oracle.claim import Fails, claim
from refopt.oracle.claims.kronecker import KFAC
from refopt.oracle.draw import bulk, condition, eye, inverse, least, size, solve
from refopt.supervised import Supervised

SHARED = "R. Eschenhagen et al., NeurIPS 2023, arXiv:2311.00636, §3"
KUNSTNER = "F. Kunstner, L. Balles & P. Hennig, NeurIPS 32 (2019), arXiv:1905.12558"
SUMS = "sums of a few products of this size"


def input_factor(a, sharing):
    """A of a (N, R, in)."""
    return factored.input_factor(a, sharing)


def output_factor(g, c, sharing):
    """G of g (S, N, R, out)."""
    return factored.output_factor(g, c, sharing)


def fisher(a, g, c):
    """c Σ row(∇) row(∇)ᵀ."""
    gradients = [sum(u[:, None] * v for u, v in zip(gs[n], a[n], strict=True)).reshape(-1)
                 for gs in g for n in range(len(a))]  # fmt: skip
    return c * sum(d[:, None] * d for d in gradients)


def inputs(draw, N, R, width):
    return draw.matrix(N * R, width).reshape(N, R, width)


def sent_back(draw, a, V, weights):
    """g (S, N, R, out) of a deep linear network: Vᵀu, u every unit vector times each row of `weights` (…, R)."""
    N, zero = len(a), 0 * V[0]
    return np.array([[[w * v if w else zero for w in row] for _ in range(N)] for row in weights for v in V])


def problem(draw, input_factor, output_factor, sharing, weights, R):
    """A deep linear network with squared errors of outputs that are `weights` (…, R) of those at R positions."""
    N, width, out = draw.size(1, 3), draw.size(1, 3), draw.size(1, 2)
    a, V, c = inputs(draw, N, R, width), draw.matrix(draw.size(1, 2), out), draw.number("1/10", 2)
    g = sent_back(draw, a, V, draw.array(weights))
    A, G = input_factor(a, sharing), output_factor(g, c, sharing)
    return {"a": a, "g": g, "c": c, "F": fisher(a, g, c), "A": A, "G": G}


def scale(a, g, c):
    return float(c) * bulk(a) ** 2 * bulk(g) ** 2


def gap(F, A, G):
    """For rows of W."""
    return F - kron(G, A)


def relative_gap(F, A, G):
    return gap(F, A, G) / bulk(F)


def each(R):
    """The loss is a sum over positions: an output at each of them."""
    return [[int(r == t) for r in range(R)] for t in range(R)]


def mean(R):
    """The loss is one of the mean over positions."""
    return [[f"1/{R}"] * R]


# --- where they are exact ----------------------------------------------------------------------------------------


def single(draw, input_factor, output_factor):
    return problem(draw, input_factor, output_factor, "expand", [[1]], 1)


def unlike(draw, input_factor, output_factor):
    """Two samples whose cotangents are unequal, as those of a softmax: the larger input has the larger one."""
    width, out = draw.size(1, 3), draw.size(1, 2)
    a, g = draw.vector(width), draw.vector(out)
    large = draw.number(2, 9)
    a, g = np.array([[a], [large * a]]), np.array([[[g], [large * g]]])
    F = fisher(a, g, draw.array(1)[()])
    return {"F": F, "A": input_factor(a, "expand"), "G": output_factor(g, draw.array(1)[()], "expand")}


@claim(
    "kfac.deep-linear",
    "K-FAC's blocks are those of the Fisher matrix, for deep linear networks",
    KFAC + "§3.1; A. Bernacchia, M. Lengyel & G. Hennequin, NeurIPS 31 (2018)",
    single,
    "conditional",
    given="E[∇ℓ∇ℓᵀ] is the same for all samples, as for squared errors and not for a softmax",
    uses=("kfac_factors.input_factor", "kfac_factors.output_factor"),
    scale=scale,
    because=SUMS,
    fails=(Fails("E[∇ℓ∇ℓᵀ] grows with the input", unlike, relative_gap),),
)
def deep_linear(F, A, G):
    return gap(F, A, G)


def at_each(draw, input_factor, output_factor):
    return problem(draw, input_factor, output_factor, "expand", each(R := draw.size(2, 3)), R)


def of_mean(draw, input_factor, output_factor):
    return problem(draw, input_factor, output_factor, "reduce", mean(R := draw.size(2, 3)), R)


def apart(made):
    """Whether inputs at the positions of a sample differ enough for the gap to be seen."""
    return made["F"].any() and size(relative_gap(made["F"], made["A"], made["G"])) > 1e-4


def expand_of_mean(draw, input_factor, output_factor):
    made = problem(draw, input_factor, output_factor, "expand", mean(R := draw.size(2, 3)), R)
    return made if apart(made) else expand_of_mean(draw, input_factor, output_factor)


def reduce_at_each(draw, input_factor, output_factor):
    made = problem(draw, input_factor, output_factor, "reduce", each(R := draw.size(2, 3)), R)
    return made if apart(made) else reduce_at_each(draw, input_factor, output_factor)


@claim(
    "kfac.expand",
    "With shared weights, positions taken as further samples (expand) are exact",
    SHARED,
    at_each,
    "conditional",
    given="deep linear networks with squared errors at each position; not for a loss of the mean over positions",
    uses=("kfac_factors.input_factor", "kfac_factors.output_factor"),
    scale=scale,
    because=SUMS,
    fails=(Fails("the loss is one of the mean", expand_of_mean, relative_gap),),
)
def expand(F, A, G):
    return gap(F, A, G)


@claim(
    "kfac.reduce",
    "With shared weights, the mean of inputs and the sum of gradients over positions (reduce) are exact",
    SHARED,
    of_mean,
    "conditional",
    given="deep linear networks with squared errors of the mean over positions; not for a loss at each of them",
    uses=("kfac_factors.input_factor", "kfac_factors.output_factor"),
    scale=scale,
    because=SUMS,
    fails=(Fails("there is a loss at each position", reduce_at_each, relative_gap),),
)
def reduce(F, A, G):
    return gap(F, A, G)


# --- labels ------------------------------------------------------------------------------------------------------


def labels_drawn(draw, output_factor):
    """All ways to draw S labels for each of two samples, from two or three outcomes each, of g = u·(direction)."""
    outcomes, S, out = [2, draw.size(2, 3)], draw.size(1, 2), draw.size(1, 2)
    g = [[draw.matrix(1, out)[0] for _ in range(k)] for k in outcomes]
    odds = [abs(draw.vector(k)) + 1 for k in outcomes]
    p = [o / o.sum() for o in odds]
    c = draw.number("1/10", 2)
    found, weights = [], []
    for ways in product(product(range(outcomes[0]), range(outcomes[1])), repeat=S):
        drawn = np.array([[[g[n][k]] for n, k in enumerate(way)] for way in ways])
        found.append(output_factor(drawn, c / S, "expand"))
        weights.append(np.prod([p[n][k] for way in ways for n, k in enumerate(way)]))
    squares = [np.array([u[:, None] * u for u in gs]) for gs in g]
    firsts = [np.tensordot(q, s, (0, 0)) for q, s in zip(p, squares, strict=True)]
    seconds = [np.tensordot(q, s**2, (0, 0)) for q, s in zip(p, squares, strict=True)]
    spread = sum(second - first**2 for first, second in zip(firsts, seconds, strict=True))
    return {
        "found": np.array(found), "weights": np.array(weights), "G": c * sum(firsts), "variance": c * c * spread / S,
        "most": 2 * c * max(bulk(u) ** 2 for gs in g for u in gs),
    }  # fmt: skip


@claim(
    "kfac.monte-carlo",
    "G from S labels that are drawn has G as its mean, and each entry the variance c²/S Σₙ Var[gᵢgⱼ]",
    KFAC + "§5",
    labels_drawn,
    given="labels are drawn from the model, for each sample alone; over all of the ways to draw them",
    uses=("kfac_factors.output_factor",),
    scale=lambda most: (float(most), float(most) ** 2),
    because=SUMS,
)
def monte_carlo(found, weights, G, variance):
    first = np.tensordot(weights, found, (0, 0))
    return first - G, np.tensordot(weights, (found - first) ** 2, (0, 0)) - variance


def observed(draw, output_factor):
    """One output with y ~ N(f, 1), and residuals r of the data: the slope is −r, the model's own has variance 1."""
    N, out, c = draw.size(1, 3), draw.size(1, 3), draw.number("1/10", 2)
    g, r = draw.matrix(N, out).reshape(1, N, 1, out), 3 + abs(draw.vector(N))
    return {
        "g": g, "r": r, "c": c, "true": output_factor(g, c, "expand"),
        "empirical": output_factor(g * r.reshape(1, N, 1, 1), c, "expand"),
    }  # fmt: skip


@claim(
    "kfac.empirical",
    "Gradients at the labels of the data have K-FAC's G",
    KFAC + "§5; " + KUNSTNER,
    observed,
    "false",
    corrected="Each sample counts r² times there, r its residual in units of the model's noise: nothing where the fit "
    "is perfect. K-FAC's G needs labels of the model, all of them or drawn",
    uses=("kfac_factors.output_factor",),
    scale=lambda g, r, c: (float(c) * bulk(g) ** 2, float(c) * bulk(g) ** 2 * bulk(r) ** 2),
    because=SUMS,
    fails=(
        Fails("as stated", observed, lambda g, true, empirical: (empirical - true) / bulk(empirical) if g.any() else 1),
    ),
)  # fmt: skip
def empirical(g, r, c, true, empirical):
    rows = g[0, :, 0, :]
    return true - c * rows.T @ rows, empirical - c * (rows.T * r**2) @ rows


# --- invariance --------------------------------------------------------------------------------------------------


def transformed(draw, input_factor, output_factor, lam=0):
    """Activations ā† = Tā, with T = (B t; 0 1), and outputs y† = Φy of the same network: W̄† = ΦW̄T⁻¹, g† = Φ⁻ᵀg."""
    width, out, c = draw.size(1, 2), draw.size(1, 2), draw.number("1/10", 2)
    N = width + out + 2
    ones = draw.array(np.ones((N, 1), dtype=int))
    a, g = np.hstack([draw.matrix(N, width), ones]), draw.matrix(N, out)
    B, Phi = draw.spd(width, 10), draw.spd(out, 10)
    last = draw.array([0] * width + [1])
    T = np.vstack([np.hstack([B, draw.matrix(width, 1)]), last])
    steps, factors = [], []
    for rows, slopes in ((a, g), (a @ T.T, solve(Phi.T, g.T).T)):
        A = input_factor(rows[:, None, :], "expand")
        G = output_factor(slopes[None, :, None, :], c, "expand")
        if not min(least(A), least(G)) > (0 if draw.exact else 1e-3 * min(size(A), size(G))):
            return transformed(draw, input_factor, output_factor, lam)
        A, G = A + lam * eye(A), G + lam * eye(G)
        steps.append(solve(A, solve(G, slopes.T @ rows).T).T)
        factors += [A, G]
    return {"step": steps[0], "other": steps[1], "Phi": Phi, "T": T, "inside": inverse(T), "factors": factors}


def damped(draw, input_factor, output_factor):
    """λ = 1 added to either factor; the transformations are no rotations, and c and T of no special size."""
    return transformed(draw, input_factor, output_factor, draw.array(1)[()])


def moved(step, other, Phi, inside):
    return other - Phi @ step @ inside


def away(step, other, Phi, inside):
    return moved(step, other, Phi, inside) / (bulk(other) + bulk(Phi @ step @ inside))


@claim(
    "kfac.invariance",
    "K-FAC's step is the same network's step after any affine transformation of the activations of a layer",
    KFAC + "§10",
    transformed,
    "conditional",
    given="no damping, and the bias joint, in homogeneous coordinates",
    uses=("kfac_factors.input_factor", "kfac_factors.output_factor"),
    scale=lambda step, Phi, T, inside, factors: (
        np.prod([condition(M) for M in factors]) * condition(Phi) * condition(T) * size(Phi) * size(step) * size(inside)
    ),
    because="both solves lose eps κ of the factors",
    fails=(
        Fails("damped", damped, away),
    ),
)  # fmt: skip
def invariance(step, other, Phi, inside):
    return moved(step, other, Phi, inside)


def classified(draw, blocks, logits=0):
    """The Fisher matrix of a softmax on Wa + b, over its labels; and K-FAC's, all labels counted."""
    N, n, classes = draw.size(2, 4), draw.size(1, 3), draw.size(2, 3)
    X, weights = draw.matrix(N, n), logits * draw.matrix(classes, n)
    A, G = blocks(X, weights)
    p = np.exp(X @ weights.T)
    p /= p.sum(axis=1, keepdims=True)
    a = np.column_stack([X, np.ones(N)])
    F = sum(np.kron(np.diag(q) - q[:, None] * q, row[:, None] * row) for q, row in zip(p, a, strict=True)) / N
    return {"X": X, "F": F, "A": A, "G": G}


def blocks(X, weights):
    """A and G of one layer with a softmax behind it, its biases 0; the order is that of a homogeneous coordinate."""
    problem = Supervised(Linear(X.shape[1], len(weights)), "cross-entropy", X, np.zeros(len(X), int))
    (block,) = curvature.kfac(problem, np.concatenate([weights.ravel(), np.zeros(len(weights))])).blocks
    return block.A, block.G


@claim(
    "kfac.equal-logits",
    "K-FAC's block of the last layer, under a softmax, is that of the Fisher matrix",
    KFAC + "§3.1",
    classified,
    "conditional",
    given="all logits are zero, as before the first step: then ∇²ℓ is the same for all samples; or there is one sample",
    uses=("kfac_factors.blocks",),
    scale=lambda X: size(X) ** 2 + len(X),
    because=SUMS,
    exact=False,
    fails=(Fails("logits that differ", lambda draw, blocks: unequal(draw, blocks), relative_gap),),
)
def equal_logits(F, A, G):
    return gap(F, A, G)


def unequal(draw, blocks):
    made = classified(draw, blocks, 1)
    return made if size(relative_gap(made["F"], made["A"], made["G"])) > 1e-3 else unequal(draw, blocks)
