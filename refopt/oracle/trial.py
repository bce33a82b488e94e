"""One instance of a claim: drawn, judged, and written down so that anyone can look at it again."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import crc32

import numpy as np

from refopt.exact import checked
from refopt.oracle.draw import Draw

if TYPE_CHECKING:
    from refopt.oracle.claim import Claim, Fails

CLEAR = 1e4  #: a counterexample fails by this many tolerances at least

Equation = Callable[..., Any]


class Outcome(NamedTuple):
    arrays: dict[str, Any]
    error: float
    detail: str = ""  #: what went wrong
    inexact: bool = False  #: an equation could not keep to rational numbers


class Trial(NamedTuple):
    """How an instance is judged: over floats or rational numbers, as the claim or as a counterexample."""

    exact: bool
    refuted: "Fails | None" = None

    def run(self, claim: "Claim", equations: list[Equation], seed: int, k: int) -> Outcome:
        """Draw instance k and judge it."""
        part = claim.id if self.refuted is None else f"{claim.id}: {self.refuted.what}"
        rng = np.random.default_rng([seed, k, self.exact, crc32(part.encode())])
        return self.judge(claim, equations, Draw(rng, self.exact))

    def judge(self, claim: "Claim", equations: list[Equation], draw: Draw) -> Outcome:
        arrays: dict[str, Any] = {}
        try:
            arrays = (self.refuted or claim).instance(draw, *equations)
            if self.exact:
                checked(arrays, claim.id)
            error = claim.error(arrays, self.refuted)
        except Exception as problem:  # whatever a foreign equation raises is what the report must say
            inexact = self.exact and isinstance(problem, TypeError)
            return Outcome(arrays, float("inf"), f"{type(problem).__name__}: {problem}", inexact)
        return Outcome(arrays, error, self.verdict(claim, error))

    def verdict(self, claim: "Claim", error: float) -> str:
        """What is wrong with a relative residual, if anything."""
        where = ", in rational numbers" if self.exact else ""
        if self.refuted is not None:
            clear = error > CLEAR * claim.tolerance
            return "" if clear else f"the counterexample ({self.refuted.what}) does not fail: {error:.2g}{where}"
        if error <= claim.tolerance:
            return ""
        if self.exact:
            return "the residual is not zero in rational numbers"
        return f"the residual is {error:.2g} of its scale, where rounding leaves {claim.tolerance:.2g}"

    def code(self, claim: "Claim", outcome: Outcome, seed: int, k: int) -> str:
        """Python text that judges the same arrays again."""
        which = "" if self.refuted is None else f", claim.fails[{claim.fails.index(self.refuted)}]"
        entries = "".join(f"    {name!r}: {text(value)},\n" for name, value in outcome.arrays.items())
        return (
            f"# {claim.id}: {outcome.detail}\n"
            f'# drawn by refopt.verify("{claim.id}", seed={seed}, examples={k + 1}), the last of them\n'
            "from fractions import Fraction\nfrom numpy import array, inf, nan\nfrom refopt import exact, oracle\n\n"
            f'claim = oracle.find("{claim.id}")[0]\narrays = {{\n{entries}}}\n'
            f"print(claim.error(arrays{which}), claim.tolerance)\n"
        )


def text(value: Any) -> str:
    """A value as Python text that makes it again, to the last bit."""
    if isinstance(value, np.ndarray) and value.dtype == object:
        return f"exact.array({np.vectorize(str, otypes=[object])(value).tolist()!r})"
    if isinstance(value, np.ndarray):
        return f"array({value.tolist()!r})"
    if isinstance(value, np.generic):
        return repr(value.item())
    if isinstance(value, tuple | list):
        return f"({''.join(text(part) + ', ' for part in value)})"
    return repr(value)


def isolated(equation: Equation) -> Equation:
    """The equation on copies of its arguments, so that what it writes harms nobody; lists become arrays."""

    def call(*arguments: Any) -> Any:
        result = equation(*(part.copy() if isinstance(part, np.ndarray) else part for part in arguments))
        return np.asarray(result) if isinstance(result, list) or hasattr(result, "__array__") else result

    return call
