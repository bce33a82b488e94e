"""``.. guide::`` draws the selection guide from its rules: a table, and a flowchart as an SVG picture."""

from html import escape

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from refopt.recommend import RULES

WIDTH, ROW, BOX, GAP = 640, 74, 400, 40


def flowchart() -> str:
    """Questions from top to bottom; a yes leads to the right, a no to the next."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {ROW * len(RULES)}" role="img" '
        'aria-label="Flowchart of the selection guide" style="max-width: 44rem; width: 100%" '
        'font-family="inherit" font-size="15" fill="none" stroke="currentColor">'
    ]
    for i, rule in enumerate(RULES):
        top, last = ROW * i + 8, i == len(RULES) - 1
        middle, right = top + 20, BOX + GAP
        parts += [
            f'<rect x="1" y="{top}" width="{BOX}" height="40" rx="6"/>',
            f'<path d="M {BOX + 1} {middle} H {right - 6} m -7 -5 l 7 5 l -7 5"/>',
            f'<rect x="{right}" y="{top}" width="{WIDTH - right - 1}" height="40" rx="20" stroke-width="2"/>',
            label(BOX // 2, middle, rule.question),
            label((right + WIDTH) // 2, middle, rule.method),
        ]
        if not last:
            parts.append(f'<path d="M {BOX // 2} {top + 40} V {top + ROW - 2} m -5 -7 l 5 7 l 5 -7"/>')
            parts += [label(BOX + GAP // 2 - 3, middle - 10, "yes"), label(BOX // 2 + 16, top + 56, "no")]
    return "\n".join([*parts, "</svg>"])


def label(x: int, y: int, text: str) -> str:
    style = 'fill="currentColor" stroke="none" text-anchor="middle" dominant-baseline="central"'
    return f'<text x="{x}" y="{y}" {style}>{escape(text)}</text>'


def table() -> str:
    lines = [".. list-table::", "   :header-rows: 1", "   :widths: 30 16 34 20", ""]
    rows = [("question", "method", "because", "or")]
    rows += [
        (rule.question, f"``{rule.method}``", rule.reason, ", ".join(f"``{name}``" for name in rule.alternatives))
        for rule in RULES
    ]
    for row in rows:
        lines += [f"   {'*' if k == 0 else ' '} - {cell}" for k, cell in enumerate(row)]
    return "\n".join(lines)


class Guide(SphinxDirective):
    def run(self) -> list[nodes.Node]:
        return [nodes.raw("", flowchart(), format="html"), *self.parse_text_to_nodes(table())]


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("guide", Guide)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
