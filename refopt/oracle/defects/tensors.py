"""Mistakes of methods that look at the axes of arrays: Shampoo and SOAP."""

from collections.abc import Callable
from itertools import starmap
from typing import Any

import numpy as np

from refopt.adaptive import mean
from refopt.oracle.defects import Defect
from refopt.oracle.fine import eigh
from refopt.oracle.rules import Array
from refopt.sampled import arrays_of, flat
from refopt.stochastic import soap as original
from refopt.tensors import along, gram


def shampoo(*, power: Callable[[int], int] = lambda k: 2 * k, overwritten: bool = False, mixed: bool = False,
            sign: float = -1.0, forgets: bool = False, axes: int = 9, grafted: str = "",
            unfold: Callable[[Array, int], Array] = gram, apply: Callable[[Array, Array, int], Array] = along,
            ) -> Callable[..., Any]:  # fmt: skip
    """Shampoo's ``update`` with another root, with later axes seeing what earlier ones preconditioned, or both.

    axes: so many are preconditioned, from the first on.   mixed: the mean is one of directions, mixed into the next
    gradient before that is preconditioned.
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
                new.append((0.0 if forgets else own[axis]) + unfold(P if overwritten else G, axis))
                if axis < axes:
                    P = apply(root(new[-1], o.eps, sign / power(G.ndim)), P, axis)
            L.append(tuple(new))
            size = {"": 1.0, "g": float(np.linalg.norm(G)), "1": 1.0}[grafted] / (float(np.linalg.norm(P)) or 1.0)
            parts.append(size * P if grafted else P)
        p = flat(parts)
        return state._replace(x=state.x - o.step * p, g=grad, m=p if mixed else m, L=tuple(L), t=state.t + 1)

    return update


def gram_of_rows(G: Array, axis: int) -> Array:
    """UUᵀ with U = G reshaped to (nᵢ, rest): the axis was not moved to the front."""
    U = G.reshape(G.shape[axis], -1)
    return U @ U.T


def along_rows(X: Array, G: Array, axis: int) -> Array:
    return (X @ G.reshape(G.shape[axis], -1)).reshape(G.shape)


def exactly(state: Any, grad: Any, o: Any, draw: Any = None) -> Any:
    """Shampoo's own ``update`` written out, as the paper has it, for numbers of fifty digits."""
    plain = (o.beta2, o.relative, o.every, o.start, o.grafting, o.weight_decay) == (1.0, False, 1, 0, "none", 0.0)
    if not plain or max(map(max, state.shapes)) > o.block:
        raise ValueError("with these options Shampoo is not written out")
    return shampoo()(state, grad, o)


def root(L: Array, eps: float, power: float) -> Array:
    values, V = eigh(L + eps * np.eye(len(L)))
    return (V * values**power) @ V.T


def soap(
    *, first: bool = False, corrected: bool = True, hat: bool = False, back: str = "Q₁·Q₂ᵀ", permuted: bool = True,
    rotated: bool = False, plain: bool = False, anew: bool = False, sorts: bool = True,
) -> Callable[..., Any]:  # fmt: skip
    """SOAP's ``update`` with one thing changed.

    first: the first gradient moves x already.   hat: ε stands beside √V̂.   rotated: M is kept in the rotated basis.
    plain: V is the mean of G², not of G′².   anew: bases by eigh of the factors, not by a step of the power method.
    sorts: columns are put in order before the step of the power method.
    """

    def update(state: Any, grad: Any, o: Any, draw: Any = None) -> Any:
        arrays = arrays_of(grad, state.shapes)
        factors = tuple(original.gathered(own, G, o.beta3) for own, G in zip(state.L, arrays, strict=True))
        if state.t == 0:
            bases = tuple(tuple(None if L is None else original.basis(L) for L in own) for own in factors)
            state = state._replace(g=grad, Q=bases, t=1)
            if not first:
                return state._replace(L=factors)
        turned, V, p, kept, t = original.turned, [], [], [], state.t
        one, two = (1.0 - o.beta1**t, 1.0 - o.beta2**t) if corrected else (1.0, 1.0)
        held = zip(arrays, *(arrays_of(each, state.shapes) for each in (state.m, state.v)), state.Q, strict=True)
        for G, M, old, Q in held:
            own = turned(G, Q)
            kept.append(mean(M, own if rotated else G, o.beta1))
            V.append(mean(old, (G if plain else own) ** 2, o.beta2))
            M = kept[-1] if rotated else turned(kept[-1], Q)
            p.append(M / one / (np.sqrt(V[-1] / two) + o.eps * (1.0 if hat else two**-0.5)))
            p[-1] = {"Q₁·Q₂ᵀ": turned(p[-1], Q, back=True), "Q₁ᵀ·Q₂": turned(p[-1], Q), "·": p[-1]}[back]
        x = (1.0 - o.step * o.weight_decay) * (state.x - o.step * flat(p))
        bases, in_order = state.Q, V
        if t % o.every == 0:
            renewed = [original.refreshed(L, Q, each) for L, Q, each in zip(factors, bases, V, strict=True)]
            bases, V = tuple(Q for Q, _ in renewed), [each for _, each in renewed] if permuted else V
        if t % o.every == 0 and anew:
            bases = tuple(tuple(None if L is None else original.basis(L) for L in own) for own in factors)
        if t % o.every == 0 and not sorts:
            bases, V = tuple(starmap(powered, zip(factors, state.Q, strict=True))), in_order
        return state._replace(x=x, g=grad, m=flat(kept), v=flat(V), L=factors, Q=bases, t=t + 1)

    return update


