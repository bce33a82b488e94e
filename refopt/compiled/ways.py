"""Two ways of compiling twins: all together as one library, or each for itself, which is slower and always works."""

import sys
from enum import IntEnum
from math import inf
from types import FunctionType
from typing import Any

import numba
from llvmlite import binding
from numba import types
from numba.core import compiler
from numba.core import typed_passes as typed
from numba.core import untyped_passes as untyped
from numba.core.compiler_machinery import PassManager
from numba.core.registry import cpu_target
from numba.core.typing.templates import make_concrete_template

from refopt import loop as loops
from refopt import memory, words
from refopt.compiled.contexts import contexts
from refopt.compiled.kinds import numba_type
from refopt.dialect import Kind

njit: Any = numba.njit

OPTIONS: dict[str, Any] = {"error_model": "numpy", "no_cfunc_wrapper": True}
REORDERED = {"reassoc", "contract", "nsz"}  # sums in any order; NaN and infinity keep their meaning


class Weight(IntEnum):
    """A method's code: short, as where only gradients are used; long; or such that it factors matrices.

    Where matrices are factored, calls of words are not worth saving, and would cost compile time.
    """

    SHORT = 0
    LONG = 1
    FACTORS = 2


def is_word(python: FunctionType) -> bool:
    return python.__module__.startswith(words.__name__)


def is_loop(python: FunctionType) -> bool:
    """``loop.run``, which the entry calls twice."""
    return python.__module__ == loops.__name__ and python.__name__ == loops.run.__name__


def longest_part(weight: Weight, many: bool) -> float:
    """The longest function that becomes a part of its caller, in bytes of Python's code.

    A call is much beside a short run, and little beside a matrix that is factored.
    """
    return 200 if weight is Weight.FACTORS else inf if many else 500


def options_for(python: FunctionType, longest: float) -> dict[str, Any]:
    """Sums of words may be reordered but where rounding is meant; what controls them is a part of its caller."""
    word, ordered = is_word(python), any(python.__code__ is other.__code__ for other in words.ORDERED)
    part = not (word or is_loop(python)) and len(python.__code__.co_code) <= longest
    return {**OPTIONS, "fastmath": REORDERED if word and not ordered else False, "forceinline": part}


class Apart:
    """Every twin becomes an ordinary jitted function, made into machine code, and again inside each caller."""

    def __init__(self, name: str, threads: bool, many: bool, weight: Weight) -> None:
        self.name, self.threads, self.longest = name, threads, longest_part(weight, many)

    def inner(self, python: FunctionType, kinds: tuple[Kind, ...], result: Kind) -> Any:
        wanted = numba_type(result)(*map(numba_type, kinds))
        return njit(wanted, no_cpython_wrapper=True, **options_for(python, self.longest))(python)

    def entry(self, python: FunctionType, arguments: tuple[Any, ...]) -> Any:
        python.__qualname__ = self.name
        return njit(arguments, nogil=self.threads, **OPTIONS)(python).overloads[arguments]


class Together:
    """All twins go into one library, which is optimised and made into machine code once, as a whole.

    Every function gets a name of its own, because all libraries share one table of symbols, internal ones included.
    """

    def __init__(self, name: str, threads: bool, many: bool, weight: Weight) -> None:
        self.name, self.threads, self.light = name, threads, weight is not Weight.FACTORS
        self.longest = longest_part(weight, many)
        self.typing, self.context = contexts()
        self.library = self.context.codegen().create_library(name)
        self.library.enable_object_caching()
        self.library._optimize_final_module = self.sealed
        if not self.light:
            self.library._optimize_functions = self.laid_out
        locked = not threads and getattr(sys, "_is_gil_enabled", lambda: True)()
        counting = memory.source(spare=locked, inlined=weight is Weight.SHORT or (many and self.light))
        self.library.add_llvm_module(binding.parse_assembly(counting))

    def laid_out(self, module: Any) -> None:
        """In place of optimising each function on its own, which takes time and makes a run a little faster."""
        module.data_layout = self.library._codegen._data_layout

    def inner(self, python: FunctionType, kinds: tuple[Kind, ...], result: Kind) -> Any:
        wanted = numba_type(result)(*map(numba_type, kinds))
        options = options_for(python, self.longest)
        code = self.compiled(python, wanted.args, wanted.return_type, inner=True, **options)
        function = self.library._final_module.get_function(code.fndesc.llvm_func_name)
        if is_loop(python) or not (self.light or options["forceinline"]):
            function.add_function_attribute("noinline")
        return Inner(self.context, code.fndesc, wanted)

    def sealed(self) -> None:
        """Optimise; what is inlined everywhere is dropped. Names change last: the counting is known by its own."""
        for function in self.inside():
            function.linkage = "internal"
        type(self.library)._optimize_final_module(self.library)
        for function in self.inside():
            function.name = f"{self.name}.{function.name}"

    def inside(self) -> list[Any]:
        """The functions that are defined here, but for the entry and what calls it from Python."""
        return [f for f in self.library._final_module.functions if not f.is_declaration and self.name not in f.name]

    def entry(self, python: FunctionType, arguments: tuple[Any, ...]) -> Any:
        python.__qualname__ = self.name
        return self.compiled(python, arguments, None, inner=False, nogil=self.threads, **OPTIONS)

    def compiled(self, python: FunctionType, arguments: Any, result: Any, inner: bool, **options: Any) -> Any:
        flags: Any = compiler.Flags()
        cpu_target.options.parse_as_flags(flags, {"nopython": True, "no_cpython_wrapper": inner, **options})
        flags.no_compile, flags.enable_looplift, flags.no_rewrites = inner, False, True
        return compiler.compile_extra(
            self.typing, self.context, python, arguments, result, flags, {}, self.library, pipeline_class=Passes
        )


class Passes(compiler.CompilerBase):
    """Those of numba's passes that the dialect needs: it has no closures, no literals to unroll, nothing to inline."""

    def define_pipelines(self) -> list[Any]:
        manager = PassManager("dialect")
        before = (untyped.TranslateByteCode, untyped.FixupArgs, untyped.IRProcessing)
        after = (typed.IRLegalization, typed.AnnotateTypes, typed.NativeLowering)
        for step in (*before, typed.NopythonTypeInference, *after, typed.NoPythonBackend):
            manager.add_pass(step, step.__name__)
        manager.finalize()
        return [manager]


class Inner:
    """A function of a library, for the other functions of that library to call."""

    def __init__(self, context: Any, description: Any, wanted: Any) -> None:
        context.insert_user_function(self, description)
        self._numba_type_ = types.Function(make_concrete_template(description.qualname, self, [wanted]))
