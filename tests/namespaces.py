"""The array kinds on which everything must work, each with a way in and a way out.

`NAMESPACES` holds NumPy, read-only NumPy (a write into an argument raises), array-api-strict on both of
its devices (anything outside the standard, or between devices, raises), torch where it is installed, and
CuPy where there is a GPU. The fixture `namespace` runs a test on each.
"""

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np


class Namespace(NamedTuple):
    """An array kind: `asarray` copies and keeps the dtype; `owns` asks for the kind and the device."""

    name: str
    asarray: Callable[[Any], Any]
    to_numpy: Callable[[Any], np.ndarray]
    owns: Callable[[Any], bool]

    def __str__(self) -> str:
        return self.name


def _is_ndarray(array: Any) -> bool:
    return type(array) is np.ndarray


def _read_only(values: Any) -> np.ndarray:
    array = np.array(values)
    array.flags.writeable = False
    return array


def _strict(name: str, device_name: str) -> Namespace:
    import array_api_strict as xp

    device = xp.Device(device_name)
    kind = type(xp.asarray(0.0))
    return Namespace(
        name,
        asarray=lambda values: xp.asarray(np.array(values), device=device),
        to_numpy=lambda array: np.asarray(array.to_device(xp.Device("CPU_DEVICE"))),
        owns=lambda array: isinstance(array, kind) and array.device == device,
    )


def _torch() -> Namespace:
    import torch

    return Namespace(
        "torch",
        asarray=lambda values: torch.from_numpy(np.array(values)),
        to_numpy=lambda array: array.numpy(),
        owns=lambda array: isinstance(array, torch.Tensor),
    )


def _cupy() -> Namespace:
    import cupy

    return Namespace("cupy", cupy.asarray, cupy.asnumpy, lambda array: isinstance(array, cupy.ndarray))


def _has_gpu() -> bool:
    if find_spec("cupy") is None:
        return False
    import cupy

    try:
        return cupy.cuda.runtime.getDeviceCount() > 0
    except cupy.cuda.runtime.CUDARuntimeError:
        return False


def _available() -> Iterator[Namespace]:
    yield Namespace("numpy", np.array, np.asarray, _is_ndarray)
    yield Namespace("numpy-read-only", _read_only, np.asarray, _is_ndarray)
    yield _strict("strict-cpu", "CPU_DEVICE")
    yield _strict("strict-device1", "device1")
    if find_spec("torch") is not None:
        yield _torch()
    if _has_gpu():
        yield _cupy()


NAMESPACES = list(_available())
