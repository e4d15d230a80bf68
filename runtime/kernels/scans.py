"""Running sums, products and extremes of a row, in its place: each element becomes that of all up to it.

One number after the other, a row takes as long as so many additions that wait for each other. Here the numbers of a
vector are added up among themselves, in as many steps as its length has bits, and only what was there before waits for
the vector before. What is left of a row goes one by one.
"""

from __future__ import annotations

from math import inf
from typing import Any

from llvmlite import ir

from dlc.runtime.kernels.compilation import exact, intrinsic, types, vector_bits, wide
from dlc.runtime.kernels.primitives import call, is_real, suffix
from dlc.runtime.kernels.vectors import constant, splat

#: What leaves a number as it is, by operator; their places here are the numbers by which functions are told them.
_NEUTRAL = {"fadd": 0.0, "fmul": 1.0, "maximum": -inf, "minimum": inf}


def _is_row(pointer: Any) -> bool:
    return isinstance(pointer, types.CPointer) and is_real(pointer.dtype)


def _lanes(real: Any) -> int:
    return vector_bits() // real.bitwidth


def _combined(builder: Any, real: Any, operator: Any, one: Any, other: Any) -> Any:
    """Two numbers, or two vectors of them, by the operator of this number."""
    name = list(_NEUTRAL)[operator.literal_value]
    if name in ("fadd", "fmul"):
        return getattr(builder, name)(one, other)
    lanes = f"v{one.type.count}" if isinstance(one.type, ir.VectorType) else ""
    return call(builder, f"llvm.{name}.{lanes}{suffix(real)}", one.type, [one, other])


@intrinsic
def _vector(typing_context, row):
    """How many elements go at a time."""
    if not _is_row(row):
        return None
    return types.int64(row), lambda context, builder, sig, args: constant(_lanes(row.dtype))


@intrinsic
def _element(typing_context, row, place):
    if not _is_row(row):
        return None
    return row.dtype(row, types.int64), lambda context, builder, sig, args: builder.load(builder.gep(args[0], args[1:]))


@intrinsic(prefer_literal=True)
def _one(typing_context, row, place, before, operator):
    """An element combined with what is before it."""
    if not _is_row(row):
        return None

    def codegen(context, builder, sig, args):
        place = builder.gep(args[0], [args[1]])
        found = _combined(builder, row.dtype, operator, args[2], builder.load(place))
        builder.store(found, place)
        return found

    return row.dtype(row, types.int64, row.dtype, operator), codegen


@intrinsic(prefer_literal=True)
def _several(typing_context, row, place, before, operator, is_back):
    """A vector of elements, the first of which stands here; the number that the next one has before it."""
    if not _is_row(row):
        return None
    real, lanes, back = row.dtype, _lanes(row.dtype), bool(is_back.literal_value)

    def codegen(context, builder, sig, args):
        before = args[2]
        kind = ir.VectorType(before.type, lanes)
        where = builder.bitcast(builder.gep(args[0], [args[1]]), kind.as_pointer())
        found = builder.load(where, align=real.bitwidth // 8)
        nothing = ir.Constant(kind, [list(_NEUTRAL.values())[operator.literal_value]] * lanes)
        width = 1
        while width < lanes:
            first = width if back else lanes - width
            order = [ir.IntType(32)(n) for n in range(first, first + lanes)]
            pair = (found, nothing) if back else (nothing, found)
            moved = builder.shuffle_vector(*pair, ir.Constant(ir.VectorType(ir.IntType(32), lanes), order))
            found = _combined(builder, real, operator, found, moved)
            width *= 2
        whole = _combined(builder, real, operator, splat(builder, before, lanes), found)
        builder.store(whole, where, align=real.bitwidth // 8)
        last = builder.extract_element(found, constant(0 if back else lanes - 1))
        return _combined(builder, real, operator, before, last)

    return real(row, types.int64, real, operator, is_back), codegen


def _running(row, count, step, operator):
    wide()
    n = _vector(row)
    if count <= 0:
        return
    if step > 0:
        before = _element(row, -1)
        place = 0
        while place + n <= count:
            before = _several(row, place, before, operator, 0)
            place += n
        while place < count:
            before = _one(row, place, before, operator)
            place += 1
        return
    before = _element(row, count)
    place = count
    while place >= n:
        place -= n
        before = _several(row, place, before, operator, 1)
    while place > 0:
        place -= 1
        before = _one(row, place, before, operator)


_compiled = exact(_running, inline=False)


def _of(name: str) -> Any:
    operator = list(_NEUTRAL).index(name)

    @intrinsic
    def running(typing_context, row, count, step):
        """Of so many elements from the first one on, or back to it from the last one if the step is -1; what they
        begin with stands before the first, or behind the last."""
        if not _is_row(row):
            return None
        arguments = (row, types.int64, types.int64, types.literal(operator))
        _compiled.compile(arguments)
        code = _compiled.overloads[arguments]

        def codegen(context, builder, sig, args):
            context.add_linking_libs((code.library,))
            return context.call_internal_no_propagate(
                builder, code.fndesc, code.signature, (*args, constant(operator))
            )[1]

        return types.void(row, types.int64, types.int64), codegen

    return running


running_sum, running_prod = _of("fadd"), _of("fmul")
running_max, running_min = _of("maximum"), _of("minimum")
