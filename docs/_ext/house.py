"""Docstrings of the house style, read as reStructuredText.

The sources hold equations as indented blocks, lists that follow their sentence directly, bars around absolute
values, arguments such as *args, authors with initials, and NumPy's headings over `name : what it is`. Here the
blocks become literal blocks, the lists get their blank line, what would mean something else to
reStructuredText means itself, and what stands below a heading becomes a list of names.
"""

import re
from collections.abc import Iterator
from itertools import zip_longest

from sphinx.application import Sphinx

ITEM = re.compile(r"[-*•] |\d+\. ")
CODE = re.compile(r"(``.*?``|`.*?`)")
SPECIAL = re.compile(r"^(?=[A-Z]\. )|(?=\|)|(?=\*{1,2}\w+[,)])|(?<=\w)(?=_(?!\w))")
FIELD = re.compile(r"Alias for field number \d+$")  # what NamedTuples say of undocumented fields
UNDERLINE = re.compile(r"-{3,}$")
ARGUMENT = re.compile(r"(\w+(?:, \w+)*) : ")


def _plain(text: str) -> str:
    """A leading initial, and outside inline code bars, starred arguments and trailing underscores, as themselves."""
    parts = CODE.split(text)
    return "".join(part if CODE.match(part) else SPECIAL.sub(r"\\", part) for part in parts)


def _without_headings(lines: list[str]) -> Iterator[str]:
    """NumPy's headings as rubrics, and the arguments below them as list items."""
    inside = False
    for line, following in zip_longest(lines, lines[1:], fillvalue=""):
        if UNDERLINE.match(following) and line.strip():
            inside = True
            yield from (f".. rubric:: {line}", "")
        elif UNDERLINE.match(line):
            continue
        elif inside and ARGUMENT.match(line):
            yield ARGUMENT.sub(lambda names: f"- **{names[1].replace(', ', '**, **')}**: ", line)
        elif inside and line.startswith(" "):
            yield "  " + line.lstrip()
        else:
            yield line


def readable(lines: list[str]) -> list[str]:
    """The lines of a docstring as reStructuredText."""
    out: list[str] = []
    literal = inside_item = False
    for line in _without_headings(lines):
        after_blank = not out or not out[-1].strip()
        if line.strip() and not line.startswith(" "):
            literal = False
            starts = bool(ITEM.match(line))
            if starts and not inside_item and not after_blank:
                out.append("")
            inside_item = starts
        elif line.strip() and after_blank and not inside_item and not literal:
            out += ["::", ""]
            literal = True
        out.append(line if literal else _plain(line))
    return out


def _process(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    if name.startswith("refopt"):
        lines[:] = [] if lines[:1] and FIELD.match(lines[0]) else readable(lines)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("autodoc-process-docstring", _process)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
