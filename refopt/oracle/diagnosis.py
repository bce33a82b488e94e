"""Diagnose: what somebody's curvature matrix, diagonal, product or factors *are*, and under which conventions.

    found = refopt.oracle.diagnose(theirs, problem, x)
    print(found.sentence)
        Yours is the empirical Fisher matrix, summed, column-stacked, with 0.001 added to the diagonal; the exact Fisher
        matrix, which you said it is, differs by 35 %.

For every order of the parameters (``layouts``) and every matrix of the field (``candidates``) the two numbers of

    theirs = α K + λ I

are found by least squares, on a few products with random vectors first, on everything for those that fit. What remains
must be what rounding explains: of inputs that change in the last digit. α is the reduction, λ the damping. A matrix
that nothing explains may be a sampled Fisher matrix: its distance from the exact one is held beside draws of ours.
"""

from collections.abc import Iterator, Mapping
from copy import copy
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np

from refopt.curvature import ggn
from refopt.oracle import factors
from refopt.oracle.candidates import Array, Candidate, factored, kroneckers, matrices, structured, summed
from refopt.oracle.crossed import crossed
from refopt.oracle.damped import damped
from refopt.oracle.differences import differences
from refopt.oracle.iterates import eps_of, host
from refopt.oracle.layouts import blocks_of, layers_of, layouts
from refopt.oracle.mistakes import decayed, definite, lost_terms, mistaken, transformed
from refopt.oracle.origins import Origin, origins
from refopt.oracle.readings import Explanation, View, good
from refopt.oracle.reductions import scale_in_words
from refopt.oracle.sampled import estimated, samples_of
from refopt.oracle.telling import (
    CLOSE,
    Diagnosis,
    of_crossed,
    of_damped,
    of_differences,
    of_entries,
    of_relative,
    of_samples,
    told,
)
from refopt.supervised import Supervised

KFAC = ["kfac-exact", "kfac-empirical", "kfac-forward-only", "kfac-monte-carlo"]


def diagnose(
    theirs: Any, problem: Any, x: Any, v: Any = None, claim: str = "", labels: Any = None, seed: int = 0,
    accuracy: float = 0.0,
) -> Diagnosis:  # fmt: skip
    """Say what `theirs` is: a matrix (P, P), a diagonal (P,), the product with v, or Kronecker factors [(A, G), …].

    Of one side alone {"A": {layer: matrix}} or {"G": …}, layers being counted from 0.

    problem: a ``Supervised`` (or ``LeastSquares``, or ``Problem``) and x (P,), in our order.   v is in *their* order.
    claim: what they say it is, "fisher", "ggn", "hessian" or "empirical", to be told how far that is.   labels: those
    that they sampled.   accuracy: the relative error that they allow themselves, such as 1e-5 of differences.
    Cost: each matrix once, P² for each reading; 2P³ where nothing else explains it, for its inverse.
    """
    x = np.asarray(host(x), float)
    if isinstance(theirs, Mapping):
        return _of_one_side(theirs, problem, x, labels, accuracy, claim)
    if isinstance(theirs, list | tuple) and all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in theirs):
        _known(claim, KFAC)
        return _of_factors(theirs, problem, x, labels, accuracy)
    theirs, v = host(theirs), None if v is None else np.asarray(host(v), float)
    _check(theirs, x.size, v)
    eps = eps_of(theirs)
    case = _Case(problem, x, labels, max(accuracy, _rounding(problem, x, eps)), claim, seed, eps)
    _known(claim, [c.kind for c in case.plain] + ["monte-carlo"] + [kind for kind, *_ in kroneckers(problem, x)])
    return case.diagnosed(np.asarray(theirs, float), v)


