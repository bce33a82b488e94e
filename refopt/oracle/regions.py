"""What methods that choose a step inside a region, or of residuals, say of two iterates in a row; see ``rules``."""

from collections.abc import Iterator

import numpy as np

from refopt.krylov import gltr, steihaug
from refopt.oracle.fine import conjugate_path, eigh, is_fine, krylov_best, length, powells_path, solved
from refopt.oracle.rules import Path, Seen, along
from refopt.problem import Problem
from refopt.subproblem import decrease, dogleg, more_sorensen

# --- regions of trust --------------------------------------------------------------------------------------------


ENOUGH = 0.9  #: of the least value of the model in a region: what solvers of its problem promise in the hard case


def stationary(path: Path) -> Iterator[Seen]:
    """(B + λI)s = −g with λ ≥ 0 and B + λI ⪰ 0: s is the best step of its own length (N&W, Theorem 4.1).

    Where that fails, in the hard case or nearly, solvers stop at a step that is good enough: then that is asked. There
    is no hard case where B is positive definite.
    """
    for k in path.moved:
        B, g, s = path.B(k), path.g(k), path.s(k)
        lam = -(s @ (g + B @ s)) / (s @ s)
        size = length(g) + length(B @ s)
        least = float(eigh(B)[0][0])
        low = min(0.0, lam, least + lam) / (length(B) or 1.0)
        if max(length(B @ s + lam * s + g) / size, -low) > 1e-8 and least <= 1e-8 * length(B):
            gain = decrease(g, B, s) / more_sorensen(g, B, length(s), 1e-6)[2]
            if gain >= ENOUGH:
                yield Seen(k, f"m(0) − m(s) ≥ {ENOUGH} of the most", np.asarray(ENOUGH), np.asarray(ENOUGH))
                continue
        yield Seen(k, "(B + λI)s = −g", B @ s + lam * s, -g, size)
        yield Seen(k, "λ ≥ 0, B + λI ⪰ 0", np.asarray(low), np.asarray(0.0))


def powell(path: Path) -> Iterator[Seen]:
    """s is a point of Powell's path, where it leaves the region of its own length."""
    for k in path.moved:
        B, g, s = path.B(k), path.g(k), path.s(k)
        ours = powells_path(g, B, length(s)) if is_fine(g) else dogleg(g, B, length(s))[0]
        yield Seen(k, "s on Powell's path", s, ours, length(s), path.lost(k))


def steihaug_path(path: Path) -> Iterator[Seen]:
    """s is on the path through the iterates of conjugate gradients, at its own length (N&W, Algorithm 7.2)."""
    for k in path.moved:
        yield from on_path(path, k, 1.0)


def conjugate(path: Path) -> Iterator[Seen]:
    """s points to an iterate z of conjugate gradients.   z minimises the model along itself, which gives its length."""
    for k in path.moved:
        g, s = path.g(k), path.s(k)
        bend = s @ path.B(k) @ s
        t = -(g @ s) / bend if bend > 0.0 else 1.0
        yield from on_path(path, k, t)


def on_path(path: Path, k: int, t: float) -> Iterator[Seen]:
    z, g, B = t * path.s(k), path.g(k), path.B(k)
    model = Problem(None, hvp=lambda x, p: B @ p)  # type: ignore[arg-type]
    exactly = is_fine(z)
    ours = conjugate_path(g, B, length(z)) if exactly else steihaug(model, path.x(k), g, length(z), 0.0).p
    yield Seen(k, "s on the path of conjugate gradients", z, np.asarray(ours), length(z), abs(t) * path.lost(k))


def lanczos(path: Path) -> Iterator[Seen]:
    """s is the best step of its length in one of the spaces span{g, Bg, …}."""
    for k in path.moved:
        model, s = Problem(None, hvp=lambda x, p, k=k: path.B(k) @ p), path.s(k)  # type: ignore[arg-type, misc]
        if is_fine(s):
            best = [krylov_best(path.g(k), path.B(k), length(s), j) for j in range(1, s.size + 1)]
        else:
            best = [gltr(model, path.x(k), path.g(k), length(s), 0.0, j).p for j in range(1, min(s.size, 30) + 1)]
        ours = min(best, key=lambda p: float(np.abs(s - p).max()))
        yield Seen(k, "s best in a Krylov space", s, np.asarray(ours), length(s), path.lost(k))


# --- least squares -----------------------------------------------------------------------------------------------


def gauss_newton(path: Path) -> Iterator[Seen]:
    for k in path.moved:
        J, r = path.of("jacobian", k), path.of("residual", k)
        p = solved(J.T @ J, -J.T @ r) if is_fine(J) else np.linalg.lstsq(J, -r)[0]
        yield from along(path, k, p, "p = −J⁺r")


def damped_fit(path: Path, scaling: str = "longest columns", factor: float = 1.0) -> Iterator[Seen]:
    """(JᵀJ + λD²)s = −Jᵀr for some λ ≥ 0;  D = I, the lengths of the columns of J, or the longest they have been.

    Both sides are divided by the lengths of the columns, so that the units of x do not matter. factor: a mistake, by
    which the right side is too large.
    """
    longest = np.zeros(path.x(0).size)
    for k in path.steps:
        J, r, s = path.of("jacobian", k), path.of("residual", k), path.s(k)
        lengths = np.linalg.norm(J, axis=0)
        longest = np.maximum(longest, lengths)
        d = {"I": np.ones_like(lengths), "columns": lengths, "longest columns": longest}[scaling]
        d = np.where(d > 0.0, d, 1.0)
        if k in path.moved:
            units = np.where(lengths > 0.0, lengths, 1.0)
            g, bend, w = factor * J.T @ r / units, J.T @ (J @ s) / units, d * d * s / units
            lam = max(0.0, float(-(w @ (g + bend)) / (w @ w)))
            yield Seen(k, "(JᵀJ + λD²)s = −Jᵀr", bend + lam * w, -g, length(g) + length(bend))
