"""sin, cos, tan for arguments of any size.

Largest errors found, in units in the last place (float32, float64): sin and cos 1.6, 1.0; tan 3.6, 2.6.

Arguments below 10^5 are reduced by three parts of pi/2 (Cody and Waite), the others by a table: |x| = m * 2^e with an
integer m below 2^53, so |x| in quarter turns (of pi/2), modulo 4, is m * T[e] with T[e] = 2^e * 2/pi modulo 4. Three
doubles hold T[e] to 159 bits; error-free products and sums keep what matters after the whole turns cancel (after Payne
and Hanek, 1983, with a table in place of long integers). The polynomials are those of FreeBSD's k_sin.c and k_cos.c,
and of Cephes' sinf.c.
"""

from __future__ import annotations

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir

from dlc.runtime.kernels.compilation import exact, intrinsic, types
from dlc.runtime.kernels.elementary import elementary
from dlc.runtime.kernels.exponential import F, singles
from dlc.runtime.kernels.primitives import absolute, call, copysign, fma, horner, like, low_bits, rint

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
        constant = lambda value: ir.Constant(word, value)  # noqa: E731
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
HALF_PI, HALF_PI_LOW, HALF_PI_LOWEST = 1.5707963267948966, 6.123233995736766e-17, -1.4973849048591833e-33
TWO_OVER_PI = 0.6366197723675814
#: Below it, three parts of pi/2 suffice.
NEAR = 1.0e5
# (sin(r) - r) / r^3 and (cos(r) - 1 + r^2/2) / r^4 over r^2
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
SIN32 = singles(-1.6666654611e-1, 8.3321608736e-3, -1.9515295891e-4)
COS32 = singles(4.166664568298827e-2, -1.388731625493765e-3, 2.443315711809948e-5)
HALF32, ONE32 = singles(0.5, 1.0)


def _series(r, tail):
    """(sin(r + tail), cos(r + tail)) for |r| <= pi/4 and a tail below its last place"""
    z = r * r
    sine = r + (z * r * horner(z, SIN) + (tail - 0.5 * z * tail))
    half = 0.5 * z
    cosine = 1.0 - half
    return sine, cosine + (((1.0 - cosine) - half) + (z * z * horner(z, COS) - r * tail))


def _series32(r):
    z = r * r
    return r + r * z * horner(z, SIN32), ONE32 - HALF32 * z + z * z * horner(z, COS32)


series, series32 = exact(_series), exact(_series32)


def _huge(a):
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


huge = exact(_huge, inline=False)


def _reduce(x):
    """(sin(r), cos(r), t): |x| = r + n*pi/2, |r| <= pi/4, and t holds n in its low bits"""
    a = absolute(x)
    if a < NEAR:
        t = a * TWO_OVER_PI + ROUND
        n = t - ROUND
        first = fma(-n, HALF_PI, a)  # exact
        second = n * HALF_PI_LOW
        r = first - second
        tail = ((first - r) - second) - (fma(n, HALF_PI_LOW, -second) + n * HALF_PI_LOWEST)
    else:
        r, tail, t = huge(a)
    sine, cosine = series(r, tail)
    return sine, cosine, t


def _reduce32(x):
    a = absolute(np.float64(x))
    if a < NEAR:
        t = a * TWO_OVER_PI + ROUND
        n = t - ROUND
        r = fma(-n, HALF_PI, a) - n * HALF_PI_LOW
    else:
        r, _, t = huge(a)
    sine, cosine = series32(F(r))
    return sine, cosine, t


reduced = elementary(_reduce32, _reduce)


def _finite(x, y):
    """y, or nan where x is infinite or nan"""
    d = x - x
    return y if d == d else d


finite = exact(_finite)


def _sin(x):
    """The sine of x radians"""
    sine, cosine, t = reduced(x)
    n = low_bits(t)
    y = cosine if n & 1 else sine
    y = -y if n & 2 else y
    return finite(x, y * copysign(like(1.0, x), x))


def _cos(x):
    """The cosine of x radians"""
    sine, cosine, t = reduced(x)
    n = low_bits(t)
    y = sine if n & 1 else cosine
    return finite(x, -y if (n + 1) & 2 else y)


def _tan(x):
    """The tangent of x radians"""
    sine, cosine, t = reduced(x)
    odd = low_bits(t) & 1
    y = (-cosine if odd else sine) / (sine if odd else cosine)
    return finite(x, y * copysign(like(1.0, x), x))


sin = elementary(_sin)
cos = elementary(_cos)
tan = elementary(_tan)
