"""What Numba's compiler does once for every kernel, and once for every region.

Left to itself it optimises each kernel and writes machine code for it, and then does both again for the region into
which the kernel is linked, though only the region is ever called. Here a kernel is optimised, and no more; a region
links kernels that are done, adds a few calls, and becomes machine code as it is.
"""

from __future__ import annotations

from typing import Any

from numba import _dynfunc  # type: ignore[attr-defined]  # written in C
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder


class _KernelLibrary(JITCodeLibrary):
    """A module that others link: optimised, and not made executable."""

    def _optimize_final_module(self) -> None:
        """As Numba does, and straight-line code becomes vectors too: that is what short loops have become by then."""
        first, options = self._codegen._module_pass_manager(
            loop_vectorize=False, slp_vectorize=False, opt=self._codegen._opt_level, cost="cheap"
        )
        first.run(self._final_module, options)
        second, options = self._codegen._module_pass_manager(slp_vectorize=True)
        second.run(self._final_module, options)

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True


class _RegionLibrary(JITCodeLibrary):
    """A module of calls to functions that are optimised already."""

    def _optimize_final_module(self) -> None:
        pass


class _Compiler(CompilerBase):
    library: type[JITCodeLibrary]

    def define_pipelines(self) -> list[Any]:
        codegen = self.state.targetctx.codegen()
        self.state.library = self.library(codegen, self.state.func_id.func_qualname)
        return [DefaultPassBuilder.define_nopython_pipeline(self.state)]


class KernelCompiler(_Compiler):
    """How a kernel is compiled."""

    library = _KernelLibrary

    def define_pipelines(self) -> list[Any]:
        # a context of this compilation alone
        self.state.targetctx.get_executable = _without_code
        return super().define_pipelines()


class RegionCompiler(_Compiler):
    """How a region is compiled; its machine code may be cached."""

    library = _RegionLibrary

    def define_pipelines(self) -> list[Any]:
        pipelines = super().define_pipelines()
        self.state.library.enable_object_caching()
        return pipelines


def _without_code(library: JITCodeLibrary, description: Any, environment: Any) -> Any:
    """Stands for a kernel where Numba wants a function: nothing can call it from Python."""
    library._ensure_finalized()
    name = description.qualname.rpartition(".")[2]
    return _dynfunc.make_function(description.lookup_module(), name, "", 0, environment, (library,))
