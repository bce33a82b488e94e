"""Mistakes of steps that divide by averages: Adam and its kin, AdaHessian, RMSProp, and of momentum."""

from collections.abc import Callable
from typing import Any

import numpy as np

from refopt.adaptive import corrected, direction, mean
from refopt.oracle.defects import Defect
from refopt.oracle.fine import length
from refopt.oracle.rules import Array
from refopt.stochastic import momentum


def adam(
    *, correct: str = "mv", inside: bool = False, early: bool = False, swapped: bool = False, plain: bool = False,
    late: int = 0, decays: str = "x", nesterov: bool = False,
    square: Callable[[Array, Array], Array] = lambda g, m: g * g, peak: bool = False, stale: bool = False,
    clip: float = np.inf, signs: bool = False, largest: bool = False,
) -> Callable[..., Any]:  # fmt: skip
    """Adam's ``update`` with one thing changed.

    decays: where λ goes: "x", (1 − ηλ)x as it should; "g", into the gradient; "both"; "twice"; "after" the step;
    "bare", without η.   stale: m is that before this gradient.   clip: the length that gradients are cut to.
    signs: the step is −η sign m.   largest: v ← max(β₂v, |g|), as in Adamax.
    """
    most: dict[str, Array] = {}

    def update(state: Any, grad: Any, o: Any, draw: Any = None) -> Any:
        t, lam = state.t + 1, getattr(o, "weight_decay", 0.0)
        grad = grad * min(1.0, clip / (length(grad) or 1.0)) if clip < np.inf else grad
        g = grad + lam * state.x if decays in ("g", "both") else grad
        b1, b2 = (o.beta2, o.beta1) if swapped else (o.beta1, o.beta2)
        m = b1 * state.m + g if plain else mean(state.m, g, b1)
        v = mean(state.v, square(g, m), b2)
        most["v"] = np.maximum(most["v"] if state.g.any() else state.v, v)  # a run begins with g = 0
        u, w = max(1, t - late), most["v"] if peak else v
        m_hat = corrected(m, b1, u) if "m" in correct else m
        v_hat = corrected(w, b2, u) if "v" in correct else w
        if nesterov:
            m_hat = b1 * m_hat + (1.0 - b1) / (1.0 - b1**t) * g
        if stale:
            m_hat = corrected(state.m, b1, t)
        if signs:
            p = -o.step * np.sign(m)
        elif largest:
            v = np.maximum(b2 * state.v, np.abs(g))
            p = -o.step * m_hat / (v + o.eps)
        elif inside:
            p = -o.step * m_hat / (v_hat + o.eps) ** o.exponent
        elif early:
            p = -o.step * m_hat / ((v**o.exponent + o.eps) / (1 - b2**u) ** o.exponent)
        else:
            p = direction(m_hat, v_hat, o.step, o.exponent, o.eps)
        left = {"g": 1.0, "bare": 1.0 - lam, "twice": (1.0 - o.step * lam) ** 2}.get(decays, 1.0 - o.step * lam)
        x = left * (state.x + p) if decays == "after" else left * state.x + p
        return state._replace(x=x, g=grad, m=m, v=v, t=t)

    return update


def adahessian(*, absolute: bool = False, squared: bool = True, doubled: bool = False) -> Callable[..., Any]:
    """AdaHessian's ``update`` with other squares: of |z ∘ Hz| (no change), of Hz alone, or of its own mean."""

    def update(state: Any, grad: Any, o: Any, draw: Any, products: Any) -> Any:
        z, Hz, t = draw.probes, products, state.t + 1
        D = (Hz if absolute else z * Hz).mean(axis=0)
        m = mean(state.m, grad, o.beta1)
        v = mean(state.v, D * D if squared else np.abs(D), o.beta2)
        p = direction(
            corrected(m, o.beta1, t), corrected(v, o.beta2, t), o.step, 2 * o.exponent if doubled else o.exponent, o.eps
        )
        return state._replace(x=state.x + p, g=grad, m=m, v=v, t=t)

    return update


def rmsprop_inside(state: Any, grad: Any, o: Any, draw: Any = None) -> Any:
    """RMSProp with ε inside of the root."""
    v = mean(state.v, grad * grad, o.decay)
    kept = 1.0 - o.step * o.weight_decay
    return state._replace(x=kept * state.x - o.step * grad / (v + o.eps) ** o.exponent, g=grad, v=v, t=state.t + 1)


