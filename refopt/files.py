"""Arrays on disk: npz files, which are there whole or not at all.

A file is written beside its place under a temporary name, flushed to the disk and then moved, so that at any moment
there is either the old one or the new one.
"""

import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from refopt.ops import namespace


def write_npz(path: Any, arrays: Mapping[str, Any], what: str) -> None:
    """Arrays of any kind by name. The file has the name that is given, and no other.   what: for errors."""
    place = Path(path)
    if not place.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {place.parent} for the {what} {place.name}")
    if place.is_dir():
        raise IsADirectoryError(f"the {what} {path} is a folder; give the name of a file in it")
    handle, name = tempfile.mkstemp(dir=place.parent, prefix=f".{place.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            named: dict[str, Any] = {key: on_host(array) for key, array in arrays.items()}
            np.savez(file, **named)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, place)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise


def on_host(array: Any) -> np.ndarray:
    """As NumPy's."""
    if isinstance(array, np.ndarray):
        return array
    if hasattr(array, "get"):  # CuPy
        return array.get()
    if hasattr(array, "cpu"):  # PyTorch
        return array.detach().cpu().numpy()
    with suppress(AttributeError, TypeError, ValueError, RuntimeError):
        return np.asarray(array)
    return np.asarray(array.to_device(namespace(array).Device("CPU_DEVICE")))
