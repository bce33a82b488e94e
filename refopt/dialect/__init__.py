"""The dialect: kinds found without running, operators turned into words.

A *twin* of a function is made from its source: an operator between arrays becomes a call of a loop of ``refopt.words``,
a word its loop, another function its own twin. What an expression is, is known from annotations alone (arguments,
results, fields of NamedTuples), so ``H @ g`` with ``H: Symmetric`` becomes a product that reads one triangle, and
``x + alpha * p`` one loop. An expression whose kind cannot be found raises ``DialectError``, which names file and line
and says what to write. Twins keep the line numbers of their source.
"""

from refopt.dialect.entry import COLUMNS, CROSSING, LEAVE, entry_source, groups_of, rows_source
from refopt.dialect.kinds import (
    Bound,
    DialectError,
    Kind,
    fields_of,
    functions_of,
    is_function,
    is_tuple,
    keeps,
    signature,
)
from refopt.dialect.twins import Twins

__all__ = [
    "COLUMNS",
    "CROSSING",
    "LEAVE",
    "Bound",
    "DialectError",
    "Kind",
    "Twins",
    "entry_source",
    "fields_of",
    "functions_of",
    "groups_of",
    "is_function",
    "is_tuple",
    "keeps",
    "rows_source",
    "signature",
]
