"""What Numba's compiler does once for every kernel, once for every region, and once for every C function of ours.

Left to itself it optimises each kernel and writes machine code for it, and then does both again for the region into
which the kernel is linked, though only the region is ever called. Here a kernel is optimised, and no more; a region
links kernels that are done, adds a few calls, and becomes machine code as it is. A C function is optimised once too,
with the parts that its module holds (`parts.py`). Passes that find nothing in our functions are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import llvmlite.binding as llvm
from numba import _dynfunc
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder

from dlc.runtime.kernels.short_rows import tell_of_short_rows


class _Library(JITCodeLibrary):
    """A module that is optimised as a whole, or not at all: Numba optimises every function by itself too."""

    def _optimize_functions(self, ll_module: Any) -> None:
        ll_module.data_layout = self._codegen._data_layout


class _KernelLibrary(_Library):
    """A module that others link: optimised, and not made executable."""

    def add_ir_module(self, ir_module: Any) -> None:
        tell_of_short_rows(ir_module)
        super().add_ir_module(ir_module)

    def _optimize_final_module(self) -> None:
        """As Numba does, and straight-line code becomes vectors too: that is what short loops have become by then."""
        with _short_loops_unrolled():
            first, options = self._codegen._module_pass_manager(
                loop_vectorize=False, slp_vectorize=False, opt=self._codegen._opt_level, cost="cheap"
            )
            first.run(self._final_module, options)
            second, options = self._codegen._module_pass_manager(slp_vectorize=True)
            second.run(self._final_module, options)

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True


@contextmanager
def _short_loops_unrolled() -> Iterator[None]:
    """LLVM unrolls no loops of more rounds than these, until the end: Numba compiles one function at a time.

    It unrolls before it looks for vectors in loops, with AVX-512 even 16 rounds. The loop around is the innermost one
    then, and becomes vectors of elements that lie far apart, gathered one by one; those of a row lie side by side. Nor
    does it find vectors in eight rounds with choices, one behind the other.
    Our own functions are written for what LLVM does by itself.
    """
    llvm.set_option("dlc", f"--unroll-full-max-count={_MOST_UNROLLED}")
    try:
        yield
    finally:
        llvm.set_option("dlc", f"--unroll-full-max-count={_UNLIMITED}")


_MOST_UNROLLED, _UNLIMITED = 7, 2**32 - 1


class _RegionLibrary(JITCodeLibrary):
    """A module of calls to functions that are optimised already: its own function is, too, and no more."""

    def _optimize_final_module(self) -> None:
        pass


#: Passes over Python's side of a function that find nothing in ours: no closures, contexts, exceptions, list
#: comprehensions, functions that Numba inlines, arrays or code that depends on the types of its arguments.
_NEEDLESS = {
    "WithLifting",
    "InlineClosureLikes",
    "DeadBranchPrune",
    "RewriteDynamicRaises",
    "MakeFunctionToJitFunction",
    "InlineInlinables",
    "FindLiterallyCalls",
    "LiteralUnroll",
    "LiteralPropagationSubPipelinePass",
    "InlineOverloads",
    "NopythonRewrites",
    "NoPythonSupportedFeatureValidation",
    "DumpParforDiagnostics",
}


class _Compiler(CompilerBase):
    library: type[JITCodeLibrary] = _Library

    def define_pipelines(self) -> list[Any]:
        codegen = self.state.targetctx.codegen()
        self.state.library = self.library(codegen, self.state.func_id.func_qualname)
        passes = DefaultPassBuilder.define_nopython_pipeline(self.state)
        passes.passes = [each for each in passes.passes if each[0].__name__ not in _NEEDLESS]
        return [passes]


class KernelCompiler(_Compiler):
    """How a kernel is compiled."""

    library = _KernelLibrary

    def define_pipelines(self) -> list[Any]:
        # a context of this compilation alone
        self.state.targetctx.get_executable = _without_code
        return super().define_pipelines()


class CodeCompiler(_Compiler):
    """How a function is compiled that becomes machine code; it may be cached."""

    def define_pipelines(self) -> list[Any]:
        pipelines = super().define_pipelines()
        self.state.library.enable_object_caching()
        return pipelines


class RegionCompiler(CodeCompiler):
    """How a region is compiled."""

    library = _RegionLibrary


def _without_code(library: JITCodeLibrary, description: Any, environment: Any) -> Any:
    """Stands for a kernel where Numba wants a function: nothing can call it from Python."""
    library._ensure_finalized()
    name = description.qualname.rpartition(".")[2]
    return _dynfunc.make_function(description.lookup_module(), name, "", 0, environment, (library,))