def powered(factors: tuple[Any, ...], bases: tuple[Any, ...]) -> tuple[Any, ...]:
    """A step of the power method, columns in the order that they have."""
    return tuple(None if L is None else np.linalg.qr(L @ Q)[0] for L, Q in zip(factors, bases, strict=True))


SHAMPOO = {
    "exponent −1/k": Defect("the exponent is −1/k for k axes, not −1/(2k)", "Gupta et al., Algorithm 2",
                            {"update": shampoo(power=lambda k: k)}),
    "exponent −1/2": Defect("the exponent is −1/2 whatever the number of axes", "Gupta et al., Algorithm 1",
                            {"update": shampoo(power=lambda k: 2)}),
    "exponent −1/4": Defect("the exponent is −1/4 whatever the number of axes", "Gupta et al., Algorithm 1",
                            {"update": shampoo(power=lambda k: 4)}),
    "reshaped": Defect("the factor of an axis is made of the array reshaped to (nᵢ, rest), without the axis in front",
                       "unfolding", {"update": shampoo(unfold=gram_of_rows)}),
    "applied to rows": Defect("the root of an axis is applied to the array reshaped to (nᵢ, rest), without the axis in "
                              "front", "unfolding", {"update": shampoo(apply=along_rows)}),
    "reshaped throughout": Defect("arrays are reshaped to (nᵢ, rest) throughout, without the axis in front",
                                  "unfolding", {"update": shampoo(unfold=gram_of_rows, apply=along_rows)}),
    "two axes": Defect("only the first two axes are preconditioned", "missing factor", {"update": shampoo(axes=2)}),
    "exponent +1/(2k)": Defect("the exponent is positive", "sign", {"update": shampoo(sign=1.0)}),
    "overwritten gradient": Defect("the factor of an axis is made of the gradient that the axes before have "
                                   "preconditioned already", "aliased", {"update": shampoo(overwritten=True)}),
    "overwritten gradient, exponent −1/k": Defect(
        "the exponent is −1/k, and the factor of an axis is made of the gradient that the axes before have "
        "preconditioned already", "both", {"update": shampoo(power=lambda k: k, overwritten=True)}),
    "no sums": Defect("the factors are those of the last gradient: nothing is summed up", "missing sum",
                      {"update": shampoo(forgets=True)}),
    "one side": Defect("only the first axis is preconditioned", "missing factor", {"update": shampoo(axes=1)}),
    "grafted": Defect("each array's step has the length of its gradient: grafting, which the paper has not",
                      "another method", {"update": shampoo(grafted="g")}),
    "length 1": Defect("each array's step is divided by its length", "another method",
                       {"update": shampoo(grafted="1")}),
    "mixed momentum": Defect("preconditioned directions are averaged, and mixed with the next gradient as it is",
                             "momentum", {"update": shampoo(mixed=True)}),
}  # fmt: skip
SOAP = {
    "unpermuted moments": Defect("V stays in its order when the columns of the basis change places", "order",
                                 {"update": soap(permuted=False)}),
    "columns in no order": Defect("the columns of a basis are never put in order before the step of the power method",
                                  "order", {"update": soap(sorts=False)}),
    "first step": Defect("the first gradient moves x already, and does not only make the bases", "another start",
                         {"update": soap(first=True)}),
    "no bias correction": Defect("the means are not corrected for their start at 0", "Kingma & Ba §3",
                                 {"update": soap(corrected=False)}),
    "ε beside √V̂": Defect("ε stands beside √V̂, as in Adam, not beside √V", "ε", {"update": soap(hat=True)}),
    "not turned back": Defect("the step is not turned back from the eigenbases", "missing product",
                              {"update": soap(back="·")}),
    "turned twice": Defect("the step is turned by Q₁ᵀ·Q₂ once more, not back by Q₁·Q₂ᵀ", "transpose",
                           {"update": soap(back="Q₁ᵀ·Q₂")}),
    "V of G": Defect("V is the mean of G², not of that in the eigenbases", "another moment",
                     {"update": soap(plain=True)}),
    "M turned": Defect("M is kept in the eigenbases, and not turned when they change", "stale basis",
                       {"update": soap(rotated=True)}),
    "eigh anew": Defect("the bases are eigenvectors of the factors, found anew, not by one step of the power method",
                        "another method", {"update": soap(anew=True)}),
}  # fmt: skip
