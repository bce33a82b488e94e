"""`.. picture:: bfgs`: the picture of a method from the page that draws one for each, in the catalogue's order.

``plain`` is how all pictures of the gallery look.
"""

from typing import Any

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


def plain(gallery_conf: dict[str, Any], page: str | None) -> None:
    """Colours that can be told apart without red and green; contours below zero like those above."""
    import matplotlib.pyplot as plt

    colours = plt.color_sequences["petroff10"]
    greys_last = [colours[k] for k in (0, 1, 2, 4, 9, 5, 6, 7, 8, 3)]
    plt.rcParams["axes.prop_cycle"] = plt.cycler(color=greys_last)
    plt.rcParams["contour.negative_linestyle"] = "solid"
    plt.rcParams["figure.max_open_warning"] = 0  # a page may have a picture of each method


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("picture", Picture)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
