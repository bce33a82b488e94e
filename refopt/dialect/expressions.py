"""Expressions of the dialect: each is turned into an expression of the twin, and its kind found."""

import ast
import builtins
import inspect
from types import FunctionType, ModuleType, UnionType
from typing import Any, get_args

from refopt import ops, words
from refopt.dialect.kinds import (
    SCALARS,
    Bound,
    Chosen,
    DialectError,
    Kind,
    elements,
    fields_of,
    is_function,
    is_static,
    is_tuple,
    name_of,
    signature,
)
from refopt.dialect.operators import OPERATORS, called, multiplied
from refopt.ops import Choice, Vector

Typed = tuple[Any, Kind]  # an expression of the twin, and its kind


class Expressions:
    """The expressions of one function.   ``of_X`` treats the syntax X of Python's grammar."""

    def __init__(self, function: FunctionType, twins: Any) -> None:
        self.function, self.twins = function, twins
        self.names: dict[str, Kind] = {}
        self.globals: dict[str, Any] = {"__name__": function.__module__, "__builtins__": builtins}

    def error(self, node: ast.AST, says: str) -> DialectError:
        file = inspect.getsourcefile(self.function)
        return DialectError(f"{file}:{getattr(node, 'lineno', 0)}: {self.function.__name__}: {says}")

    def dispatched(self, verb: str, node: ast.AST) -> Any:
        rule = getattr(self, f"{verb}_{type(node).__name__}", None)
        if rule is None:
            raise self.error(node, f"{type(node).__name__} ({ast.unparse(node)}) is not in the dialect")
        return rule(node)

    def value(self, node: Any) -> Typed:
        expression, kind = self.dispatched("of", node)
        return ast.copy_location(expression, node), kind

    def of_Constant(self, node: ast.Constant) -> Typed:
        if not isinstance(node.value, SCALARS):
            raise self.error(node, f"{node.value!r} is neither number nor truth value")
        return node, type(node.value)

    def of_Name(self, node: ast.Name) -> Typed:
        if node.id in self.names:
            kind = self.names[node.id]
            return (ast.Constant(kind.value) if isinstance(kind, Chosen) else node), kind
        constant = self.resolved(node)
        if not isinstance(constant, SCALARS):
            raise self.error(node, f"{node.id} is neither an argument, a variable nor a number")
        kind = next(kind for kind in SCALARS if isinstance(constant, kind))
        number: Any = ast.Constant(kind(constant))
        number.named = True
        return number, kind

    def of_Attribute(self, node: ast.Attribute) -> Typed:
        node.value, kind = self.value(node.value)
        fields = fields_of(kind)
        if node.attr not in fields:
            raise self.error(node, f"{name_of(kind)} has no field {node.attr!r}; annotate the fields of NamedTuples")
        if fields[node.attr] is Choice:
            return ast.Constant(self.twins.chosen.value), self.twins.chosen
        return node, fields[node.attr]

    def of_Tuple(self, node: ast.Tuple) -> Typed:
        parts = [self.value(element) for element in node.elts]
        node.elts = [expression for expression, _ in parts]
        kinds = tuple(kind for _, kind in parts)
        return node, tuple[kinds]  # type: ignore[valid-type]

    def of_BoolOp(self, node: ast.BoolOp) -> Typed:
        parts = [self.value(part) for part in node.values]
        node.values = [expression for expression, _ in parts]
        return node, self.join_all([kind for _, kind in parts], node)

    def of_Compare(self, node: ast.Compare) -> Typed:
        node.left = self.number(node.left)
        node.comparators = [self.number(other) for other in node.comparators]
        return node, bool

    def of_IfExp(self, node: ast.IfExp) -> Typed:
        node.test = self.number(node.test)
        node.body, kind = self.value(node.body)
        node.orelse, other = self.value(node.orelse)
        return node, self.joined(kind, other, node)

    def of_UnaryOp(self, node: ast.UnaryOp) -> Typed:
        node.operand, kind = self.value(node.operand)
        if kind in SCALARS:
            return node, bool if isinstance(node.op, ast.Not) else self.joined(int, kind, node)
        if kind != Vector or not isinstance(node.op, ast.USub):
            raise self.error(node, f"{ast.unparse(node.op)} is not defined for {name_of(kind)}")
        return self.times(ast.Constant(-1.0), node.operand), Vector

    def of_BinOp(self, node: ast.BinOp) -> Typed:
        (node.left, left), (node.right, right) = self.value(node.left), self.value(node.right)
        if left in SCALARS and right in SCALARS:
            real = isinstance(node.op, ast.Div) or float in (left, right)
            return node, float if real else int
        if isinstance(node.op, ast.Mult) and right in SCALARS:
            node.left, left, node.right, right = node.right, right, node.left, left
        key = type(node.op), *(float if kind in SCALARS else kind for kind in (left, right))
        word = OPERATORS.get(key)
        if word is None:
            operator = ast.unparse(ast.BinOp(ast.Name(name_of(left)), node.op, ast.Name(name_of(right))))
            raise self.error(node, f"{ast.unparse(node)} is {operator}, for which there is no word")
        return self.fused(word, node.left, node.right), signature(word)[1]

    def fused(self, word: Any, left: Any, right: Any) -> ast.expr:
        """The call of an operator's word, one loop where an operand is a multiple that need not be formed."""
        if word is words.scaled:
            return self.times(left, right)
        if word is words.symmetric_product:
            return self.call(word, ast.Constant(1.0), left, right)
        if word in (words.plus, words.minus) and called(right) is words.scaled:
            factor = right.args[0] if word is words.plus else multiplied(ast.Constant(-1.0), right.args[0])
            return self.call(words.moved, left, factor, right.args[1])
        if word is words.plus and called(left) is words.scaled:
            return self.call(words.moved, right, *left.args)
        return self.call(word, left, right)

    def times(self, factor: ast.expr, vector: Any) -> ast.expr:
        """factor · vector, where vector may be a multiple already."""
        if called(vector) in (words.scaled, words.symmetric_product):
            vector.args[0] = multiplied(factor, vector.args[0])
            return vector
        return self.call(words.scaled, factor, vector)

    # --- calls -----------------------------------------------------------------------------------------------

    def of_Call(self, node: ast.Call) -> Typed:
        if isinstance(node.func, ast.Attribute) and node.func.attr == "_replace":
            return self.replaced(node)
        if node.keywords:
            raise self.error(node, "arguments are positional in the dialect")
        arguments = [self.argument(argument) for argument in node.args]
        if isinstance(node.func, ast.Attribute):
            owner = self.argument(node.func.value)
            if not isinstance(owner[1], ModuleType):
                return self.call_field(node, owner, arguments)
            function = getattr(owner[1], node.func.attr, None)
        else:
            function = self.resolved(node.func)
        return self.call_function(node, function, arguments)

    def replaced(self, node: Any) -> Typed:
        """A NamedTuple with some fields changed: built anew from all of them."""
        old, record = self.value(node.func.value)
        fields = fields_of(record)
        if not isinstance(old, ast.Name) or not fields or node.args:
            raise self.error(node, f"{ast.unparse(node)}: a variable that holds a NamedTuple, and fields by name")
        new = {change.arg: self.value(change.value) for change in node.keywords}
        if unknown := new.keys() - fields.keys():
            raise self.error(node, f"{name_of(record)} has no field {', '.join(sorted(unknown))}")
        kept = {name: (ast.Attribute(old, name, ast.Load()), kind) for name, kind in fields.items()}
        return self.call_function(node, record, list((kept | new).values()))

    def argument(self, node: Any) -> Typed:
        """A value, or a module by its name."""
        if isinstance(node, ast.Name) and isinstance(self.names.get(node.id), ModuleType):
            return node, self.names[node.id]
        return self.value(node)

    def call_field(self, node: ast.Call, owner: Typed, arguments: list[Typed]) -> Typed:
        """A function of the problem, given a copy to keep or to change; a missing one is replaced by differences."""
        name, kind = node.func.attr, owner[1]  # type: ignore[attr-defined]
        field = fields_of(kind).get(name)
        if not is_function(field):
            raise self.error(node, f"{name_of(kind)} has no function {name!r}; annotate it as Callable[[Vector], ...]")
        wanted, result = get_args(field)
        self.fit_all(arguments, wanted, node)
        if isinstance(kind, Bound) and name in kind.missing:
            word, source = differenced(name, kind.missing)
            parts = source, "kept" if word is words.hessian_product else "scale"
            given = [ast.Attribute(owner[0], part, ast.Load()) for part in parts]
            return self.call(word, given[0], *(expression for expression, _ in arguments), given[1]), result
        node.func.value = owner[0]  # type: ignore[attr-defined]
        node.args = [self.call(words.copied, expression) for expression, _ in arguments]
        return node, result

    def call_function(self, node: ast.Call, function: Any, arguments: list[Typed]) -> Typed:
        kinds = [kind for _, kind in arguments]
        given = [expression for expression, kind in arguments if not is_static(kind)]
        if function in (min, max, abs, float, int, bool):
            kind = function if isinstance(function, type) else self.join_all(kinds, node)
            if kind not in SCALARS:
                raise self.error(node, f"{function.__name__} is for numbers; for arrays there are words")
            if kind is float and len(given) == 2:
                return self.call(words.greater if function is max else words.lesser, *given), kind
            self.globals[function.__name__] = function
            return ast.Call(ast.Name(function.__name__, ast.Load()), given, []), kind
        if inspect.isbuiltin(function) and function.__module__ == "math":
            return self.named(function.__name__, function, given), bool if function.__name__[:2] == "is" else float
        if isinstance(function, type) and issubclass(function, tuple):
            self.fit_all(arguments, list(fields_of(function).values()), node)
            return self.named(function.__name__, function, given), function
        if not isinstance(function, FunctionType):
            raise self.error(node, f"{ast.unparse(node.func)} is no function that the dialect can call")
        if function.__module__ == ops.__name__:
            word = getattr(words, function.__name__, None)
            if word is None:
                raise self.error(node, f"the word {function.__name__} has no loop in refopt.words yet")
            wanted, result = signature(word)
            self.fit_all(arguments, wanted, node)
            return self.call(word, *given), result
        wanted, _ = signature(function)
        fitted = self.fit_all(arguments, wanted, node)
        twin, result = self.twins.of(function, fitted)
        given = [expression for (expression, _), kind in zip(arguments, fitted, strict=True) if not is_static(kind)]
        return self.named(function.__name__, twin, given), result

    def call(self, word: Any, *arguments: ast.expr) -> ast.expr:
        """The call of a loop of ``refopt.words``."""
        node = self.named(word.__name__, self.twins.word(word)[0], list(arguments))
        node.word = word
        return node

    def named(self, name: str, value: Any, arguments: list[ast.expr]) -> Any:
        """A call of ``value`` by a name that the function does not use otherwise."""
        while name in self.function.__code__.co_varnames or self.globals.get(name, value) is not value:
            name += "_"
        self.globals[name] = value
        return ast.Call(ast.Name(name, ast.Load()), arguments, [])

    def resolved(self, node: ast.AST) -> Any:
        name = ast.unparse(node)
        found = self.function.__globals__.get(name, getattr(builtins, name, None))
        if found is None:
            raise self.error(node, f"{name} is not known here: import names one by one, not modules")
        return found

    # --- agreement of kinds ----------------------------------------------------------------------------------

    def number(self, node: Any) -> Any:
        expression, kind = self.value(node)
        if kind not in SCALARS and not isinstance(kind, Chosen):
            raise self.error(node, f"{ast.unparse(node)} is {name_of(kind)}, and must be a number here")
        return expression

    def fit_all(self, arguments: list[Typed], wanted: Any, node: ast.AST) -> tuple[Kind, ...]:
        if len(arguments) != len(wanted):
            raise self.error(node, f"{ast.unparse(node)} needs {len(wanted)} arguments: none may be left out")
        return tuple(self.chosen(e, k, w, node) for (e, k), w in zip(arguments, wanted, strict=True))

    def chosen(self, expression: Any, kind: Kind, wanted: Kind, node: ast.AST) -> Kind:
        """The kind of an argument; where a ``Choice`` is wanted, a constant by its name is one."""
        if wanted is Choice and kind is int:
            if not hasattr(expression, "named"):
                raise self.error(node, f"{ast.unparse(expression)} is int: annotate it as Choice, or name a constant")
            return Chosen(expression.value)
        return self.fitting(kind, wanted, node, ast.unparse(expression))

    def fitting(self, kind: Kind, wanted: Kind, node: ast.AST, what: str) -> Kind:
        """The kind of a value where ``wanted`` was declared; numbers widen."""
        plain = kind.problem if isinstance(kind, Bound) else kind
        if isinstance(kind, Chosen):
            return kind if wanted is Choice else self.fitting(int, wanted, node, what)
        if wanted is Any or plain == wanted or (isinstance(wanted, UnionType) and plain in get_args(wanted)):
            return kind
        if kind in SCALARS and wanted in SCALARS and SCALARS.index(kind) <= SCALARS.index(wanted):
            return wanted
        parts, others = elements(kind), elements(wanted)
        if is_tuple(kind) and parts and others and len(parts) == len(others):
            fitted = tuple(self.fitting(*pair, node, what) for pair in zip(parts, others, strict=True))
            return tuple[fitted]  # type: ignore[valid-type]
        raise self.error(node, f"{what} is {name_of(kind)}, where {name_of(wanted)} is declared")

    def joined(self, kind: Kind, other: Kind, node: ast.AST) -> Kind:
        if kind == other:
            return kind
        if kind in SCALARS and other in SCALARS:
            return SCALARS[max(SCALARS.index(kind), SCALARS.index(other))]
        raise self.error(node, f"{ast.unparse(node)} is {name_of(kind)} or {name_of(other)}: it needs one kind")

    def join_all(self, kinds: list[Kind], node: ast.AST) -> Kind:
        kind = kinds[0]
        for other in kinds[1:]:
            kind = self.joined(kind, other, node)
        return kind


def differenced(name: str, missing: frozenset[str]) -> tuple[Any, str]:
    """The loop that stands for a missing function, and the function that it evaluates: the highest derivative given."""
    loops: dict[str, dict[str, Any]] = {
        "grad": {"fun": words.difference_gradient},
        "jacobian": {"residual": words.difference_jacobian},
        "hess": {"grad": words.difference_hessian, "fun": words.second_difference_hessian},
        "hvp": {
            "hess": words.hessian_product,
            "grad": words.difference_product,
            "fun": words.second_difference_product,
        },
    }
    source = next(source for source in loops[name] if source not in missing)
    return loops[name][source], source
