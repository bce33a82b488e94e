"""Which methods there are, what each needs, and what a step costs."""

import importlib
import inspect
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from typing import Any, NamedTuple

from refopt.linesearch import SEARCHES


class Entry(NamedTuple):
    """One method, as ``refopt.available()`` lists it."""

    name: str
    door: str  #: the function that takes the name: "minimize", "least_squares" or "train"
    family: str
    needs: tuple[str, ...]  #: the derivatives it uses; any of them may be differenced
    compiles: bool
    cost: str  #: of one step, beyond the user's functions
    memory: str
    fisher: bool = False  #: in place of the Hessian it takes a Fisher matrix, the option ``fisher``

    @property
    def module(self) -> Any:
        return _module(self.door, self.name)

    @property
    def arrays(self) -> tuple[str, ...]:
        """The options that are arrays: those with which ``primed(state, ...)`` begins."""
        return _arrays(self.module)


@cache
def _arrays(module: Any) -> tuple[str, ...]:
    primed = getattr(module, "primed", None)
    return tuple(inspect.signature(primed).parameters)[1:] if primed else ()


@cache
def _module(door: str, name: str) -> Any:
    package = "stochastic" if door == "train" else "methods"
    return importlib.import_module(f"refopt.{package}.{name.replace('-', '_')}")


ENTRIES = (
    Entry("bfgs", "minimize", "quasi-Newton", ("jac",), True, "O(n²)", "n² + 10n"),
    Entry("dfp", "minimize", "quasi-Newton", ("jac",), True, "O(n²)", "n² + 10n"),
    Entry("broyden", "minimize", "quasi-Newton", ("jac",), True, "O(n²)", "n² + 10n"),
    Entry("sr1", "minimize", "quasi-Newton", ("jac",), True, "n³/3, two or three times", "2n² + 10n"),
    Entry("gradient-descent", "minimize", "first order", ("jac",), True, "O(n)", "5n"),
    Entry("l-bfgs", "minimize", "quasi-Newton", ("jac",), True, "10mn, m pairs kept", "2mn + 10n"),
    Entry(
        "trust-exact",
        "minimize",
        "trust region",
        ("jac", "hess"),
        True,
        "n³/3, two or three times",
        "2n² + 10n",
    ),
    Entry("newton", "minimize", "Newton", ("jac", "hess"), True, "2n³/3", "3n² + 10n"),
    Entry("damped-newton", "minimize", "Newton", ("jac", "hess"), True, "2n³/3", "3n² + 10n"),
    Entry("modified-newton", "minimize", "Newton", ("jac", "hess"), True, "n³/3, once or a few times", "2n² + 10n"),
    Entry("saddle-free-newton", "minimize", "Newton", ("jac", "hess"), True, "9n³", "3n² + 10n"),
    Entry("natural-gradient", "minimize", "natural gradient", ("jac", "hess"), True, "2n³/3", "3n² + 10n", True),
    Entry("diagonal-newton", "minimize", "Newton", ("jac", "hess"), True, "O(n²)", "n² + 10n"),
    Entry("newton-cg", "minimize", "Newton", ("jac", "hessp"), True, "products with the Hessian", "12n"),
    Entry("hessian-free", "minimize", "Newton", ("jac", "hessp"), True, "products with the Hessian", "14n"),
    Entry("trust-dogleg", "minimize", "trust region", ("jac", "hess"), True, "n³/3", "2n² + 10n"),
    Entry("trust-ncg", "minimize", "trust region", ("jac", "hessp"), True, "products with the Hessian", "12n"),
    Entry(
        "trust-krylov",
        "minimize",
        "trust region",
        ("jac", "hessp"),
        True,
        "k products with the Hessian and 4k²n + k³n/12",
        "2kn + 10n",
    ),
    Entry("adagrad", "minimize", "adaptive", ("jac",), True, "O(n)", "7n"),
    Entry("adam", "minimize", "adaptive", ("jac",), True, "O(n)", "7n"),
    Entry("adahessian", "minimize", "adaptive", ("jac", "hessp"), True, "a product with the Hessian", "9n"),
    Entry("lm", "least_squares", "Gauss-Newton", ("jac",), True, "2mn²", "2mn + 3n²"),
    Entry("gauss-newton", "least_squares", "Gauss-Newton", ("jac",), True, "2mn²", "2mn + 3n²"),
    Entry("dogleg", "least_squares", "Gauss-Newton", ("jac",), True, "2mn²", "2mn + 3n²"),
    Entry("broyden-good", "least_squares", "quasi-Newton", ("jac",), True, "2mn²", "3mn + 3n²"),
    Entry("broyden-bad", "least_squares", "quasi-Newton", ("jac",), True, "2mn²", "3mn + 3n²"),
)

