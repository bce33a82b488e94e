"""Machine code kept on disk, in one file for each function that Python calls."""

import pickle
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite
import numba
from numba.core import compiler
from numba.core.registry import cpu_target
from numba.core.serialize import dumps

from refopt import diskcache


@cache
def folder() -> Path:
    machine = map(str, cpu_target.target_context.codegen().magic_tuple())
    return diskcache.folder(numba.__version__, llvmlite.__version__, *machine)


def loaded(path: Path) -> Any:
    data = diskcache.read(path)
    if data is None:
        return None
    cpu_target.target_context.refresh()
    try:
        return compiler.CompileResult._rebuild(cpu_target.target_context, *pickle.loads(data))
    except Exception:  # of whatever kind: the module of a function may be gone, for one. It is compiled again
        return None


def keep(path: Path, code: Any) -> None:
    if not code.library.has_dynamic_globals and not code.lifted:
        diskcache.write(path, dumps(code._reduce()))


class Kept:
    """The cache of one dispatcher: a file for each signature, where numba keeps an index for each source file."""

    def __init__(self, key: str) -> None:
        self.key, self.cache_path = key, str(folder())

    def load_overload(self, arguments: Any, context: Any) -> Any:
        return loaded(folder() / diskcache.key(self.key, str(arguments)))

    def save_overload(self, arguments: Any, code: Any) -> None:
        keep(folder() / diskcache.key(self.key, str(arguments)), code)
