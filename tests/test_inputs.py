"""What users hand in: taken as it is meant, copied, and refused with a sentence that helps."""

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from namespaces import NAMESPACES
from refopt import inputs

BY_NAME = {str(kind): kind for kind in NAMESPACES}
WRITABLE = [kind for kind in NAMESPACES if kind.name != "numpy-read-only"]
writable = pytest.mark.parametrize("namespace", WRITABLE, ids=str, indirect=True)


# --- x0 --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x0", "expected"),
    [
        ([1, 2], [1.0, 2.0]), ((1.5, 2), [1.5, 2.0]), (3, [3.0]), (3.5, [3.5]), (np.float64(3), [3.0]),
        (np.array(3.0), [3.0]), (np.array([1, 2], "int8"), [1.0, 2.0]), (np.array([True, False]), [1.0, 0.0]),
        (range(3), [0.0, 1.0, 2.0]), (np.array([1.0, 2.0], "float16"), [1.0, 2.0]),
        ([Fraction(1, 2), Decimal("0.25")], [0.5, 0.25]), (np.array([1.0, 2], object), [1.0, 2.0]),
        (np.ma.array([1.0, 2.0]), [1.0, 2.0]),
    ],
)  # fmt: skip
def test_numbers_of_all_sorts_become_float64(x0, expected):
    x = inputs.vector(x0)
    assert x.dtype == np.float64
    assert x.tolist() == expected


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_floats_stay_what_they_are(namespace, dtype):
    x0 = namespace.asarray(np.array([1.0, 2.0], dtype))
    x = inputs.vector(x0)
    assert x is not x0
    assert namespace.owns(x)
    assert namespace.to_numpy(x).dtype == np.dtype(dtype)
    assert namespace.to_numpy(x).tolist() == [1.0, 2.0]


def test_integers_of_every_kind_become_float64_on_their_device(namespace):
    x = inputs.vector(namespace.asarray(np.array([1, 2])))
    assert namespace.owns(x)
    assert namespace.to_numpy(x).dtype == np.float64


def test_a_single_number_of_every_kind(namespace):
    assert tuple(inputs.vector(namespace.asarray(np.array(2.0))).shape) == (1,)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_numbers_whose_squares_overflow_are_finite(dtype):
    x0 = np.array([1e30 if dtype == "float32" else 1e200, 1.0], dtype)
    assert (inputs.vector(x0) == x0).all()


def test_x0_is_copied():
    x0 = np.array([1.0, 2.0])
    inputs.vector(x0)[0] = 5.0
    assert x0[0] == 1.0


def test_a_series_counts_as_its_values():
    """What has a dtype but is no array of any library: pandas and its likes."""

    class Series:
        dtype = np.dtype(float)

        def __array__(self, dtype=None, copy=None):
            return np.array([1.0, 2.0])

        def to_numpy(self):
            return np.array([1.0, 2.0])

    assert inputs.vector(Series()).tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("x0", "says"),
    [
        ([], "empty"), (np.zeros((2, 2)), r"vector of shape \(n,\).*\(2, 2\)"), ([[1.0, 2.0]], r"\(1, 2\)"),
        ([1.0, np.nan], "finite"), ([1.0, np.inf], "finite"), ([1j, 2.0], "real numbers.*complex128"),
        (["a", "b"], "real numbers"), (None, "real numbers.*object"), ([object()], "real numbers.*object"),
    ],
)  # fmt: skip
def test_what_is_no_vector_of_real_numbers_is_refused(x0, says):
    with pytest.raises(ValueError, match=f"x0.*{says}"):
        inputs.vector(x0)


# --- fun -------------------------------------------------------------------------------------------------------------

VALUES = [
    3, 3.0, True + 2, np.float64(3), np.float32(3), np.int8(3), np.array(3.0), np.array([3.0]), np.array([[3]]),
    Fraction(3),
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES)
def test_values_become_python_floats(value):
    found = inputs.scalar_function(lambda x: value, ())(np.ones(2))
    assert type(found) is float
    assert found == 3.0


def test_values_of_every_kind(namespace):
    fun = inputs.scalar_function(lambda x: (x * x)[0:1], ())
    found = fun(namespace.asarray([3.0, 4.0]))
    assert type(found) is float
    assert found == 9.0


