"""Natural gradient on batches: steps in the metric of a Fisher matrix of the model.

    x ← x + ηp − ηωx,    (F + λI) p = −g
    exact           F = c Σ JₙᵀFₙJₙ,  Fₙ = E[∇ℓₙ∇ℓₙᵀ] over y ~ e^{−ℓ} in closed form
    monte-carlo     F = (c/S) Σ s sᵀ, s = ∇ℓₙ at S labels drawn from the model for every sample
    empirical       F = c Σ s sᵀ,     s = ∇ℓₙ at the labels given: no Fisher matrix, but what is often called one

S. Amari, *Neural Computation* 10 (1998) 251;  J. Martens, *JMLR* 21 (2020) 146;  F. Kunstner, L. Balles & P. Hennig,
*NeurIPS* 2019, arXiv:1905.12558, on what the empirical one lacks.
Shapes: s, x, g, p (P,); F (P, P).
Cost of a step: "dense" BCP² + 2P³/3 flops and P² numbers;   "cg" two gradients or so for each product with F.

c is the factor of the objective's reduction, so that F is in the units of the Hessian. The solvers differ by `forcing`,
the residual at which conjugate gradients end, and by their limit of iterations.
"""

from typing import Any, NamedTuple

from refopt.krylov import conjugate_gradients
from refopt.methods.natural_gradient import direction
from refopt.ops import namespace
from refopt.problem import Problem
from refopt.sampled import Draw, Needs, at, begun, like, required, stacked_labels, supervised

KINDS, SOLVERS = ("exact", "monte-carlo", "empirical"), ("dense", "cg")


class Params(NamedTuple):
    step: float = 0.1  #: η
    damping: float = 1e-2  #: λ
    fisher: str = "exact"  #: "exact", "monte-carlo" or "empirical"
    solver: str = "dense"  #: or "cg"
    samples: int = 1  #: S, for "monte-carlo"
    forcing: float = 1e-6  #: of cg: the residual in terms of ‖g‖
    limit: int = 250  #: of cg: iterations
    weight_decay: float = 0.0  #: ω


CHOICES = {"fisher": KINDS, "solver": SOLVERS}


class State(NamedTuple):
    x: Any
    f: float
    g: Any
    ok: bool  #: the system could be solved
    t: int  #: steps taken


def needs(params: Params) -> Needs:
    return Needs(labels=params.samples if params.fisher == "monte-carlo" else 0)


def init(problem: Any, x: Any, params: Params) -> State:
    x = begun(x)
    return State(x, float("nan"), 0.0 * x, True, 0)


def step(problem: Any, state: State, params: Params, draw: Draw | None = None, donate: Any = False) -> State:
    supervised(problem, "natural-gradient")
    for name, known in CHOICES.items():
        if (value := getattr(params, name)) not in known:
            raise ValueError(f"{name} must be one of {', '.join(map(repr, known))}; it is {value!r}")
    point = at(problem, state.x, draw)
    labels = stacked_labels(problem, draw, "natural-gradient") if params.fisher == "monte-carlo" else [None]
    metric = product(point, params.fisher, labels) if params.solver == "cg" else matrix(point, params.fisher, labels)
    return update(state, point.grad, params, draw, donate, metric)._replace(f=point.fun)


def update(
    state: State, grad: Any, params: Params, draw: Draw | None = None, donate: Any = False, fisher: Any = None
) -> State:
    """fisher: F (P, P), or, for the solver "cg", the function v ↦ Fv."""
    like(grad, state)
    fisher = required(fisher, "a Fisher matrix or its products, fisher=", "natural-gradient")
    if params.solver == "cg":
        p, ok = by_cg(fisher, state.x, grad, params)
    else:
        p, ok = direction(fisher, grad, params.damping)
    x = (1.0 - params.step * params.weight_decay) * state.x + params.step * p if ok else state.x
    return state._replace(x=x, g=grad, ok=ok, t=state.t + 1)


def by_cg(product: Any, x: Any, g: Any, params: Params) -> tuple[Any, bool]:
    problem = Problem(lambda x: 0.0, hvp=lambda x, v: product(v))
    found = conjugate_gradients(problem, x, g, 0.0 * g, params.damping, float("inf"), params.forcing, 0.0, params.limit)
    return found.z, not found.concave


def matrix(point: Any, kind: str, labels: list[Any]) -> Any:
    """F (P, P) of the kind; labels: sets of them, [None] for those given."""
    xp = namespace(point.f)
    if kind == "exact":
        rows = point.per_sample_vjp(point.fisher_factor())
        rows = xp.reshape(rows, (-1, rows.shape[-1]))
        return point.c * (rows.T @ rows)
    found = [point.per_sample_grad(drawn) for drawn in labels]
    return point.c / len(labels) * sum(rows.T @ rows for rows in found)


def product(point: Any, kind: str, labels: list[Any]) -> Any:
    """v ↦ Fv."""
    if kind == "exact":
        return point.fisher_vp
    return lambda v: sum(point.empirical_fisher_vp(v, drawn) for drawn in labels) / len(labels)
