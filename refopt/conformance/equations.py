"""Equations by their names in the ledger: their properties are the claims that use them."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from refopt.conformance import Property
from refopt.oracle.claim import Claim, ledger, ours
from refopt.oracle.draw import Draw
from refopt.oracle.trial import Trial, isolated


def names() -> list[str]:
    """Every equation that claims use, such as "bfgs.update"."""
    return sorted({name for claim in ledger() for name in claim.uses})


def properties(name: str) -> list[Property]:
    return [_property(claim, name) for claim in ledger() if name in claim.uses]


def _property(claim: Claim, name: str) -> Property:
    def complaint(target: Any, instance: Any) -> str:
        seed, size = instance
        equations = [isolated(target if used == name else ours(used)) for used in claim.uses]
        outcome = Trial(False).judge(claim, equations, Draw(np.random.default_rng(seed), False, size))
        return outcome.detail and f"{outcome.detail}\n{Trial(False).code(claim, outcome, seed, 0)}"

    sizes = st.just(None) if claim.fixed else st.integers(1, 6)
    return Property(claim.id, claim.corrected or claim.says, st.tuples(st.integers(0, 2**16), sizes), complaint)
