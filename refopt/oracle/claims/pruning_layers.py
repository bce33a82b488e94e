"""Pruning a layer y = Wx by its reconstruction ‖ΔW X‖²_F: rows apart, and SparseGPT's sweep."""

import numpy as np

from refopt.oracle.claim import Fails, claim
from refopt.oracle.claims.pruning import INVERTED, OBC, put, quadratic
from refopt.oracle.draw import condition, excess, eye, inverse, size, solve

SPARSEGPT = "E. Frantar & D. Alistarh, SparseGPT, ICML 2023, arXiv:2301.00774, §3"


def definite(draw, low=2, high=4):
    """A row w and H ≻ 0."""
    n = draw.size(low, high)
    return draw.vector(n), draw.spd(n, 1e3)


def mask(draw, n):
    """Which weights go: one at least, and not all."""
    gone = np.zeros(n, dtype=bool)
    gone[draw.rng.permutation(n)[: int(draw.rng.integers(1, max(n, 2)))]] = True
    return gone


def row(w, H, gone, factored, swept):
    """SparseGPT's row for a given mask, in blocks of two columns."""
    V, d = factored(H)
    new, _, costs, _ = swept(w[None, :], V, d, lambda scores, first: gone[None, first : first + scores.shape[1]], 2)
    return new[0], sum(block.sum() for block in costs)


# --- rows ----------------------------------------------------------------------------------------------------------


def two_rows(draw, corrected, loss):
    """A weight of row 0 goes: the change of both rows under the joint Hessian, and of row 0 under its own."""
    m, n = 2, draw.size(2, 3)
    W, H = draw.matrix(m, n), draw.spd(n, 1e2)
    v = draw.vector(m)
    q, one = int(draw.rng.integers(n)), eye(draw.matrix(m, m))
    joint = np.kron(loss(one, v), H)
    after = put(corrected(W.reshape(-1), inverse(joint), q), [i for i in range(m * n) if i != q], m * n)
    own = put(corrected(W[0], inverse(H), q), [i for i in range(n) if i != q], n)
    return {"W": W, "H": H, "after": after.reshape(m, n), "own": own}


def coupled(draw, corrected):
    """The loss of a layer above, ‖vᵀWx‖² and a little of each row, in place of each row's own."""
    made = two_rows(draw, corrected, lambda one, v: one + v[:, None] * v)
    gap = size(made["after"][1] - made["W"][1]) / size(made["W"])
    return {"gap": gap} if gap > 1e-3 else coupled(draw, corrected)


@claim(
    "pruning.rows",
    "The rows of a layer can be pruned each for itself: a removal in one moves no other, and H = 2XXᵀ/N serves all",
    OBC,
    lambda draw, corrected: two_rows(draw, corrected, lambda one, v: one),
    "conditional",
    given="the loss is the layer's reconstruction, whose Hessian is I ⊗ H; for the loss of the network it is not",
    uses=("pruning.corrected",),
    scale=lambda W, H: condition(H) * size(W),
    because=INVERTED,
    fails=(Fails("a layer above mixes the rows", coupled, lambda gap: gap, exact=False),),
)
def rows_apart(W, after, own):
    return after[0] - own, after[1] - W[1]


# --- the sweep -----------------------------------------------------------------------------------------------------


def factor(draw, factored):
    H = draw.spd(draw.size(1, 5), 1e3)
    V, d = factored(H)
    return {"H": H, "V": V, "d": d}


@claim(
    "pruning.factor-of-the-inverse",
    "In H⁻¹ = Vᵀ diag(d) V = UᵀU, U_jj² = d_j = [(H_FF)⁻¹]_jj and U_jk/U_jj = V_jk = [(H_FF)⁻¹]_jk/d_j, F = {j, …, n}: "
    "one factor holds the inverse of what is left before every column",
    SPARSEGPT,
    factor,
    given="H ≻ 0",
    uses=("pruning.factored",),
    scale=lambda H: (1, condition(H) * size(inverse(H)), condition(H) * size(inverse(H))),
    because="zeros and ones are none but these; " + INVERTED,
)
def factor_of_the_inverse(H, V, d):
    n = len(H)
    rows = [(inverse(H[j:, j:])[0], V[j, j:] * d[j]) for j in range(n)]
    gaps = np.concatenate([left - found for left, found in rows])
    return np.tril(V, -1) + (V * eye(V) - eye(V)), gaps, (V.T * d) @ V - inverse(H)


def swept_row(draw, factored, swept):
    w, H = definite(draw, 2, 5)
    gone = mask(draw, len(w))
    new, cost = row(w, H, gone, factored, swept)
    return {"w": w, "H": H, "gone": gone, "new": new, "cost": cost}


def in_turn(w, H, gone):
    """OBS in the order of the columns: each removal solved anew, all to the left of it frozen."""
    w, total = w.copy(), 0
    for j in np.flatnonzero(gone):
        P = inverse(H[j:, j:])
        total = total + w[j] * w[j] / (2 * P[0, 0])
        w[j:] = w[j:] - w[j] / P[0, 0] * P[0]
        w[j] = 0 * w[j]
    return w, total


