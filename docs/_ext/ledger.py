"""`.. ledger::`: the claims of `refopt.oracle`, a table for each topic.

Wherever a page names a claim, as ``bfgs.secant``, the name leads to its row.
"""

import re
from collections.abc import Iterator
from itertools import groupby
from typing import Any

from docutils import nodes
from docutils.utils import unescape
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from refopt.oracle import Claim, ledger
from refopt.oracle.mathml import html


def plain(text: str) -> str:
    """The words themselves, whatever reStructuredText would make of them."""
    return re.sub(r"([\\*|_`])", r"\\\1", " ".join(text.split()))


def mathematics(text: str) -> str:
    """The text with its mathematics, as reStructuredText that leaves it alone."""
    return ":said:`" + re.sub(r"([\\`])", r"\\\1", text.strip()) + "`"


def said(name: str, rawtext: str, text: str, *context: Any) -> tuple[list[nodes.Node], list[nodes.Node]]:
    """`:said:`: a statement of the ledger, its mathematics as MathML."""
    return [nodes.raw("", html(unescape(text)), format="html")], []


def anchor(claim: str) -> str:
    return "claim-" + claim.replace(".", "-")


def named(name: str, rawtext: str, text: str, *context: Any) -> tuple[list[nodes.Node], list[nodes.Node]]:
    """`:claim:`: the name of a claim where it stands in the ledger."""
    return [nodes.literal(rawtext, text, ids=[anchor(text)])], []


def link_claims(app: Sphinx, page: nodes.document, docname: str) -> None:
    """References to the ledger in place of the names of claims."""
    if docname == "ledger" or app.builder.format != "html":
        return
    known = {claim.id for claim in ledger()}
    for literal in list(page.findall(nodes.literal)):
        if literal.astext() in known and not isinstance(literal.parent, nodes.reference):
            uri = f"{app.builder.get_relative_uri(docname, 'ledger')}#{anchor(literal.astext())}"
            literal.replace_self(nodes.reference("", "", literal.deepcopy(), internal=True, refuri=uri))


def name(claim: Claim) -> Iterator[str]:
    yield f":claim:`{claim.id}`"
    yield claim.verdict


def statement(claim: Claim) -> Iterator[str]:
    yield mathematics(claim.says)
    if claim.given:
        yield f"*Given:* {mathematics(claim.given)}"
    if claim.corrected:
        yield f"*Correct is:* {mathematics(claim.corrected)}"
    for refuted in claim.fails:
        yield f"*Fails:* {mathematics(refuted.what)}"
    if claim.verdict != "editorial":
        exactly = "exactly, and " if claim.exact else ""
        yield f"*Checked* {exactly}to {claim.slack:g} ε: {mathematics(claim.because)}"
    else:
        yield f"*Not checked:* {mathematics(claim.because)}"
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
    app.add_role("said", said)
    app.add_role("claim", named)
    app.connect("doctree-resolved", link_claims)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
