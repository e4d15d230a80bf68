"""How kernels are compiled: flags, the decorators `kernel` and `region`, attributes of the code, and where it is kept.

A *kernel* is one loop nest over views; it is compiled for the types of views it is first called with. A *region* is
what one shard runs between two synchronisations: it reads its views from the table and calls kernels. Only regions are
compiled ahead and cached: a cached region holds the code of its kernels, so a second process loads regions alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import llvmlite.binding as llvm
import numba
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from dlc.runtime.folders import cache_folder
from dlc.runtime.kernels_fingerprint import fingerprint

#: Sums may be reordered and products fused into sums, so that loops become vectors; nan and infinity keep their sense.
FLAGS: dict[str, Any] = {"fastmath": {"reassoc", "nsz", "contract"}, "error_model": "numpy", "boundscheck": False}
#: For polynomials and splittings, whose order of operations is what makes them exact.
EXACT_FLAGS: dict[str, Any] = {"fastmath": {"contract"}, "error_model": "numpy", "boundscheck": False}
#: No entry from Python: these functions are only called by compiled code.
INTERNAL: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}

#: void region(table, shard, shards)
REGION_SIGNATURE = types.void(types.int64, types.int64, types.int64)

HOST_FEATURES: dict[str, bool] = dict(llvm.get_host_cpu_features())


def kernel(function: Callable[..., Any]) -> Any:
    """Compile `function` when a region that calls it is compiled, once for every different type of its views."""
    return numba.njit(**FLAGS, **INTERNAL)(function)


def region(function: Callable[[int, int, int], None]) -> Any:
    """Compile `function(table, shard, shards)` now, or load it from Numba's cache; `.address` is its C function."""
    return numba.cfunc(REGION_SIGNATURE, cache=True, **FLAGS)(function)


def exact(function: Callable[..., Any], inline: bool = True) -> Any:
    """Compile a scalar function of this package, keeping its order of operations, when its first caller is compiled."""
    with own_cache():
        return numba.njit(cache=True, forceinline=inline, **EXACT_FLAGS, **INTERNAL)(function)


def native(signature: str, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Compile a C function of this package now, or load it from this package's cache."""

    def compile_or_load(function: Callable[..., Any]) -> Any:
        with own_cache():
            return numba.cfunc(signature, cache=True, **{**FLAGS, **options})(function)

    return compile_or_load


@contextmanager
def own_cache() -> Iterator[None]:
    """Functions decorated inside are cached under this package's fingerprint, in the user's cache directory.

    Where that cannot be written, Numba falls back to nothing at all, so the directory is tried first.
    """
    before = numba.config.CACHE_DIR  # type: ignore[attr-defined]
    root = before or os.fspath(cache_folder() / "kernels")
    directory = os.path.join(root, fingerprint())
    if _writable(directory):
        numba.config.CACHE_DIR = directory  # type: ignore[attr-defined]
    try:
        yield
    finally:
        numba.config.CACHE_DIR = before  # type: ignore[attr-defined]


def _writable(directory: str) -> bool:
    try:
        os.makedirs(directory, exist_ok=True)
    except OSError:
        return False
    return os.access(directory, os.W_OK)


def vector_bits() -> int:
    """The width of the host's vector registers that Numba's compiler may use."""
    if HOST_FEATURES.get("avx512f"):
        return 512
    return 256 if HOST_FEATURES.get("avx2") else 128


@intrinsic
def wide(typing_context):
    """Let the enclosing function use the widest vectors of the host: LLVM prefers half of AVX-512 by itself."""

    def codegen(context, builder, signature, arguments):
        prefer_wide_vectors(builder.function)
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic
def compact(typing_context):
    """Spend no code on speed in the enclosing function: loops that run rarely are not unrolled or widened."""

    def codegen(context, builder, signature, arguments):
        builder.function.attributes.add("optsize")
        return context.get_dummy_value()

    return types.void(), codegen


def prefer_wide_vectors(function: ir.Function) -> None:
    if vector_bits() == 512:
        # llvmlite's own `add` knows no attributes with values.
        set.add(function.attributes, '"prefer-vector-width"="512"')


@intrinsic
def noalias(typing_context):
    """Promise that the views passed to the enclosing kernel do not overlap, as far as the kernel writes to them."""

    def codegen(context, builder, signature, arguments):
        for argument in builder.function.args[2:]:  # the first two are Numba's return slot and exception
            if isinstance(argument.type, ir.PointerType):
                argument.add_attribute("noalias")
        return context.get_dummy_value()

    return types.void(), codegen
