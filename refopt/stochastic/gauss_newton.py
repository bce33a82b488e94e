"""Gauss-Newton on batches: steps with the generalised Gauss-Newton matrix of the last few of them.

    G  = (1/k) Σ Jᵀ H J                  of k batches, each with c;   J: outputs by parameters, H: the loss by outputs
    x ← x − η d − ηωx,   (G + λI) d = g
    dense           the system as it stands, (P, P)
    push-through    d = Jᵀ(HJJᵀ + λI)⁻¹r with all J of the window stacked, g = Jᵀr,   of size kBC

N. N. Schraudolph, *Neural Computation* 14 (2002) 1723, for G;  M. Korbit et al., Exact Gauss-Newton optimization for
training deep neural networks, arXiv:2405.14402, for the identity on batches.
Shapes: J (BC, P) with B samples of C outputs; H block-diagonal, (B, C, C), c included; r (BC,); x, g, d (P,).
Cost of a step: (kBC)²P + (kBC)³ flops by push-through, BCP² + P³ dense; kBCP numbers are kept.

A batch's G has rank B(C − 1) at most for cross-entropy, BC for squares; a window of k batches k times that. The damping
is in the units of the objective: λ with a mean over B samples is Bλ with their sum. The identity needs λ > 0, and no
symmetry; H may be singular, as that of cross-entropy is. That of the "gaussian" loss may be indefinite: then d may go
up, unless λ is large; ``natural_gradient`` has the Fisher matrix instead. With a gradient that is not Jᵀr (momentum,
somebody's own) `update` solves the dense system or, by the same identity, that of the window:
d = (g − Jᵀ(HJJᵀ + λI)⁻¹HJg)/λ.
"""

from typing import Any, NamedTuple

from refopt.ops import device, namespace, solve_symmetric
from refopt.sampled import Draw, at, begun, like, required, supervised

SOLVERS = ("push-through", "dense")


class Params(NamedTuple):
    step: float = 0.3  #: η
    damping: float = 0.1  #: λ
    window: int = 1  #: k, batches whose curvature is used
    solver: str = "push-through"  #: or "dense"
    weight_decay: float = 0.0  #: ω


CHOICES = {"solver": SOLVERS}


class State(NamedTuple):
    x: Any
    f: float
    g: Any
    J: tuple[Any, ...]  #: of the last k − 1 batches, the newest first
    H: tuple[Any, ...]
    ok: bool  #: the system could be solved
    t: int  #: steps taken


def init(problem: Any, x: Any, params: Params) -> State:
    x = begun(x)
    return State(x, float("nan"), 0.0 * x, (), (), True, 0)


def step(problem: Any, state: State, params: Params, draw: Draw | None = None, donate: Any = False) -> State:
    supervised(problem, "gauss-newton")
    point = at(problem, state.x, draw)
    seen = point.jacobian(), blocks(point), namespace(point.f).reshape(point.residual, (-1,))
    return update(state, point.grad, params, draw, donate, seen)._replace(f=point.fun)


def update(
    state: State, grad: Any, params: Params, draw: Draw | None = None, donate: Any = False, seen: Any = None
) -> State:
    """seen: J (BC, P), H (B, C, C) with c, and r (BC,) where the gradient is Jᵀr, else None."""
    like(grad, state)
    J, H, r = required(seen, "the batch's J, H and r, seen=", "gauss-newton")
    Js, Hs = (J, *state.J)[: max(1, params.window)], (H, *state.H)[: max(1, params.window)]
    d, ok = direction(Js, Hs, grad, r, params.damping, params.solver)
    x = (1.0 - params.step * params.weight_decay) * state.x - params.step * d if ok else state.x
    kept = max(1, params.window) - 1
    return state._replace(x=x, g=grad, J=Js[:kept], H=Hs[:kept], ok=ok, t=state.t + 1)


def blocks(point: Any) -> Any:
    """c∇²ℓ of every sample: (B, C, C); all positions of a sample are one block."""
    xp, f = namespace(point.f), point.f
    rows, signs = point.factor()  # (S, B, …, C), c∇²ℓₙ = c Σ σ u uᵀ
    rows = xp.moveaxis(xp.reshape(rows, (rows.shape[0], f.shape[0], -1)), 0, 1)  # (B, S, C)
    sign = xp.asarray(signs, dtype=f.dtype, device=device(f))
    return point.c * xp.matmul(xp.matrix_transpose(rows) * sign, rows)


def direction(
    Js: tuple[Any, ...], Hs: tuple[Any, ...], g: Any, r: Any, damping: float, solver: str = "push-through"
) -> tuple[Any, bool]:
    """d = (G + λI)⁻¹g with G = (1/k) Σ JᵀHJ, and whether it exists; g = Jᵀr of the first J, or r is None."""
    xp = namespace(g)
    J = xp.concat(list(Js), axis=0)
    if solver == "dense":
        G = J.T @ times(Hs, J)
        return solved((G + G.T) / 2, damping, g)
    if solver != "push-through":
        raise ValueError(f"solver must be one of {', '.join(map(repr, SOLVERS))}; it is {solver!r}")
    if not damping > 0.0:
        raise ValueError(f"push-through needs a positive damping, not {damping}; without one use the dense solver")
    if r is None:
        y, ok = solved(times(Hs, J @ J.T), damping, times(Hs, (J @ g)[:, None])[:, 0])
        return (g - J.T @ y) / damping, ok
    rest = J.shape[0] - r.shape[0]
    y, ok = solved(times(Hs, J @ J.T), damping, xp.concat([r, 0.0 * J[:rest, 0]]) if rest else r)
    return J.T @ y, ok


def times(Hs: tuple[Any, ...], V: Any) -> Any:
    """HV/k for the block-diagonal H of all batches: V and HV are (kBC, n)."""
    xp, found, end = namespace(V), [], 0
    for H in Hs:
        B, C, _ = H.shape
        part = xp.reshape(V[end : end + B * C, :], (B, C, -1))
        found.append(xp.reshape(xp.matmul(H, part), (B * C, -1)))
        end += B * C
    return xp.concat(found, axis=0) / len(Hs)


def solved(A: Any, damping: float, b: Any) -> tuple[Any, bool]:
    """(A + λI)⁻¹b, and whether it exists; by elimination with pivots, for which A need not be symmetric."""
    return solve_symmetric(A, damping, b)
