"""``.. methods::``: every method in a table, from ``refopt.available()``, with a link to its page."""

from itertools import groupby

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import refopt

DOORS = {"minimize": "Of :func:`refopt.minimize`", "least_squares": "Of :func:`refopt.least_squares`"}


class Methods(SphinxDirective):
    """A table for each front door: method, family, derivatives, cost of a step, memory."""

    def run(self) -> list[nodes.Node]:
        lines = []
        for door, entries in groupby(refopt.available().values(), key=lambda entry: entry.door):
            lines += [f".. rubric:: {DOORS[door]}", "", ".. list-table::", "   :header-rows: 1", "   :widths: auto", ""]
            rows = [("method", "family", "uses", "a step costs", "numbers kept")]
            for entry in entries:
                page = f":doc:`{entry.name} <{entry.name.replace('-', '_')}>`"
                needs = ("jac", "fisher") if entry.fisher else entry.needs
                uses = ", ".join(f"``{name}``" for name in needs)
                rows.append((page, entry.family, uses, entry.cost, entry.memory))
            for row in rows:
                lines += [f"   {'*' if k == 0 else ' '} - {cell}" for k, cell in enumerate(row)]
            lines.append("")
        return self.parse_text_to_nodes("\n".join(lines))


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("methods", Methods)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
