"""Test problems with exact derivatives and known answers.

    >>> entry = get("nist:MGH09", start=1)
    >>> entry.problem.residual(entry.x0).shape
    (11,)

``names()`` lists them: ``rosenbrock`` (``rosenbrock:10``, or any other size; ``rosenbrock:ls`` as least
squares), ``quartic``, ``valley``, and the 27 certified regression problems ``nist:…``.
"""

from typing import Any

from refopt.derivatives.differences import like as array_like
from refopt.zoo import nist
from refopt.zoo.classic import FAMILIES, Known
from refopt.zoo.nist import Certified, matching_digits

__all__ = ["Certified", "Known", "get", "matching_digits", "names"]


def names() -> list[str]:
    """The names that ``get`` knows; and any ``rosenbrock:n`` and ``rosenbrock:ls:n``."""
    return [
        "rosenbrock",
        "rosenbrock:10",
        "rosenbrock:ls",
        "quartic",
        "valley",
        *map("nist:{}".format, nist.names()),
    ]


def get(name: str, start: int = 1, like: Any = None) -> Known | Certified:
    """The problem of this name: ``problem``, ``x0``, ``solution``, ``fun``; for NIST what is certified.

    Start 1 is the standard one, 2 the other. The arrays are float64 NumPy arrays, or of the kind, type and
    device of the array ``like``. Raises ValueError for a name or a start that does not exist.
    """
    family, _, rest = name.partition(":")
    if family == "nist":
        return nist.get(rest, start, like)
    if family not in FAMILIES:
        raise ValueError(f"there is no problem {name!r} in the zoo; there are {', '.join(names())}")
    entry = FAMILIES[family](name, start)
    if like is None:
        return entry
    return entry._replace(x0=array_like(like, entry.x0), solution=array_like(like, entry.solution))
