"""Mistakes of quasi-Newton methods: in the pair, in the update of H, in what is kept, and in the two loops."""

from collections.abc import Callable
from typing import Any

import numpy as np

from refopt.oracle.defects import Defect
from refopt.oracle.rules import Array, Path

# --- the pair ----------------------------------------------------------------------------------------------------


def gradient_for_y(path: Path, k: int, p: Array) -> tuple[Array, Array]:
    return path.s(k), path.g(k + 1)


def reversed_y(path: Path, k: int, p: Array) -> tuple[Array, Array]:
    return path.s(k), path.g(k) - path.g(k + 1)


def direction_for_s(path: Path, k: int, p: Array) -> tuple[Array, Array]:
    return p, path.g(k + 1) - path.g(k)


def always(s: Array, y: Array, skip: float, H: Any = None) -> bool:
    return bool(s.any() and s @ y != 0.0)


def absolutely(s: Array, y: Array, skip: float, H: Any = None) -> bool:
    return bool(s @ y > 1e-10)


# --- the update of H ---------------------------------------------------------------------------------------------


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


# --- what is kept, and the scale of the first matrix -------------------------------------------------------------


def earliest(pairs: list[Array], m: int) -> list[Array]:
    return pairs[:m]


def never_scaled(S: list[Array], Y: list[Array]) -> float:
    return 1.0


def oldest(S: list[Array], Y: list[Array]) -> float:
    return float(S[0] @ Y[0] / (Y[0] @ Y[0]))


def before(S: list[Array], Y: list[Array]) -> float:
    s, y = S[-min(2, len(S))], Y[-min(2, len(Y))]
    return float(s @ y / (y @ y))


def upside_down(S: list[Array], Y: list[Array]) -> float:
    return float(Y[-1] @ Y[-1] / (S[-1] @ Y[-1]))


def long_step(S: list[Array], Y: list[Array]) -> float:
    return float(S[-1] @ S[-1] / (S[-1] @ Y[-1]))


# --- the two loops -----------------------------------------------------------------------------------------------


def loops(
    *, again: bool = False, stale: bool = False, plus: bool = False, half: bool = False, lengths: bool = False,
    crossed: bool = False, places: str = "ysys",
) -> Callable[..., Array]:  # fmt: skip
    """Hg by the two loops with one thing changed.

    places: what stands, pair by pair, in q −= α·, in α = ρ·ᵀq, in β = ρ·ᵀr and in r += (α − β)·; "ysys" as it should.
    crossed: the α of the newest pair meets the oldest.
    """

    def product(S: list[Array], Y: list[Array], gamma: float, g: Array) -> Array:
        q, a = g.copy(), list[Any]()
        rho = [1.0 / (s @ s if lengths else s @ y) for s, y in zip(S, Y, strict=True)]
        for s, y, r in reversed(list(zip(S, Y, rho, strict=True))):
            of = {"s": s, "y": y}
            a.insert(0, r * (of[places[1]] @ q))
            q = q - a[0] * of[places[0]]
        r = gamma * q
        if half:
            return r
        rows = list(zip(S, Y, rho, reversed(a) if crossed else a, strict=True))
        for s, y, weight, first in reversed(rows) if again else rows:
            of = {"s": s, "y": y}
            b = weight * (of[places[2]] @ (q if stale else r))
            r = r + (first + b if plus else first - b) * of[places[3]]
        return r

    return product


PAIRS = {
    "y = g₊": Defect(
        "y is the new gradient alone: the old one was overwritten before the difference was taken",
        "spec: aliased gradient buffers", {"pair": gradient_for_y}),
    "y = g − g₊": Defect("y is the difference the wrong way round", "sign", {"pair": reversed_y, "learns": always}),
    "s = p": Defect("s is the direction and not the step: α is left out", "missing α", {"pair": direction_for_s}),
    "no curvature test": Defect(
        "pairs with yᵀs ≤ 0 are learnt too, and H loses its definiteness", "missing test", {"learns": always}),
    "absolute curvature test": Defect(
        "pairs are learnt where yᵀs > 1e-10, whatever the units of f and x, and none where f is small",
        "spec: a test that depends on units", {"learns": absolutely}),
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
    "γ before": Defect("γ is of the pair before the newest", "wrong pair", {"gamma": before}),
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
    "α crossed": Defect(
        "the αs stay in the order in which the first loop made them, from the newest pair on",
        "wrong order",
        {"product": loops(crossed=True)},
    ),
    "q of s": Defect("αs is subtracted from q in the first loop, not αy", "s for y", {"product": loops(places="ssys")}),
    "α of y": Defect("α is ρyᵀq, not ρsᵀq", "y for s", {"product": loops(places="yyys")}),
    "β of s": Defect("β is ρsᵀr, not ρyᵀr", "s for y", {"product": loops(places="ysss")}),
    "r of y": Defect(
        "(α − β)y is added to r in the second loop, not (α − β)s", "y for s", {"product": loops(places="ysyy")}
    ),
    "first pairs": Defect("the first m pairs are kept, not the last", "memory", {"keeps": earliest}),
}
