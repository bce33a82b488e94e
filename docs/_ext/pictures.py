"""`.. picture:: bfgs`: the picture of a method from the page that draws one for each, in the catalogue's order."""

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import refopt


class Picture(SphinxDirective):
    """The figure, and below it what it shows."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        name = self.arguments[0]
        names = list(refopt.available())
        if name not in names:
            raise self.error(f"there is no method {name!r}")
        file = f"/gallery/images/sphx_glr_plot_methods_{names.index(name) + 1:03d}.png"
        lines = [f".. figure:: {file}", f"   :alt: The path of {name}, and how fast it lowers f, beside other methods."]
        lines += ["   :width: 100%", "   :target: ../gallery/plot_methods.html", ""]
        lines += ["   Its path, and what is left of f after so many evaluations, beside all other methods in grey."]
        return self.parse_text_to_nodes("\n".join(lines))


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("picture", Picture)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
