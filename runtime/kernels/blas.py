"""SciPy's BLAS as symbols that compiled code calls by name, and the number of threads it uses.

The addresses of `sgemm` and `dgemm` are registered under names of this package when it is imported, so that cached
code finds them in every process (an address baked into the code is wrong in the next).
Parallel regions call BLAS inside their shards, so BLAS itself must use one thread meanwhile: a parallel loop around a
two-threaded BLAS took seven times as long as it should. The library that SciPy was linked with is found without
importing anything: the files SciPy's wheels bring, then the libraries the process has loaded, are asked for the
functions that OpenBLAS, BLIS and MKL name for this. Where none is found (Accelerate, reference BLAS) threads are left
alone.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
from numba.extending import get_cython_function_address

GEMM_SYMBOLS = {"f32": "dlc_blas_sgemm", "f64": "dlc_blas_dgemm"}
_GEMM_NAMES = {"f32": "sgemm", "f64": "dgemm"}
GET_THREADS_SYMBOL, SET_THREADS_SYMBOL = "dlc_blas_get_threads", "dlc_blas_set_threads"

#: (get, set) by library: what they are called in SciPy's wheels first.
THREAD_FUNCTIONS = (
    *(
        (f"{prefix}openblas_get_num_threads{suffix}", f"{prefix}openblas_set_num_threads{suffix}")
        for prefix in ("scipy_", "")
        for suffix in ("", "64_", "_64")
    ),
    ("bli_thread_get_num_threads", "bli_thread_set_num_threads"),
    ("MKL_Get_Max_Threads", "MKL_Set_Num_Threads"),
)
LIBRARY_NAMES = ("openblas", "blis", "mkl_rt")


def _bundled() -> Iterator[Path]:
    """The BLAS that SciPy's wheels bring: scipy.libs on Linux and Windows, scipy/.dylibs on macOS."""
    found = find_spec("scipy")  # which imports nothing
    if found is None or found.origin is None:
        return
    package = Path(found.origin).parent
    for folder in (package.parent / "scipy.libs", package / ".dylibs", package / ".libs"):
        if folder.is_dir():
            yield from sorted(path for path in folder.iterdir() if _looks_like_blas(path.name))


def _looks_like_blas(name: str) -> bool:
    return any(part in name.lower() for part in LIBRARY_NAMES)


def _loaded() -> list[Path]:
    """The shared libraries of this process that look like a BLAS."""
    if sys.platform == "darwin":
        names = _loaded_by_dyld()
    elif sys.platform == "win32":
        names = []
    else:
        names = _loaded_by_program_headers()
    return [Path(name) for name in names if _looks_like_blas(os.path.basename(name))]


def _loaded_by_dyld() -> list[str]:
    library = ctypes.CDLL(None)
    library._dyld_get_image_name.restype = ctypes.c_char_p
    return [os.fsdecode(library._dyld_get_image_name(i)) for i in range(library._dyld_image_count())]


class _ProgramHeader(ctypes.Structure):
    """The first fields of struct dl_phdr_info."""

    _fields_ = (("address", ctypes.c_void_p), ("name", ctypes.c_char_p))


def _loaded_by_program_headers() -> list[str]:
    """dl_iterate_phdr: glibc, musl and the BSDs have it; /proc may be missing."""
    found: list[str] = []
    callback_type = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(_ProgramHeader), ctypes.c_size_t, ctypes.c_void_p)

    def visit(header, size, data) -> int:
        if header.contents.name:
            found.append(os.fsdecode(header.contents.name))
        return 0

    try:
        ctypes.CDLL(None).dl_iterate_phdr(callback_type(visit), None)
    except (AttributeError, OSError):
        return []
    return found


def _libraries(paths: Iterable[Path]) -> Iterator[ctypes.CDLL]:
    for path in paths:
        with suppress(OSError):
            yield ctypes.CDLL(os.fspath(path))


def _products() -> dict[str, int]:
    """The addresses of the products by type: in SciPy's wheels under names of their own, whose integers have 32 bits;
    else SciPy is imported, which takes a tenth of a second.
    """
    for library in _libraries(_bundled()):
        names = {real: f"scipy_{name}_" for real, name in _GEMM_NAMES.items()}
        if all(hasattr(library, name) for name in names.values()):
            return {real: _address(getattr(library, name)) for real, name in names.items()}
    return {real: get_cython_function_address("scipy.linalg.cython_blas", name) for real, name in _GEMM_NAMES.items()}


def _thread_functions() -> tuple[Any, Any] | None:
    """(get, set) of the library that SciPy's BLAS calls come to, None if it has no such functions."""
    for library in _libraries((*_bundled(), *_loaded())):
        for getter, setter in THREAD_FUNCTIONS:
            if hasattr(library, getter) and hasattr(library, setter):
                return getattr(library, getter), getattr(library, setter)
    return None


_always_one = ctypes.CFUNCTYPE(ctypes.c_int)(lambda: 1)
_leave_alone = ctypes.CFUNCTYPE(None, ctypes.c_int)(lambda threads: None)


def register() -> bool:
    """Make the symbols known to compiled code; False if BLAS threads cannot be controlled."""
    for real, address in _products().items():
        llvm.add_symbol(GEMM_SYMBOLS[real], address)
    functions = _thread_functions()
    getter, setter = functions or (_always_one, _leave_alone)
    llvm.add_symbol(GET_THREADS_SYMBOL, _address(getter))
    llvm.add_symbol(SET_THREADS_SYMBOL, _address(setter))
    return functions is not None


def _address(function) -> int:
    address = ctypes.cast(function, ctypes.c_void_p).value
    assert address, f"{function} has no address"
    return address


THREADS_ARE_CONTROLLED = register()
