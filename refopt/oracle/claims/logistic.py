"""Logistic regression: its loss over floats, and when it has a minimiser."""

import numpy as np

from refopt.minimize import minimize
from refopt.oracle.claim import Fails, claim
from refopt.oracle.draw import excess, size

AA = "A. Albert & J. A. Anderson, Biometrika 71 (1984) 1"


def sigmoid(z):
    return np.exp(-np.logaddexp(0.0, -z))


def apart(draw, low=-50, high=800):
    """Two logits a < b, and the loss of the label 0 at both: −log(1 − σ(z)) = log(1 + eᶻ)."""
    a = float(draw.number(low, high))
    z = np.array([a, a + float(draw.number(1, 9))])
    saturated = -np.log(1 - sigmoid(z) + 1e-10)
    return {"z": z, "loss": np.logaddexp(0.0, z), "saturated": saturated}


def slope(z, values):
    """The mean slope between both logits, by how much it leaves the slopes σ(z) of the ends; σ grows."""
    mean = (values[1] - values[0]) / (z[1] - z[0])
    return excess(sigmoid(z[0]) - mean), excess(mean - sigmoid(z[1]))


@claim(
    "logistic.saturated-loss",
    "−log(1 − p + 1e-10), p = σ(z), is the loss whose derivative is p",
    "P. Blanchard, D. J. Higham & N. J. Higham, IMA J. Numer. Anal. 41 (2021) 2311",
    apart,
    "false",
    corrected="log(1 + eᶻ) is, with a mean slope over [a, b] that is in [σ(a), σ(b)]; the other stops at 23.03",
    scale=lambda z: 1 + abs(z).max(),
    because="a difference of losses as large as z, over 1 at least",
    exact=False,
    fails=(
        Fails(
            "as stated, z > 30", lambda draw: apart(draw, 30, 800), lambda z, saturated: slope(z, saturated)
        ),
    ),
)  # fmt: skip
def saturated_loss(z, loss):
    return slope(z, loss)


def overlapping(draw):
    """Margins yᵢxᵢ (rows) with a positive combination that is 0, and any direction."""
    M = draw.full_rank(n := draw.size(), n, 10)
    weights = abs(draw.vector(n)) + 1
    return far_out(np.vstack([M, -(weights @ M)]), draw.vector(n))


def separable(draw):
    """All margins positive in the direction d."""
    d, M = draw.vector(n := draw.size()), draw.matrix(n + 1, n)
    margins = M @ d
    if abs(margins).min() < 1e-2 * abs(margins).max():
        return separable(draw)
    return far_out(M * np.sign(margins)[:, None], d)


def far_out(M, d):
    """The slope along d of Σ log(1 + exp(−mᵢᵀw)) at w = td, far away."""
    margins = M @ d
    t = 800 / max(abs(margins).min(), 1e-3 * abs(margins).max())
    return {"margins": margins, "slope": -(margins @ sigmoid(-t * margins))}


@claim(
    "logistic.minimiser",
    "The likelihood has a maximum",
    AA,
    overlapping,
    "conditional",
    given="no direction has all margins yᵢxᵢᵀd ≥ 0: then the loss rises along every d at last; else w grows for ever",
    scale=lambda margins: (abs(margins).sum(), 1),
    because="far out the sum is that of the margins below 0, of which half is asked for",
    exact=False,
    fails=(Fails("separable data", separable, lambda slope: int(slope <= 0)),),
)
def minimiser(margins, slope):
    return excess(-margins[margins < 0].sum() / 2 - slope), int(not slope > 0)


def fitted(draw):
    """Σ log(1 + exp(−mᵢᵀw)) minimised twice; its gradient at both ends, and the lowest curvature there."""
    M = draw.full_rank(n := draw.size(), n, 10)
    M = np.vstack([M, -M.sum(axis=0)]) / abs(M).max()
    loss, slope = lambda w: np.logaddexp(0.0, -(M @ w)).sum(), lambda w: -(M.T @ sigmoid(-(M @ w)))
    bend = lambda w: (M.T * (sigmoid(M @ w) * sigmoid(-(M @ w)))) @ M
    start, options = draw.vector(n), {"gtol": 1e-9}
    ends = [
        minimize(loss, start, method="modified-newton", jac=slope, hess=bend, options=options).x,
        minimize(loss, start, method="l-bfgs", jac=slope, options=options).x,
    ]
    lowest = min(np.linalg.eigvalsh(bend(w))[0] for w in ends)
    return {"ends": np.array(ends), "slopes": np.array([slope(w) for w in ends]), "lowest": lowest}


@claim(
    "logistic.methods-agree",
    "Newton, with a search, and L-BFGS find the same w, to (‖∇f(w)‖ + ‖∇f(w′)‖)/λ₁ with the lowest curvature λ₁",
    AA,
    fitted,
    given="data as above, for which a minimiser exists; then it is the only one",
    scale=lambda ends: (1 + size(ends), 1),
    because="both stop where ∇f is 1e-6 or less; λ₁ at the ends is that between them, to a factor of 2 at most",
    exact=False,
)
def methods_agree(ends, slopes, lowest):
    reach = (size(slopes[0]) + size(slopes[1])) / lowest
    return excess(size(ends[0] - ends[1]) - 2 * reach), excess(abs(slopes).max() - 1e-6)
