"""What becomes of an operator between arrays: the call of a word, and of one word where that can do more."""

import ast
from collections.abc import Callable
from typing import Any

from refopt import words
from refopt.ops import Matrix, Symmetric, Vector

OPERATORS: dict[tuple[Any, ...], Callable[..., Any]] = {
    (ast.Add, Vector, Vector): words.plus,
    (ast.Add, Matrix, Matrix): words.matrix_plus,
    (ast.Sub, Vector, Vector): words.minus,
    (ast.Mult, Vector, Vector): words.times,
    (ast.Div, Vector, Vector): words.over,
    (ast.Mult, float, Vector): words.scaled,
    (ast.Div, Vector, float): words.divided,
    (ast.Mult, float, Symmetric): words.symmetric_scaled,
    (ast.MatMult, Matrix, Vector): words.product,
    (ast.MatMult, Symmetric, Vector): words.symmetric_product,
}


def called(node: Any) -> Any:
    """The word that an expression of a twin calls."""
    return getattr(node, "word", None)


def multiplied(a: Any, b: Any) -> ast.expr:
    """a · b, written without a factor 1 or −1."""
    if getattr(b, "value", None) == 1.0:
        return a
    return ast.UnaryOp(ast.USub(), b) if getattr(a, "value", None) == -1.0 else ast.BinOp(a, ast.Mult(), b)
