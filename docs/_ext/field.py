"""`.. field::`: the theorems of the books, each ticked with its claims or refused with the reason."""

from collections.abc import Iterator
from itertools import groupby

from docutils import nodes
from ledger import mathematics
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from refopt.oracle.field import BOOKS, Theorem, theorems


def row(theorem: Theorem) -> Iterator[str]:
    yield "✓" if theorem.claims else "–"
    yield mathematics(theorem.says)
    yield ", ".join(f"``{name}``" for name in theorem.claims) or mathematics(theorem.refused)


def lines() -> Iterator[str]:
    listed = theorems()
    ticked = sum(bool(theorem.claims) for theorem in listed)
    claims = {name for theorem in listed for name in theorem.claims}
    yield f"{len(listed)} statements: {ticked} ticked, by {len(claims)} claims, and {len(listed) - ticked} refused."
    for book, of_book in groupby(listed, key=lambda theorem: theorem.book):
        yield from ("", BOOKS[book], "-" * len(BOOKS[book]), "")
        for section, group in groupby(of_book, key=lambda theorem: theorem.section):
            yield from (f".. rubric:: {section}", "", ".. list-table::", "   :widths: 4 56 40", "   :class: ledger", "")
            for theorem in group:
                for bullet, cell in zip(("* -", "  -", "  -"), row(theorem), strict=True):
                    yield f"   {bullet} {cell}"
            yield ""


class Field(SphinxDirective):
    """All theorems, book by book and section by section."""

    def run(self) -> list[nodes.Node]:
        return self.parse_text_to_nodes("\n".join(lines()), allow_section_headings=True)


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("field", Field)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
