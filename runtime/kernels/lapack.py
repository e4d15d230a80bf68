"""SciPy's LAPACK for compiled code: linear systems.

`sgesv` and `dgesv` are registered under names of this package when it is imported, as the BLAS is (`blas`), so that
cached code finds them in every process.
"""

from __future__ import annotations

import math
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core import cgutils
from numba.extending import get_cython_function_address

from dlc.runtime.kernels.compilation import intrinsic, types
from dlc.runtime.kernels.primitives import call

GESV_SYMBOLS = {"f32": "dlc_lapack_sgesv", "f64": "dlc_lapack_dgesv"}


def register() -> None:
    """Make the symbols known to compiled code."""
    for name, symbol in zip(("sgesv", "dgesv"), GESV_SYMBOLS.values(), strict=True):
        llvm.add_symbol(symbol, get_cython_function_address("scipy.linalg.cython_lapack", name))


def _gesv(suffix: str, real: Any) -> Any:
    @intrinsic
    def gesv(typing_context, n, count, matrix, sides):
        """Solve a system of n equations for `count` right sides, which become the solutions: nan if it is singular.

        `matrix` is the address of n columns of n elements, which are overwritten, and of n elements more, which take
        the pivots; `sides` is the address of `count` columns.
        """
        pointer = types.CPointer(real)
        if matrix != pointer or sides != pointer:
            return None
        return types.void(types.int64, types.int64, pointer, pointer), _codegen(suffix)

    return gesv


def _codegen(suffix: str) -> Any:
    def codegen(context, builder, sig, args):
        n, count, matrix, sides = args
        integer = ir.IntType(32)
        one = ir.Constant(n.type, 1)
        stride = builder.select(builder.icmp_signed(">", n, one), n, one)
        rows, columns, leading = (
            cgutils.alloca_once_value(builder, builder.trunc(value, integer)) for value in (n, count, stride)
        )
        info = cgutils.alloca_once_value(builder, ir.Constant(integer, 0))
        # a pivot takes 32 bits, and an element no less
        pivots = builder.bitcast(builder.gep(matrix, [builder.mul(n, n)]), integer.as_pointer())
        arguments = [rows, columns, matrix, leading, pivots, sides, leading, info]
        call(builder, GESV_SYMBOLS[suffix], ir.VoidType(), arguments)
        failed = builder.icmp_signed("!=", builder.load(info), ir.Constant(integer, 0))
        with builder.if_then(failed, likely=False), cgutils.for_range(builder, builder.mul(n, count)) as loop:
            place = builder.gep(sides, [loop.index])
            builder.store(ir.Constant(place.type.pointee, math.nan), place)
        return context.get_dummy_value()

    return codegen


register()
gesv_f32, gesv_f64 = _gesv("f32", types.float32), _gesv("f64", types.float64)
