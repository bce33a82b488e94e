"""Which method? The selection guide as a function, a table and a flowchart, all from the same rules.

The rules are asked from top to bottom; the first that applies, and for whose method there is memory, decides. A limit
belongs to the smaller side: n = 1000 is still small. Memory is that of the catalogue, eight bytes a number.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

from refopt.catalogue import available, typed

SMALL = 1000  #: variables up to which n² numbers and n³ operations are nothing to think about
PAIRS = 10  #: what the letters m and k of the catalogue stand for where they are no residuals: vectors kept
STRUCTURES = ("general", "least-squares")
DERIVATIVES = ("jac", "hess", "hessp")


class Case(NamedTuple):
    """What is known of a problem; see ``recommend``."""

    n: int
    structure: str
    stochastic: bool
    derivatives: tuple[str, ...]
    convex: bool | None
    m: int


class Rule(NamedTuple):
    """A question, the method that a yes leads to, why, and what else would do."""

    question: str
    holds: Callable[[Case], bool]
    method: str
    reason: str
    alternatives: tuple[str, ...]
    door: str | None = None  #: the function that takes these names, where a name means two things


class Recommendation(NamedTuple):
    method: str
    door: str  #: the function that takes the name
    reason: str
    alternatives: tuple[str, ...]
    memory: int  #: bytes


RULES = (
    Rule(
        "Does every evaluation draw another sample?",
        lambda case: case.stochastic,
        "adam",
        "differences of noisy gradients are no curvature: averaged gradients and their sizes can be trusted, or, of a "
        "network, the curvature that K-FAC and Shampoo average",
        ("kfac", "shampoo", "soap", "adahessian"),
        "train",
    ),
    Rule(
        "Is f a sum of squares, n ≤ 1000?",
        lambda case: case.structure == "least-squares" and case.n <= SMALL,
        "lm",
        "the Jacobian of the residuals alone gives a model of second order, JᵀJ, and standard errors",
        ("dogleg", "broyden-good", "trust-exact", "bfgs"),
    ),
    Rule(
        "Is the Hessian known, f convex, n ≤ 1000?",
        lambda case: "hess" in case.derivatives and case.convex is True and case.n <= SMALL,
        "modified-newton",
        "one factorisation and one search a step, and quadratic convergence; convex, nothing needs to be modified",
        ("trust-exact", "damped-newton", "newton"),
    ),
    Rule(
        "Is the Hessian known, n ≤ 1000?",
        lambda case: "hess" in case.derivatives and case.n <= SMALL,
        "trust-exact",
        "the exact step of a trust region uses negative curvature, leaves saddles and converges quadratically",
        ("saddle-free-newton", "trust-dogleg", "bfgs"),
    ),
    Rule(
        "Is f a sum of squares, and are products known?",
        lambda case: bool({"hess", "hessp"} & set(case.derivatives)) and case.structure == "least-squares",
        "hessian-free",
        "with products Jᵀ(Jd) the model is convex, and its damping follows its success",
        ("newton-cg", "trust-krylov", "l-bfgs"),
    ),
    Rule(
        "Are products with the Hessian known, f convex?",
        lambda case: bool({"hess", "hessp"} & set(case.derivatives)) and case.convex is True,
        "newton-cg",
        "a few products a step instead of a matrix, and a search",
        ("trust-krylov", "l-bfgs"),
    ),
    Rule(
        "Are products with the Hessian known?",
        lambda case: bool({"hess", "hessp"} & set(case.derivatives)),
        "trust-krylov",
        "a few products a step instead of a matrix, and a trust region that follows negative curvature",
        ("trust-ncg", "newton-cg", "l-bfgs"),
    ),
    Rule(
        "Is n ≤ 1000?",
        lambda case: case.n <= SMALL,
        "bfgs",
        "gradients suffice: the inverse Hessian is learnt from them, and convergence is superlinear",
        ("l-bfgs",),
    ),
    Rule(
        "None of these.",
        lambda case: True,
        "l-bfgs",
        "the last pairs of steps and gradient differences stand for the Hessian, at the memory of a few vectors",
        ("trust-krylov",),
    ),
)


def recommend(
    n: int, structure: str = "general", stochastic: bool = False, derivatives: tuple[str, ...] = ("jac",),
    convex: bool | None = None, m: int | None = None, memory: float = 2.0**30,
) -> Recommendation:  # fmt: skip
    """The method for a problem, with its reason in words, what else would do, and the bytes it needs.

    Parameters
    ----------
    n : the number of variables.
    structure : "general", or "least-squares" for a sum of squares.
    stochastic : whether every evaluation draws another sample of the data.
    derivatives : of "jac", "hess", "hessp", those that can be had at a cost like that of f; autograd gives them all.
    convex : whether f is convex; None where nobody knows.
    m : the number of residuals of a sum of squares, 2n where it is not given.
    memory : the bytes that may be used, 1 GiB where nothing is said.

    Raises
    ------
    ValueError for n or m below 1, an unknown structure or derivative, or where not even a few vectors fit.
    """
    n = typed("n", n, int)
    rows = 2 * n if m is None else typed("m", m, int)
    known = (derivatives,) if isinstance(derivatives, str) else tuple(derivatives)
    case = checked(Case(n, structure, stochastic, known, convex, rows))
    tight: list[str] = []
    for rule in RULES:
        if not rule.holds(case):
            continue
        needed = bytes_of(rule.method, case, rule.door)
        if needed <= memory:
            return answer(rule, case, needed, memory, tight)
        tight.append(f"{rule.method} would need {amount(needed)}")
    raise ValueError(f"{amount(memory)} are too little: {'; '.join(tight)}. Give more memory, or fewer variables")


def checked(case: Case) -> Case:
    for name, number in (("n", case.n), ("m", case.m)):
        if number < 1:
            raise ValueError(f"{name} must be positive; it is {number}")
    if case.convex not in (True, False, None):
        raise ValueError(f"convex must be True, False or None; it is {case.convex!r}")
    if case.structure not in STRUCTURES:
        raise ValueError(f"structure must be one of {', '.join(STRUCTURES)}; it is {case.structure!r}")
    if unknown := set(case.derivatives) - set(DERIVATIVES):
        raise ValueError(f"derivatives are of {', '.join(DERIVATIVES)}; {', '.join(sorted(unknown))} is none of them")
    return case


def answer(rule: Rule, case: Case, needed: int, memory: float, tight: list[str]) -> Recommendation:
    reason = rule.reason
    if tight:
        reason = f"{'; '.join(tight)}, more than {amount(memory)}; {reason}"
    if "jac" not in case.derivatives:
        reason = f"{reason}. The derivatives come by differences, 2n evaluations for a gradient: autograd is better"
    others = tuple(name for name in rule.alternatives if bytes_of(name, case, rule.door) <= memory)
    return Recommendation(rule.method, available(rule.door)[rule.method].door, reason, others, needed)


def bytes_of(method: str, case: Case, door: str | None = None) -> int:
    """What the catalogue says of the method's memory, in bytes."""
    entry = available(door)[method]
    rows = case.m if entry.door == "least_squares" else PAIRS
    size = {"n": case.n, "m": rows, "k": PAIRS}
    total = 0
    for term in entry.memory.split(" + "):
        factor, letters = re.fullmatch(r"(\d*)((?:[mnk]²?)+)", term).groups()  # type: ignore[union-attr]
        numbers = int(factor or 1)
        for letter, square in re.findall(r"([mnk])(²?)", letters):
            numbers *= size[letter] ** (2 if square else 1)
        total += numbers
    return 8 * total


def amount(size: float) -> str:
    """A number of bytes as people say it."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000.0:
            return f"{size:.3g} {unit}"
        size /= 1000.0
    return f"{size:.3g} TB"
