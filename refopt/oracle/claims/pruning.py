"""Pruning one vector of weights: optimal brain surgeon, and the inverses it needs."""

from itertools import combinations

import numpy as np

from refopt.oracle.claim import Fails, claim
from refopt.oracle.draw import condition, excess, eye, inverse, size, solve

HASSIBI = "B. Hassibi & D. G. Stork, Second order derivatives for network pruning, NIPS 1992, "
OBC = "E. Frantar, S. P. Singh & D. Alistarh, Optimal brain compression, arXiv:2208.11580, §4"
WOODFISHER = "S. P. Singh & D. Alistarh, WoodFisher, arXiv:2004.14340"
INVERTED = "an inverse loses eps κ of what it is applied to"


def weights(draw, low=2, high=5):
    """w, H ≻ 0 and H⁻¹."""
    n = draw.size(low, high)
    H = draw.spd(n, 1e3)
    return draw.vector(n), H, inverse(H)


def put(values, left, n):
    """(n,) zeros, but for the places that are left."""
    full = 0 * np.resize(values, n) if len(values) else np.zeros(n, dtype=int)
    full[left] = values
    return full


def surgery(w, P, chosen, corrected, downdate):
    """The weights after removals of `chosen` in turn, and what each cost."""
    n, left, costs = len(w), list(range(len(w))), []
    for q in chosen:
        k = left.index(q)
        costs.append(w[k] * w[k] / (2 * P[k, k]))
        w, P = corrected(w, P, k), downdate(P, k)
        left.pop(k)
    return put(w, left, n), sum(costs)


def quadratic(delta, H):
    return delta @ H @ delta / 2


def jointly(w, P, Q):
    """½ w_Qᵀ ([H⁻¹]_QQ)⁻¹ w_Q."""
    Q = list(Q)
    return w[Q] @ solve(P[np.ix_(Q, Q)], w[Q]) / 2


# --- one weight ------------------------------------------------------------------------------------------------------


def one_removed(draw, corrected):
    w, H, P = weights(draw)
    q = int(draw.rng.integers(len(w)))
    delta = put(corrected(w, P, q), [i for i in range(len(w)) if i != q], len(w)) - w
    return {"w": w, "H": H, "q": q, "delta": delta}


@claim(
    "pruning.obs-conditions",
    "δ = −(w_q/[H⁻¹]_qq) H⁻¹e_q is the least change with w_q + δ_q = 0: (Hδ)ᵢ = 0 for i ≠ q, and "
    "½δᵀHδ = ½w_q²/[H⁻¹]_qq",
    HASSIBI + "§2",
    one_removed,
    given="H ≻ 0",
    uses=("pruning.corrected",),
    scale=lambda w, H, delta: (
        size(w), condition(H) * size(H) * size(delta), condition(H) * size(H) * size(delta) ** 2,
    ),
    because=INVERTED,
)  # fmt: skip
def obs_conditions(w, H, q, delta):
    force = H @ delta
    return delta[q] + w[q], np.delete(force, q), quadratic(delta, H) - w[q] * w[q] / (2 * inverse(H)[q, q])


def increase(draw, corrected, slope):
    """A quadratic f with gradient g at w, before and after a removal."""
    made = one_removed(draw, corrected)
    g = slope * draw.vector(len(made["w"]))
    made["gap"] = g @ made["delta"] + quadratic(made["delta"], made["H"])
    made["gap"] = made["gap"] - made["w"][made["q"]] ** 2 / (2 * inverse(made["H"])[made["q"], made["q"]])
    made["gap"] = made["gap"] / (1 + abs(g @ made["delta"])) if slope else made["gap"]
    return made if not slope or abs(made["gap"]) > 1e-3 else increase(draw, corrected, slope)


@claim(
    "pruning.obs-stationary",
    "Removing weight q with OBS's correction raises the loss by ½w_q²/[H⁻¹]_qq",
    HASSIBI + "§2",
    lambda draw, corrected: increase(draw, corrected, 0),
    "conditional",
    given="g = 0, and the loss is quadratic: w is a minimum",
    uses=("pruning.corrected",),
    scale=lambda H, delta: condition(H) * size(H) * size(delta) ** 2,
    because=INVERTED,
    fails=(Fails("w is no minimum", lambda draw, corrected: increase(draw, corrected, 1), lambda gap: gap),),
)
def obs_stationary(gap):
    return gap