def heavy_ball(*, damped: bool = False, ahead: bool = False) -> Callable[..., Any]:
    """Momentum with a mean from the first gradient on, or with a look ahead."""

    def update(state: Any, grad: Any, o: Any, draw: Any = None) -> Any:
        if ahead:
            return momentum.update(state, grad, o._replace(nesterov=not o.nesterov), draw)
        m = o.momentum * state.m + (1.0 - o.momentum) * grad
        return state._replace(x=(1.0 - o.step * o.weight_decay) * state.x - o.step * m, g=grad, m=m, t=state.t + 1)

    return update


ADAM = {
    "no bias correction": Defect("the means are not corrected for their start at 0", "Kingma & Ba §3",
                                 {"update": adam(correct="")}),
    "ε inside the root": Defect("(v̂ + ε)ᵃ in place of v̂ᵃ + ε", "ε", {"update": adam(inside=True)}),
    "ε before the correction": Defect("ε is added to √v before the correction", "Kingma & Ba §2",
                                      {"update": adam(early=True)}),
    "β₁ and β₂ exchanged": Defect("β₁ and β₂ are exchanged", "exchanged", {"update": adam(swapped=True)}),
    "m without 1 − β₁": Defect("m = β₁m + g", "heavy ball", {"update": adam(plain=True)}),
    "t late": Defect("t is 1 at the second step too: counted after the correction", "off by one",
                     {"update": adam(late=1)}),
    "t early": Defect("t is 2 at the first step: counted twice before the correction", "off by one",
                      {"update": adam(late=-1)}),
    "m alone": Defect("v is not corrected for its start at 0", "Kingma & Ba §3", {"update": adam(correct="m")}),
    "v alone": Defect("m is not corrected for its start at 0", "Kingma & Ba §3", {"update": adam(correct="v")}),
    "v of m": Defect("v is the mean of m², not of g²", "another moment", {"update": adam(square=lambda g, m: m * m)}),
    "v of g − m": Defect("v is the mean of (g − m)², as in AdaBelief", "another method",
                         {"update": adam(square=lambda g, m: (g - m) ** 2)}),
    "largest v": Defect("v never falls: AMSGrad", "another method", {"update": adam(peak=True)}),
    "stale m": Defect("m̂ is of the gradients before, without this one", "stale", {"update": adam(stale=True)}),
    "clipped": Defect("gradients are cut to length 1 inside of the optimizer", "another method",
                      {"update": adam(clip=1.0)}),
    "signs of m": Defect("the step is −η sign m", "another method", {"update": adam(signs=True)}),
    "Adamax": Defect("v is the largest |g| so far, β₂v or |g|, as in Adamax", "another method",
                     {"update": adam(largest=True)}),
    "Nesterov": Defect("m̂ looks ahead, as in NAdam", "another method", {"update": adam(nesterov=True)}),
}  # fmt: skip
ADAMW = {
    **ADAM,
    "coupled decay": Defect("the weight decay is added to the gradient and goes through the means, as in Adam with ℓ2",
                            "Loshchilov & Hutter", {"update": adam(decays="g")}),
    "decay twice": Defect("the weight decay shrinks x twice", "decay", {"update": adam(decays="twice")}),
    "decay of both": Defect("the weight decay shrinks x, and is added to the gradient as well", "decay",
                            {"update": adam(decays="both")}),
    "decay without η": Defect("the weight decay is not multiplied by η", "decay", {"update": adam(decays="bare")}),
    "decay after": Defect("the weight decay shrinks x after the step, not before", "order",
                         {"update": adam(decays="after")}),
}  # fmt: skip
ADAHESSIAN = {
    "no signs": Defect("the probes are no random signs: of others z ∘ Hz has a larger variance",
                       "Gaussian probes", {"signs": False}),
    "Hz for z ∘ Hz": Defect("Hz is averaged without z: the sums of the rows with random signs, not the diagonal",
                            "missing product", {"update": adahessian(absolute=True)}),
    "|D| for D²": Defect("v is the mean of |D|, not of D²", "missing square", {"update": adahessian(squared=False)}),
    "v̂ for √v̂": Defect("v̂ is used without its root", "missing root", {"update": adahessian(doubled=True)}),
}  # fmt: skip
RMSPROP = {"ε inside the root": Defect("ε is inside the root, √(v + ε)", "ε", {"update": rmsprop_inside})}
MOMENTUM = {
    "1 − μ": Defect("m is a mean, μm + (1 − μ)g", "mean", {"update": heavy_ball(damped=True)}),
    "look ahead": Defect("the look ahead of Nesterov's form is there where it should not be, or is missing", "form",
                         {"update": heavy_ball(ahead=True)}),
}  # fmt: skip
