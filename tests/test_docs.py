"""The examples printed on the pages run."""

import re
import textwrap
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
