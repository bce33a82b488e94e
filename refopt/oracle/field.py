"""The theorems of the field: each ticked, with the claims that verify it, or refused, with the reason.

The data are in ``field.txt``, beside this file.
"""

from functools import cache
from importlib.resources import files
from typing import NamedTuple

BOOKS = {
    "NW": "J. Nocedal & S. J. Wright, Numerical Optimization, 2nd ed., Springer 2006",
    "DS": "J. E. Dennis & R. B. Schnabel, Numerical Methods for Unconstrained Optimization and Nonlinear Equations, "
    "SIAM 1996",
    "CGT": "A. R. Conn, N. I. M. Gould & Ph. L. Toint, Trust-Region Methods, SIAM 2000",
}


class Theorem(NamedTuple):
    book: str  #: a key of BOOKS
    section: str
    says: str
    claims: tuple[str, ...]  #: ids of the ledger; none where it is refused
    refused: str = ""  #: why no computation here decides it


@cache
def theorems() -> tuple[Theorem, ...]:
    """All of them, in the order of the books."""
    found, book, section = list[Theorem](), "", ""
    for number, line in enumerate(files("refopt.oracle").joinpath("field.txt").read_text("utf-8").splitlines(), 1):
        if line.startswith("["):
            book, _, section = line.strip("[]").partition(" ")
        elif line[:1] in ("+", "-"):
            says, arrow, rest = line[1:].partition(" => ")
            if not (arrow and book in BOOKS):
                raise ValueError(f"field.txt, line {number}: a theorem needs a book above it and '=>' in it: {line}")
            ticked = line[0] == "+"
            claims = tuple(part.strip() for part in rest.split(",")) if ticked else ()
            found.append(Theorem(book, section, says.strip(), claims, "" if ticked else rest.strip()))
        elif line.strip() and not line.startswith("#"):
            raise ValueError(f"field.txt, line {number}: begin with '+', '-', '[' or '#', not with {line!r}")
    return tuple(found)