#: of ``train``, some of whose names are deterministic methods of ``minimize`` as well; m: rows of a batch's Jacobian
TRAINING = (
    Entry("sgd", "train", "first order", ("jac",), False, "O(n)", "3n"),
    Entry("momentum", "train", "first order", ("jac",), False, "O(n)", "4n"),
    Entry("adagrad", "train", "adaptive", ("jac",), False, "O(n)", "4n"),
    Entry("rmsprop", "train", "adaptive", ("jac",), False, "O(n)", "4n"),
    Entry("adam", "train", "adaptive", ("jac",), False, "O(n)", "5n"),
    Entry("adamw", "train", "adaptive", ("jac",), False, "O(n)", "5n"),
    Entry("adam-no-sqrt", "train", "adaptive", ("jac",), False, "O(n)", "5n"),
    Entry("adam-true-fisher", "train", "adaptive", ("jac", "labels"), False, "a gradient", "6n"),
    Entry("adam-true-fisher-batch", "train", "adaptive", ("jac", "labels"), False, "a gradient", "6n"),
    Entry("diagonal-newton", "train", "Newton", ("jac", "hessp"), False, "a product with the Hessian", "6n"),
    Entry("adahessian", "train", "adaptive", ("jac", "hessp"), False, "a product with the Hessian", "7n"),
    Entry("gauss-newton", "train", "Gauss-Newton", ("jac", "ggn"), False, "2m²n + m³", "mn + m² + 4n"),
    Entry("natural-gradient", "train", "natural gradient", ("jac", "fisher"), False, "mn² + 2n³/3", "n² + mn + 4n"),
    Entry("hessian-free", "train", "Newton", ("jac", "ggn"), False, "products with Gauss-Newton's matrix", "12n"),
    Entry("kfac", "train", "Kronecker-factored", ("jac", "fisher", "labels"), False, "a gradient, the factors", "8n"),
    Entry(
        "kfac-tridiagonal",
        "train",
        "Kronecker-factored",
        ("jac", "fisher", "labels"),
        False,
        "a gradient, the factors",
        "10n",
    ),
    Entry("ekfac", "train", "Kronecker-factored", ("jac", "fisher", "labels"), False, "a gradient, the factors", "8n"),
    Entry("shampoo", "train", "Kronecker-factored", ("jac",), False, "the roots of the factors", "10n"),
    Entry("soap", "train", "Kronecker-factored", ("jac",), False, "Σ 8nᵢn, rotations", "10n"),
    Entry("l-bfgs", "train", "quasi-Newton", ("jac",), False, "10mn, m pairs kept", "2mn + 10n"),
)


DOORS = ("minimize", "least_squares", "train")
BY_NAME = {entry.name: entry for entry in ENTRIES}
TRAINED = {entry.name: entry for entry in TRAINING}

#: SciPy's options that have another name here
SCIPY_OPTIONS = {
    "maxfev": "maxfun", "maxcor": "memory", "initial_trust_radius": "radius", "max_trust_radius": "max_radius",
    "return_all": "trace", "maxls": "trials", "xtol": "gtol", "ftol": "gtol", "xrtol": "gtol", "iprint": "disp",
}  # fmt: skip

SCIPY = {"minimize": {"dogleg": "trust-dogleg", "l-bfgs-b": "l-bfgs"}}  #: its names for the same, where they are others

#: and those that have no counterpart here
SCIPY_ALONE = {
    "minimize": ("nelder-mead", "powell", "cg", "tnc", "cobyla", "cobyqa", "slsqp", "trust-constr"),
    "least_squares": ("trf", "dogbox"),
}


def available(door: str | None = None) -> dict[str, Entry]:
    """Every method by name: its door, family, the derivatives it needs, whether it compiles, cost and memory.

    door: "minimize", "least_squares" or "train" for the methods of one of them. Where a name of ``train`` is one of a
    deterministic method too, that is what is listed unless ``train`` is asked for.
    """
    if door is None:
        return BY_NAME | {name: entry for name, entry in TRAINED.items() if name not in BY_NAME}
    if door not in DOORS:
        raise ValueError(f"door must be one of {', '.join(map(repr, DOORS))}; it is {door!r}")
    return dict(TRAINED) if door == "train" else {name: e for name, e in BY_NAME.items() if e.door == door}


