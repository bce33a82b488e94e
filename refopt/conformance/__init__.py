"""The conformance kit: the field's facts as properties of anybody's implementation.

    from refopt import conformance
    for report in conformance.check(minimize, "minimizer"):
        print(report.name, report.status, report.detail)

    refopt conform package.module:minimize minimizer
    pytest -p refopt.conformance.plugin --conform package.module:minimize --kind minimizer

What is judged is a function of one of these shapes; ``check`` says which properties it has, and for one that fails the
smallest instance that hypothesis has found:

    minimizer           target(fun, x0, jac=grad) → an object with x, fun, success, as SciPy's
    inverse-root        target(A, p) → X (n, n), with XᵖA = I;  A symmetric positive definite, p = 1, 2, …
    bfgs.update, …      target(*arguments), any equation that the ledger's claims use
    optimizer:adam, …   target(x, g, state) → x, state;  state is None at first, then whatever the target likes
    curvature:ggn, …    target(arrays, X, y, loss) → (P, P) of a dense network with tanh, arrays [W, b, W, b, …], loss
                        "cross-entropy" or "squared";   hessian, ggn, fisher, empirical;   kfac-exact and
                        kfac-empirical → [(A, G), …]
    pruner:obs          target(w, H, count) → w, zero where a weight has gone
    pruner:sparsegpt, … target(W, X, sparsity) → W;  sparsegpt, wanda, magnitude

An implementation in another framework needs an adapter of a few lines, from arrays to its own and back.

The properties of an equation are the ledger's claims themselves.
"""

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any, NamedTuple

KINDS = ("minimizer", "inverse-root", "optimizer:…", "curvature:…", "pruner:…", "the name of an equation")


class Property(NamedTuple):
    """A fact, instances of it, and what is wrong with a target on one of them, in words; nothing if nothing is."""

    name: str
    says: str
    instances: Any  #: a strategy of hypothesis
    complaint: Callable[[Callable[..., Any], Any], str]


class Report(NamedTuple):
    """What became of a property."""

    name: str
    says: str
    status: str  #: holds, fails
    detail: str = ""  #: what is wrong, on the smallest instance that was found
    instance: Any = None


class Broken(AssertionError):
    """A property does not hold."""


def check(target: Callable[..., Any], kind: str = "", examples: int = 50) -> list[Report]:
    """Judge a function by all properties of its kind, on that many instances each.

    The kind may be left out where the target has it as an attribute ``conforms``. The same instances are drawn every
    time; needs hypothesis.
    """
    if not callable(target):
        raise TypeError(f"target must be a function of the kind to be checked; it is {target!r}")
    return [judged(wanted, target, examples) for wanted in properties(kind or getattr(target, "conforms", ""))]


def properties(kind: str) -> list[Property]:
    """The properties of a kind of function."""
    if find_spec("hypothesis") is None:
        raise ImportError("the conformance kit needs hypothesis: pip install hypothesis brings it")
    from refopt.conformance import curvatures, equations, minimizers, optimizers, pruners, roots

    if kind == "minimizer":
        return minimizers.PROPERTIES
    if kind == "inverse-root":
        return roots.PROPERTIES
    families = {"optimizer": optimizers, "curvature": curvatures, "pruner": pruners}
    family, _, name = kind.partition(":")
    if name and family in families:
        return families[family].properties(name)
    if kind in equations.names():
        return equations.properties(kind)
    said = f"no kind is called {kind!r}" if kind else "the kind is missing, and the target has no attribute `conforms`"
    raise ValueError(f"{said}; there are {', '.join(KINDS)}: {', '.join(equations.names())}")


def judged(wanted: Property, target: Callable[..., Any], examples: int) -> Report:
    """One property: it holds on so many instances, or fails on the smallest that was found."""
    from hypothesis import HealthCheck, Phase, given, settings

    failed: dict[str, Any] = {}

    @settings(
        max_examples=examples, derandomize=True, database=None, deadline=None, print_blob=False,
        suppress_health_check=list(HealthCheck), phases=(Phase.generate, Phase.shrink), report_multiple_bugs=False,
    )  # fmt: skip
    @given(wanted.instances)
    def run(instance: Any) -> None:
        try:
            detail = wanted.complaint(target, instance)
        except Exception as error:  # whatever the target raises is what the report must say
            detail = f"it raised {type(error).__name__}: {error}"
        if detail:
            failed.update(detail=detail, instance=instance)
            raise Broken(detail)

    try:
        run()
    except Broken:
        return Report(wanted.name, wanted.says, "fails", **failed)
    return Report(wanted.name, wanted.says, "holds")


def named(path: str) -> Callable[..., Any]:
    """The object of a path ``package.module:name``."""
    from importlib import import_module

    module, colon, name = path.partition(":")
    if not (module and colon and name):
        raise ValueError(f"{path!r} is no path to an object; write package.module:name")
    try:
        found = import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"{path!r} cannot be had: {error}") from error
    if not callable(found):
        raise ValueError(f"{path!r} is {type(found).__name__}, and must be a function")
    return found


def lines(reports: list[Report]) -> Iterator[str]:
    """A readable table, and below it what fails."""
    for report in reports:
        yield f"{report.status:6s} {report.name:32s} {report.says}"
    for report in reports:
        if report.status == "fails":
            yield f"\n{report.name}: {report.detail}\n    on {report.instance}"
