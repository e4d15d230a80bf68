"""Scalar operations that are one LLVM instruction or intrinsic, for float32 and float64 (some for integers too).

They are what the elementary functions are built from, and all of them vectorise. `maximum` and `minimum` propagate nan
(a comparison with select neither does that nor vectorises in a reduction).
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils

from dlc.runtime.kernels.compilation import intrinsic, types

#: width -> (LLVM integer of that width, bits of the mantissa, exponent of 1, bits of sqrt(1/2))
LAYOUT = {
    types.float32: (ir.IntType(32), 23, 127, 0x3F3504F3),
    types.float64: (ir.IntType(64), 52, 1023, 0x3FE6A09E667F3BCD),
}


def is_real(*operands: Any) -> bool:
    """All operands have one and the same type, float32 or float64."""
    return operands[0] in LAYOUT and all(operand == operands[0] for operand in operands)


def suffix(real: Any) -> str:
    return "f32" if real == types.float32 else "f64"


def call(builder, name: str, result: ir.Type, arguments) -> Any:
    """Call an external function or LLVM intrinsic whose arguments have the types of the given values."""
    function_type = ir.FunctionType(result, [argument.type for argument in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, function_type, name), arguments)


def unary(name: str, doc: str) -> Any:
    """The LLVM intrinsic `llvm.{name}` of one real number."""

    @intrinsic
    def function(typing_context, x):
        if not is_real(x):
            return None

        def codegen(context, builder, sig, args):
            return call(builder, f"llvm.{name}.{suffix(x)}", args[0].type, args)

        return x(x), codegen

    function.__doc__ = doc
    return function


def binary(name: str, doc: str) -> Any:
    """The LLVM intrinsic `llvm.{name}` of two real numbers of one type."""

    @intrinsic
    def function(typing_context, x, y):
        if not is_real(x, y):
            return None

        def codegen(context, builder, sig, args):
            return call(builder, f"llvm.{name}.{suffix(x)}", args[0].type, args)

        return x(x, y), codegen

    function.__doc__ = doc
    return function


sqrt = unary("sqrt", "The square root, correctly rounded; nan below 0.")
floor = unary("floor", "The largest integer not above x, as a real number.")
ceil = unary("ceil", "The smallest integer not below x, as a real number.")
rint = unary("rint", "The nearest integer, ties to even, as a real number.")
copysign = binary("copysign", "The magnitude of x with the sign of y.")
power = binary("pow", "x to the power y, by the C library (edge cases as in IEEE 754); a scalar call in vector loops.")


def extremum(name: str, doc: str) -> Any:
    """`llvm.maximum` or `llvm.minimum`, which propagate nan, and their integer forms."""

    @intrinsic
    def function(typing_context, x, y):
        if is_real(x, y):
            result, form = x, f"llvm.{name}imum.{suffix(x)}"
        elif isinstance(x, types.Integer | types.Boolean) and isinstance(y, types.Integer | types.Boolean):
            result = typing_context.unify_types(x, y)
            if not isinstance(result, types.Integer):
                result = types.int64
            form = f"llvm.{'s' if result.signed else 'u'}{name}.i{result.bitwidth}"
        else:
            return None

        def codegen(context, builder, sig, args):
            return call(builder, form, args[0].type, args)

        return result(result, result), codegen

    function.__doc__ = doc
    return function


maximum = extremum("max", "The larger of two numbers of one type; nan if one is nan.")
minimum = extremum("min", "The smaller of two numbers of one type; nan if one is nan.")


@intrinsic
def absolute(typing_context, x):
    """The absolute value of a real number or integer."""
    if not is_real(x) and not isinstance(x, types.Integer):
        return None

    def codegen(context, builder, sig, args):
        if is_real(x):
            return call(builder, f"llvm.fabs.{suffix(x)}", args[0].type, args)
        may_overflow = ir.Constant(ir.IntType(1), 0)
        return call(builder, f"llvm.abs.i{x.bitwidth}", args[0].type, [args[0], may_overflow]) if x.signed else args[0]

    return x(x), codegen


@intrinsic
def integer(typing_context, x):
    """A whole number as an integer, 2^62 in magnitude at most, so that a few steps further is one too; nan is as great.

    LLVM promises nothing of what is beyond the integers, nor of nan: these are put within before.
    """
    if not is_real(x):
        return None

    def codegen(context, builder, sig, args):
        (value,) = args
        least, greatest = (ir.Constant(value.type, end) for end in (-(2.0**62), 2.0**62))
        value = builder.select(builder.fcmp_ordered("<", value, greatest), value, greatest)
        value = builder.select(builder.fcmp_ordered(">", value, least), value, least)
        return builder.fptosi(value, ir.IntType(64))

    return types.int64(x), codegen


@intrinsic
def fma(typing_context, x, y, z):
    """x*y + z, rounded once."""
    if not is_real(x, y, z):
        return None

    def codegen(context, builder, sig, args):
        return call(builder, f"llvm.fma.{suffix(x)}", args[0].type, args)

    return x(x, y, z), codegen


def opaque(builder, real: Any, value) -> Any:
    """The real number as LLVM cannot take it apart: it passes through an integer `or` with a zero that is not known.

    LLVM looks at the flags of the outer one of two operations only, where it regroups them.
    """
    integer = LAYOUT[real][0]
    with builder.goto_entry_block():
        zero = builder.asm(ir.FunctionType(integer, [integer]), "", "=r,0", [integer(0)], side_effect=False)
    return builder.bitcast(builder.or_(builder.bitcast(value, integer), zero), value.type)


@intrinsic
def difference(typing_context, x, y):
    """x - y, rounded before anything is added to it, although kernels may regroup sums.

    The distance of a score from the greatest is exact where scores are large. m + log s is not, and LLVM would take
    that out of a loop over x - m - log s.
    """
    if not is_real(x, y):
        return None

    def codegen(context, builder, sig, args):
        return opaque(builder, x, builder.fsub(*args))

    return x(x, y), codegen


@intrinsic
def rounded(typing_context, x):
    """x, a number that is computed as it stands, before the loop that it is used in.

    LLVM would make x*(1/y) one division, and so put the division that stood before a loop into the loop.
    """
    if not is_real(x):
        return None

    def codegen(context, builder, sig, args):
        return opaque(builder, x, args[0])

    return x(x), codegen


@intrinsic
def like(typing_context, value, x):
    """A number in the type of the real number `x`: `like(0.5, x)`. Constants are converted when compiling."""
    if not is_real(x) or not isinstance(value, types.Number):
        return None
    number = value if isinstance(value, types.Float) else types.float64

    def codegen(context, builder, sig, args):
        return context.cast(builder, args[0], number, x)

    return x(number, x), codegen


@intrinsic
def horner(typing_context, x, coefficients):
    """The polynomial c[0] + c[1]*x + c[2]*x^2 + ..., from a tuple of constants of the type of `x`."""
    if not isinstance(coefficients, types.UniTuple) or not is_real(x, coefficients.dtype):
        return None

    def codegen(context, builder, sig, args):
        *low, result = cgutils.unpack_tuple(builder, args[1])
        for coefficient in reversed(low):
            product = builder.fmul(result, args[0], flags=("contract",))
            result = builder.fadd(product, coefficient, flags=("contract",))
        return result

    return x(x, coefficients), codegen


@intrinsic
def times_power_of_two(typing_context, x, t):
    """x * 2^n, rounded once, where t = n + 1.5 * 2^m holds the integer n in its low bits.

    m is the number of mantissa bits. The factor is applied in two halves, so that subnormal results and those beyond
    the largest power of two come out right.
    """
    if not is_real(x, t):
        return None

    def codegen(context, builder, sig, args):
        x, t = args
        integer, mantissa, one, _ = LAYOUT[sig.args[0]]
        constant = lambda value: ir.Constant(integer, value)
        # The bits of 1.5 * 2^m are 0 in the places where a half of n is moved to the exponent: no sign extension.
        total = builder.bitcast(t, integer)
        half = builder.lshr(total, constant(1))
        for part in (half, builder.sub(total, half)):
            exponent = builder.shl(builder.add(part, constant(one)), constant(mantissa))
            x = builder.fmul(x, builder.bitcast(exponent, x.type), flags=("contract",))
        return x

    return x(x, t), codegen


@intrinsic
def power_of_two(typing_context, t):
    """2^n, a normal number, where t = n + 1.5 * 2^m holds the integer n in its low bits."""
    if not is_real(t):
        return None

    def codegen(context, builder, sig, args):
        integer, mantissa, one, _ = LAYOUT[t]
        exponent = builder.add(builder.bitcast(args[0], integer), ir.Constant(integer, one))
        return builder.bitcast(builder.shl(exponent, ir.Constant(integer, mantissa)), args[0].type)

    return t(t), codegen


@intrinsic
def split(typing_context, x):
    """(k, m) with x = m * 2^k and sqrt(1/2) <= m < sqrt(2), both as real numbers; x is positive and normal."""
    if not is_real(x):
        return None
    result = types.UniTuple(x, 2)

    def codegen(context, builder, sig, args):
        real = args[0].type
        integer, mantissa, one, root = LAYOUT[x]
        constant = lambda value: ir.Constant(integer, value)
        shifted = builder.add(builder.bitcast(args[0], integer), constant((one << mantissa) - root))
        # An integer below 2^m becomes a real number by writing it into the mantissa of 2^m: AVX2 cannot convert int64.
        base = (one + mantissa) << mantissa
        count = builder.bitcast(builder.or_(builder.lshr(shifted, constant(mantissa)), constant(base)), real)
        k = builder.fsub(count, ir.Constant(real, float(2**mantissa + one)), flags=("contract",))
        fraction = builder.add(builder.and_(shifted, constant((1 << mantissa) - 1)), constant(root))
        return context.make_tuple(builder, result, [k, builder.bitcast(fraction, real)])

    return result(x), codegen


@intrinsic
def low_bits(typing_context, t):
    """The bits of a real number as an integer of its width."""
    if not is_real(t):
        return None

    def codegen(context, builder, sig, args):
        return builder.bitcast(args[0], LAYOUT[t][0])

    return (types.int32 if t == types.float32 else types.int64)(t), codegen


@intrinsic
def whole(typing_context, n):
    """A uint64 below 2^52 as a float64, by writing it into the mantissa of 2^52: AVX2 cannot convert integers."""
    if n != types.uint64:
        return None
    integer, mantissa, one, _ = LAYOUT[types.float64]

    def codegen(context, builder, sig, args):
        bits = builder.or_(args[0], ir.Constant(integer, (one + mantissa) << mantissa))
        base = ir.Constant(ir.DoubleType(), float(2**mantissa))
        return builder.fsub(builder.bitcast(bits, ir.DoubleType()), base)

    return types.float64(n), codegen


@intrinsic
def sign(typing_context, x):
    """1, -1, or x itself where it is 0 or nan."""
    if not is_real(x):
        return None

    def codegen(context, builder, sig, args):
        zero, one, minus = (ir.Constant(args[0].type, value) for value in (0.0, 1.0, -1.0))
        negative = builder.select(builder.fcmp_ordered("<", args[0], zero), minus, args[0])
        return builder.select(builder.fcmp_ordered(">", args[0], zero), one, negative)

    return x(x), codegen


@intrinsic
def relu(typing_context, x):
    """The larger of x and 0; nan stays nan."""
    if not is_real(x):
        return None

    def codegen(context, builder, sig, args):
        zero = ir.Constant(args[0].type, 0.0)
        return builder.select(builder.fcmp_ordered("<", args[0], zero), zero, args[0])

    return x(x), codegen
