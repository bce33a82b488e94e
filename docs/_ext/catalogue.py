"""``.. methods::``: every method in a table, from ``refopt.available()``, with a link to its page."""

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import refopt
from refopt import catalogue

DOORS = {name: f"Of :func:`refopt.{name}`" for name in catalogue.DOORS}


class Methods(SphinxDirective):
    """A table for each front door: method, family, derivatives, cost of a step, memory."""

    def run(self) -> list[nodes.Node]:
        lines = []
        for door, title in DOORS.items():
            lines += [f".. rubric:: {title}", "", ".. list-table::", "   :header-rows: 1", "   :widths: auto", ""]
            rows = [("method", "family", "uses", "a step costs", "numbers kept")]
            for entry in refopt.available(door).values():
                place = "/training" if door == "train" else entry.name.replace("-", "_")
                page = f":doc:`{entry.name} <{place}>`"
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
