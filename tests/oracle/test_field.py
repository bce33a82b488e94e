"""The list of theorems: what is ticked is verified, what is refused has its reason."""

from collections import Counter
from types import SimpleNamespace

import pytest

from refopt.oracle import field, ledger
from refopt.oracle.field import BOOKS, theorems

#: claims of the ledger that somebody's pages make, and that do not count as theorems of the field
PAGES = {
    "bfgs.determinant", "bfgs.first-scaling", "bfgs.index", "bfgs.inverse", "bfgs.positive-definite",
    "bfgs.quadratic-termination", "bfgs.secant", "bfgs.skipping", "bfgs.update", "krylov.finite-termination",
    "l-bfgs.bfgs", "l-bfgs.low-rank", "l-bfgs.two-loop", "lm.augmented", "lm.limits", "lm.normal-equations",
    "lm.trust-region", "sr1.hereditary", "sr1.positive-definite", "sr1.update", "wolfe.halving",
}  # fmt: skip
PAGES_TOPICS = {"gauss-newton", "newton", "saddle-free"}


def test_what_is_ticked_is_in_the_ledger():
    known = {claim.id: claim for claim in ledger()}
    named = {name for theorem in theorems() for name in theorem.claims}
    assert named <= set(known)
    assert all(known[name].verdict != "editorial" for name in named)


@pytest.mark.parametrize("theorem", theorems(), ids=lambda theorem: f"{theorem.book} {theorem.section}: {theorem.says}")
def test_each_is_ticked_or_refused(theorem):
    assert bool(theorem.claims) != bool(theorem.refused)
    assert theorem.says
    assert theorem.section


def test_at_least_sixty_are_ticked_beyond_the_pages():
    beyond = {
        name
        for theorem in theorems()
        for name in theorem.claims
        if name not in PAGES and name.partition(".")[0] not in PAGES_TOPICS
    }
    assert len(beyond) >= 60


def test_every_chapter_asked_for_is_there():
    chapters = {(theorem.book, theorem.section.split()[0].split(".")[0]) for theorem in theorems()}
    assert {("NW", chapter) for chapter in ("2", "3", "4", "5", "6", "7", "10", "11")} <= chapters
    assert {book for book, _ in chapters} == set(BOOKS)


def test_no_statement_is_listed_twice():
    counts = Counter((theorem.book, theorem.section, theorem.says) for theorem in theorems())
    assert set(counts.values()) == {1}


@pytest.mark.parametrize(
    ("text", "message"),
    [("+ no section => a.b", "needs a book"), ("[NW 2]\n+ no arrow", "'=>'"), ("[NW 2]\nwords", "begin with")],
)
def test_a_line_that_says_nothing_is_refused(text, message, monkeypatch):
    place = SimpleNamespace(joinpath=lambda name: SimpleNamespace(read_text=lambda encoding: text))
    monkeypatch.setattr(field, "files", lambda package: place)
    with pytest.raises(ValueError, match=message):
        theorems.__wrapped__()
