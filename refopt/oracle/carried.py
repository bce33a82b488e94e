"""Methods that carry more than their records show: our own steps from their x, with what has been learnt carried on.

Each rule keeps the method's own state (factors, a radius, a damping, a learnt matrix), puts their x into it before
every step and their step after it, and compares. What their records have of it (B, J, delta, damping, gamma) is used.
"""

from collections.abc import Callable, Iterator
from importlib import import_module

import numpy as np

from refopt.linearised import dogleg, regular
from refopt.linesearch import Point
from refopt.methods import hessian_free as hf
from refopt.methods import sr1
from refopt.ops import triangular
from refopt.oracle.fine import is_fine, length, powells_path, solved
from refopt.oracle.rules import Array, Path, Seen, along, equation, paced, resumed, top
from refopt.problem import Problem
from refopt.sampled import Draw
from refopt.subproblem import more_sorensen

# --- steps on batches --------------------------------------------------------------------------------------------


def drawn(method: str) -> Callable[..., Iterator[Seen]]:
    """x₊ by the method's own ``step``, with batch, labels, probes and masks of their records."""
    module = import_module(f"refopt.stochastic.{method}")

    def rule(path: Path, pace: tuple[float, ...] = ()) -> Iterator[Seen]:
        state = module.init(path.problem, path.x(0), path.params)
        if hasattr(state, "factors"):
            state = resumed(state, path.records[0], method, ("factors", "inverse", "damping", "gamma", "delta"))
        for k in path.steps:
            record = path.records[k]
            own = {name: record[name] for name in ("damping", "gamma", "p", "delta") if name in record}
            own = {name: value for name, value in own.items() if hasattr(state, name)}
            draw = Draw(record.get("batch"), record.get("labels"), record.get("probes"), record.get("masks", ()))
            state = module.step(path.problem, state._replace(x=path.x(k), **own), paced(path, k, pace), draw)
            yield Seen(k, "x₊ = x + p", path.s(k), state.x - path.x(k), top(path.s(k)), path.lost(k))
            if hasattr(state, "delta"):
                state = state._replace(delta=path.s(k))

    return rule


# --- conjugate gradients on a damped model -----------------------------------------------------------------------


def hessian_free(path: Path, inner: str = "stopped as here") -> Iterator[Seen]:
    """s points where conjugate gradients end, from the last direction, with a damping that follows the ratio.

    inner: "stopped as here", or "to η", which asks only that (B + λI)p = −g holds to the part η of ‖g‖ for some λ ≥ 0.
    """
    if inner == "to η":
        yield from _forced(path)
        return
    problem = _with_products(path)
    state = hf.init(problem, path.x(0), path.params)
    for k in path.steps:
        yield from along(path, k, state.p, "p = −(B + λI)⁻¹g, by conjugate gradients")
        alpha, x, g = length(path.s(k)) / length(state.p), path.x(k + 1), path.g(k + 1)
        alpha = 1.0 if abs(alpha - 1.0) < 1e-6 else alpha
        point = Point(x, float(path.of("fun", k + 1)), g, alpha, 0, 0, True, True)
        lam = max(hf.adapted(state.lam, hf.ratio(problem, state, point)), path.eps * state.size)
        new = state._replace(x=x, f=point.f, g=g, lam=lam, steep=max(state.steep, length(g)))
        state = hf.planned(problem, new, path.params)


def _forced(path: Path) -> Iterator[Seen]:
    for k in path.moved:
        g, s = path.g(k), path.s(k)
        columns = np.stack([_product(path, k, s), s], 1)
        (a, b), *_ = np.linalg.lstsq(columns, -g)
        if b < 0.0:
            a, b = float(columns[:, 0] @ -g) / float(columns[:, 0] @ columns[:, 0]), 0.0
        rest = length(columns @ np.array([a, b]) + g) / length(g)
        excess = max(0.0, rest - path.params.forcing, -a * length(columns[:, 0]) / length(g))
        yield Seen(k, "‖(B + λI)p + g‖ ≤ η‖g‖, λ ≥ 0", np.asarray(excess), np.asarray(0.0))


def _product(path: Path, k: int, v: Array) -> Array:
    return path.B(k) @ v if path.has("hess") else np.asarray(path.problem.hvp(path.x(k), v))


def _with_products(path: Path) -> Problem:
    p = path.problem
    for name in ("fun", "grad"):
        path.of(name, 0)
    product = p.hvp if path.has("hvp") else lambda x, v: np.asarray(p.hess(x)) @ v
    return Problem(p.fun, p.grad, None, product, getattr(p, "noise", 0.0))  # type: ignore[arg-type]


# --- a learnt Hessian --------------------------------------------------------------------------------------------


def symmetric_rank_one(path: Path, trials: str = "as here", begin: str = "length") -> Iterator[Seen]:
    """(B + λI)s = −g for some λ, where B has learnt from every trial, those that were refused too.

    Where their records have no B it is made of them: from B of the first record, or (10 ‖g₀‖/‖x₀‖) I, or I. Trials that
    were refused leave no trace. trials: "as here" makes them by our own rules of the region, "halved" with a region
    that is halved until their s is found, "taken" takes it that B learns only from the steps that were taken.
    """
    if all(record.get("B") is not None for record in path.records):
        yield from _given(path)
        return
    B = path.records[0].get("B")
    if B is None:
        B = (sr1.first_guess(path.x(0), path.g(0)) if begin == "length" else 1.0) * np.eye(path.x(0).size)
    if trials == "as here":
        yield from _by_our_region(path, B)
        return
    radius, fresh = 0.0, True
    for k in path.moved:
        g, s = path.g(k), path.s(k)
        if trials == "halved":
            B, radius, fresh = _refused(path, k, B, radius, fresh)
        lam = -(s @ (g + B @ s)) / (s @ s)
        yield Seen(k, "(B + λI)s = −g", B @ s + lam * s, -g, length(g) + length(B @ s))
        B, fresh = _learnt(path, B, s, path.g(k + 1) - g, fresh)