@claim(
    "pruning.sweep",
    "For a given mask a row of SparseGPT is OBS in the order of the columns, those to the left frozen; the sweep by "
    "one factor is the sweep by explicit inverses, its increases add up to ½δᵀHδ, and blocks change nothing",
    SPARSEGPT,
    swept_row,
    given="H ≻ 0",
    uses=("pruning.factored", "pruning.swept"),
    scale=lambda w, H: (
        condition(H) ** 2 * size(w),
        condition(H) ** 2 * size(H) * size(w) ** 2,
        condition(H) ** 2 * size(H) * size(w) ** 2,
    ),
    because="each removal loses eps κ of what the one before has left",
)
def sweep(w, H, gone, new, cost):
    expected, total = in_turn(w, H, gone)
    return new - expected, cost - total, cost - quadratic(new - w, H)


def bounded(draw, factored, swept, refitted):
    """SparseGPT, no correction and the refit of one mask; and SparseGPT where all that goes stands left."""
    made = swept_row(draw, factored, swept)
    w, H, gone = made["w"], made["H"], made["gone"]
    made["refit"] = refitted(w, ~gone, H)
    first = np.sort(gone)[::-1]
    made["prefix"], made["prefix_refit"] = row(w, H, first, factored, swept)[0], refitted(w, ~first, H)
    made["run"] = np.roll(first, int(draw.rng.integers(1 + len(w) - first.sum())))
    made["of_run"] = row(w, H, made["run"], factored, swept)[0]
    return made


def beyond_zeroing(draw, factored, swept, refitted):
    """A kept weight in the middle takes up a correction that the third cannot answer; and the mean over signs of w."""
    H, gone = draw.array([[3, -3, 2], [-3, 7, -6], [2, -6, 9]]), np.array([True, False, True])

    def losses(w):
        new, _ = row(w, H, gone, factored, swept)
        return quadratic(new - w, H), quadratic(np.where(gone, -w, 0 * w), H)

    both = [losses(draw.array([sign, 2, 1])) for sign in (-1, 1)]
    made, plain = sum(loss for loss, _ in both), sum(loss for _, loss in both)
    return {"gap": (both[0][0] - both[0][1]) / both[0][1], "mean": (made - plain) / plain}


@claim(
    "pruning.bounds",
    "For a given mask: refit ≤ SparseGPT ≤ no correction",
    "direct",
    bounded,
    "imprecise",
    corrected="refit ≤ SparseGPT and refit ≤ no correction, always; SparseGPT is the refit where no kept weight stands "
    "left of one that goes, and ≤ no correction where none stands between two that go. Elsewhere it may exceed that, "
    "also in the mean over random signs of w: a kept weight, once passed, cannot answer any more",
    given="H ≻ 0",
    uses=("pruning.factored", "pruning.swept", "pruning.refitted"),
    scale=lambda w, H: (
        *(condition(H) ** 2 * size(H) * size(w) ** 2,) * 3, condition(H) ** 2 * size(w),
        condition(H) * size(H) * size(w),
    ),
    because="each removal loses eps κ of what the one before has left",
    fails=(
        Fails("SparseGPT ≤ no correction, three weights", beyond_zeroing, lambda gap, mean: gap),
        Fails("the same in the mean over signs", beyond_zeroing, lambda gap, mean: mean),
    ),
)  # fmt: skip
def bounds(w, H, gone, new, refit, prefix, prefix_refit, run, of_run):
    least, plain = quadratic(refit - w, H), quadratic(np.where(gone, -w, 0 * w), H)
    force, zeroed = (H @ (refit - w))[~gone], quadratic(np.where(run, -w, 0 * w), H)
    return (
        excess(least - quadratic(new - w, H)),
        excess(least - plain),
        excess(quadratic(of_run - w, H) - zeroed),
        prefix - prefix_refit,
        force,
    )


def every_step(draw, factored, swept):
    """A row, what it loses at each step, and the weights that the steps find."""
    w, H = definite(draw)
    gone = mask(draw, len(w))
    V, d = factored(H)
    _, _, costs, _ = swept(w[None, :], V, d, lambda scores, first: gone[None, first : first + scores.shape[1]], 2)
    now, found = w.copy(), []
    for j in np.flatnonzero(gone):
        alone = np.where(np.arange(len(w)) == j, 0 * w, now)
        found.append((j, now[j], quadratic(alone - w, H) - quadratic(now - w, H)))
        now, _ = in_turn(now, H, np.arange(len(w)) == j)
    return {"w": w, "H": H, "costs": np.concatenate(costs), "found": found}


@claim(
    "pruning.sweep-step",
    "Each step of the sweep, at column j with the weight e that it finds there, costs ½e²/U_jj²: no more than setting "
    "e to zero and moving nothing, ½H_jj e², and no less than ½e²/[H⁻¹]_jj, which OBS pays where all columns are free",
    SPARSEGPT,
    every_step,
    given="H ≻ 0",
    uses=("pruning.factored", "pruning.swept"),
    scale=lambda w, H: condition(H) ** 2 * size(H) * size(w) ** 2,
    because="each removal loses eps κ of what the one before has left",
)
def sweep_step(H, costs, found):
    gaps = []
    for cost, (j, e, alone) in zip(costs, found, strict=True):
        own, least = e * e / 2, solve(H[j:, j:], eye(H[j:, j:])[0])[0]
        most, free = H[j, j] * own, own / inverse(H)[j, j]
        gaps += [cost - own / least, alone - most, excess(cost - most), excess(free - cost)]
    return tuple(gaps)
