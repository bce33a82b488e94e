"""Mutants: a function of the library with one operator, constant, name or argument changed.

An *equation* is the value of an assignment or a return that has arithmetic on anything but counters, or a word of
linear algebra; of a tuple, or of what makes a NamedTuple, each part is a value of its own. Conditions (comparisons,
`and`, `or`, what chooses in a ternary) are none, wherever they stand, and with `eps` in it a value is a threshold. As
in other tools of this kind, the bodies of functions are changed, not the defaults of options.
"""

import ast
from collections import Counter
from collections.abc import Callable, Iterator
from copy import deepcopy
from importlib import import_module
from pathlib import Path
from types import CodeType
from typing import NamedTuple

ROOT = Path(__file__).parents[2]

PACKAGES = {  #: shared pieces count with the package that uses them
    "methods": (
        "refopt/methods/*.py",
        "refopt/adaptive.py",
        "refopt/broyden_type.py",
        "refopt/inexact.py",
        "refopt/linearised.py",
        "refopt/newton_type.py",
        "refopt/quasi_newton.py",
    ),
    "linesearch": ("refopt/linesearch/*.py",),
    "subproblem": ("refopt/subproblem.py", "refopt/region.py", "refopt/krylov.py"),
    "linalg": ("refopt/linalg/*.py",),
}

LINEAR_ALGEBRA = {
    "dot", "outer", "rmatvec", "rank_one", "rank_two", "solve_lower", "solve_lower_t", "solve_spd", "solve_upper",
    "norm", "frobenius", "column_norms", "triangular", "identity", "diagonal", "trace", "absolute", "add_diagonal",
}  # fmt: skip
COUNTERS = {
    "nfev", "njev", "nhev", "nhvp", "trial", "trials", "rejected", "products", "spent", "count", "k", "weak",
    "failures",
}  # fmt: skip
HANDED_ON = {"problem", "params", "state", "old"}  #: no argument is mistaken for one of these
SYMMETRIC = {"H", "B", "hess_inv0"}
COMMUTE = {"dot", "min", "max", "larger", "smaller"}
PAIRS = (
    "s y", "g p", "m v", "a b", "lo hi", "f_lo f_hi", "d_lo d_hi", "da db", "beta1 beta2", "c1 c2", "x p", "r s", "r y",
    "state point", "state trial", "state new", "old new", "x x_new", "f f_new", "g g_new", "d d_new", "u v", "z r",
    "solve_lower solve_lower_t", "min max", "low high", "now begun", "s p", "d p", "r p", "cauchy newton", "J D",
)  # fmt: skip
ARITHMETIC = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult}
BOUNDARY = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt}
NEGATED = {
    ast.Lt: ast.GtE, ast.LtE: ast.Gt, ast.Gt: ast.LtE, ast.GtE: ast.Lt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
}  # fmt: skip
WHERE = ("file", "function", "statement", "within", "before", "nth")  #: what tells a mutant from others
Step = tuple[str, int | None]  #: a field of a node, and the place in it where it is a list


class Mutant(NamedTuple):
    package: str
    file: str
    function: str
    line: int
    lines: range  #: of the whole statement: who runs one of them can notice
    kind: str
    before: str
    after: str
    within: str  #: the smallest expression around it
    statement: str  #: what it is part of, so that no line number is needed to name it
    nth: str  #: of the same changes of this statement, and of others of the function that read the same
    equation: bool
    path: tuple[Step, ...]  #: from the module to the node
    choice: int  #: which of the changes of that node
    sampled: bool = False

    @property
    def name(self) -> str:
        return f"{self.file}:{self.line} {self.function}: {self.before}  →  {self.after}"

    def code(self) -> CodeType:
        """The module, changed."""
        tree = ast.parse((ROOT / self.file).read_text())
        *above, (field, index) = self.path
        parent: ast.AST = tree
        for step in above:
            parent = _child(parent, step)
        changed = list(_changes(_child(parent, (field, index)), _names(tree, self.function)))[self.choice][1]
        if index is None:
            setattr(parent, field, changed)
        else:
            getattr(parent, field)[index] = changed
        return compile(ast.fix_missing_locations(tree), str(ROOT / self.file), "exec")


def files(package: str) -> list[Path]:
    return sorted({path for pattern in PACKAGES[package] for path in ROOT.glob(pattern)})


def mutants(package: str) -> list[Mutant]:
    """All mutants of a package, in the order of its files and lines."""
    return [mutant for path in files(package) for mutant in _of_file(package, path)]