def compared(draw, saliencies):
    w, H, P = weights(draw, 3)
    Q = sorted(int(q) for q in draw.rng.permutation(len(w))[: int(draw.rng.integers(1, len(w)))])
    return {"w": w, "H": H, "Q": tuple(Q), "obs": saliencies(w, P), "group": jointly(w, P, Q)}


@claim(
    "pruning.obs-below-obd",
    "½w_q²/[H⁻¹]_qq ≤ ½H_qq w_q², and for a group ½w_Qᵀ([H⁻¹]_QQ)⁻¹w_Q ≤ ½w_QᵀH_QQ w_Q",
    HASSIBI + "§3",
    compared,
    given="H ≻ 0",
    uses=("pruning.saliencies",),
    scale=lambda w, H: condition(H) * size(H) * size(w) ** 2,
    because=INVERTED,
)
def obs_below_obd(w, H, Q, obs, group):
    Q = list(Q)
    alone_ = obs - w * w / (2 * inverse(H).diagonal())
    return alone_, excess(obs - H.diagonal() * w * w / 2), excess(group - w[Q] @ H[np.ix_(Q, Q)] @ w[Q] / 2)


# --- several weights --------------------------------------------------------------------------------------------------


def left(draw, downdate):
    _, H, P = weights(draw)
    q = int(draw.rng.integers(len(H)))
    return {"H": H, "q": q, "found": downdate(P, q)}


def by_sherman_morrison(draw, downdate):
    """The rank-one formula for a gradient e_q, where the downdate belongs."""
    made = left(draw, downdate)
    P, q = inverse(made["H"]), made["q"]
    wrong = P - P[:, q : q + 1] * P[q] / (1 + P[q, q])
    wrong = np.delete(np.delete(wrong, q, 0), q, 1)
    gap = size(wrong - made["found"]) / size(made["found"])
    return {"gap": gap} if gap > 1e-3 else by_sherman_morrison(draw, downdate)


@claim(
    "pruning.downdate",
    "OBS updates H⁻¹ by the Woodbury identity",
    OBC,
    left,
    "imprecise",
    corrected="without row and column q the inverse of H is H⁻¹ − H⁻¹e_q e_qᵀH⁻¹/[H⁻¹]_qq, a Schur complement; the "
    "identity of Sherman, Morrison and Woodbury, with 1 + gᵀH⁻¹g below, adds a gradient",
    given="H ≻ 0",
    uses=("pruning.downdate",),
    scale=lambda H: condition(H) ** 2,
    because="both inverses lose eps κ",
    fails=(Fails("with 1 + e_qᵀH⁻¹e_q below", by_sherman_morrison, lambda gap: gap, exact=False),),
)
def downdated(H, q, found):
    without = np.delete(np.delete(H, q, 0), q, 1)
    return without @ found - eye(without)


def gradients(draw, fisher_inverse):
    samples, n = draw.size(1, 4), draw.size(1, 4)
    G, lam = draw.matrix(samples, n), draw.number(0.5, 3)
    return {"G": G, "lam": lam, "found": fisher_inverse(G, lam)}


@claim(
    "pruning.fisher-inverse",
    "F⁻¹ ← F⁻¹ − F⁻¹ggᵀF⁻¹/(N + gᵀF⁻¹g), gradient after gradient from I/λ, ends with (λI + (1/N)Σ ggᵀ)⁻¹",
    HASSIBI + "§3; " + WOODFISHER,
    gradients,
    given="λ > 0",
    uses=("pruning.fisher_inverse",),
    scale=lambda G, lam: (1 + size(G) ** 2 / float(lam)) ** 2,
    because="each step loses eps κ, κ ≤ 1 + ‖G‖²/λ",
)
def built(G, lam, found):
    F = G.T @ G / len(G)
    return (F + lam * eye(F)) @ found - eye(F)


def set_removed(draw, corrected, downdate):
    w, H, P = weights(draw, 3)
    Q = [int(q) for q in draw.rng.permutation(len(w))[: int(draw.rng.integers(2, len(w)))]]
    made = {"w": w, "H": H, "Q": tuple(Q)}
    made["one"], made["cost"] = surgery(w, P, Q, corrected, downdate)
    made["other"], made["again"] = surgery(w, P, Q[::-1], corrected, downdate)
    return made


