"""Docstrings of the house style, read as reStructuredText.

The sources hold equations as indented blocks, lists that follow their sentence directly, bars around absolute
values, and authors with initials. Here the blocks become literal blocks, the lists get their blank line, bars
are kept from meaning substitutions, and initials from numbering a list.
"""

import re

from sphinx.application import Sphinx

ITEM = re.compile(r"[-*•] |\d+\. ")
INITIAL = re.compile(r"(?=[A-Z]\. )")
CODE = re.compile(r"(``.*?``|`.*?`)")


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _escaped(line: str) -> str:
    """Initials, and bars and trailing underscores outside inline code, as themselves."""
    parts = CODE.split("\\" + line if INITIAL.match(line) else line)
    parts[::2] = [re.sub(r"(\||(?<=\w)_(?!\w))", r"\\\1", part) for part in parts[::2]]
    return "".join(parts)


def readable(lines: list[str]) -> list[str]:
    """The lines of a docstring as reStructuredText."""
    out: list[str] = []
    literal = False
    inside_item = False
    for line in lines:
        after_blank = not out or not out[-1].strip()
        if line.strip() and not _indent(line):
            literal = False
            if (starts := bool(ITEM.match(line))) and not inside_item and not after_blank:
                out.append("")
            inside_item = starts
        elif line.strip() and after_blank and not inside_item and not literal:
            out += ["::", ""]
            literal = True
        out.append(line if literal else _escaped(line))
    return out


def _process(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    if name.startswith("refopt"):
        lines[:] = readable(lines)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("autodoc-process-docstring", _process)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