@cache
def _of_door(door: str) -> dict[str, Entry]:
    return available(door)


def find(name: Any, door: str) -> Entry:
    """The entry of a method's name, or of SciPy's for it; upper case and underscores do not matter."""
    plain = name.lower().replace("_", "-") if isinstance(name, str) else ""
    entry = _of_door(door).get(SCIPY.get(door, {}).get(plain, plain))
    if entry is None:
        said = repr(name) if isinstance(name, str) else type(name).__name__
        listed = ", ".join(available(door))
        raise ValueError(f"{door} knows no method {said}; its methods are {listed}{meant(plain, door)}")
    return entry


def meant(name: str, door: str) -> str:
    """Who else has a method of this name, or which is the nearest."""
    if name in SCIPY_ALONE.get(door, ()):
        return f"; scipy.optimize.{door} has it"
    others = [f"refopt.{other}" for other in DOORS if name in available(other)]
    if others:
        return f"; {' and '.join(others)} has it" if len(others) == 1 else f"; {' and '.join(others)} have it"
    nearest = get_close_matches(name, available(door), 1)
    return f"; did you mean {nearest[0]!r}?" if nearest else ""


COMMON = ("maxiter", "maxfun", "maxtime", "gtol", "gtol_abs", "trace", "disp", "compiled")
SHARED = frozenset(COMMON)


CHOICES = {"search": SEARCHES}  #: options that are words; ``Params`` has their places
LIMITS = ("maxiter", "maxfun", "maxtime", "gtol", "gtol_abs")  #: those of the common options that are numbers


def split_options(entry: Entry, options: Any) -> tuple[Any, dict[str, Any]]:
    """The method's ``Params``, and the other options: arrays, and those common to all.

    An unknown option is an error that lists the known.
    """
    params, given = entry.module.Params, as_dict(options)
    if given.get("compiled", "auto") not in ("auto", True, False):
        raise ValueError(f"compiled must be 'auto', True or False; it is {given['compiled']!r}")
    given |= {name: nonnegative(name, given[name]) for name in LIMITS if given.get(name) is not None}
    if given.keys() <= SHARED:
        return params(), given
    known = (*params._fields, *entry.arrays, *(("fisher",) if entry.fisher else ()), *COMMON)
    unknown = [key for key in given if key not in known]
    if unknown:
        said = ", ".join(map(repr, unknown))
        others = ((key, SCIPY_OPTIONS[key]) for key in unknown if SCIPY_OPTIONS.get(key) in known)
        hint = "".join(f"; what SciPy calls {key} is {ours} here" for key, ours in others)
        raise TypeError(f"{entry.name} has no option {said}; its options are {', '.join(known)}{hint}")
    chosen = {key: given.pop(key) for key in params._fields if key in given}
    defaults = params()
    few = getattr(entry.module, "CHOICES", {})
    typed = {key: coded(key, value, type(getattr(defaults, key)), few.get(key)) for key, value in chosen.items()}
    return params(**typed), given


def as_dict(options: Any) -> dict[str, Any]:
    if not (options is None or isinstance(options, Mapping)):
        raise TypeError(f"options must be a dict of names and values; it is {options!r}")
    return dict(options or {})


def coded(key: str, value: Any, kind: Any, few: tuple[str, ...] | None = None) -> Any:
    """An option as ``Params`` holds it: a number of its default's type, or the place of a word among the choices.

    ``few``: the words among them that the method knows, if not all.
    """
    choices = CHOICES.get(key)
    if choices is None:
        return typed(key, value, kind)
    if value not in (few or choices):
        raise ValueError(f"{key} must be one of {', '.join(map(repr, few or choices))}; it is {value!r}")
    return choices.index(value)


def typed(key: str, value: Any, kind: Any) -> Any:
    """An option as a float, an int or a bool; an error that names it where it is none."""
    try:
        number = float(value)
        fits = number == int(number) if kind is int else number in (0.0, 1.0) if kind is bool else number == number
    except (TypeError, ValueError, OverflowError):
        fits = False
    if not fits:
        words = {bool: "True or False", int: "a whole number"}.get(kind, "a number")
        raise ValueError(f"{key} must be {words}; it is {value!r}")
    return kind(number)


def nonnegative(key: str, value: Any) -> Any:
    """A limit or a tolerance: a number from 0 on, infinity included."""
    if type(value) is float and value >= 0.0:
        return value
    number = typed(key, value, float)
    if number < 0.0:
        raise ValueError(f"{key} must not be negative; it is {value!r}")
    return number
