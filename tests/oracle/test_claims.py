"""Every claim of the ledger, as a property test: the module of a new claim is all that it takes to be tested here.

Hypothesis draws seeds and sizes; a claim must hold, its counterexamples must fail, a wrong equation must be noticed.
"""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refopt.oracle import ledger, verify
from refopt.oracle.claim import VERDICTS, find, ours
from refopt.oracle.draw import Draw
from refopt.oracle.trial import Trial, isolated

COMPUTED = [claim for claim in ledger() if claim.verdict != "editorial"]
seeds = st.integers(0, 2**32 - 1)
sizes = st.integers(1, 6)
few = settings(max_examples=settings().max_examples // 3)  # of the slower readings

each_claim = pytest.mark.parametrize("claim", COMPUTED, ids=lambda claim: claim.id)
each_refuted = pytest.mark.parametrize(
    ("claim", "refuted"),
    [pytest.param(claim, refuted, id=f"{claim.id}-{refuted.what}") for claim in COMPUTED for refuted in claim.fails],
)
each_equation = pytest.mark.parametrize(
    ("claim", "name"), [pytest.param(claim, name, id=f"{claim.id}-{name}") for claim in COMPUTED for name in claim.uses]
)


def judged(claim, trial, seed, size):
    equations = [isolated(ours(name)) for name in claim.uses]
    outcome = trial.judge(claim, equations, Draw(np.random.default_rng(seed), trial.exact, size))
    return outcome.detail and f"{outcome.detail}\n{trial.code(claim, outcome, seed, 0)}"


@each_claim
@given(seed=seeds, size=sizes)
def test_the_claim_holds_to_rounding(claim, seed, size):
    assert judged(claim, Trial(False), seed, size) == ""


@pytest.mark.parametrize(("id", "seed", "size"), [("lm.damped-step", 3246, 1)])
def test_it_holds_where_its_scale_once_forgot_a_term(id, seed, size):
    """Found by long searches: ‖Dp‖ − Δ, a difference of close numbers."""
    assert judged(*find(id), Trial(False), seed, size) == ""


@pytest.mark.parametrize("claim", [c for c in COMPUTED if c.exact], ids=lambda claim: claim.id)
@few
@given(seed=seeds, size=st.integers(1, 3))
def test_the_claim_holds_exactly(claim, seed, size):
    assert judged(claim, Trial(True), seed, size) == ""


@each_refuted
@few
@given(seed=seeds, size=sizes)
def test_the_counterexample_fails(claim, refuted, seed, size):
    assert judged(claim, Trial(False, refuted), seed, size) == ""
    if claim.exact and refuted.exact:
        assert judged(claim, Trial(True, refuted), seed, min(size, 3)) == ""


def negated(value):
    """−value, in the first array of a tuple."""
    return type(value)(-value[0], *value[1:]) if type(value) is tuple else -value


def disturbed(value):
    """The value with every number changed by a tenth of the largest or so, each by another part."""
    if isinstance(value, tuple):
        parts = [disturbed(part) if isinstance(part, float | np.ndarray) else part for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    if isinstance(value, np.ndarray):
        return value + 0.1 * abs(value).max() * np.cos(np.arange(1.0, value.size + 1)).reshape(value.shape)
    return 1.1 * value


@each_equation
def test_a_wrong_equation_is_noticed(claim, name):
    own = ours(name)
    wrong = (lambda *a: negated(own(*a)), lambda *a: disturbed(own(*a)))
    found = [verify(claim.id, implementation={name: f}, exact=False)[0] for f in wrong]
    assert "failed" in [report.status for report in found]


@pytest.mark.parametrize("claim", ledger(), ids=lambda claim: claim.id)
def test_what_is_printed_is_there(claim):
    assert claim.verdict in VERDICTS
    assert claim.says.strip()
    assert claim.source.strip()
    assert claim.because.strip()
    assert claim.topic == claim.id.split(".")[0]


def test_ids_are_unique():
    ids = [claim.id for claim in ledger()]
    assert len(set(ids)) == len(ids)


def test_topics_are_whole():
    """All claims of a topic follow one another, so that a table has one block for each."""
    topics = [claim.topic for claim in ledger()]
    changes = 1 + sum(a != b for a, b in pairwise(topics))
    assert changes == len(set(topics))
