"""Copies of every second element of a row, or the like: in vectors, whatever its length.

LLVM reads such a row in vectors too, but none that would reach beyond the last element that counts, and copies what is
left one by one, which is all of a short row. Here the vectors that are read end with that element, and the last one of
a row begins early: what is copied twice is the same. Rows of fewer elements than a vector are copied under a mask with
AVX-512, and by shorter vectors elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils

from dlc.runtime.kernels.compilation import intrinsic, types, vector_bits
from dlc.runtime.kernels.primitives import is_real
from dlc.runtime.kernels.vectors import WORD, constant, loaded, splat, stored

_SHORTEST = 128  # bits of a vector

#: Copies so many elements from a place on, under masks for as many as are given.
Copy = Callable[[Any, int, Any], None]


@intrinsic(prefer_literal=True)
def copy_strided(typing_context, target, source, step, count):
    """``target[i] = source[step*i]`` for so many elements, of rows that do not overlap; the step is a literal."""
    if not isinstance(target, types.CPointer) or not is_real(target.dtype) or source != target:
        return None
    size, apart = target.dtype.bitwidth // 8, step.literal_value

    def codegen(context, builder, sig, args):
        target, source, _, count = args

        def copy(first: Any, lanes: int, number: Any) -> None:
            row = builder.gep(source, [builder.mul(first, constant(apart))])
            value = _every(builder, row, apart, lanes, size, number)
            spot = builder.bitcast(builder.gep(target, [first]), value.type.as_pointer())
            stored(builder, value, spot, _below(builder, range(lanes), number), size)

        _along(builder, count, 8 * size, copy)
        return context.get_dummy_value()

    return types.void(target, source, step, types.int64), codegen  # other steps are other code


def _along(builder, count: Any, bits: int, copy: Copy) -> None:
    """Copy so many elements of that many bits."""
    widest, done = vector_bits(), builder.append_basic_block("copied")
    width = widest
    while width >= (widest if widest == 512 else _SHORTEST):
        lanes = width // bits
        whole, fewer = builder.append_basic_block("vectors"), builder.append_basic_block("fewer")
        builder.cbranch(builder.icmp_signed(">=", count, constant(lanes)), whole, fewer)
        builder.position_at_end(whole)
        last = builder.sub(count, constant(lanes))
        with cgutils.for_range_slice(builder, constant(0), count, constant(lanes), WORD) as (place, _):
            copy(builder.select(builder.icmp_signed("<", place, last), place, last), lanes, None)
        builder.branch(done)
        builder.position_at_end(fewer)
        width //= 2
    if widest == 512:
        with builder.if_then(builder.icmp_signed(">", count, constant(0))):
            copy(constant(0), widest // bits, count)
    else:
        with cgutils.for_range(builder, count) as loop:
            copy(loop.index, 1, None)
    builder.branch(done)
    builder.position_at_end(done)


def _every(builder, row: Any, apart: int, lanes: int, size: int, number: Any) -> Any:
    """A vector of elements that stand so far apart, put together from as many vectors, each of which begins with the
    last element of the one before; of fewer elements if their number is given.
    """
    vector, reach = ir.VectorType(row.type.pointee, lanes), lanes - 1
    end = None if number is None else builder.sub(builder.mul(number, constant(apart)), constant(apart - 1))
    parts = []
    for start in range(0, max(apart * reach, 1), max(reach, 1)):
        spot = builder.bitcast(builder.gep(row, [constant(start)]), vector.as_pointer())
        parts.append(loaded(builder, spot, _below(builder, range(start, start + lanes), end), size))
    found = parts[0]
    for n, new in enumerate(parts[1:], 1):
        places = [apart * lane - n * reach for lane in range(lanes)]
        before = [apart * lane if n == 1 else lane for lane in range(lanes)]
        order = [before[lane] if place <= 0 else lanes + min(place, reach) for lane, place in enumerate(places)]
        kind = ir.VectorType(ir.IntType(32), lanes)
        found = builder.shuffle_vector(found, new, ir.Constant(kind, [ir.IntType(32)(n) for n in order]))
    return found


def _below(builder, ranks: range, number: Any) -> Any:
    """Which of these ranks are below a number; no mask if there is none."""
    if number is None:
        return None
    short = ir.IntType(32)
    constants = ir.Constant(ir.VectorType(short, len(ranks)), list(ranks))
    return builder.icmp_signed("<", constants, splat(builder, builder.trunc(number, short), len(ranks)))
