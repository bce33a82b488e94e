"""What each method says of two iterates in a row: its equations, evaluated on somebody else's quantities.

A rule yields ``Seen`` after ``Seen``: an equation, their side of it, and ours from *their* iterates before it, so that
errors do not pile up. How far along a direction a search goes is its own affair, and no equation: x₊ = x + αp is judged
by s/‖s‖ = p/‖p‖, and a region's radius is taken to be ‖s‖.

``how`` are the choices that sources leave open (conventions: with which H₀, how many pairs) and the ways of going wrong
(defects): keywords of the rule. What a rule carries from step to step (H, the pairs, the means) is made of their x and
their gradients, or is their own where their records have it.
"""

from collections.abc import Callable, Iterator
from functools import cached_property
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from refopt import curvature
from refopt.ops import two_loop
from refopt.oracle.fine import is_fine, length, solved
from refopt.oracle.iterates import NESTED, Record
from refopt.quasi_newton import first_guess
from refopt.sampled import Draw
from refopt.supervised import Supervised

Array = np.ndarray
CLEAR, ROUGH = 1e-3, 0.1  #: of a quantity; of one that roots or eigenvectors of matrices are in
GIVEN = ("f = f(x)", "g = ∇f(x)")


class Seen(NamedTuple):
    """One equation at step k."""

    k: int
    equation: str
    theirs: Array
    ours: Array
    scale: float = 1.0
    digits: Any = 0.0  #: the numbers whose difference theirs is
    unit: float = 0.0  #: the distance of 1 to the next number of a type that is coarser than x's
    drift: float | None = None  #: what ours may be off by for what they carried in coarse numbers, where it is known
    alpha: float = 0.0  #: how many times p their step is, of a step along p
    clear: float = CLEAR  #: of the quantity: where rounding explains more, its entries are looked at one by one


class Path:
    """Their iterates, and what the problem says at them where they do not."""

    def __init__(
        self, problem: Any, records: list[Record], params: Any, eps: float = 2.0**-52, known: Any = None,
        units: Any = None, turn: int = 0,
    ) -> None:  # fmt: skip
        self.problem, self.records, self.params, self.eps = problem, records, params, eps
        self.units: dict[str, float] = units or {}
        self.turn = turn  #: of the paths that are changed in the last digit; 0 for theirs
        self.known: dict[tuple[Any, int], Any] = {} if known is None else known

    @property
    def steps(self) -> range:
        return range(len(self.records) - 1)

    def x(self, k: int) -> Array:
        return self.records[k]["x"]

    def s(self, k: int) -> Array:
        return self.x(k + 1) - self.x(k)

    def lost(self, k: int) -> Array:
        """The numbers that are subtracted in s."""
        return np.abs(self.x(k)) + np.abs(self.x(k + 1))

    def g(self, k: int) -> Array:
        """Their gradient where they give it, else the problem's."""
        theirs = self.records[k].get("g")
        return self.of("grad", k) if theirs is None else theirs

    def f(self, k: int) -> float:
        """Their value where they give it, else the problem's."""
        theirs = self.records[k].get("f")
        return float(self.of("fun", k) if theirs is None else theirs)

    def B(self, k: int) -> Array:
        return self.of("hess", k)

    def has(self, name: str) -> bool:
        return getattr(self.problem, name, None) is not None

    def of(self, name: str, k: int) -> Any:
        """A function of the problem at x of step k."""
        if not self.has(name):
            raise ValueError(f"this replay needs problem.{name}, or the records must carry its values")
        return self.kept(name, k, getattr(self.problem, name))

    def kept(self, name: Any, k: int, make: Callable[[Array], Any]) -> Any:
        """make(x) at x of step k, made once."""
        if (name, k) not in self.known:
            self.known[name, k] = np.asarray(make(self.x(k).copy()))
        return self.known[name, k]

    @cached_property
    def moved(self) -> list[int]:
        """The steps that were taken: of more than rounding."""
        return [k for k in self.steps if top(self.s(k)) > 8.0 * self.eps * top(self.lost(k))]