class _Case:
    """Everything that theirs is compared with."""

    def __init__(
        self, problem: Any, x: Array, labels: Any, tolerance: float, claim: str, seed: int, eps: float
    ) -> None:
        self.eps = eps
        self.problem, self.x, self.tolerance, self.claim, self.seed = problem, x, tolerance, claim, seed
        self.plain, self.orders = matrices(problem, x, labels), layouts(problem, x.size)

    def diagnosed(self, theirs: Array, v: Array | None) -> Diagnosis:
        """Definitions first, then what is factored, sampled or mistaken, then parts and inverses."""
        view, found = View(theirs, v, np.random.default_rng(self.seed)), list[Explanation]()
        for stage in (self._defined, self._factored, self._mistaken):
            found = sorted(found + view.readings(stage(view), self.orders), key=lambda e: e.residual)
            fit = good(found, self.tolerance)
            if fit and fit[0].residual <= 0.1 * self.tolerance:  # else what comes later may be closer
                break
        known = found[0].residual <= self.tolerance  # or a multiple of the identity: nothing else is in it
        other = None if known else self._differences(theirs, v)
        other = self._crossed(theirs, v) if other is None and not known else other
        if other is None and not known and v is None:
            other = self._otherwise(theirs)
        return (
            told(view, found, self.problem, self.x, self.plain, self.claim, self.tolerance) if other is None else other
        )

    def _defined(self, view: View) -> list[Candidate]:
        if view.theirs.ndim == 2 or view.v is not None:
            return self.parts
        return [*self.plain, *summed(self.plain), *transformed(self.plain)]

    @cached_property
    def parts(self) -> list[Candidate]:
        """The definitions, whole and in parts."""
        size = self.x.size
        blocks = [part for _, part in blocks_of(self.problem, size)]
        arrays = [slot.part for _, slots in layers_of(self.problem, size) for slot in slots] or blocks
        return structured(self.plain, blocks, arrays)

    @cached_property
    def kroneckers(self) -> list[Candidate]:
        return factored(self.problem, self.x)

    def _factored(self, view: View) -> list[Candidate]:
        return self.kroneckers

    def _mistaken(self, view: View) -> list[Candidate]:
        found = definite(self.plain[0]) if view.theirs.ndim == 2 or view.v is not None else []
        if not isinstance(self.problem, Supervised):
            return found
        found += mistaken(self.problem, self.x) + lost_terms(self.problem, self.x)
        return found + (decayed(view.theirs, self.problem, self.x) if view.theirs.ndim == 2 else [])

    def _differences(self, theirs: Array, v: Array | None) -> Diagnosis | None:
        """A Hessian by differences, in our order."""
        if theirs.ndim == 1 and v is None:
            return None
        H = next(c for c in self.plain if c.kind == "hessian").matrix
        found = differences(theirs, self.problem, self.x, v, H, self.eps)
        return of_differences(found, self.tolerance) if found else None

    def _crossed(self, theirs: Array, v: Array | None) -> Diagnosis | None:
        """Rows in another order than columns."""
        found = (
            crossed(theirs, v, self.plain, self.orders, self.tolerance) if theirs.ndim == 2 or v is not None else None
        )
        return of_crossed(found, self.problem, self.tolerance, v is not None) if found else None

    def _mostly(self, theirs: Array) -> Diagnosis | None:
        """A diagonal that is right but for a tenth of its entries at most."""
        for candidate in self.plain:
            d = np.diag(candidate.matrix)
            alpha = float(np.median(theirs[d != 0.0] / d[d != 0.0])) if d.any() else 0.0
            off = np.abs(theirs - alpha * d) > self.tolerance * np.abs(theirs)
            if alpha > 0.0 and off.any() and 10 * off.sum() <= off.size:
                return of_entries(candidate, alpha, theirs, off, self.problem, self.tolerance)
        return None

    def _relative(self, theirs: Array) -> Diagnosis | None:
        """α(K + λ diag K), in any order: the entries beside the diagonal give α, those on it λ."""
        probes = np.random.default_rng(self.seed).choice([-1.0, 1.0], (len(theirs), 3))
        for candidate, layout in product(self.plain, self.orders):
            back, K, d = np.argsort(layout.order), candidate.matrix, np.diag(candidate.matrix)
            own = np.diag(theirs)
            T = (theirs @ probes[layout.order] - own[:, None] * probes[layout.order])[back]
            beside = candidate.times(probes) - d[:, None] * probes
            alpha = float((beside * T).sum() / ((beside * beside).sum() or 1.0))
            if alpha > 0.0 and np.linalg.norm(T - alpha * beside) <= 10.0 * self.tolerance * np.linalg.norm(theirs):
                lam = float(d @ own[back] / (d @ d)) / alpha - 1.0
                rest = theirs[np.ix_(back, back)] - alpha * (K + lam * np.diag(d))
                residual = float(np.linalg.norm(rest) / np.linalg.norm(theirs))
                if residual <= self.tolerance and lam > self.tolerance:
                    return of_relative(candidate, layout, alpha, lam, residual, self.problem, self.tolerance)
        return None

    def _otherwise(self, theirs: Array) -> Diagnosis | None:
        """What is no αK + λI, but made of such."""
        near = self._mostly(theirs) if theirs.ndim == 1 else self._relative(theirs)
        if near is not None:
            return near
        if theirs.ndim == 1:
            estimate = estimated(theirs, self.plain, self.orders[0])
            return of_samples(estimate, self.tolerance) if estimate else None
        if isinstance(self.problem, Supervised):
            if sampled := samples_of(theirs, self.problem, self.x, self.orders, self.seed):
                return of_samples(sampled, self.tolerance)
            if found := damped(theirs, self.problem, self.x, self.orders, self.tolerance):
                return of_damped(found, self.problem, self.tolerance)
        for origin in origins(theirs, self.tolerance, CLOSE):
            tolerance, view = (
                self.tolerance * origin.condition,
                View(origin.matrix, None, np.random.default_rng(self.seed)),
            )
            readings = view.readings((self.plain if origin.crossed else self.parts) + self.kroneckers, self.orders)
            if good(readings, tolerance):
                inner = told(view, readings, self.problem, self.x, self.plain, "", tolerance)
            elif not origin.crossed and (found := damped(origin.matrix, self.problem, self.x, self.orders, tolerance)):
                inner = of_damped(found, self.problem, tolerance)
            else:
                continue
            text, defect = inner.sentence.replace("Yours is", f"Yours is {origin.words}", 1), origin.defect
            text += f" That is a mistake: {defect}." * bool(defect)
            return inner._replace(kind=f"{origin.kind}{inner.kind}", sentence=text, defect=inner.defect or defect)
        return None


