"""Where compiled code is kept between processes: one file for each function.

    <user cache>/refopt/<fingerprint of every source file and of the versions>/<key>

Files are written under a temporary name and then moved into place, so that processes may fill the cache together. What
cannot be read is computed again. ``REFOPT_CACHE_DIR`` names another place.
"""

import hashlib
import os
import platform
import shutil
import sys
import tempfile
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np

KEPT, RECENT = 8, 3600.0  #: so many folders of other versions stay, and all that were used in the last seconds

PACKAGE = Path(__file__).parent


def root() -> Path:
    """The folder of all caches: the user's, by the custom of the system."""
    if named := os.environ.get("REFOPT_CACHE_DIR"):
        return Path(named)
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "refopt"


def fingerprint(*versions: str) -> str:
    """A digest of every source file of the package, of Python, NumPy, the machine, and the versions named."""
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        digest.update(str(path.relative_to(PACKAGE)).encode() + b"\0" + path.read_bytes() + b"\0")
    for version in (sys.version, np.__version__, platform.machine(), *versions):
        digest.update(version.encode() + b"\0")
    return digest.hexdigest()[:24]


@cache
def folder(*versions: str) -> Path:
    """This version's folder, marked as used; of other versions' folders only the latest stay."""
    mine = root() / fingerprint(*versions)
    with suppress(OSError):
        mine.mkdir(parents=True, exist_ok=True)
        os.utime(mine)
        for old in sorted(root().iterdir(), key=_used)[:-KEPT]:
            if old != mine and _used(old) < time.time() - RECENT:
                shutil.rmtree(old, ignore_errors=True)
    return mine


def _used(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # another process has just removed it
        return 0.0


def read(path: Path) -> bytes | None:
    """What was written under this name, None if there is nothing, or only a part of it."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    digest, data = content[:32], content[32:]
    return data if hashlib.sha256(data).digest() == digest else None


def write(path: Path, data: bytes) -> None:
    """Keep the data, whole or not at all; nothing happens where the folder cannot be written."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(hashlib.sha256(data).digest() + data)
            os.replace(temporary, path)
        except OSError:
            with suppress(OSError):
                os.unlink(temporary)
            raise


# --- names for functions ---------------------------------------------------------------------------------------------


def key(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:40]


def identity(function: Any) -> str | None:
    """A text that differs if the function does anything else: code, defaults, and every value that it refers to.

    None if one of these has no such text.
    """
    try:
        return _described(function, [])
    except LookupError:
        return None


def _described(value: Any, known: list[Any]) -> str:
    if value is None or isinstance(value, bool | int | float | complex | str | bytes):
        return f"{type(value).__name__}:{value!r}"
    if isinstance(value, np.generic | np.ndarray) and not value.dtype.hasobject:
        return f"{value.dtype.str}{value.shape}:{hashlib.sha256(value.tobytes()).hexdigest()}"
    if isinstance(value, tuple):
        return f"({','.join(_described(part, known) for part in value)})"
    if isinstance(value, set | frozenset):
        return f"{{{','.join(sorted(_described(part, known) for part in value))}}}"
    if isinstance(value, CodeType):
        return _described((value.co_code, value.co_consts, value.co_names, value.co_varnames, value.co_flags), known)
    if again := [i for i, other in enumerate(known) if other is value]:
        return f"again {again}"
    known.append(value)
    if hasattr(value, "py_func"):
        return _described((tuple(sorted(value.targetoptions.items())), value.py_func), known)
    if isinstance(value, FunctionType):
        cells = tuple(cell.cell_contents for cell in value.__closure__ or ())
        used = [v for name in _names(value.__code__) for v in _referred(name, value.__globals__, value.__code__)]
        return _described((value.__code__, value.__defaults__, cells, tuple(used)), known)
    if isinstance(value, ModuleType):
        return f"module {value.__name__} {getattr(value, '__version__', '')}"
    if getattr(value, "__module__", None) in ("builtins", "math", "numpy", None) and hasattr(value, "__name__"):
        return f"{type(value).__name__} {value.__name__}"
    raise LookupError(value)


def _names(code: CodeType) -> list[str]:
    """The names of globals and attributes in the code, and in the code inside it."""
    inside = [name for part in code.co_consts if isinstance(part, CodeType) for name in _names(part)]
    return [*code.co_names, *inside]


def _referred(name: str, variables: dict[str, Any], code: CodeType) -> list[Any]:
    """The values that the global may lead to: itself, and what the code may take from it if it is a module."""
    if name not in variables:
        return []
    value = variables[name]
    if not isinstance(value, ModuleType) or value.__name__.partition(".")[0] in ("math", "numpy", "numba"):
        return [value]
    return [value, *(getattr(value, part) for part in _names(code) if hasattr(value, part))]
