"""Test problems with exact derivatives and known answers.

    >>> entry = get("nist:MGH09", start=1)
    >>> entry.problem.residual(entry.x0).shape
    (11,)
    >>> get("mgh:watson:12").minima[0].fun
    4.722381105891757e-10

``names()`` lists them: classic and standard functions such as ``rosenbrock`` (``rosenbrock:10``, or any other size;
``rosenbrock:ls`` as least squares), the problems ``mgh:…`` of Moré, Garbow and Hillstrom (``mgh:wood:ls`` as least
squares), and the 27 certified regression problems ``nist:…``. ``cifar10(path)`` reads images from the user's files.
"""

from difflib import get_close_matches
from typing import Any

from refopt.zoo import classic, mgh, nist, standard, structured
from refopt.zoo.cifar import Cifar10, cifar10
from refopt.zoo.known import Family, Known, Minimum, known
from refopt.zoo.nist import Certified, matching_digits

__all__ = ["Certified", "Cifar10", "Known", "Minimum", "cifar10", "get", "matching_digits", "names"]

FAMILIES: dict[str, Family] = {
    **classic.FAMILIES,
    **standard.FAMILIES,
    **structured.FAMILIES,
    **{f"mgh:{name}": family for name, family in mgh.FAMILIES.items()},
}


def names() -> list[str]:
    """The names that ``get`` knows; and ``:n`` for any size, ``:ls`` and ``:ls:n`` where f is a sum of squares."""
    return [
        *(name for name in FAMILIES if not name.startswith("mgh:")),
        "rosenbrock:10",
        "rosenbrock:ls",
        *map("mgh:{}".format, mgh.names()),
        *map("nist:{}".format, nist.names()),
    ]


def get(name: str, start: int = 1, like: Any = None) -> Known | Certified:
    """The problem of this name: ``problem``, ``x0``, ``solution``, ``fun``, ``minima``; for NIST what is certified.

    Start 1 is the standard one, others lie elsewhere: for ``mgh:…`` 2 and 3 are 10 and 100 times as far. The arrays
    are float64 NumPy arrays, or of the kind, type and device of the array ``like``. Raises ValueError for a name or a
    start that does not exist.
    """
    head, *words = name.split(":")
    if head == "nist":
        return nist.get(":".join(words), start, like)
    if head == "mgh" and words:
        head, words = f"mgh:{words[0]}", words[1:]
    if head not in FAMILIES:
        nearest = get_close_matches(name, names(), n=1, cutoff=0.0)[0]
        raise ValueError(f"there is no problem {name!r} in the zoo; the nearest is {nearest!r}; names() lists all")
    return known(FAMILIES[head], name, words, start, like)
