"""`.. options:: refopt.methods.bfgs`: a method's options as a table, read from its `Params`."""

from importlib import import_module
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.docutils import SphinxDirective

from refopt.catalogue import CHOICES


class Options(SphinxDirective):
    """One row per field of the module's `Params`: name, default, and the comment that stands beside it."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        params = import_module(self.arguments[0]).Params
        module = params.__module__
        notes = ModuleAnalyzer.for_module(module).find_attr_docs()
        rows = [".. list-table::", "   :header-rows: 1", "   :widths: auto", ""]
        rows += ["   * - option", "     - default", "     - meaning"]
        for name in params._fields:
            if ("Params", name) not in notes:
                raise self.error(f"{module}.Params.{name} has no '#:' comment that says what it means")
            meaning = " ".join(notes["Params", name]).strip()
            rows += [
                f"   * - ``{name}``",
                f"     - ``{shown(name, params._field_defaults[name])!r}``",
                f"     - {meaning}",
            ]
        return self.parse_text_to_nodes("\n".join(rows))


def shown(name: str, default: Any) -> Any:
    """The default as a user writes it: a word where ``Params`` holds the place of one."""
    return CHOICES[name][default] if name in CHOICES else default


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("options", Options)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