def _rounding(problem: Any, x: Array, eps: float) -> float:
    """What rounding explains: of x and X that change in the last digit, as it shows in the Gauss-Newton matrix.

    Twenty times the larger of three such changes, and a thousand eps, or √eps where that is less: half precision has
    not three digits to lose. Without a network: a million eps.
    """
    if not isinstance(problem, Supervised):
        return min(1e6 * eps, eps**0.5)
    G, moves, rng = np.asarray(ggn(problem, x), float), [0.0], np.random.default_rng(0)
    for _ in range(3):
        other = copy(problem)
        if np.asarray(problem.X).dtype.kind == "f":
            other.X = problem.X * (1.0 + eps * rng.choice([-1.0, 1.0], problem.X.shape))
        there = np.asarray(ggn(other, x * (1.0 + eps * rng.choice([-1.0, 1.0], x.shape))), float)
        moves.append(float(np.linalg.norm(there - G) / (np.linalg.norm(G) or 1.0)))
    return min(1e3 * eps, eps**0.5) + 20.0 * max(moves)


def _of_factors(theirs: Any, problem: Any, x: Array, labels: Any, accuracy: float) -> Diagnosis:
    """Pairs of Kronecker factors, one for each layer."""
    eps = max(eps_of(host(M)) for pair in theirs for M in pair)
    tolerance = max(accuracy, _rounding(problem, x, eps))
    found, made = factors.fits(theirs, problem, x, labels, tolerance), None
    for each in _made_of(theirs, tolerance) if found and found[0].residual > tolerance else ():
        again = factors.fits(each[1], problem, x, labels, tolerance * each[0].condition)
        if again and again[0].residual <= tolerance * each[0].condition:
            found, tolerance, made = again, tolerance * each[0].condition, each[0]
            break
    if not found:
        raise ValueError("these pairs have neither the number nor the shapes of the layers' factors A and G")
    best, names = found[0], [name for name, _ in layers_of(problem, x.size)]
    bias = {"last": "joint", "first": "joint-first", "none": "separate"}[best.bias]
    if best.residual > tolerance:
        text = factors.nearest(best, names, tolerance)
        return Diagnosis("", "", "row", bias, 0.0, best.scales[0], best.residual, text, [], tolerance)
    positions = factors.positions_of(problem, x)
    text, reduction, best = factors.told(best, scale_in_words, problem, names, positions, tolerance)
    if made:
        text = text.replace("Yours are the factors", f"Yours are {made.many} the factors", 1)
        text += f" That is a mistake: {made.defect}." * bool(made.defect)
    right = [f for f in found if f.residual <= tolerance and not f.defect(names) and not f.swapped]
    others = list(dict.fromkeys(f"{f.G.fisher} ({f.G.sharing})" for f in right if f.G[:2] != best.G[:2]))
    damping = best.A.dampings[0] * best.G.dampings[0]
    defect = best.defect(names) or "factors change places" * bool(best.swapped)
    defect = defect or "the last layer comes first" * best.backwards or (made.defect if made else "")
    kind = f"{made.kind if made else ''}kfac-{best.G.fisher}"
    return Diagnosis(
        kind, reduction, "row", bias, damping, best.scales[0], best.residual, text, others, tolerance, defect
    )  # fmt: skip


