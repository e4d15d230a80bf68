"""How kernels are compiled: flags, the decorators `kernel` and `region`, attributes of the code, and where it is kept.

A *kernel* is one loop nest over views; it is compiled for the types of views it is first called with. A *region* is
what one shard runs between two synchronisations: it reads its views from the table and calls kernels. Only regions are
compiled ahead and cached: a cached region holds the code of its kernels, so a second process loads regions alone.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import llvmlite.binding as llvm
import numba
import numba.extending
from filelock import FileLock
from llvmlite import ir
from numba.core.codegen import get_host_cpu_features

from dlc.runtime.folders import cache_folder
from dlc.runtime.kernels.libraries import CodeCompiler, KernelCompiler, RegionCompiler
from dlc.runtime.kernels.loading import c_function
from dlc.runtime.kernels.short_rows import ask_for_a_mask, ask_for_no_checks
from dlc.runtime.kernels_fingerprint import fingerprint

#: Sums may be reordered and products fused into sums, so that loops become vectors; nan and infinity keep their sense.
FLAGS: dict[str, Any] = {"fastmath": {"reassoc", "nsz", "contract"}, "error_model": "numpy", "boundscheck": False}
#: For polynomials and splittings, whose order of operations is what makes them exact.
EXACT_FLAGS: dict[str, Any] = {"fastmath": {"contract"}, "error_model": "numpy", "boundscheck": False}
#: No entry from Python: these functions are only called by compiled code.
INTERNAL: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}

# What these make takes other arguments than what they decorate, and they are built at run time: nothing to check.
intrinsic: Any = numba.extending.intrinsic
types: Any = numba.types

#: void region(table, shard, shards)
REGION_SIGNATURE = types.void(types.int64, types.int64, types.int64)

# LLVM leaves loops that it knows to run less than 16 times as they are, unless no element is left over: the rows of
# small images are shorter.
llvm.set_option("dlc", "--vectorizer-min-trip-count=8")
# What is left of a row behind its last round goes in vectors too, however few elements a round takes: LLVM would do so
# from 16 on. With rows of open length that is most of a short row.
llvm.set_option("dlc", "--epilogue-vectorization-minimum-VF=4")
# Under a mask too, what is stored by every second element of a row, and in between by another store, is put together in
# vectors, where LLVM would write one element after the other.
llvm.set_option("dlc", "--enable-masked-interleaved-mem-accesses")


def _features() -> dict[str, bool]:
    """What Numba compiles for: the host's features, or those that its settings name instead."""
    chosen = numba.config.CPU_FEATURES
    found = get_host_cpu_features() if chosen is None else chosen
    return {feature[1:]: feature[0] == "+" for feature in found.split(",") if feature}


HOST_FEATURES = _features()


def is_arm() -> bool:
    """Whether code is made for the vectors of ARM, NEON."""
    return bool(HOST_FEATURES.get("neon"))


def kernel(function: Callable[..., Any]) -> Any:
    """Compile `function` when a region that calls it is compiled, once for every different type of its views."""
    return numba.njit(**FLAGS, **INTERNAL, pipeline_class=KernelCompiler)(function)


class Region:
    """What one shard runs: `function(table, shard, shards)`, compiled when its address is first asked for.

    Compiling takes seconds and a program has several entries, of which most processes call one or two.  Of several
    processes that want the same region one compiles it; the others wait and load it from Numba's cache.
    """

    def __init__(self, function: Callable[[int, int, int], None]) -> None:
        self.__name__, self.__doc__ = function.__name__, function.__doc__
        self._function = function
        self._file = function.__code__.co_filename
        self._stamp = _stamp(self._file)
        self._compiled: Any = None
        self._lock = threading.Lock()

    @property
    def address(self) -> int:
        """Where the compiled C function stands in this process."""
        with self._lock:
            if self._compiled is None:
                with _one_process(self._file):
                    # A file that was written anew since it was imported must not get the machine code of the old one.
                    cache = _stamp(self._file) == self._stamp
                    self._compiled = c_function(REGION_SIGNATURE, self._function, cache, RegionCompiler, **FLAGS)
        return self._compiled.address


def _stamp(path: str) -> tuple[int, int] | None:
    """What tells two versions of a file apart; None if there is no file."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def region(function: Callable[[int, int, int], None]) -> Region:
    """The decorator of emitted regions."""
    return Region(function)


def _one_process(path: str) -> AbstractContextManager[Any]:
    """Held by one process at a time that compiles functions of the file; by anyone where no lock can be written."""
    folder = os.path.join(os.path.dirname(os.path.abspath(path)), "__pycache__")
    if not os.path.isfile(path) or not _writable(folder):
        return nullcontext()
    return FileLock(os.path.join(folder, f"{os.path.basename(path)}.lock"))


def exact(function: Callable[..., Any], inline: bool = True) -> Any:
    """Compile a scalar function of this package, keeping its order of operations, when its first caller is compiled."""
    with own_cache():
        return numba.njit(cache=True, forceinline=inline, **EXACT_FLAGS, **INTERNAL)(function)


def native(signature: Any, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Compile a C function of this package now, or load it from this package's cache."""

    def compile_or_load(function: Callable[..., Any]) -> Any:
        with own_cache() as folder, _one_at_a_time(folder):
            return c_function(signature, function, True, CodeCompiler, **{**FLAGS, **options})

    return compile_or_load


@contextmanager
def own_cache() -> Iterator[str | None]:
    """Functions decorated inside are cached under this package's fingerprint, in a folder of the user's cache: this.

    Where that cannot be written, Numba falls back to nothing at all, so the directory is tried first.
    """
    with _CHANGING_SETTINGS:
        before = numba.config.CACHE_DIR
        root = before or os.fspath(cache_folder() / "kernels")
        directory = os.path.join(root, fingerprint())
        is_there = _writable(directory)
        if is_there:
            numba.config.CACHE_DIR = directory
        try:
            yield directory if is_there else None
        finally:
            numba.config.CACHE_DIR = before


#: Numba's settings belong to the process.
_CHANGING_SETTINGS = threading.RLock()


def _one_at_a_time(folder: str | None) -> AbstractContextManager[Any]:
    """Held by one process that compiles functions of this package: Numba names the code of both real types from one
    list, which it reads and writes without a lock.
    """
    if folder is None:
        return nullcontext()
    return FileLock(os.path.join(folder, "compiling.lock"), is_singleton=True)


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


@intrinsic
def short_row(typing_context):
    """Say that the enclosing loop goes along a row of fewer elements than a vector has; where the host has masks, all
    go in one."""
    return types.void(), _masked_from(256)


@intrinsic
def masked_rest(typing_context):
    """Say that what the enclosing loop leaves of a row, behind the last whole vector, should go under a mask. That is
    for AVX-512: others take as long for a mask as for elements one by one."""
    return types.void(), _masked_from(512)


def _masked_from(bits: int) -> Callable[..., Any]:
    def codegen(context, builder, signature, arguments):
        if vector_bits() >= bits:
            ask_for_a_mask(builder)
        return context.get_dummy_value()

    return codegen


@intrinsic
def rows_apart(typing_context):
    """Promise that no round of the enclosing loop touches what another one writes, though it writes in several rows."""

    def codegen(context, builder, signature, arguments):
        ask_for_no_checks(builder)
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