def given(path: Path) -> Iterator[Seen]:
    """Their f and g are the problem's at their x."""
    for k in range(len(path.records)):
        for field, name, says in (("f", "fun", GIVEN[0]), ("g", "grad", GIVEN[1])):
            theirs = path.records[k].get(field)
            if theirs is not None and path.has(name):
                ours = path.of(name, k)
                yield Seen(k, says, np.asarray(theirs), ours, top(ours), unit=path.units.get(field, 0.0))


def along(path: Path, k: int, p: Array, says: str) -> Iterator[Seen]:
    """Their step goes where p points."""
    s = path.s(k)
    if k in path.moved and p.any():
        alpha = float(length(s) / length(p))
        yield Seen(k, says, s / length(s), p / length(p), 1.0, path.lost(k) / length(s), alpha=alpha)


def equation(method: str, name: str) -> Callable[..., Any]:
    return getattr(import_module(f"refopt.methods.{method}"), name)


# --- searches along a direction ----------------------------------------------------------------------------------


def steepest(path: Path) -> Iterator[Seen]:
    for k in path.moved:
        yield from along(path, k, -path.g(k), "p = −g")


def hessian(path: Path, k: int) -> Array:
    return path.B(k)


def fisher(path: Path, k: int, kind: str = "exact") -> Array:
    """The Fisher matrix of a ``Supervised``; of other problems what they call their Hessian."""
    if not isinstance(path.problem, Supervised):
        return path.B(k)
    return path.kept(("fisher", kind), k, lambda x: curvature.fisher(path.problem, x, kind=kind))


def newton_type(
    direction: Callable[[Path, Array, Array], Array], says: str, matrix: Any = hessian
) -> Callable[..., Iterator[Seen]]:
    """p from a matrix, the Hessian or a Fisher matrix, and the gradient."""

    def rule(path: Path, matrix: Any = matrix) -> Iterator[Seen]:
        for k in path.moved:
            yield from along(path, k, direction(path, matrix(path, k), path.g(k)), says)

    return rule


def difference(path: Path, k: int, p: Array) -> tuple[Array, Array]:
    """The pair (s, y) of step k, which went along p."""
    return path.s(k), path.g(k + 1) - path.g(k)


def curved(s: Array, y: Array, skip: float, H: Array | None = None) -> bool:
    """Whether yᵀs is safely positive; where it is not, nothing is learnt."""
    return bool(s.any() and s @ y > skip * length(s) * length(y))


def stays_positive(s: Array, y: Array, skip: float, H: Array) -> bool:
    """Whether the rank-one update of H ≻ 0 is safe and positive definite: rᵀy > 0 or sᵀH⁻¹s < sᵀy, r = s − Hy."""
    r = s - H @ y
    safe = abs(r @ y) > skip * length(r) * length(y)
    return bool(s.any() and safe and (r @ y > 0.0 or s @ solved(H, s) < s @ y))


def downhill(path: Path, k: int, p: Array) -> Array:
    """p, or −g where p points uphill and their step goes along −g: what a wrong H is often replaced by."""
    g, s = path.g(k), path.s(k)
    return -g if p @ g >= 0 and s @ p * length(g) < -(s @ g) * length(p) else p


def quasi_newton(method: str, learns: Any = curved) -> Callable[..., Iterator[Seen]]:
    """p = −Hg and H₊ = update(H, s, y).

    start: H₀ = I, "scaled" (sᵀy/yᵀy of the first pair), "length" (‖x₀‖/‖g₀‖), or "γI" with the γ that fits the second
    step; theirs where their first record has it. A run may begin anew: where their H has learnt and is γI again.
    """

    def rule(
        path: Path, start: str = "I", pair: Any = difference, learns: Any = learns, update: Any = None
    ) -> Iterator[Seen]:
        update = update or equation(method, "update")
        H = path.records[0].get("H")
        if H is None:
            x, g = (np.asarray(a, float) for a in (path.x(0), path.g(0)))
            H = (first_guess(x, g) if start == "length" else 1.0) * np.eye(x.size)
        learnt = False
        for k in path.steps:
            own = path.records[k].get("H")
            if own is not None and k:
                if not (learnt and multiple_of_identity(own)):
                    yield Seen(k, "H₊ = update(H, s, y)", own, H, top(H))
                H, learnt = own, not multiple_of_identity(own)
            p = downhill(path, k, -H @ path.g(k))
            yield from along(path, k, p, "p = −Hg")
            s, y = pair(path, k, p)
            if k == 0 and start == "scaled" and curved(s, y, 0.0):
                H = (s @ y) / (y @ y) * np.eye(s.size)
            if k == 0 and start == "γI" and curved(s, y, 0.0) and len(path.steps) > 1:
                H = fitted(update, s, y, path.g(1), path.s(1)) * np.eye(s.size)
            if learns(s, y, path.params.skip, H):
                H = np.asarray(update(H.copy(), s, y))

    return rule