def _of_one_side(
    theirs: Mapping[str, Any], problem: Any, x: Array, labels: Any, accuracy: float, claim: str
) -> Diagnosis:  # fmt: skip
    """The factors A, or G, of some layers."""
    _known(claim, KFAC)
    (side, given), *more = theirs.items()
    if more or side not in ("A", "G"):
        raise ValueError(f"factors of one side are {{'A': …}} or {{'G': …}}; given: {', '.join(theirs)}")
    tolerance = max(accuracy, _rounding(problem, x, max(eps_of(host(M)) for M in given.values())))
    found = factors.alone(side, given, problem, x, labels, tolerance)
    if not found:
        raise ValueError(f"these matrices have not the shapes of the layers' factors {side}")
    names = [name for k, (name, _) in enumerate(layers_of(problem, x.size)) if k in given]
    right = [each for each in found if each[0].residual <= tolerance and not any(each[0].defects)]
    best, bias = next((each for each in right if claim == f"kfac-{each[0].fisher}"), found[0])
    text, scale = factors.told_alone(side, best, bias, names, tolerance)
    kind = "" if best.residual > tolerance else f"kfac-{best.fisher}" if best.fisher else claim or "kfac-exact"
    layout = {"last": "joint", "first": "joint-first", "none": "separate"}[bias]
    others = [f"{each.fisher} ({each.sharing})" for each, _ in right if each[:2] != best[:2]]
    defect = "; ".join(dict.fromkeys(filter(None, best.defects))) if kind else ""
    damping = max(best.dampings)
    return Diagnosis(kind, "", "row", layout, damping, scale, best.residual, text, others, tolerance, defect)


def _made_of(pairs: Any, tolerance: float) -> Iterator[tuple[Origin, list[tuple[Array, Array]]]]:
    """What all factors are made of in the same way, with the largest of their conditions; see ``origins``."""
    ways = [
        {origin.words: origin for origin in origins(np.asarray(host(M), float), tolerance, CLOSE)}
        for pair in pairs for M in pair
    ]  # fmt: skip
    for words, origin in ways[0].items():
        each = [way[words] for way in ways if words in way]
        if len(each) == len(ways):
            matrices = iter(each)
            found = [(A.matrix, G.matrix) for A, G in zip(matrices, matrices, strict=True)]
            yield origin._replace(condition=max(own.condition for own in each)), found


def _known(claim: str, kinds: list[str]) -> None:
    if claim and claim not in kinds:
        raise ValueError(f"claim is {claim!r}; it can be {', '.join(dict.fromkeys(kinds))}")


def _check(theirs: Array, size: int, v: Array | None) -> None:
    shapes = [(size,)] if v is not None else [(size, size), (size,)]
    if theirs.shape not in shapes:
        wanted = " or ".join(map(str, shapes))
        raise ValueError(f"x has {size} parameters, so theirs must have shape {wanted}; it has {theirs.shape}")
    if v is not None and v.shape != (size,):
        raise ValueError(f"x has {size} parameters, so v must have shape {(size,)}; it has {v.shape}")
    if theirs.dtype.kind not in "fiu" or not np.isfinite(theirs).all():
        raise ValueError("theirs must hold finite real numbers")
    if not theirs.any():
        raise ValueError("theirs is zero throughout: nothing can be said of it")