@claim(
    "pruning.one-by-one",
    "Removed one by one, in any order, a set of weights leaves what removing it at once leaves, "
    "−H⁻¹_{:,Q}([H⁻¹]_QQ)⁻¹w_Q added; and the increases add up to ½w_Qᵀ([H⁻¹]_QQ)⁻¹w_Q = ½δᵀHδ",
    OBC,
    set_removed,
    given="H ≻ 0",
    uses=("pruning.corrected", "pruning.downdate"),
    scale=lambda w, H: (
        condition(H) ** 2 * size(w), condition(H) ** 2 * size(w),
        *(condition(H) ** 2 * size(H) * size(w) ** 2,) * 3,
    ),
    because="each removal loses eps κ of what the one before has left",
)  # fmt: skip
def one_by_one(w, H, Q, one, other, cost, again):
    Q, P = list(Q), inverse(H)
    at_once = w - P[:, Q] @ solve(P[np.ix_(Q, Q)], w[Q])
    return one - at_once, other - at_once, cost - jointly(w, P, Q), again - cost, cost - quadratic(one - w, H)


def greedily(w, P, count, corrected, downdate):
    """Which weights greed takes, and what they cost together."""
    chosen, rest, costs, v = [], list(range(len(w))), [], w
    for _ in range(count):
        scores = [v[k] * v[k] / (2 * P[k, k]) for k in range(len(v))]
        k = min(range(len(v)), key=scores.__getitem__)
        chosen.append(rest.pop(k))
        costs.append(scores[k])
        v, P = corrected(v, P, k), downdate(P, k)
    return tuple(chosen), sum(costs)


def exhaustively(w, P, count):
    return min(jointly(w, P, Q) for Q in combinations(range(len(w)), count))


def greed(draw, corrected, downdate):
    w, H, P = weights(draw, 3)
    count = int(draw.rng.integers(1, len(w)))
    Q, cost = greedily(w, P, count, corrected, downdate)
    return {"w": w, "H": H, "Q": Q, "cost": cost, "first": greedily(w, P, 1, corrected, downdate)[1]}


def misled(draw, corrected, downdate):
    """Greed takes weights 2 and 1, or so; the best pair costs about half."""
    H, w = draw.array([[7, -2, 0], [-2, 4, 2], [0, 2, 3]]), draw.array([-1, 2, -2])
    best = exhaustively(w, inverse(H), 2)
    return {"gap": (greedily(w, inverse(H), 2, corrected, downdate)[1] - best) / best}


@claim(
    "pruning.greed",
    "Greedy OBS finds the set of weights that costs least",
    HASSIBI + "§3",
    greed,
    "imprecise",
    corrected="greed is best for one weight, and never better than the best set of several",
    given="H ≻ 0",
    uses=("pruning.corrected", "pruning.downdate"),
    scale=lambda w, H: condition(H) ** 2 * size(H) * size(w) ** 2,
    because="each removal loses eps κ of what the one before has left",
    fails=(Fails("the best pair of three weights", misled, lambda gap: gap),),
)
def greedy(w, H, Q, cost, first):
    P = inverse(H)
    return cost - jointly(w, P, Q), excess(exhaustively(w, P, len(Q)) - cost), first - exhaustively(w, P, 1)


def scaled(draw, corrected, damped):
    """The correction under H and under cH, both with λI added or neither."""
    w, H, _ = weights(draw)
    q, c = int(draw.rng.integers(len(w))), draw.number(5, 9)
    # λ of the size of H, that its share of cH be another
    lam = (H.trace() / len(H)) * eye(H) if damped else 0 * H
    one, other = (corrected(w, inverse(A + lam), q) for A in (H, c * H))
    book = w - w[q] * inverse(H + lam)[q] / inverse(H + lam)[q, q]
    return {"w": w, "H": H, "one": one, "other": other, "book": np.delete(book, q)}


def fixed_damping(draw, corrected):
    made = scaled(draw, corrected, True)
    gap = size(made["one"] - made["other"]) / size(made["w"])
    return {"gap": gap} if gap > 1e-3 else fixed_damping(draw, corrected)


@claim(
    "pruning.scale",
    "Multiplying the loss by a constant (a sum in place of a mean, sequences in place of tokens) changes no weight",
    "E. Frantar & D. Alistarh, SparseGPT, arXiv:2301.00774, §3",
    lambda draw, corrected: scaled(draw, corrected, False),
    "conditional",
    given="there is no damping, or it is relative to the mean of the diagonal",
    uses=("pruning.corrected",),
    scale=lambda w, H: condition(H) * size(w),
    because=INVERTED,
    fails=(Fails("a fixed λI is added", fixed_damping, lambda gap: gap, exact=False),),
)
def scale_free(one, other, book):
    return one - other, one - book
