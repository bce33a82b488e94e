"""The examples printed on the pages run."""

import re
import sys
import textwrap
from importlib.util import find_spec
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
BLOCK = re.compile(r"^\.\. code-block:: python\n\n((?:   .*\n|\n)+)", re.MULTILINE)
EXAMPLES = [
    pytest.param(textwrap.dedent(block), id=f"{page.relative_to(DOCS)}-{number}")
    for page in sorted([*DOCS.glob("*.rst"), *DOCS.glob("methods/*.rst"), *DOCS.glob("curvature/*.rst")])
    for number, block in enumerate(BLOCK.findall(page.read_text(encoding="utf-8")), 1)
]


@pytest.mark.parametrize("code", EXAMPLES)
def test_example_runs(code):
    exec(compile(code, "example", "exec"), {})


def test_there_are_examples():
    assert len(EXAMPLES) >= 4


@pytest.mark.skipif(not find_spec("sphinx"), reason="the pages are made by Sphinx")
def test_numbers_in_equations_are_read_as_tex_reads_them(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(DOCS / "_ext"), *sys.path])
    from docutils import nodes
    from mathml import _mathml

    def drawn(tex):
        return re.sub(r"\s+", "", _mathml(nodes.math(tex, tex), as_block=False))

    for short, long in (
        (r"\tfrac12\|f\|^2", r"\tfrac{1}{2}\|f\|^2"),
        (r"\frac12x", r"\frac{1}{2}x"),
        ("x_12", "x_{1}2"),
    ):
        assert drawn(short) == drawn(long)
    assert drawn("x^{10}") != drawn("x^10")
    assert "12" in drawn(r"\frac{12}{5}")
