"""Runs on disk: one npz file of arrays and a line of JSON that says where they belong. Nothing is pickled."""

import json
from typing import Any

import numpy as np

from refopt.files import on_host, write_npz
from refopt.ops import device, namespace


def save(path: Any, content: Any) -> None:
    """Write a tree of dicts, tuples, numbers, words, None and arrays."""
    arrays: list[np.ndarray] = []
    structure = json.dumps(packed(content, arrays))
    named = {f"a{k}": array for k, array in enumerate(arrays)}
    write_npz(path, {"structure": np.array(structure), **named}, "checkpoint")


def load(path: Any, x: Any) -> Any:
    """The tree, its arrays of the kind and on the device of x, its lists as tuples."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = [file[f"a{k}"] for k in range(len(file.files) - 1)]
            return unpacked(json.loads(str(file["structure"])), arrays, x)
    except (ValueError, KeyError, OSError) as error:
        if isinstance(error, FileNotFoundError):
            raise FileNotFoundError(f"there is no checkpoint {path}") from error
        raise ValueError(f"{path} is no checkpoint of refopt.train: {error}") from error


def packed(value: Any, arrays: list[np.ndarray]) -> Any:
    """The tree for JSON, its arrays appended to the list."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, dict):
        return {"dict": {key: packed(part, arrays) for key, part in value.items()}}
    if isinstance(value, tuple | list):
        return [packed(part, arrays) for part in value]
    if isinstance(value, np.generic):
        return value.item()
    arrays.append(on_host(value))
    return {"array": len(arrays) - 1}


def unpacked(value: Any, arrays: list[np.ndarray], x: Any) -> Any:
    if isinstance(value, list):
        return tuple(unpacked(part, arrays, x) for part in value)
    if not isinstance(value, dict):
        return value
    if "dict" in value:
        return {key: unpacked(part, arrays, x) for key, part in value["dict"].items()}
    array = arrays[value["array"]]
    return array if isinstance(x, np.ndarray) else namespace(x).asarray(array, device=device(x))