def _of_file(package: str, path: Path) -> Iterator[Mutant]:
    tree = ast.parse(path.read_text())
    for i, outer in enumerate(tree.body):
        if isinstance(outer, ast.FunctionDef):
            names, seen = _names(tree, outer.name), Counter[tuple[str, str, str]]()
            for node, route, within, statement, equation in _walk(outer, (("body", i),)):
                for choice, (kind, changed) in enumerate(_changes(node, names)):
                    before, after = ast.unparse(node), ast.unparse(ast.fix_missing_locations(changed))
                    text = ast.unparse(statement).splitlines()[0]
                    seen[text, before, after] += 1
                    last = statement.test if isinstance(statement, ast.If | ast.While) else statement
                    lines = range(statement.lineno, (last.end_lineno or last.lineno) + 1)
                    yield Mutant(
                        package, str(path.relative_to(ROOT)), outer.name, node.lineno, lines, kind, before, after,
                        ast.unparse(within), text, str(seen[text, before, after]), equation, route, choice,
                    )  # fmt: skip


def _child(node: ast.AST, step: Step) -> ast.AST:
    field, index = step
    return getattr(node, field) if index is None else getattr(node, field)[index]


def _names(tree: ast.Module, function: str) -> set[str]:
    """What the function may call by name: its arguments, what it assigns, what the module imports."""
    imported = {a.asname or a.name for node in tree.body if isinstance(node, ast.ImportFrom) for a in node.names}
    body = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == function)
    assigned = {node.id for node in ast.walk(body) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    return imported | assigned | {a.arg for a in body.args.args} | {"min", "max"}


def put(mutant: Mutant, code: CodeType) -> None:
    """The changed code in the place of the function's own: all who hold the function see it."""
    module = import_module(mutant.file.removesuffix(".py").removesuffix("/__init__").replace("/", "."))
    parts = [part for part in code.co_consts if isinstance(part, CodeType) and part.co_name == mutant.function]
    getattr(module, mutant.function).__code__ = parts[0]


# --- where -------------------------------------------------------------------------------------------------------


def _walk(function: ast.FunctionDef, route: tuple[Step, ...]) -> Iterator[tuple]:
    """Every expression of the body, with its route, the expression around it or itself, its statement, and whether it
    is part of an equation."""

    def visit(node: ast.AST, route: tuple[Step, ...], within: ast.AST, statement: ast.stmt, equation: bool) -> Iterator:
        if isinstance(node, ast.stmt):
            statement, equation = node, False
        if isinstance(node, ast.expr):
            around = within if isinstance(within, ast.expr) else node
            yield node, route, around, statement, equation and not isinstance(node, ast.Compare | ast.BoolOp)
        for field, value in ast.iter_fields(node):
            if field in ("annotation", "returns", "decorator_list", "args") and not isinstance(node, ast.Call):
                continue
            for step, child in _children(field, value):
                whole = (field == "value" and isinstance(node, ast.Assign | ast.AugAssign | ast.Return)) or (
                    _has_parts(node) and not equation
                )
                inside = _is_equation(child) if whole and not _has_parts(child) else equation
                if isinstance(node, ast.Compare | ast.BoolOp) or (isinstance(node, ast.IfExp) and field == "test"):
                    inside = False
                yield from visit(child, (*route, step), node, statement, inside)

    for i, statement in enumerate(function.body):
        if not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)):
            yield from visit(statement, (*route, ("body", i)), statement, statement, False)


def _children(field: str, value: object) -> Iterator[tuple[Step, ast.AST]]:
    for i, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
        if isinstance(child, ast.AST):
            yield (field, i), child


def _has_parts(node: ast.AST) -> bool:
    """A tuple, a call such as State(…) or state._replace(…), or one of its keywords."""
    if isinstance(node, ast.Call):
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        return name == "_replace" or name[:1].isupper()
    return isinstance(node, ast.Tuple | ast.keyword)


def _is_equation(value: ast.AST) -> bool:
    parts = list(_outside_conditions(value))
    return any(map(_computes, parts)) and not any(isinstance(p, ast.Name) and p.id == "eps" for p in parts)


def _outside_conditions(node: ast.AST) -> Iterator[ast.AST]:
    if not isinstance(node, ast.Compare | ast.BoolOp):
        yield node
        for child in ast.iter_child_nodes(node):
            if not (isinstance(node, ast.IfExp) and child is node.test):
                yield from _outside_conditions(child)


def _computes(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id in LINEAR_ALGEBRA
    if not isinstance(node, ast.BinOp) and not (isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub)):
        return False
    names = {part.id if isinstance(part, ast.Name) else part.attr for part in ast.walk(node)
             if isinstance(part, ast.Name | ast.Attribute)}  # fmt: skip
    return bool(names - COUNTERS - {"state", "old", "point", "trial", "step"})