def multiple_of_identity(H: Array) -> bool:
    """Whether H is γI; of one variable every H is."""
    return len(H) > 1 and bool((H[0, 0] * np.eye(len(H)) == H).all())


def fitted(update: Any, s: Array, y: Array, g: Array, after: Array) -> float:
    """The γ for which the update of γI sends −g along the step after; the update is affine in γ."""
    one, two = (-np.asarray(update(gamma * np.eye(s.size), s, y)) @ g for gamma in (1.0, 2.0))
    slope, rest = two - one, 2.0 * one - two
    gamma = np.linalg.lstsq(np.stack([slope, -after], axis=1), -rest)[0][0]
    return float(gamma) if gamma > 0.0 else 1.0


def newest(S: list[Array], Y: list[Array]) -> float:
    """γ = sᵀy/yᵀy of the last pair."""
    return S[-1] @ Y[-1] / (Y[-1] @ Y[-1])


def loops(S: list[Array], Y: list[Array], gamma: float, g: Array) -> Array:
    """Hg by the two loops."""
    return np.asarray(two_loop(tuple(S), tuple(Y), len(S), gamma, g))


def latest(pairs: list[Array], m: int) -> list[Array]:
    return pairs[-m:]


def l_bfgs(
    path: Path, memory: int = 0, pair: Any = difference, learns: Any = curved, gamma: Any = newest, order: int = 1,
    product: Any = loops, keeps: Any = latest,
) -> Iterator[Seen]:  # fmt: skip
    """p = −Hg by the two loops over the last m pairs."""
    S: list[Array] = []
    Y: list[Array] = []
    for k in path.steps:
        g, p = path.g(k), -path.g(k)
        if S:
            p = downhill(path, k, -product(S[::order], Y[::order], gamma(S, Y), g))
        yield from along(path, k, p, "p = −Hg, by the two loops")
        s, y = pair(path, k, p)
        if learns(s, y, path.params.skip):
            m = memory or path.params.memory
            S, Y = keeps([*S, s], m), keeps([*Y, y], m)


# --- steps from gradients alone ---------------------------------------------------------------------------------------


def updates(method: str, exactly: Any = None) -> Callable[..., Iterator[Seen]]:
    """x₊ by the method's own ``update``; what it needs beside the gradient is in their records: probes and products.

    exactly: an update for numbers of fifty digits, where the method's own has roots of matrices.   ahead: the means of
    a record have seen its gradient already, as in the states of ``minimize``; else those before it.   pace: how many
    times the step each step has.
    """
    module = import_module(f"refopt.stochastic.{method}")
    means = () if method == "shampoo" else ("m", "v")  # of which its public codes keep others

    def rule(
        path: Path, update: Any = module.update, ahead: bool = False, signs: bool = True, pace: tuple[float, ...] = ()
    ) -> Iterator[Seen]:  # fmt: skip
        if exactly and is_fine(path.x(0)) and update is module.update:
            update = exactly
        shaped = path.problem if isinstance(path.problem, Supervised) else None
        state = module.init(shaped, np.asarray(path.x(0), float), path.params)
        carries, roots = [name for name in ("m", "v") if hasattr(state, name)], hasattr(state, "L")
        if roots:
            state = resumed(state, path.records[0], method, held(method, path.params), ("m", "v", "roots"))
        elif not ahead:
            state = begun(state, path.records[0], carries)
        for k in path.steps:
            record = path.records[k]
            draw = Draw(probes=record.get("probes"), labels=record.get("labels"))
            more = {"products": record["products"]} if "products" in record else {}
            if signs and more and draw.probes is not None:
                yield Seen(k, "z = ±1", np.abs(draw.probes), np.ones_like(draw.probes))
            state = update(state._replace(x=path.x(k)), path.g(k), paced(path, k, pace), draw, **more)
            state = stirred(state, path, k) if roots and path.turn else state
            unseen = any(record.get(name) is None for name in carries)
            drift = None if roots else path.eps * k * unseen
            clear = ROUGH if roots else CLEAR
            yield Seen(
                k, "x₊ = x + p", path.s(k), state.x - path.x(k), top(path.s(k)), path.lost(k), 0.0, drift, clear=clear
            )
            for name, theirs in path.records[k if ahead else k + 1].items():
                if name in means and hasattr(state, name) and np.shape(theirs) == np.shape(getattr(state, name)):
                    ours = getattr(state, name)
                    unit = path.units.get(name, 0.0)
                    yield Seen(k, f"{name}₊ of {name} and g", theirs, ours, top(ours), 0.0, unit, drift, clear=clear)
                    state = state._replace(**{name: theirs})

    return rule


