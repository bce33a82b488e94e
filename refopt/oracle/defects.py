"""Ways of going wrong that occur in the wild, each as the change of a rule that reproduces it.

A defect is literal: the mistake as it is made, in place of one function of the rule. Where a run disagrees with the
method and agrees with a defect throughout, ``replay`` names it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from refopt.adaptive import corrected, direction, mean
from refopt.oracle.rules import Array, Path, fisher
from refopt.sampled import arrays_of, flat
from refopt.stochastic import momentum, soap
from refopt.supervised import Supervised
from refopt.tensors import along, gram


@dataclass(frozen=True)
class Defect:
    """What is done wrong, in a sentence, where that is known from, and the keywords of the rule that do it too."""

    says: str
    source: str
    how: Mapping[str, Any] = field(default_factory=dict)


# --- pairs of quasi-Newton methods -------------------------------------------------------------------------------


def gradient_for_y(path: Path, k: int, p: Array) -> tuple[Array, Array]:
    return path.s(k), path.g(k + 1)


def reversed_y(path: Path, k: int, p: Array) -> tuple[Array, Array]:
    return path.s(k), path.g(k) - path.g(k + 1)


def direction_for_s(path: Path, k: int, p: Array) -> tuple[Array, Array]:
    return p, path.g(k + 1) - path.g(k)


def always(s: Array, y: Array, skip: float, H: Any = None) -> bool:
    return bool(s.any() and s @ y != 0.0)


def never_scaled(S: list[Array], Y: list[Array]) -> float:
    return 1.0


def oldest(S: list[Array], Y: list[Array]) -> float:
    return float(S[0] @ Y[0] / (Y[0] @ Y[0]))


def upside_down(S: list[Array], Y: list[Array]) -> float:
    return float(Y[-1] @ Y[-1] / (S[-1] @ Y[-1]))


def long_step(S: list[Array], Y: list[Array]) -> float:
    return float(S[-1] @ S[-1] / (S[-1] @ Y[-1]))


def minus_last_term(H: Array, s: Array, y: Array) -> Array:
    rho = 1.0 / (y @ s)
    V = np.eye(s.size) - rho * np.outer(y, s)
    return V.T @ H @ V - rho * np.outer(s, s)


def transposed(H: Array, s: Array, y: Array) -> Array:
    rho = 1.0 / (y @ s)
    V = np.eye(s.size) - rho * np.outer(y, s)
    return V @ H @ V.T + rho * np.outer(s, s)


def twice_turned(H: Array, s: Array, y: Array) -> Array:
    rho = 1.0 / (y @ s)
    V = np.eye(s.size) - rho * np.outer(s, y)
    return V @ H @ V + rho * np.outer(s, s)


def bare_last_term(H: Array, s: Array, y: Array) -> Array:
    rho = 1.0 / (y @ s)
    V = np.eye(s.size) - rho * np.outer(y, s)
    return V.T @ H @ V + np.outer(s, s)


def without_last_term(H: Array, s: Array, y: Array) -> Array:
    rho = 1.0 / (y @ s)
    V = np.eye(s.size) - rho * np.outer(y, s)
    return V.T @ H @ V


def exchanged(H: Array, s: Array, y: Array) -> Array:
    """The update of B, applied to H: s and y change places."""
    Hs = H @ s
    return H - np.outer(Hs, Hs) / (s @ Hs) + np.outer(y, y) / (y @ s)


def rank_one(H: Array, s: Array, y: Array) -> Array:
    r = s - H @ y
    return H + np.outer(r, r) / (r @ y)


def dfp(H: Array, s: Array, y: Array) -> Array:
    Hy = H @ y
    return H + np.outer(s, s) / (y @ s) - np.outer(Hy, Hy) / (y @ Hy)


# --- the two loops of L-BFGS ------------------------------------------------------------------------------------------


def loops(
    *, again: bool = False, stale: bool = False, plus: bool = False, half: bool = False, lengths: bool = False
) -> Callable[..., Array]:
    """Hg by the two loops with one thing changed."""

    def product(S: list[Array], Y: list[Array], gamma: float, g: Array) -> Array:
        q, a = g.copy(), list[Any]()
        rho = [1.0 / (s @ s if lengths else s @ y) for s, y in zip(S, Y, strict=True)]
        for s, y, r in reversed(list(zip(S, Y, rho, strict=True))):
            a.insert(0, r * (s @ q))
            q = q - a[0] * y
        r = gamma * q
        if half:
            return r
        rows = list(zip(S, Y, rho, a, strict=True))
        for s, y, weight, first in reversed(rows) if again else rows:
            b = weight * (y @ (q if stale else r))
            r = r + (first + b if plus else first - b) * s
        return r

    return product


def earliest(pairs: list[Array], m: int) -> list[Array]:
    return pairs[:m]


# --- matrices of Newton's methods -------------------------------------------------------------------------------------


def stale(path: Path, k: int) -> Array:
    return path.B(max(0, k - 1))


def only_diagonal(path: Path, k: int) -> Array:
    return np.diag(np.abs(np.diag(path.B(k))))


def of_samples(make: Callable[[Any, Array], Array]) -> Callable[[Path, int], Array]:
    """A matrix of the gradients of the samples; of the identity where there are none, so that nothing is explained."""

    def matrix(path: Path, k: int) -> Array:
        if not isinstance(path.problem, Supervised):
            return np.eye(path.x(k).size)
        scores = lambda x: np.asarray(path.problem.per_sample_grad(x))
        return make(path.problem.c, path.kept("scores", k, scores))

    return matrix


def summed(path: Path, k: int) -> Array:
    return fisher(path, k) / getattr(path.problem, "c", 1.0)


# --- Adam and its kin --------------------------------------------------------------------------------------------


def adam(
    *, correct: str = "mv", inside: bool = False, early: bool = False, swapped: bool = False, plain: bool = False,
    late: int = 0, coupled: bool = False, scaled: bool = True, after: bool = False, nesterov: bool = False,
    square: Callable[[Array, Array], Array] = lambda g, m: g * g, peak: bool = False,
) -> Callable[..., Any]:  # fmt: skip
    """Adam's ``update`` with one thing changed."""
    most: dict[str, Array] = {}

    def update(state: Any, grad: Any, o: Any, draw: Any = None) -> Any:
        t, decay = state.t + 1, getattr(o, "weight_decay", 0.0)
        g = grad + decay * state.x if coupled else grad
        b1, b2 = (o.beta2, o.beta1) if swapped else (o.beta1, o.beta2)
        m = b1 * state.m + g if plain else mean(state.m, g, b1)
        v = mean(state.v, square(g, m), b2)
        most["v"] = v if t == 1 else np.maximum(most["v"], v)
        u, w = max(1, t - late), most["v"] if peak else v
        m_hat = corrected(m, b1, u) if "m" in correct else m
        v_hat = corrected(w, b2, u) if "v" in correct else w
        if nesterov:
            m_hat = b1 * m_hat + (1.0 - b1) / (1.0 - b1**t) * g
        if inside:
            p = -o.step * m_hat / (v_hat + o.eps) ** o.exponent
        elif early:
            p = -o.step * m_hat / ((v**o.exponent + o.eps) / (1 - b2**u) ** o.exponent)
        else:
            p = direction(m_hat, v_hat, o.step, o.exponent, o.eps)
        shrink = 0.0 if coupled else (o.step if scaled else 1.0) * decay
        x = (1.0 - shrink) * (state.x + p) if after else (1.0 - shrink) * state.x + p
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


