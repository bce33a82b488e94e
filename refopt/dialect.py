"""The dialect: kinds found without running, operators turned into words.

A *twin* of a function is made from its source: an operator between arrays becomes a call of a loop of ``refopt.words``,
a word its loop, another function its own twin. What an expression is, is known from annotations alone (arguments,
results, fields of NamedTuples), so ``H @ g`` with ``H: Symmetric`` becomes a product that reads one triangle, and
``x + alpha * p`` one loop. An expression whose kind cannot be found raises ``DialectError``, which names file and line
and says what to write. Twins keep the line numbers of their source.

A *kind* is an evaluated annotation: ``Vector``, ``float``, a NamedTuple class, ``tuple[Matrix, bool]``, ``Callable``;
or a module (a method, as an argument), or a ``Bound`` problem.
"""

import ast
import builtins
import inspect
import textwrap
from collections.abc import Callable
from functools import cache
from types import FunctionType, ModuleType
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints

from refopt import ops, words
from refopt.ops import Matrix, Symmetric, Vector

Kind = Any
Typed = tuple[Any, Kind]  # an expression of the twin, and its kind


class DialectError(TypeError):
    """Something that is not written in the dialect."""


class Bound(NamedTuple):
    """The kind of a problem of which some functions are missing: differences take their place."""

    problem: type
    missing: frozenset[str] = frozenset()


OPERATORS: dict[tuple[type, Kind, Kind], Callable[..., Any]] = {
    (ast.Add, Vector, Vector): words.plus,
    (ast.Sub, Vector, Vector): words.minus,
    (ast.Mult, Vector, Vector): words.times,
    (ast.Div, Vector, Vector): words.over,
    (ast.Mult, float, Vector): words.scaled,
    (ast.Div, Vector, float): words.divided,
    (ast.Mult, float, Symmetric): words.symmetric_scaled,
    (ast.MatMult, Matrix, Vector): words.product,
    (ast.MatMult, Symmetric, Vector): words.symmetric_product,
}

SCALARS = (bool, int, float)
ARRAYS = (Vector, Matrix, Symmetric)


class Twins:
    """All twins that call each other; ``make(python, kinds, result)`` gives each its final form."""

    def __init__(self, make: Callable[[FunctionType, tuple[Kind, ...], Kind], Any]) -> None:
        self.make = make
        self.made: dict[tuple[Any, tuple[Kind, ...]], Typed] = {}

    def of(self, function: FunctionType, kinds: tuple[Kind, ...]) -> Typed:
        """The twin of a function for arguments of these kinds, and the kind of its result."""
        key = function, kinds
        if key not in self.made:
            body = Body(function, kinds, self)
            python = body.compiled()
            passed = tuple(kind for kind in kinds if not isinstance(kind, ModuleType))
            self.made[key] = self.make(python, passed, body.result), body.result
        return self.made[key]

    def word(self, function: FunctionType) -> Typed:
        """A loop of ``refopt.words`` as it stands, but for the other loops that it calls."""
        key = function, ()
        if key not in self.made:
            kinds, result = signature(function)
            shadows = dict(function.__globals__)
            for name in function.__code__.co_names:
                if isinstance(shadows.get(name), FunctionType):
                    shadows[name] = self.word(shadows[name])[0]
            copy = FunctionType(function.__code__, shadows, function.__name__)
            copy.__module__ = function.__module__
            self.made[key] = self.make(copy, kinds, result), result
        return self.made[key]