def paced(path: Path, k: int, pace: tuple[float, ...]) -> Any:
    """The options of step k, whose step may have a schedule."""
    return path.params._replace(step=pace[k] * path.params.step) if pace else path.params


def stirred(state: Any, path: Path, k: int) -> Any:
    """The factors L changed by what a sum in float32, or a finer type, loses: eps‖L‖ an entry, and L stays ⪰ 0."""
    rng, eps = np.random.default_rng([path.turn, k]), min(path.eps, 2.0**-23)

    def changed(L: Any) -> Any:
        z = None if L is None else rng.choice([-1.0, 1.0], len(L))
        return L if z is None else L + eps * length(L) * np.outer(z, z)

    return state._replace(L=tuple(tuple(map(changed, own)) for own in state.L))


def begun(state: Any, record: Record, carries: list[str]) -> Any:
    """The state of a run whose records begin in the midst of it: with the means and the steps taken of the first."""
    alike = lambda name: np.shape(record[name]) == np.shape(getattr(state, name))
    own = {name: record[name] for name in carries if record.get(name) is not None and alike(name)}
    return state._replace(**own, t=record.get("t") or 0) if own else state


def held(method: str, params: Any) -> tuple[str, ...]:
    """What a run of the method must say that begins in its midst, beside t."""
    if method == "soap":
        return "m", "v", "L", "Q"
    return "L", *(["m"] if params.beta1 else []), *(["roots"] if params.every > 1 else [])


def resumed(state: Any, record: Record, method: str, needs: tuple[str, ...], more: tuple[str, ...] = ()) -> Any:
    """The state of a run whose records begin in its midst, t steps after its start, of a method that has matrices."""
    if not (t := int(record.get("t") or 0)):
        return state
    if lacking := [name for name in needs if record.get(name) is None]:
        entry = lacking[0] + (".0.0" if lacking[0] in NESTED else ".0")
        raise ValueError(
            f"these records of {method} begin {t} steps after its start, and lack {', '.join(lacking)} of then: put "
            f"that into the first record (in a dump as {entry}, …), or begin with the first step"
        )
    own = {name: record[name] for name in (*needs, *more) if record.get(name) is not None}
    for name, theirs in own.items():
        known = getattr(state, name)
        given, wanted = ([np.shape(M) for M in matrices(tree)] for tree in (theirs, known))
        if wanted and given != wanted:
            raise ValueError(f"{name} of the first record has the shapes {given}; expected: {wanted}")
        own[name] = placed(iter(matrices(theirs)), known) if wanted else theirs
    return state._replace(**own, t=t)


def matrices(tree: Any) -> list[Any]:
    """The arrays of tuples of tuples, in order."""
    if isinstance(tree, tuple):
        return [leaf for part in tree for leaf in matrices(part)]
    return [] if tree is None else [tree]


def placed(leaves: Iterator[Any], tree: Any) -> Any:
    """The leaves in the places of a tree: of axes that are not looked at there are none."""
    if isinstance(tree, tuple):
        return tuple(placed(leaves, part) for part in tree)
    return None if tree is None else next(leaves)


def top(x: Array) -> float:
    return float(np.max(np.abs(x), initial=0.0))