def _given(path: Path) -> Iterator[Seen]:
    """B₊ = update(B, s, y) with the B of their records."""
    update = equation("sr1", "update")
    for k in path.moved:
        B, after = path.records[k]["B"], path.records[k + 1]["B"]
        g, s = path.g(k), path.s(k)
        lam = -(s @ (g + B @ s)) / (s @ s)
        yield Seen(k, "(B + λI)s = −g", B @ s + lam * s, -g, length(g) + length(B @ s))
        if not np.array_equal(B, after):
            ours = np.asarray(update(B.copy(), s, path.g(k + 1) - g))
            yield Seen(k, "B₊ = update(B, s, y)", after, ours, top(after))


def _by_our_region(path: Path, B: Array) -> Iterator[Seen]:
    for name in ("fun", "grad"):
        path.of(name, 0)
    state = sr1.init(path.problem, path.x(0), path.params)._replace(B=B)
    for k in path.moved:
        for _ in range(40):
            state = sr1.step(path.problem, state, path.params)
            if state.taken:
                break
        yield Seen(k, "s in the region", path.s(k), state.x - path.x(k), length(path.s(k)), path.lost(k))
        state = state._replace(x=path.x(k + 1), f=float(path.of("fun", k + 1)), g=path.g(k + 1))


def _refused(path: Path, k: int, B: Array, radius: float, fresh: bool) -> tuple[Array, float, bool]:
    """B after the trials before their s: those of a region that is halved until its step is s."""
    g, s = path.g(k), path.s(k)
    first = [2.0**j * length(s) for j in range(9)] + [2.0**j * radius for j in range(-3, 7) if radius]
    for begin in first:
        learnt, size, still = B, begin, fresh
        for _ in range(10):
            p = np.asarray(more_sorensen(g, learnt, size, 1e-12).p)
            if length(p - s) <= 1e-6 * length(s):
                return learnt, max(size, radius) if begin == first[0] else size, still
            y = np.asarray(path.problem.grad(path.x(k) + p)) - g
            learnt, still = _learnt(path, learnt, p, y, still)
            size = size / 2.0
    return B, radius, fresh


def _learnt(path: Path, B: Array, s: Array, y: Array, fresh: bool) -> tuple[Array, bool]:
    if not sr1.learns(B, s, y, path.params.skip, fresh):
        return B, fresh
    return np.asarray(sr1.update(B.copy(), s, y)), False


# --- a learnt Jacobian -------------------------------------------------------------------------------------------


def jacobians(method: str) -> Callable[..., Iterator[Seen]]:
    """s on Powell's path of ‖Jp + r‖, as long as it is; J learnt from s and r₊ − r, or the Jacobian, as fits best.

    start: "jacobian" or "I".   region: "scaled", with D of the columns' longest lengths, "I", or "line": s points to
    −J⁺r.   The method "dogleg" learns nothing.
    """
    update = equation(method, "update") if method != "dogleg" else None

    def rule(path: Path, start: str = "jacobian", region: str = "scaled") -> Iterator[Seen]:
        first = path.of("jacobian", 0)
        J = path.records[0].get("J", np.eye(*first.shape) if start == "I" else first)
        may_be = [(J, np.linalg.norm(J, axis=0))]
        for k in path.moved:
            s, r = path.s(k), path.of("residual", k)
            tried = [(J, d, _on_path(path, k, J, r, _positive(d, region), region)) for J, d in may_be]
            J, d, seen = min(tried, key=lambda each: top(each[2].theirs - each[2].ours))
            yield seen
            exact = path.of("jacobian", k + 1)
            more = (_positive(d, region),) if method == "broyden_good" else ()
            learnt = exact if update is None else np.asarray(update(J, s, path.of("residual", k + 1) - r, *more))
            longer, other = (np.maximum(d, np.linalg.norm(M, axis=0)) for M in (learnt, exact))
            may_be = [(learnt, longer), (exact, other), (exact, longer)]

    return rule


def _positive(d: Array, region: str) -> Array:
    return np.where(d > 0.0, d, 1.0) if region == "scaled" else np.ones_like(d)


def _on_path(path: Path, k: int, J: Array, r: Array, scale: Array, region: str) -> Seen:
    s = path.s(k)
    if region == "line":
        p = solved(J.T @ J, -J.T @ r) if is_fine(J) else np.linalg.lstsq(J, -r)[0]
        return Seen(k, "p = −J⁺r", s / length(s), p / (length(p) or 1.0), 1.0, path.lost(k) / length(s))
    if is_fine(J):
        ours = powells_path(J.T @ r / scale, (J / scale).T @ (J / scale), length(scale * s)) / scale
    else:
        ours = np.asarray(dogleg(*regular(*triangular(J, r)), J.T @ r, scale, length(scale * s)).p)
    return Seen(k, "s on Powell's path", s, ours, length(s), path.lost(k))