# --- Shampoo and SOAP --------------------------------------------------------------------------------------------


def shampoo(*, power: Callable[[int], int] = lambda k: 2 * k, overwritten: bool = False, mixed: bool = False,
            sign: float = -1.0, forgets: bool = False, one: bool = False, grafted: str = "",
            ) -> Callable[..., Any]:  # fmt: skip
    """Shampoo's ``update`` with another root, with later axes seeing what earlier ones preconditioned, or both.

    mixed: the mean is one of directions, mixed into the next gradient before that is preconditioned.
    """

    def update(state: Any, grad: Any, o: Any, draw: Any = None) -> Any:
        held = state.m if state.t else grad
        g = (1.0 - o.beta1) * grad + o.beta1 * held if mixed else grad
        m = o.beta1 * state.m + (1.0 - o.beta1) * grad
        L, parts = [], []
        arrays = arrays_of(g if mixed else m / (1.0 - o.beta1 ** (state.t + 1)), state.shapes)
        seen = arrays_of(g, state.shapes)
        for G, P, own in zip(seen, arrays, state.L, strict=True):
            new = []
            for axis in range(G.ndim):
                new.append((0.0 if forgets else own[axis]) + gram(P if overwritten else G, axis))
                P = P if one and axis else along(root(new[-1], o.eps, sign / power(G.ndim)), P, axis)
            L.append(tuple(new))
            size = {"": 1.0, "g": float(np.linalg.norm(G)), "1": 1.0}[grafted] / (float(np.linalg.norm(P)) or 1.0)
            parts.append(size * P if grafted else P)
        p = flat(parts)
        return state._replace(x=state.x - o.step * p, g=grad, m=p if mixed else m, L=tuple(L), t=state.t + 1)

    return update