class Body:
    """One function on its way to its twin."""

    def __init__(self, function: FunctionType, kinds: tuple[Kind, ...], twins: Twins) -> None:
        self.function, self.twins = function, twins
        source, first = inspect.getsourcelines(function)
        self.tree = ast.parse(textwrap.dedent("".join(source)))
        ast.increment_lineno(self.tree, first - 1)
        self.names: dict[str, Kind] = {}
        self.globals: dict[str, Any] = {"__name__": function.__module__, "__builtins__": builtins}
        self.result: Kind = None
        definition: Any = self.tree.body[0]
        declared, self.declared = signature(function)
        for argument, kind, wanted in zip(definition.args.args, kinds, declared, strict=True):
            self.names[argument.arg] = self.fitting(kind, wanted, argument, f"argument {argument.arg!r}")
        definition.args.args = [
            a for a in definition.args.args if not isinstance(self.names[a.arg], ModuleType)
        ]
        definition.returns, definition.decorator_list = None, []
        for argument in definition.args.args:
            argument.annotation = None
        definition.body = self.block(definition.body)

    def compiled(self) -> FunctionType:
        """The twin, in plain Python."""
        file = inspect.getsourcefile(self.function)
        exec(compile(ast.fix_missing_locations(self.tree), file or "<source>", "exec"), self.globals)
        return self.globals[self.function.__name__]

    def error(self, node: ast.AST, says: str) -> DialectError:
        file = inspect.getsourcefile(self.function)
        return DialectError(f"{file}:{getattr(node, 'lineno', 0)}: {self.function.__name__}: {says}")

    # --- statements ------------------------------------------------------------------------------------------

    def block(self, statements: list[ast.stmt]) -> list[ast.stmt]:
        return [self.dispatched("do", statement) for statement in statements]

    def dispatched(self, verb: str, node: ast.AST) -> Any:
        rule = getattr(self, f"{verb}_{type(node).__name__}", None)
        if rule is None:
            raise self.error(node, f"{type(node).__name__} ({ast.unparse(node)}) is not in the dialect")
        return rule(node)

    def unchanged(self, node: Any) -> Any:
        return node

    do_Pass = do_Break = do_Continue = unchanged

    def do_Expr(self, node: ast.Expr) -> ast.stmt:
        if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            return ast.copy_location(ast.Pass(), node)
        raise self.error(node, "an expression without effect")

    def do_Return(self, node: ast.Return) -> ast.stmt:
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
        self.require_scalar(node.target)
        name = ast.Name(ast.unparse(node.target), ast.Load())
        value = ast.copy_location(ast.BinOp(name, node.op, node.value), node)
        return self.do_Assign(
            ast.copy_location(ast.Assign([node.target], ast.fix_missing_locations(value)), node)
        )

    def do_If(self, node: Any) -> ast.stmt:
        node.test = self.value(node.test)[0]
        node.body, node.orelse = self.block(node.body), self.block(node.orelse)
        return node

    do_While = do_If

    def do_For(self, node: ast.For) -> ast.stmt:
        call: Any = node.iter
        if not (isinstance(call, ast.Call) and ast.unparse(call.func) == "range"):
            raise self.error(node, "a loop runs over range(...)")
        call.args = [self.value(argument)[0] for argument in call.args]
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
                write = ": write 1.0, not 1" if {known, kind} == {int, float} else ""
                raise self.error(
                    target, f"{target.id} was {name_of(known)} and becomes {name_of(kind)}{write}"
                )
        else:
            raise self.error(
                target, f"{ast.unparse(target)} cannot be assigned to: nothing is written in place"
            )

    # --- expressions -----------------------------------------------------------------------------------------

    def value(self, node: Any) -> Typed:
        expression, kind = self.dispatched("of", node)
        return ast.copy_location(expression, node), kind

    def of_Constant(self, node: ast.Constant) -> Typed:
        if not isinstance(node.value, SCALARS):
            raise self.error(node, f"{node.value!r} is neither number nor truth value")
        return node, type(node.value)

    def of_Name(self, node: ast.Name) -> Typed:
        if node.id in self.names:
            return node, self.names[node.id]
        constant = self.resolved(node)
        if not isinstance(constant, SCALARS):
            raise self.error(node, f"{node.id} is neither an argument, a variable nor a number")
        self.globals[node.id] = constant
        return node, next(kind for kind in SCALARS if isinstance(constant, kind))

    def of_Attribute(self, node: ast.Attribute) -> Typed:
        node.value, kind = self.value(node.value)
        fields = fields_of(kind)
        if node.attr not in fields:
            raise self.error(
                node, f"{name_of(kind)} has no field {node.attr!r}; annotate the fields of NamedTuples"
            )
        return node, fields[node.attr]

    def of_Tuple(self, node: ast.Tuple) -> Typed:
        parts = [self.value(element) for element in node.elts]
        node.elts = [expression for expression, _ in parts]
        return node, tuple[tuple(kind for _, kind in parts)]  # type: ignore[misc]

    def of_BoolOp(self, node: ast.BoolOp) -> Typed:
        parts = [self.value(part) for part in node.values]
        node.values = [expression for expression, _ in parts]
        return node, self.join_all([kind for _, kind in parts], node)

    def of_Compare(self, node: ast.Compare) -> Typed:
        node.left = self.require_scalar(node.left)
        node.comparators = [self.require_scalar(other) for other in node.comparators]
        return node, bool

    def of_IfExp(self, node: ast.IfExp) -> Typed:
        node.test = self.value(node.test)[0]
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
        word = OPERATORS.get(key)  # type: ignore[call-overload]
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
            factor = right.args[0] if word is words.plus else negative(right.args[0])
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

    def argument(self, node: Any) -> Typed:
        """A value, or a module by its name."""
        if isinstance(node, ast.Name) and isinstance(self.names.get(node.id), ModuleType):
            return node, self.names[node.id]
        return self.value(node)

    def call_field(self, node: ast.Call, owner: Typed, arguments: list[Typed]) -> Typed:
        """A function of the problem, given a copy to keep or to change; a missing one is replaced by differences."""
        name, kind = node.func.attr, owner[1]  # type: ignore[attr-defined]
        field = fields_of(kind).get(name)
        if get_origin(field) is not Callable:
            raise self.error(
                node, f"{name_of(kind)} has no function {name!r}; annotate it as Callable[[Vector], ...]"
            )
        wanted, result = get_args(field)
        self.fit_all(arguments, wanted, node)
        if isinstance(kind, Bound) and name in kind.missing:
            word, source = differenced(name, kind.missing)
            given = [ast.Attribute(owner[0], part, ast.Load()) for part in (source, "scale")]
            return self.call(word, given[0], arguments[0][0], given[1]), result
        node.func.value = owner[0]  # type: ignore[attr-defined]
        node.args = [self.call(words.copied, expression) for expression, _ in arguments]
        return node, result

    def call_function(self, node: ast.Call, function: Any, arguments: list[Typed]) -> Typed:
        kinds = [kind for _, kind in arguments]
        given = [expression for expression, kind in arguments if not isinstance(kind, ModuleType)]
        if function in (min, max, abs, float, int, bool):
            kind = function if isinstance(function, type) else self.join_all(kinds, node)
            if kind not in SCALARS:
                raise self.error(node, f"{function.__name__} is for numbers; for arrays there are words")
            self.globals[function.__name__] = function
            return ast.Call(ast.Name(function.__name__, ast.Load()), given, []), kind
        if inspect.isbuiltin(function) and function.__module__ == "math":
            return self.named(function.__name__, function, given), bool if function.__name__[
                :2
            ] == "is" else float
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
        twin, result = self.twins.of(function, self.fit_all(arguments, wanted, node))
        return self.named(function.__name__, twin, given), result

    def call(self, word: Any, *arguments: ast.expr) -> ast.expr:
        """The call of a loop of ``refopt.words``."""
        node = self.named(word.__name__, self.twins.word(word)[0], list(arguments))
        node.word = word
        return node

    def named(self, name: str, value: Any, arguments: list[ast.expr]) -> Any:
        """A call of ``value`` by a name that the function does not use otherwise."""
        while name in self.names or self.globals.get(name, value) is not value:
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

    def require_scalar(self, node: Any) -> Any:
        expression, kind = self.value(node)
        if kind not in SCALARS:
            raise self.error(node, f"{ast.unparse(node)} is {name_of(kind)}, and must be a number here")
        return expression

    def fit_all(self, arguments: list[Typed], wanted: Any, node: ast.AST) -> tuple[Kind, ...]:
        if len(arguments) != len(wanted):
            raise self.error(node, f"{ast.unparse(node)} needs {len(wanted)} arguments: none may be left out")
        return tuple(
            self.fitting(k, w, node, ast.unparse(e)) for (e, k), w in zip(arguments, wanted, strict=True)
        )

    def fitting(self, kind: Kind, wanted: Kind, node: ast.AST, what: str) -> Kind:
        """The kind of a value where ``wanted`` was declared; numbers widen."""
        plain = kind.problem if isinstance(kind, Bound) else kind
        if wanted is Any or plain == wanted:
            return kind
        if kind in SCALARS and wanted in SCALARS and SCALARS.index(kind) <= SCALARS.index(wanted):
            return wanted
        parts, others = elements(kind), elements(wanted)
        if (
            get_origin(kind) is tuple
            and parts is not None
            and others is not None
            and len(parts) == len(others)
        ):
            return tuple[tuple(self.fitting(*pair, node, what) for pair in zip(parts, others, strict=True))]  # type: ignore[misc]
        raise self.error(node, f"{what} is {name_of(kind)}, where {name_of(wanted)} is declared")

    def joined(self, kind: Kind, other: Kind, node: ast.AST) -> Kind:
        if kind == other:
            return kind
        if kind in SCALARS and other in SCALARS:
            return SCALARS[max(SCALARS.index(kind), SCALARS.index(other))]
        raise self.error(
            node, f"{ast.unparse(node)} is {name_of(kind)} or {name_of(other)}: it needs one kind"
        )

    def join_all(self, kinds: list[Kind], node: ast.AST) -> Kind:
        kind = kinds[0]
        for other in kinds[1:]:
            kind = self.joined(kind, other, node)
        return kind


