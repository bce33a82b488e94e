"""`.. ledger::`: the claims of `refopt.oracle`, a table for each topic."""

import re
from collections.abc import Iterator
from itertools import groupby

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from refopt.oracle import Claim, ledger


def plain(text: str) -> str:
    """The text itself, whatever reStructuredText would make of it; words in single backticks as code."""
    parts = re.split(r"`(.+?)`", " ".join(text.split()))
    parts[::2] = [re.sub(r"([\\*|_`])", r"\\\1", part) for part in parts[::2]]
    parts[1::2] = [f"``{part}``" for part in parts[1::2]]
    return "".join(parts)


def name(claim: Claim) -> Iterator[str]:
    yield f"``{claim.id}``"
    yield claim.verdict


def statement(claim: Claim) -> Iterator[str]:
    yield plain(claim.says)
    if claim.given:
        yield f"*Given:* {plain(claim.given)}"
    if claim.corrected:
        yield f"*Correct is:* {plain(claim.corrected)}"
    for refuted in claim.fails:
        yield f"*Fails:* {plain(refuted.what)}"
    if claim.verdict != "editorial":
        exactly = "exactly, and " if claim.exact else ""
        yield f"*Checked* {exactly}to {claim.slack:g} ε: {plain(claim.because)}"
    else:
        yield f"*Not checked:* {plain(claim.because)}"
    yield f"*Source:* {plain(claim.source)}"


def table(claims: list[Claim]) -> Iterator[str]:
    yield from (".. list-table::", "   :widths: 28 72", "   :class: ledger", "")
    for claim in claims:
        for bullet, cell in (("* -", name(claim)), ("  -", statement(claim))):
            first, *rest = cell
            yield f"   {bullet} {first}"
            for paragraph in rest:
                yield from ("", f"       {paragraph}")
    yield ""


class Ledger(SphinxDirective):
    """All claims, in the order of their modules."""

    def run(self) -> list[nodes.Node]:
        lines = [f"{len(ledger())} claims."]
        for topic, claims in groupby(ledger(), key=lambda claim: claim.topic):
            lines += ["", f".. rubric:: {topic}", "", *table(list(claims))]
        return self.parse_text_to_nodes("\n".join(lines))


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("ledger", Ledger)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
