"""One public name for the float32 and the float64 form of an elementary function.

A call is resolved to the form of its argument's type while the caller is compiled, and that form, itself compiled once
per host and cached, is linked and inlined. Nothing is compiled at import.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dlc.runtime.kernels.compilation import exact, intrinsic, types
from dlc.runtime.kernels.primitives import is_real


def elementary(single: Callable[..., Any], double: Callable[..., Any] | None = None) -> Any:
    """The function whose forms are the given ones (one form for both types if `double` is None)."""
    forms = {types.float32: exact(single), types.float64: exact(double or single)}

    @intrinsic
    def function(typing_context, x):
        if not is_real(x):
            return None
        form = forms[x]
        form.compile((x,))
        compiled = form.overloads[(x,)]

        def codegen(context, builder, sig, args):
            context.add_linking_libs((compiled.library,))
            return context.call_internal_no_propagate(builder, compiled.fndesc, sig, args)[1]

        return compiled.signature, codegen

    function.__doc__ = (double or single).__doc__
    return function
