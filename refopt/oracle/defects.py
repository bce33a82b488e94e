"""Ways of going wrong that occur in the wild, each as the change of a rule that reproduces it.

A defect is literal: the mistake as it is made, in place of one function of the rule. Where a run disagrees with the
method and agrees with a defect throughout, ``replay`` names it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from refopt.adaptive import corrected, direction, mean
from refopt.oracle.rules import Array, Path


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


def always(s: Array, y: Array, skip: float) -> bool:
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


# --- means -------------------------------------------------------------------------------------------------------


def adam(
    *, correct: bool = True, inside: bool = False, early: bool = False, swapped: bool = False, plain: bool = False,
    late: int = 0, coupled: float = 0.0,
) -> Callable[[Any, Any], Any]:  # fmt: skip
    """Adam's ``learnt`` with one thing changed."""

    def learnt(state: Any, o: Any) -> Any:
        t, g = state.t + 1, state.g + coupled * state.x
        b1, b2 = (o.beta2, o.beta1) if swapped else (o.beta1, o.beta2)
        m = b1 * state.m + g if plain else mean(state.m, g, b1)
        v = mean(state.v, g * g, b2)
        u = max(1, t - late)
        m_hat, v_hat = (corrected(m, b1, u), corrected(v, b2, u)) if correct else (m, v)
        if inside:
            p = -o.step * m_hat / (v_hat + o.eps) ** o.exponent
        elif early:
            p = -o.step * m_hat / ((v**o.exponent + o.eps) / (1 - b2**u) ** o.exponent)
        else:
            p = direction(m_hat, v_hat, o.step, o.exponent, o.eps)
        return state._replace(m=m, v=v, p=p, t=t)

    return learnt


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
}
ADAM = {
    "no bias correction": Defect("the means are not corrected for their start at 0", "Kingma & Ba §3",
                                 {"learnt": adam(correct=False)}),
    "ε inside the root": Defect("(v̂ + ε)ᵃ in place of v̂ᵃ + ε", "ε", {"learnt": adam(inside=True)}),
    "ε before the correction": Defect("ε is added to √v before the correction", "Kingma & Ba §2",
                                      {"learnt": adam(early=True)}),
    "β₁ and β₂ exchanged": Defect("β₁ and β₂ are exchanged", "exchanged", {"learnt": adam(swapped=True)}),
    "m without 1 − β₁": Defect("m = β₁m + g", "heavy ball", {"learnt": adam(plain=True)}),
    "t late": Defect("t is 1 at the second step too: counted after the correction", "off by one",
                     {"learnt": adam(late=1)}),
}  # fmt: skip
