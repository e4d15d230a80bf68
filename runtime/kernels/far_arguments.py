"""sin, cos and tan of numbers from 10^5 on, which loops over the vectorised functions call for the lanes that need it.

|x| = m * 2^e with an integer m below 2^53, so |x| in quarter turns (of pi/2), modulo 4, is m * T[e] with T[e] =
2^e * 2/pi modulo 4. Three doubles hold T[e] to 159 bits; error-free products and sums keep what matters after the whole
turns cancel (after Payne and Hanek, 1983, with a table in place of long integers).

A loop with a call of a scalar function would not become vectors. `far` therefore brings vector forms of itself: each
looks whether any of its lanes is far out, which is rare, and only then calls the scalar function lane by lane. The
attribute "vector-function-abi-variant" tells LLVM's vectoriser of them.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba.core import cgutils

from dlc.runtime.kernels.compilation import EXACT_FLAGS, exact, intrinsic, native, types, vector_bits
from dlc.runtime.kernels.primitives import absolute, call, copysign, fma, horner, low_bits, rint

TABLE_SYMBOL = "dlc_quarter_turns"
#: Rows of the table: from |x| >= 1/2 to the largest double.
FIRST_EXPONENT, LAST_EXPONENT = -53, 971
BIAS = 1075  # |x| = m * 2^(field - 1075)


def two_over_pi(bits: int) -> int:
    """floor(2/pi * 2^bits), pi by Machin's formula."""
    one = 1 << (bits + 64)

    def arctangent_of_inverse(n: int) -> int:
        total, term, k = 0, one // n, 0
        while term:
            total += (-1) ** k * (term // (2 * k + 1))
            term //= n * n
            k += 1
        return total

    pi = 4 * (4 * arctangent_of_inverse(5) - arctangent_of_inverse(239))
    return (one << (bits + 1)) // pi


def quarter_turns() -> np.ndarray:
    """2^e * 2/pi modulo 4 as three doubles, for every exponent of the table."""
    fraction, guard = 176, 20
    digits = two_over_pi(fraction + LAST_EXPONENT + guard)
    table = np.empty((LAST_EXPONENT - FIRST_EXPONENT + 1, 3))
    for row, exponent in zip(table, range(FIRST_EXPONENT, LAST_EXPONENT + 1), strict=True):
        rest = (digits >> (LAST_EXPONENT + guard - exponent)) % (4 << fraction)
        for column in range(3):
            part = float(rest)
            row[column] = part * 2.0**-fraction
            rest -= int(part)
    return table


TABLE = quarter_turns()
llvm.add_symbol(TABLE_SYMBOL, TABLE.ctypes.data)


@intrinsic
def turns(typing_context, x):
    """(m, T1, T2, T3) of a float64: its integer mantissa and the row of the table for its exponent."""
    if x != types.float64:
        return None
    result = types.UniTuple(types.float64, 4)

    def codegen(context, builder, sig, args):
        word, real = ir.IntType(64), args[0].type
        constant = lambda value: ir.Constant(word, value)
        bits = builder.bitcast(args[0], word)
        mantissa = builder.and_(bits, constant((1 << 52) - 1))
        m = builder.bitcast(builder.or_(mantissa, constant(BIAS << 52)), real)
        field = builder.and_(builder.lshr(bits, constant(52)), constant(0x7FF))
        row = builder.sub(field, constant(FIRST_EXPONENT + BIAS))
        row = call(builder, "llvm.smax.i64", word, [row, constant(0)])
        row = call(builder, "llvm.smin.i64", word, [row, constant(LAST_EXPONENT - FIRST_EXPONENT)])
        table = builder.module.globals.get(TABLE_SYMBOL)
        if table is None:
            table = ir.GlobalVariable(builder.module, real, TABLE_SYMBOL)
            table.linkage = "external"
            table.global_constant = True
        first = builder.mul(row, constant(3))
        parts = [builder.load(builder.gep(table, [builder.add(first, constant(column))])) for column in range(3)]
        return context.make_tuple(builder, result, [m, *parts])

    return result(types.float64), codegen


ROUND = 1.5 * 2.0**52
HALF_PI, HALF_PI_LOW = 1.5707963267948966, 6.123233995736766e-17
#: From here on, three parts of pi/2 do not suffice.
NEAR = 1.0e5
SINE, COSINE, TANGENT = 0, 1, 2
# (sin(r) - r) / r^3 and (cos(r) - 1 + r^2/2) / r^4 over r^2: FreeBSD's k_sin.c and k_cos.c
SIN = (
    -1.66666666666666324348e-01,
    8.33333333332248946124e-03,
    -1.98412698298579493134e-04,
    2.75573137070700676789e-06,
    -2.50507602534068634195e-08,
    1.58969099521155010221e-10,
)
COS = (
    4.16666666666666019037e-02,
    -1.38888888888741095749e-03,
    2.48015872894767294178e-05,
    -2.75573143513906633035e-07,
    2.08757232129817482790e-09,
    -1.13596475577881948265e-11,
)


def _series(r, tail):
    """(sin(r + tail), cos(r + tail)) for |r| <= pi/4 and a tail below its last place"""
    z = r * r
    sine = r + (z * r * horner(z, SIN) + (tail - 0.5 * z * tail))
    half = 0.5 * z
    cosine = 1.0 - half
    return sine, cosine + (((1.0 - cosine) - half) + (z * z * horner(z, COS) - r * tail))


series = exact(_series)


def _reduced(a):
    """(r, tail, t) with a = r + tail + n*pi/2 and n in the low bits of t, for any a >= 1/2"""
    m, t1, t2, t3 = turns(a)
    high = m * t1
    high_rest = fma(m, t1, -high)
    middle = m * t2
    middle_rest = fma(m, t2, -middle)
    high = high - 4.0 * rint(0.25 * high)
    s = high + high_rest
    b = s - high
    lost = (high - (s - b)) + (high_rest - b)
    w = s + middle
    b = w - s
    lost = lost + ((s - (w - b)) + (middle - b)) + (middle_rest + m * t3)
    t = w + ROUND
    f = w - (t - ROUND)
    part = f + lost
    b = part - f
    rest = (f - (part - b)) + (lost - b)
    r = part * HALF_PI
    return r, fma(part, HALF_PI, -r) + (part * HALF_PI_LOW + rest * HALF_PI), t


reduced = exact(_reduced)


def far_value(x, which):
    """The sine, cosine or tangent of x, if |x| >= NEAR or x is nan; else 0."""
    a = absolute(x)
    if a < NEAR:
        return 0.0
    if not a < np.inf:
        return np.nan
    r, tail, t = reduced(a)
    sine, cosine = series(r, tail)
    n = low_bits(t)
    if which == TANGENT:
        return copysign(1.0, x) * (-cosine / sine if n & 1 else sine / cosine)
    if which == COSINE:
        n += 1  # cos(x) = sin(x + pi/2)
    y = cosine if n & 1 else sine
    y = -y if n & 2 else y
    return y if which == COSINE else copysign(1.0, x) * y


FAR_SYMBOL = "dlc_far_trigonometric"
#: As many as a vector holds of float32, which are computed in float64, and fewer.
VECTOR_LANES = tuple(lanes for lanes in (2, 4, 8, 16) if 32 * lanes <= vector_bits())


@cache
def load_far() -> Any:
    """Compile the scalar function, or load it, and make it known by its symbol."""
    function = native(types.float64(types.float64, types.int64), **EXACT_FLAGS)(far_value)
    llvm.add_symbol(FAR_SYMBOL, function.address)
    return function


load_far()


@intrinsic
def far(typing_context, x, which):
    """`far_value`, in a form that the vectoriser can widen."""
    if x != types.float64:
        return None

    def codegen(context, builder, sig, args):
        real, word = args[0].type, args[1].type
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(real, [real, word]), FAR_SYMBOL)
        if FAR_SYMBOL + "_2" not in builder.module.globals:
            forms = [vector_form(function, lanes) for lanes in VECTOR_LANES]
            # v: a vector of arguments, u: one for all lanes, N: no mask
            names = ",".join(
                f"_ZGV_LLVM_N{lanes}vu_{FAR_SYMBOL}({form.name})"
                for lanes, form in zip(VECTOR_LANES, forms, strict=True)
            )
            # llvmlite's own `add` knows no attributes with values.
            for attribute in ("nounwind", "willreturn", "memory(none)", f'"vector-function-abi-variant"="{names}"'):
                set.add(function.attributes, attribute)
        return builder.call(function, args)

    return x(x, types.int64), codegen