# --- what --------------------------------------------------------------------------------------------------------


def _changes(node: ast.AST, names: set[str]) -> Iterator[tuple[str, ast.expr]]:
    """The kind and the result of each change of a node."""
    for kind, change in CHANGES.get(type(node), ()):
        for changed in change(deepcopy(node), names):
            yield kind, changed


def _operator(node: ast.BinOp, names: set[str]) -> Iterator[ast.expr]:
    if type(node.op) in ARITHMETIC:
        yield ast.BinOp(node.left, ARITHMETIC[type(node.op)](), node.right)


def _dropped(node: ast.BinOp, names: set[str]) -> Iterator[ast.expr]:
    if isinstance(node.op, ast.Add | ast.Sub | ast.Mult | ast.Div | ast.Pow):
        yield node.left
    if isinstance(node.op, ast.Add | ast.Mult):
        yield node.right
    if isinstance(node.op, ast.Sub):
        yield ast.UnaryOp(ast.USub(), node.right)


def _transposed(node: ast.BinOp, names: set[str]) -> Iterator[ast.expr]:
    if isinstance(node.op, ast.MatMult) and isinstance(node.left, ast.Name) and node.left.id not in SYMMETRIC:
        yield ast.BinOp(ast.Attribute(node.left, "T", ast.Load()), ast.MatMult(), node.right)


def _untransposed(node: ast.Call, names: set[str]) -> Iterator[ast.expr]:
    if isinstance(node.func, ast.Name) and node.func.id == "rmatvec":
        yield ast.BinOp(node.args[0], ast.MatMult(), node.args[1])


def _unary(node: ast.UnaryOp, names: set[str]) -> Iterator[ast.expr]:
    if isinstance(node.op, ast.USub | ast.Not):
        yield node.operand


def _constant(node: ast.Constant, names: set[str]) -> Iterator[ast.expr]:
    if isinstance(node.value, bool):
        yield ast.Constant(not node.value)
    elif isinstance(node.value, int):
        yield ast.Constant(node.value + 1)
    elif isinstance(node.value, float):
        yield ast.Constant(2 * node.value or 1.0)


def _comparison(node: ast.Compare, names: set[str]) -> Iterator[ast.expr]:
    for i, op in enumerate(node.ops):
        for table in (BOUNDARY, NEGATED):
            if type(op) in table:
                yield ast.Compare(node.left, [*node.ops[:i], table[type(op)](), *node.ops[i + 1 :]], node.comparators)


def _connective(node: ast.BoolOp, names: set[str]) -> Iterator[ast.expr]:
    yield ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)


def _swapped(node: ast.Call, names: set[str]) -> Iterator[ast.expr]:
    simple = [isinstance(a, ast.Name | ast.Attribute) for a in node.args[:2]] == [True, True]
    known = any(isinstance(a, ast.Name) and a.id in HANDED_ON for a in node.args[:2])
    same = len(set(map(ast.dump, node.args[:2]))) < 2
    if simple and not (known or same) and not (isinstance(node.func, ast.Name) and node.func.id in COMMUTE):
        yield ast.Call(node.func, [node.args[1], node.args[0], *node.args[2:]], node.keywords)


def _renamed(node: ast.Name, names: set[str]) -> Iterator[ast.expr]:
    if isinstance(node.ctx, ast.Load):
        for other in _partners(node.id):
            if other in names:
                yield ast.Name(other, ast.Load())


def _other_field(node: ast.Attribute, names: set[str]) -> Iterator[ast.expr]:
    if isinstance(node.ctx, ast.Load) and isinstance(node.value, ast.Name):
        for other in _partners(node.attr):
            if {node.attr, other} in ({"beta1", "beta2"}, {"c1", "c2"}, {"g", "p"}, {"m", "v"}):
                yield ast.Attribute(node.value, other, ast.Load())


def _partners(name: str) -> Iterator[str]:
    for pair in PAIRS:
        one, two = pair.split()
        if name in (one, two):
            yield two if name == one else one


Change = Callable[..., Iterator[ast.expr]]
CHANGES: dict[type[ast.AST], tuple[tuple[str, Change], ...]] = {
    ast.BinOp: (("sign or factor", _operator), ("term or factor dropped", _dropped), ("transposed", _transposed)),
    ast.UnaryOp: (("sign or factor", _unary),),
    ast.Constant: (("constant", _constant),),
    ast.Compare: (("condition", _comparison),),
    ast.BoolOp: (("condition", _connective),),
    ast.Call: (("arguments swapped", _swapped), ("transposed", _untransposed)),
    ast.Name: (("index", _renamed),),
    ast.Attribute: (("index", _other_field),),
}
