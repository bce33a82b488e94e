"""Equations as MathML: browsers draw them without a network, and LaTeX that is wrong fails the build."""

import re

from docutils import nodes
from docutils.utils.math import MathError, latex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.writers.html5 import HTML5Translator

logger = logging.getLogger(__name__)

BARS = (  # |x| is set tight, as an opening and a closing bar, and not as a relation; ‖x‖² keeps its bars level
    ('<mo class="mathopen">|</mo>', '<mo form="prefix" fence="true" stretchy="false">|</mo>'),
    ("<mo>‖</mo>", '<mo stretchy="false">‖</mo>'),
    ("<mo>|</mo>", '<mo form="postfix" fence="true" stretchy="false">|</mo>'),
)

DIGIT = re.compile(
    r"(\\[td]?frac|[_^])(\d)(?=\d)"
)  # an argument by itself: ½ is \tfrac12, and not 12 over what follows


def _mathml(node: nodes.Element, as_block: bool) -> str:
    tex = DIGIT.sub(r"\1{\2}", node.astext())
    if "&" in tex and r"\begin" not in tex:
        tex = rf"\begin{{aligned}}{tex}\end{{aligned}}"
    try:
        mathml = latex2mathml.tex2mathml(tex, as_block=as_block)
    except MathError as error:
        logger.warning("%s in %s", error, tex, location=node)
        return ""
    for bar, tight in BARS:
        mathml = mathml.replace(bar, tight)
    return mathml


def inline(self: HTML5Translator, node: nodes.Element) -> None:
    self.body.append(_mathml(node, as_block=False))
    raise nodes.SkipNode


def block(self: HTML5Translator, node: nodes.Element) -> None:
    self.body.append(f'<div class="math">{_mathml(node, as_block=True)}</div>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