# --- kinds -----------------------------------------------------------------------------------------------------------


@cache
def signature(function: Any) -> tuple[tuple[Kind, ...], Kind]:
    """The declared kinds of the arguments and of the result; ``Any`` where nothing is said."""
    hints = get_type_hints(function)
    return tuple(hints.get(name, Any) for name in inspect.signature(function).parameters), hints.get(
        "return", Any
    )


@cache
def hints_of(record: type) -> dict[str, Kind]:
    return get_type_hints(record)


def fields_of(kind: Kind) -> dict[str, Kind]:
    """The fields of a NamedTuple, by name; of a bound problem also ``scale``, the sizes |x₀| of its variables."""
    if isinstance(kind, Bound):
        return hints_of(kind.problem) | {"scale": Vector}
    return hints_of(kind) if isinstance(kind, type) and issubclass(kind, tuple) else {}


def elements(kind: Kind) -> list[Kind] | None:
    """What a tuple of this kind is taken apart into."""
    if get_origin(kind) is tuple:
        return list(get_args(kind))
    return list(fields_of(kind).values()) or None


def name_of(kind: Kind) -> str:
    return getattr(kind, "__name__", None) or str(kind)


def differenced(name: str, missing: frozenset[str]) -> tuple[Any, str]:
    """The loop that stands for a missing function, and the function that it evaluates."""
    if name == "hess":
        return (
            (words.second_difference_hessian, "fun")
            if "grad" in missing
            else (words.difference_hessian, "grad")
        )
    return {"grad": (words.difference_gradient, "fun")}[name]


# --- pieces of syntax ------------------------------------------------------------------------------------------------


def called(node: Any) -> Any:
    """The word that an expression of a twin calls."""
    return getattr(node, "word", None)


def negative(factor: Any) -> ast.expr:
    return multiplied(ast.Constant(-1.0), factor)


def multiplied(a: Any, b: Any) -> ast.expr:
    """a · b, computed here where it costs nothing."""
    if isinstance(a, ast.Constant) and isinstance(b, ast.Constant):
        return ast.Constant(float(a.value * b.value))
    if isinstance(b, ast.Constant) and b.value == 1.0:
        return a
    if isinstance(a, ast.Constant) and a.value == 1.0:
        return b
    if isinstance(a, ast.Constant) and a.value == -1.0:
        return ast.UnaryOp(ast.USub(), b)
    return ast.BinOp(a, ast.Mult(), b)
