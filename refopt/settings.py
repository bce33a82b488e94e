"""What a user may say about a run of ``refopt.train``: a method's options, checked, and what is common to all."""

from math import isfinite
from typing import Any, NamedTuple

import numpy as np

from refopt.catalogue import Entry, as_dict

COUNTS = ("samples", "probes", "every", "window", "limit", "memory", "trials", "inverse_every")  #: at least 1
PARTS = (
    "beta1",
    "beta2",
    "beta3",
    "beta",
    "decay",
    "momentum",
    "graft_beta2",
    "averaging",
    "warm",
)  #: of a mean: in [0, 1)


class Common(NamedTuple):
    """Options of every method."""

    replacement: bool = False  #: each batch is drawn from all samples, which may come twice
    checkpoint: Any = None  #: a file to write the run into
    checkpoint_every: int = 100  #: after so many steps, and at the end
    resume: bool = False  #: go on from the checkpoint, if there is one
    maxtime: float = float("inf")  #: seconds


def common(given: dict[str, Any]) -> Common:
    """The options of every method, checked."""
    found = Common(**given)
    every, maxtime = found.checkpoint_every, found.maxtime
    if isinstance(every, bool) or not isinstance(every, int | np.integer) or every < 1:
        raise ValueError(f"checkpoint_every must be a whole number of at least 1; it is {every!r}")
    if isinstance(maxtime, str) or not maxtime >= 0.0:
        raise ValueError(f"maxtime must be a number of seconds, 0 or more; it is {maxtime!r}")
    for name in ("replacement", "resume"):
        if not isinstance(value := getattr(found, name), bool | np.bool):
            raise TypeError(f"{name} must be True or False; it is {value!r}")
    return found


class Chosen(NamedTuple):
    """A method with its options; some are functions of the step."""

    entry: Entry
    params: Any
    schedules: dict[str, Any]

    @property
    def module(self) -> Any:
        return self.entry.module

    def at(self, t: int) -> Any:
        """The ``Params`` of step t."""
        if not self.schedules:
            return self.params
        values = {key: checked(self.entry, key, f(t)) for key, f in self.schedules.items()}
        return self.params._replace(**values)


def settled(entry: Entry, options: Any) -> tuple[Chosen, dict[str, Any]]:
    """The method's options, and those common to all. An unknown option is an error that lists the known."""
    given, fields = as_dict(options), entry.module.Params._fields
    unknown = [key for key in given if key not in (*fields, *Common._fields)]
    if unknown:
        said = ", ".join(map(repr, unknown))
        raise TypeError(f"{entry.name} has no option {said}; its options are {', '.join((*fields, *Common._fields))}")
    own = {key: given.pop(key) for key in fields if key in given}
    schedules = {key: value for key, value in own.items() if callable(value)}
    for key in schedules:
        if key in entry.module.State._fields:
            raise TypeError(
                f"{key} of {entry.name} is where a run begins, and follows a rule from there: give a number"
            )
    fixed = {key: checked(entry, key, value) for key, value in own.items() if key not in schedules}
    chosen = Chosen(entry, entry.module.Params(**fixed), schedules)
    chosen.at(0)
    return chosen, given


def checked(entry: Entry, key: str, value: Any) -> Any:
    """An option in the type of its default; an error where it makes no sense."""
    default, choices = entry.module.Params._field_defaults[key], getattr(entry.module, "CHOICES", {}).get(key)
    if key == "search" and isinstance(value, str):
        from refopt.catalogue import coded

        return coded(key, value, int)
    if choices:
        if value not in choices:
            raise ValueError(f"{key} must be one of {', '.join(map(repr, choices))}; it is {value!r}")
        return value
    if isinstance(default, tuple):
        return tuple(tuple(int(n) for n in shape) for shape in value)
    try:
        number = type(default)(value)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{key} of {entry.name} is a {type(default).__name__}, not {value!r}") from error
    if number != value or not isfinite(number):
        raise ValueError(f"{key} of {entry.name} must be a finite {type(default).__name__}; it is {value!r}")
    if key in COUNTS and number < 1:
        raise ValueError(f"{key} of {entry.name} must be at least 1; it is {value!r}")
    if key in PARTS and not (0.0 <= number < 1.0 or number == default):
        raise ValueError(f"{key} of {entry.name} must be in [0, 1); it is {value!r}")
    if key not in COUNTS and number < 0:
        raise ValueError(f"{key} of {entry.name} must not be negative; it is {value!r}")
    return number
