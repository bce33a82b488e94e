"""Mistakes of methods that look at the axes of arrays: Shampoo and SOAP."""

from collections.abc import Callable
from typing import Any

import numpy as np

from refopt.oracle.defects import Defect
from refopt.oracle.rules import Array
from refopt.sampled import arrays_of, flat
from refopt.stochastic import soap
from refopt.tensors import along, gram


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
