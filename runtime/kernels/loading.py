"""Machine code that was compiled before, loaded without making Numba's compiler ready.

Numba's own loading refreshes its registries first, which takes as long as importing Numba; only compiling needs them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
import numba
from numba.core import sigutils
from numba.core.caching import CompileResultCacheImpl, FunctionCache
from numba.core.ccallback import CFunc
from numba.core.environment import Environment
from numba.core.runtime import _nrt_python

from dlc.runtime.collector import resting


class _Storage(CompileResultCacheImpl):
    """Numba's, but what is kept does not name the module that was compiled: a file that was written to a folder of the
    user's is imported under a name of their choice."""

    def reduce(self, cres: Any) -> tuple[Any, ...]:
        library, descriptor, environment, *others, referenced = super().reduce(cres)
        return (library, descriptor, _of_any_module(environment), *others, tuple(map(_of_any_module, referenced)))


def _of_any_module(environment: Environment) -> Environment:
    """The same with the globals of this module, which are found again; compiled code reads none."""
    made = Environment(globals())
    made.consts[:] = environment.consts
    made.env_name = environment.env_name
    return made


class _Cache(FunctionCache):
    """Numba's, that touches nothing but the file of the function."""

    _impl_class = _Storage

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        with self._guard_against_spurious_io_errors():
            return self._load_overload(sig, target_context)


class _CFunction(CFunc):
    def enable_caching(self) -> None:
        self._cache = _Cache(self._pyfunc)


def c_function(signature: Any, function: Callable[..., Any], cache: bool, pipeline: Any = None, **options: Any) -> Any:
    """What `numba.cfunc` makes."""
    more = {} if pipeline is None else {"pipeline_class": pipeline}
    made = _CFunction(function, sigutils.normalize_signature(signature), locals={}, options=options, **more)
    if cache:
        made.enable_caching()
    with resting():
        made.compile()
    return made


def python_function(signature: Any, function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """The function that Python calls, which takes numbers as `signature` says and looks at no types: twice as quick as
    Numba's dispatcher."""
    dispatcher: Any = numba.njit(**options)(function)
    dispatcher._cache = _Cache(dispatcher.py_func)
    with resting():
        dispatcher.compile(signature)
    return next(iter(dispatcher.overloads.values())).entry_point


def _name_helpers() -> None:
    """The functions of Numba's runtime by the symbols that code from the cache asks for, as Numba names them."""
    for name, address in _nrt_python.c_helpers.items():
        llvm.add_symbol(name if name.startswith("_") else f"NRT_{name}", address)


_name_helpers()
