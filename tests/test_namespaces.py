"""Each array kind keeps values and dtype on the way in and out, and refuses what it is there to refuse."""

import numpy as np
import pytest

from namespaces import NAMESPACES

BY_NAME = {str(kind): kind for kind in NAMESPACES}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_round_trip_keeps_values_and_dtype(namespace, dtype):
    values = np.array([[1.0, -2.5], [0.1, 4.0]], dtype)
    array = namespace.asarray(values)
    assert namespace.owns(array)
    back = namespace.to_numpy(array)
    assert back.dtype == values.dtype
    assert (back == values).all()


def test_results_are_owned(namespace):
    array = namespace.asarray([1.0, 2.0])
    assert namespace.owns(2 * array + array)


def test_read_only_refuses_a_write():
    array = BY_NAME["numpy-read-only"].asarray([1.0, 2.0])
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 3.0


def test_devices_do_not_mix():
    cpu, device1 = BY_NAME["strict-cpu"], BY_NAME["strict-device1"]
    here, there = cpu.asarray([1.0]), device1.asarray([1.0])
    assert not cpu.owns(there)
    assert not device1.owns(here)
    with pytest.raises(ValueError, match="device"):
        here + there