def vector_form(scalar: ir.Function, lanes: int) -> ir.Function:
    """The same function of a vector; it stays in the module though nothing calls it before the vectoriser does."""
    real, word = scalar.function_type.args
    vector = ir.VectorType(real, lanes)
    function = ir.Function(scalar.module, ir.FunctionType(vector, [vector, word]), f"{FAR_SYMBOL}_{lanes}")
    function.linkage = "weak_odr"
    function.attributes.add("nounwind")
    x, which = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    near, slow = function.append_basic_block("near"), function.append_basic_block("slow")
    zeros = ir.Constant(vector, [0.0] * lanes)
    magnitudes = call(builder, f"llvm.fabs.v{lanes}f64", vector, [x])
    # unordered: nan counts as far
    away = builder.fcmp_unordered(">=", magnitudes, ir.Constant(vector, [NEAR] * lanes))
    some = call(builder, f"llvm.vector.reduce.or.v{lanes}i1", ir.IntType(1), [away])
    builder.cbranch(some, slow, near)
    builder.position_at_end(near)
    builder.ret(zeros)
    builder.position_at_end(slow)
    result = zeros
    for lane in range(lanes):
        place = ir.Constant(ir.IntType(32), lane)
        value = builder.call(scalar, [builder.extract_element(x, place), which])
        result = builder.insert_element(result, value, place)
    builder.ret(result)
    return function