@pytest.mark.parametrize(
    ("value", "error", "says"),
    [
        (np.ones(2), ValueError, r"number.*shape \(2,\)"), (np.zeros(0), ValueError, r"shape \(0,\)"),
        (None, TypeError, "real number.*NoneType"), ("3", TypeError, "real number.*str"),
        ([3.0], TypeError, "real number.*list"), (3j, TypeError, "real number.*complex"),
        (np.complex64(3), TypeError, "real number.*complex64"), (np.array(3j), TypeError, "real number"),
    ],
)  # fmt: skip
def test_what_is_no_number_is_refused(value, error, says):
    with pytest.raises(error, match=f"fun must return a {says}|fun must return a.*{says}"):
        inputs.scalar_function(lambda x: value, ())(np.ones(2))


def test_args_are_passed():
    assert inputs.scalar_function(lambda x, a, b: x[0] + a * b, (2.0, 3.0))(np.ones(1)) == 7.0
    grad = inputs.array_function(lambda x, a: a * x, (2.0,), lambda x: x.shape, "jac")
    assert grad(np.ones(2)).tolist() == [2.0, 2.0]


@writable
def test_functions_may_write_into_what_they_get(namespace):
    x = namespace.asarray([1.0, 2.0])

    def spoil(y):
        y[0] = 7.0
        return y[0] if y.ndim == 0 else float(y[0])

    assert inputs.scalar_function(spoil, ())(x) == 7.0
    assert float(x[0]) == 1.0


# --- jac and hess ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [[1, 2], (1.0, 2.0), np.array([1, 2], "int8"), np.array([1, 2], "float32")])
def test_gradients_take_the_type_of_x(value):
    for dtype in ("float32", "float64"):
        found = inputs.same_kind(value, np.ones(2, dtype), (2,), "jac")
        assert found.dtype == np.dtype(dtype)
        assert found.tolist() == [1.0, 2.0]


@writable
def test_arrays_are_copied_for_every_kind(namespace):
    """A user may fill the same array at every call."""
    buffer = namespace.asarray([1.0, 2.0])
    found = inputs.same_kind(buffer, namespace.asarray([0.0, 0.0]), (2,), "jac")
    buffer[0] = 5.0
    assert namespace.to_numpy(found).tolist() == [1.0, 2.0]
    assert namespace.owns(found)


def test_own_is_a_copy_on_the_same_device(namespace):
    x = namespace.asarray([1.0, 2.0])
    copy = inputs.own(x)
    assert copy is not x
    assert namespace.owns(copy)


@pytest.mark.parametrize("value", [3, 3.0, np.float64(3), np.array(3.0), [3.0]])
def test_one_slope_may_be_a_number(value):
    assert inputs.same_kind(value, np.ones(1), (1,), "jac").tolist() == [3.0]


@pytest.mark.parametrize(
    ("value", "error", "says"),
    [
        (np.ones(3), ValueError, r"shape \(2,\); it returned shape \(3,\)"), (np.ones((1, 2)), ValueError, r"\(1, 2\)"),
        (3.0, ValueError, r"returned shape \(\)"), (None, TypeError, "real numbers; it returned NoneType"),
        (np.array([1j, 2]), TypeError, "real numbers.*complex128"), (["a", "b"], TypeError, "real numbers"),
    ],
)  # fmt: skip
def test_what_is_no_gradient_is_refused(value, error, says):
    with pytest.raises(error, match=f"jac.*{says}"):
        inputs.same_kind(value, np.ones(2), (2,), "jac")


def test_a_list_cannot_become_an_array_of_another_library():
    x = BY_NAME["strict-cpu"].asarray([1.0, 2.0])
    with pytest.raises(TypeError, match="jac returned list; an array like x0"):
        inputs.same_kind([1.0, 2.0], x, (2,), "jac")


# --- both at once ----------------------------------------------------------------------------------------------------


def test_together_calls_once_for_both():
    calls = []

    def fun(x, a):
        calls.append(x.copy())
        return a * (x @ x), 2 * a * x

    both = inputs.Together(fun)
    x = np.array([1.0, 2.0])
    assert both.value(x, 3.0) == 15.0
    assert both.derivative(x, 3.0).tolist() == [6.0, 12.0]
    assert both.value(x.copy(), 3.0) == 15.0
    assert len(calls) == 1
    assert both.derivative(2 * x, 3.0).tolist() == [12.0, 24.0]
    assert len(calls) == 2


def test_together_notices_a_point_changed_in_place():
    both = inputs.Together(lambda x: (float(x @ x), 2 * x))
    x = np.array([1.0, 2.0])
    assert both.value(x) == 5.0
    x[0] = 3.0
    assert both.value(x) == 13.0


@pytest.mark.parametrize("value", [3.0, (1.0, 2.0, 3.0), [1.0, np.ones(2)], None])
def test_together_wants_a_pair(value):
    with pytest.raises(ValueError, match=r"jac=True.*pair"):
        inputs.Together(lambda x: value).value(np.ones(2))
