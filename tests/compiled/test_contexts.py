"""numba's contexts while twins are compiled: they find what numba's own find, but once."""

import operator

import pytest
from numba import types
from numba.core.registry import cpu_target
from numba.core.typing import Context
from numba.cpython import mathimpl

from refopt.compiled.contexts import contexts

pytestmark = pytest.mark.jit

VECTOR = types.float64[::1]
CALLS = [
    (operator.mul, (types.float64, types.float64)),
    (operator.add, (types.int64, types.float64)),
    (operator.truediv, (types.int64, types.int64)),
    (operator.gt, (types.float64, types.int64)),
    (operator.getitem, (VECTOR, types.int64)),
    (len, (VECTOR,)),
]


@pytest.mark.parametrize(("function", "arguments"), CALLS)
def test_a_call_has_the_type_that_numba_finds(function, arguments):
    typing, lowering = contexts()
    found = [typing.resolve_function_type(function, arguments, {}) for _ in range(2)]
    assert found[0] is found[1]
    assert found[0] == cpu_target.typing_context.resolve_function_type(function, arguments, {})
    assert lowering.typing_context is typing


def test_numba_is_asked_once_for_each_combination_of_types(monkeypatch):
    asked, original = [], Context.resolve_function_type

    def counting(self, function, arguments, named):
        asked.append((function, arguments))
        return original(self, function, arguments, named)

    typing, _ = contexts()
    monkeypatch.setattr(Context, "resolve_function_type", counting)
    for _ in range(3):
        for arguments in ((types.float64, types.float64), (types.int64, types.float64)):
            typing.resolve_function_type(operator.mul, arguments, {})
    ours = [key for key in asked if key[0] is operator.mul]
    assert len(ours) == len(set(ours)) == 2


def test_numbas_own_contexts_stay_as_they_are():
    before = type(cpu_target.typing_context), type(cpu_target.target_context), cpu_target.target_context.typing_context
    contexts()
    after = type(cpu_target.typing_context), type(cpu_target.target_context), cpu_target.target_context.typing_context
    assert before == after
    assert not hasattr(cpu_target.typing_context, "known")


def test_what_is_registered_later_is_found_in_every_registry():
    def late(x):
        raise NotImplementedError

    _, lowering = contexts()
    mathimpl.registry.lower(late, types.float64)(lambda context, builder, signature, arguments: arguments[0])
    assert lowering.get_function(late, types.float64(types.float64))
