"""What numba knows while twins are compiled: its contexts, which here remember what they have found.

Each twin asks again what ``float * float`` is, and has all registries of numba looked through: a tenth of the time.
"""

from copy import copy
from functools import cache
from typing import Any

from numba.core.cpu import CPUContext
from numba.core.registry import cpu_target
from numba.core.runtime.context import NRTContext
from numba.core.typing import Context


class Typing(Context):
    """The types of results: of the same function with the same types they are found once."""

    known: dict[Any, Any]

    def resolve_function_type(self, func: Any, args: Any, kws: Any) -> Any:
        key = func, args
        if kws or key not in self.known:
            return self.known.setdefault(key, super().resolve_function_type(func, args, kws))
        return self.known[key]


class Lowering(CPUContext):
    """The code of functions. Its registries may grow, but there will be no others."""

    def load_additional_registries(self) -> None:
        for registry in tuple(self._registries):
            self.install_registry(registry)


class Counting(NRTContext):
    """How arrays count who holds them. Only what has arrays is looked into: of a state's numbers nothing is asked."""

    def __init__(self, context: Any) -> None:
        super().__init__(context, True)
        self.counted = cache(lambda kind: context.data_model_manager[kind].contains_nrt_meminfo())

    def get_meminfos(self, builder: Any, ty: Any, val: Any) -> list[Any]:
        model = self._context.data_model_manager[ty]
        found = [(ty, model.get_nrt_meminfo(builder, val))] if model.has_nrt_meminfo() else []
        for kind, part in model.traverse(builder):
            if self.counted(kind):
                found += self.get_meminfos(builder, kind, part(val))
        return found


def contexts() -> tuple[Any, Any]:
    """For one library: copies of numba's own, which share with them all but what is remembered."""
    cpu_target.target_context.refresh()
    typing, lowering = copy(cpu_target.typing_context), copy(cpu_target.target_context)
    typing.__class__, lowering.__class__ = Typing, Lowering
    typing.known, lowering.typing_context, lowering.nrt = {}, typing, Counting(lowering)
    return typing, lowering