def root(L: Array, eps: float, power: float) -> Array:
    values, V = np.linalg.eigh(L + eps * np.eye(len(L)))
    return (V * values**power) @ V.T


def soap_unpermuted(state: Any, grad: Any, o: Any, draw: Any = None) -> Any:
    """SOAP whose columns change places while V stays as it is."""
    new = soap.update(state, grad, o, draw)
    if state.t == 0 or state.t % o.every:
        return new
    parts = zip(*(arrays_of(each, state.shapes) for each in (grad, state.v)), state.Q, strict=True)
    V = [o.beta2 * old + (1.0 - o.beta2) * soap.turned(G, Q) ** 2 for G, old, Q in parts]
    return new._replace(v=flat(V))


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


PAIRS = {
    "y = g₊": Defect(
        "y is the new gradient alone: the old one was overwritten before the difference was taken",
        "spec: aliased gradient buffers", {"pair": gradient_for_y}),
    "y = g − g₊": Defect("y is the difference the wrong way round", "sign", {"pair": reversed_y, "learns": always}),
    "s = p": Defect("s is the direction and not the step: α is left out", "missing α", {"pair": direction_for_s}),
    "no curvature test": Defect(
        "pairs with yᵀs ≤ 0 are learnt too, and H loses its definiteness", "missing test", {"learns": always}),
}  # fmt: skip
H_UPDATES = {
    "B's update for H": Defect("the update of B is applied to H", "N&W §6.1", {"update": exchanged}),
    "−ρssᵀ": Defect("ρssᵀ is subtracted", "sign", {"update": minus_last_term}),
    "V and Vᵀ exchanged": Defect("V H Vᵀ in place of VᵀHV", "transpose", {"update": transposed}),
    "without ρssᵀ": Defect("ρssᵀ is left out", "missing term", {"update": without_last_term}),
    "V twice": Defect("V is not transposed: (I − ρsyᵀ)H(I − ρsyᵀ)", "transpose", {"update": twice_turned}),
    "ssᵀ without ρ": Defect("ssᵀ is added without ρ", "missing factor", {"update": bare_last_term}),
    "rank one": Defect("the update is the symmetric rank-one one", "another method", {"update": rank_one}),
    "dfp": Defect("the update is DFP's", "another method", {"update": dfp}),
}
HISTORIES = {
    "unbounded": Defect("all pairs are kept, not the last m", "unbounded memory", {"memory": 10**9}),
    "unscaled": Defect("γ = 1 throughout", "missing scaling", {"gamma": never_scaled}),
    "oldest γ": Defect("γ is of the oldest pair", "wrong pair", {"gamma": oldest}),
    "γ upside down": Defect("γ = yᵀy/sᵀy", "inverted", {"gamma": upside_down}),
    "γ = sᵀs/sᵀy": Defect("γ = sᵀs/sᵀy, the other of Barzilai and Borwein's", "another scaling", {"gamma": long_step}),
    "order": Defect("the pairs are taken in the opposite order", "wrong order", {"order": -1}),
    "second loop backwards": Defect(
        "the second loop runs from the newest pair to the oldest, as the first does",
        "wrong order",
        {"product": loops(again=True)},
    ),
    "β of q": Defect("β in the second loop is made of q, not of r", "aliased", {"product": loops(stale=True)}),
    "α + β": Defect("α + β stands in the second loop for α − β", "sign", {"product": loops(plus=True)}),
    "one loop": Defect("the second loop is missing", "missing loop", {"product": loops(half=True)}),
    "ρ of sᵀs": Defect("ρ is 1/sᵀs, not 1/yᵀs", "another product", {"product": loops(lengths=True)}),
    "first pairs": Defect("the first m pairs are kept, not the last", "memory", {"keeps": earliest}),
}
NEWTON = {
    "old H": Defect("the Hessian is that of the step before", "stale", {"matrix": stale}),
    "diagonal": Defect("of the Hessian only the diagonal is used", "diagonal", {"matrix": only_diagonal}),
}
FISHER = {
    "empirical": Defect("F is the empirical Fisher matrix", "Kunstner et al.",
                        {"matrix": of_samples(lambda c, S: c * S.T @ S)}),
    "outer": Defect("F is the square of the mean gradient", "order of mean and square",
                    {"matrix": of_samples(lambda c, S: np.outer(c * S.sum(0), c * S.sum(0)))}),
    "sum": Defect("F is summed over the samples, and g averaged", "reduction", {"matrix": summed}),
}  # fmt: skip
FITS = {
    "2Jᵀr": Defect("the gradient is that of ‖r‖², 2Jᵀr, beside JᵀJ", "factor 2", {"factor": 2.0}),
    "2JᵀJ": Defect("JᵀJ is doubled beside Jᵀr", "factor 2", {"factor": 0.5}),
    "sign": Defect("the sign of r is wrong", "sign", {"factor": -1.0}),
}
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
    "Nesterov": Defect("m̂ looks ahead, as in NAdam", "another method", {"update": adam(nesterov=True)}),
}  # fmt: skip
ADAMW = {
    **ADAM,
    "coupled decay": Defect("the weight decay is added to the gradient and goes through the means, as in Adam with ℓ2",
                            "Loshchilov & Hutter", {"update": adam(coupled=True)}),
    "decay without η": Defect("the weight decay is not multiplied by η", "decay", {"update": adam(scaled=False)}),
    "decay after": Defect("the weight decay shrinks x after the step, not before", "order",
                         {"update": adam(after=True)}),
}  # fmt: skip
ADAHESSIAN = {
    "Hz for z ∘ Hz": Defect("Hz is averaged without z: the sums of the rows with random signs, not the diagonal",
                            "missing product", {"update": adahessian(absolute=True)}),
    "|D| for D²": Defect("v is the mean of |D|, not of D²", "missing square", {"update": adahessian(squared=False)}),
    "v̂ for √v̂": Defect("v̂ is used without its root", "missing root", {"update": adahessian(doubled=True)}),
}  # fmt: skip
SHAMPOO = {
    "exponent −1/k": Defect("the exponent is −1/k for k axes, not −1/(2k)", "Gupta et al., Algorithm 2",
                            {"update": shampoo(power=lambda k: k)}),
    "exponent −1/2": Defect("the exponent is −1/2 whatever the number of axes", "Gupta et al., Algorithm 1",
                            {"update": shampoo(power=lambda k: 2)}),
    "exponent +1/(2k)": Defect("the exponent is positive", "sign", {"update": shampoo(sign=1.0)}),
    "overwritten gradient": Defect("the factor of an axis is made of the gradient that the axes before have "
                                   "preconditioned already", "aliased", {"update": shampoo(overwritten=True)}),
    "overwritten gradient, exponent −1/k": Defect(
        "the exponent is −1/k, and the factor of an axis is made of the gradient that the axes before have "
        "preconditioned already", "both", {"update": shampoo(power=lambda k: k, overwritten=True)}),
    "no sums": Defect("the factors are those of the last gradient: nothing is summed up", "missing sum",
                      {"update": shampoo(forgets=True)}),
    "one side": Defect("only the first axis is preconditioned", "missing factor", {"update": shampoo(one=True)}),
    "grafted": Defect("each array's step has the length of its gradient: grafting, which the paper has not",
                      "another method", {"update": shampoo(grafted="g")}),
    "length 1": Defect("each array's step is divided by its length", "another method",
                       {"update": shampoo(grafted="1")}),
    "mixed momentum": Defect("preconditioned directions are averaged, and mixed with the next gradient as it is",
                             "momentum", {"update": shampoo(mixed=True)}),
}  # fmt: skip
SOAP = {"V not permuted": Defect("V stays in its order when the columns of the basis change places", "order",
                                 {"update": soap_unpermuted})}  # fmt: skip
RMSPROP = {"ε inside the root": Defect("ε is inside the root, √(v + ε)", "ε", {"update": rmsprop_inside})}
MOMENTUM = {
    "1 − μ": Defect("m is a mean, μm + (1 − μ)g", "mean", {"update": heavy_ball(damped=True)}),
    "look ahead": Defect("the look ahead of Nesterov's form is there where it should not be, or is missing", "form",
                         {"update": heavy_ball(ahead=True)}),
}  # fmt: skip
