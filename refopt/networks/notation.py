"""Networks as text, "Sequential(Linear(64, 32), Tanh(), Linear(32, 10))": what `repr` shows; nothing else is run."""

import ast
from typing import Any

from refopt.networks.layer import Layer


def parse(text: str) -> Layer:
    """The network that the text describes: layers of ``refopt.networks`` by name, with numbers, texts and tuples."""
    try:
        found = _value(ast.parse(str(text).strip(), mode="eval").body)
    except SyntaxError as error:
        raise ValueError(f"this is no network: {text!r} ({error.msg})") from None
    if not isinstance(found, Layer):
        raise ValueError(f"{text!r} is {found!r}, and must be a layer or layers")
    return found


def _value(node: ast.expr) -> Any:
    if not isinstance(node, ast.Call):
        try:
            return ast.literal_eval(node)
        except ValueError:
            raise ValueError(f"{ast.unparse(node)!r} is neither a layer nor a number, text or tuple") from None
    layer = _layers().get(ast.unparse(node.func))
    if layer is None:
        raise ValueError(f"no layer is called {ast.unparse(node.func)!r}; there are {', '.join(_layers())}")
    given = {keyword.arg or "**": _value(keyword.value) for keyword in node.keywords}
    try:
        return layer(*map(_value, node.args), **given)
    except TypeError as error:
        raise ValueError(f"{ast.unparse(node)}: {error}") from None


def _layers() -> dict[str, type[Layer]]:
    from refopt import networks

    found = {name: getattr(networks, name) for name in networks.__all__}
    return {name: value for name, value in found.items() if isinstance(value, type) and issubclass(value, Layer)}
