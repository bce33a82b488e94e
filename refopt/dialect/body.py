"""From the source of a function to its twin."""

import ast
import inspect
import textwrap
from types import FunctionType
from typing import Any

from refopt.dialect.expressions import Expressions
from refopt.dialect.kinds import Chosen, Kind, elements, is_static, name_of, signature


class Body(Expressions):
    """One function on its way to its twin.   ``do_X`` treats the statement X of Python's grammar."""

    def __init__(self, function: FunctionType, kinds: tuple[Kind, ...], twins: Any) -> None:
        super().__init__(function, twins)
        source, first = inspect.getsourcelines(function)
        self.tree = ast.parse(textwrap.dedent("".join(source)))
        ast.increment_lineno(self.tree, first - 1)
        definition: Any = self.tree.body[0]
        declared, self.declared = signature(function)
        for argument, kind, wanted in zip(definition.args.args, kinds, declared, strict=True):
            self.names[argument.arg] = self.fitting(kind, wanted, argument, f"argument {argument.arg!r}")
        self.result: Kind = None
        definition.body = self.block(definition.body)
        if self.result is None:
            raise self.error(definition, "it returns nothing")
        passed = [name for name, kind in self.names.items() if not is_static(kind)]
        definition.args.args = [ast.arg(a.arg) for a in definition.args.args if a.arg in passed]
        definition.returns, definition.decorator_list = None, []

    def compiled(self) -> FunctionType:
        """The twin, in plain Python."""
        file = inspect.getsourcefile(self.function) or "<source>"
        exec(compile(ast.fix_missing_locations(self.tree), file, "exec"), self.globals)
        return self.globals[self.function.__name__]

    def block(self, statements: list[ast.stmt]) -> list[ast.stmt]:
        """The statements up to the first that returns; an `if` that is decided is its body, or nothing."""
        kept: list[ast.stmt] = []
        for statement in statements:
            body = self.decided(statement)
            kept += [self.dispatched("do", statement)] if body is None else self.block(body)
            if kept and isinstance(kept[-1], ast.Return):
                break
        return kept

    def decided(self, node: Any) -> list[ast.stmt] | None:
        """What is left of an `if` that asks whether a choice that has been made is a constant."""
        if not isinstance(node, ast.If) or not isinstance(node.test, ast.Compare):
            return None
        kind, (operator, *others) = self.names.get(ast.unparse(node.test.left)), node.test.ops
        if not isinstance(kind, Chosen) or not isinstance(operator, ast.Eq) or others:
            return None
        return node.body if kind.value == self.resolved(node.test.comparators[0]) else node.orelse

    def unchanged(self, node: Any) -> Any:
        return node

    do_Pass = do_Break = do_Continue = unchanged

    def do_Expr(self, node: ast.Expr) -> ast.stmt:
        if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            return ast.copy_location(ast.Pass(), node)
        raise self.error(node, "an expression without effect")

    def do_Return(self, node: ast.Return) -> ast.stmt:
        if node.value is None:
            raise self.error(node, "it returns nothing")
        node.value, kind = self.value(node.value)
        kind = self.fitting(kind, self.declared, node, "the result")
        self.result = kind if self.result is None else self.joined(self.result, kind, node)
        return node

    def do_Assign(self, node: ast.Assign) -> ast.stmt:
        node.value, kind = self.value(node.value)
        for target in node.targets:
            self.bind(target, kind)
        return node

    def do_AugAssign(self, node: ast.AugAssign) -> ast.stmt:
        if not isinstance(node.target, ast.Name):
            raise self.error(node, f"{ast.unparse(node.target)} cannot be assigned to: nothing is written in place")
        self.number(ast.Name(node.target.id, ast.Load(), lineno=node.lineno))
        value = ast.BinOp(ast.Name(node.target.id, ast.Load()), node.op, node.value)
        assignment = ast.copy_location(ast.Assign([node.target], value), node)
        return self.do_Assign(ast.fix_missing_locations(assignment))

    def do_If(self, node: Any) -> ast.stmt:
        node.test = self.number(node.test)
        node.body, node.orelse = self.block(node.body), self.block(node.orelse)
        return node

    do_While = do_If

    def do_For(self, node: ast.For) -> ast.stmt:
        call: Any = node.iter
        if not (isinstance(call, ast.Call) and ast.unparse(call.func) == "range"):
            raise self.error(node, "a loop runs over range(...)")
        call.args = [self.number(argument) for argument in call.args]
        self.bind(node.target, int)
        node.body, node.orelse = self.block(node.body), self.block(node.orelse)
        return node

    def bind(self, target: ast.AST, kind: Kind) -> None:
        """A name, or a tuple of names, takes its kind, and keeps it."""
        if isinstance(target, ast.Tuple):
            parts = elements(kind)
            if parts is None or len(parts) != len(target.elts):
                raise self.error(target, f"{ast.unparse(target)} cannot be taken from {name_of(kind)}")
            for element, part in zip(target.elts, parts, strict=True):
                self.bind(element, part)
        elif isinstance(target, ast.Name):
            known = self.names.setdefault(target.id, kind)
            if known != kind:
                advice = ": write 1.0, not 1" if {known, kind} == {int, float} else ""
                raise self.error(target, f"{target.id} was {name_of(known)} and becomes {name_of(kind)}{advice}")
        else:
            raise self.error(target, f"{ast.unparse(target)} cannot be assigned to: nothing is written in place")
