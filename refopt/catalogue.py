"""Which methods there are, what each needs, and what a step costs."""

import importlib
from functools import cache
from typing import Any, NamedTuple


class Entry(NamedTuple):
    """One method, as ``refopt.available()`` lists it."""

    name: str
    door: str  #: the function that takes the name: "minimize" or "least_squares"
    family: str
    needs: tuple[str, ...]  #: the derivatives it uses; any of them may be differenced
    compiles: bool
    cost: str  #: of one step, beyond the user's functions
    memory: str

    @property
    def module(self) -> Any:
        return _module(self.name)


@cache
def _module(name: str) -> Any:
    return importlib.import_module("refopt.methods." + name.replace("-", "_"))


ENTRIES = (
    Entry("bfgs", "minimize", "quasi-Newton", ("jac",), True, "O(n²)", "n² + 10n"),
    Entry(
        "trust-exact",
        "minimize",
        "trust region",
        ("jac", "hess"),
        True,
        "n³/3, two or three times",
        "2n² + 10n",
    ),
    Entry("lm", "least_squares", "Gauss-Newton", ("jac",), True, "2mn²", "2mn + 3n²"),
)


BY_NAME = {entry.name: entry for entry in ENTRIES}


def available() -> dict[str, Entry]:
    """Every method by name: its door, family, the derivatives it needs, whether it compiles, cost and memory."""
    return dict(BY_NAME)


def find(name: Any, door: str) -> Entry:
    """The entry of a method's name; upper case and underscores do not matter."""
    entry = BY_NAME.get(name.lower().replace("_", "-")) if isinstance(name, str) else None
    if entry is None or entry.door != door:
        names = ", ".join(entry.name for entry in ENTRIES if entry.door == door)
        raise ValueError(f"{door} knows no method {name!r}; its methods are {names}")
    return entry


COMMON = ("maxiter", "maxfun", "maxtime", "gtol", "gtol_abs", "trace", "disp", "compiled")


def split_options(entry: Entry, options: Any) -> tuple[Any, dict[str, Any]]:
    """The method's ``Params`` and the options common to all; an unknown option is an error that lists the known."""
    params, given = entry.module.Params, dict(options or {})
    if not given:
        return params(), given
    unknown = [key for key in given if key not in params._fields and key not in COMMON]
    if unknown:
        known = ", ".join((*params._fields, *COMMON))
        raise TypeError(f"{entry.name} has no option {', '.join(map(repr, unknown))}; its options are {known}")
    chosen = {key: given.pop(key) for key in params._fields if key in given}
    defaults = params()
    typed = {key: type(getattr(defaults, key))(value) for key, value in chosen.items()}
    return params(**typed), given
