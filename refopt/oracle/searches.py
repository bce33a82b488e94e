"""What a line search has done: whether the conditions that it is said to end with hold, and how it went about it.

    f₊ ≤ f + c₁gᵀs                sufficient decrease (Armijo)
    |g₊ᵀs| ≤ c₂|gᵀs|              curvature, strong;   g₊ᵀs ≥ c₂gᵀs, weak               s = αp

J. Nocedal & S. J. Wright, *Numerical Optimization*, 2nd ed., §3.1. How far a search goes is its own affair, unless they
say which it is. Where the decrease that is asked for is less than what rounding leaves of f nothing is asked. A search
that only shortens shows in its α: each is a power of one number, 1 among them, and where a step is too short for the
curvature condition it can do nothing.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from refopt.linesearch import SEARCHES
from refopt.oracle.defects import Defect
from refopt.oracle.findings import Finding
from refopt.oracle.rules import Path, Seen

DECREASE, STRONG, WEAK = "f₊ ≤ f + c₁gᵀs", "|g₊ᵀs| ≤ c₂|gᵀs|", "g₊ᵀs ≥ c₂gᵀs"
CONDITIONS: dict[str, tuple[str, ...]] = {
    "strong-wolfe": (DECREASE, STRONG), "wolfe": (DECREASE, WEAK), "hager-zhang": (WEAK,), "armijo": (DECREASE,),
    "fixed": (),
}  # fmt: skip
SHARES = (0.5, 0.1, 0.2, 0.25, 0.3, 0.6, 0.7, 0.75, 0.8, 0.9)  #: by which searches shorten
HALVING = "halving called strong Wolfe"
DEFECTS: Mapping[str, Defect] = {
    HALVING: Defect(
        "the search only shortens: every α is a power of {share:g}, and a step that is too short for the curvature "
        "condition is never lengthened", "spec: halving that is called a strong Wolfe search"),
}  # fmt: skip


class Search(NamedTuple):
    """What they say of their search; by name none where they say nothing."""

    search: str = ""
    c1: float = 1e-4
    c2: float = 0.9

    @classmethod
    def claimed(cls, params: Any) -> "Search":
        """Of options as they had them."""
        said = {key: params[key] for key in cls._fields if key in params} if isinstance(params, Mapping) else {}
        which = said.get("search", "")
        name = SEARCHES[which] if isinstance(which, int) else str(which).lower().replace(" ", "-").replace("_", "-")
        if name and name not in CONDITIONS:
            raise ValueError(f"search is {which!r}; it can be {', '.join(CONDITIONS)}")
        return cls(**said | {"search": name})

    def conditions(self, path: Path) -> Iterator[Seen]:
        """What it ends with: by how much each bound is exceeded."""
        for k in path.moved if CONDITIONS.get(self.search) else ():
            f, after, slope, end = path.f(k), path.f(k + 1), path.g(k) @ path.s(k), path.g(k + 1) @ path.s(k)
            size = abs(f) + abs(after)
            if self.c1 * abs(slope) <= 100.0 * path.eps * size:
                continue
            excess = {
                DECREASE: after - f - self.c1 * slope, STRONG: abs(end) - self.c2 * abs(slope),
                WEAK: self.c2 * slope - end,
            }  # fmt: skip
            for says in CONDITIONS[self.search]:
                lost = size if says == DECREASE else 0.0
                yield Seen(k, says, np.asarray(max(0.0, excess[says])), np.asarray(0.0), abs(slope), lost)


def share(findings: list[Finding]) -> float:
    """The number that every α is a power of, where some are less than 1; 0 where there is none.   α₀ is free."""
    alphas = np.array([f.alpha for f in findings if f.alpha and f.step])
    if not alphas.size or alphas.min() > 0.95:
        return 0.0
    for each in SHARES:
        powers = np.log(alphas) / np.log(each)
        if np.abs(powers - np.round(powers)).max() < 1e-3 and powers.min() > -0.5:
            return each
    return 0.0


def mistakes(ends: list[Finding], explained: list[Finding]) -> dict[str, str]:
    """What is wrong with the search, name and sentence, of its conditions and of steps along the direction."""
    curved = [f for f in ends if f.equation in (STRONG, WEAK) and not f.agrees]
    each = share(explained)
    if not curved or not each:
        return {}
    untested = next((f for f in ends if f.equation == DECREASE and not f.agrees), None)
    more = f"; the last trial, in step {untested.step}, is taken without a test" if untested else ""
    return {HALVING: DEFECTS[HALVING].says.format(share=each) + more}
