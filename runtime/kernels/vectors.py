"""Vectors in LLVM's language: made of one number, found in memory, read and written whole or in part, and computed."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils

from dlc.runtime.kernels.compilation import HOST_FEATURES, is_arm

WORD = ir.IntType(64)
_SHORT = ir.IntType(32)


def constant(value: int) -> ir.Constant:
    return ir.Constant(WORD, value)


def splat(builder, scalar: Any, lanes: int) -> Any:
    vector = ir.VectorType(scalar.type, lanes)
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
    return builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), zeros)


def vectors_from(builder, pointer: Any, vector: ir.VectorType, count: int) -> list[Any]:
    """Pointers to that many vectors, one after the other."""
    pointers = [builder.gep(pointer, [constant(vector.count * i)]) for i in range(count)]
    return [builder.bitcast(each, vector.as_pointer()) for each in pointers]


def loaded(builder, spot: Any, mask: Any, align: int) -> Any:
    """A vector, or what a mask lets through of it; all of it without a mask."""
    return builder.load(spot, align=align) if mask is None else masked_load(builder, spot, mask, align)


def stored(builder, value: Any, spot: Any, mask: Any, align: int) -> None:
    """Write a vector, or what a mask lets through of it; all of it without a mask."""
    if mask is None:
        builder.store(value, spot, align=align)
    else:
        masked_store(builder, value, spot, mask, align)


def masked_load(builder, pointer: Any, mask: Any, align: int) -> Any:
    """The numbers of a vector where the mask is set, and zeros elsewhere; what is not set is not touched."""
    vector = pointer.type.pointee
    kind = ir.FunctionType(vector, [pointer.type, _SHORT, mask.type, vector])
    load = cgutils.get_or_insert_function(builder.module, kind, _masked("load", vector))
    zeros = ir.Constant(vector, [0.0] * vector.count)
    return builder.call(load, [pointer, _SHORT(align), mask, zeros])


def masked_store(builder, value: Any, pointer: Any, mask: Any, align: int) -> None:
    """Write the numbers of a vector where the mask is set."""
    kind = ir.FunctionType(ir.VoidType(), [value.type, pointer.type, _SHORT, mask.type])
    store = cgutils.get_or_insert_function(builder.module, kind, _masked("store", value.type))
    builder.call(store, [value, pointer, _SHORT(align), mask])


def _masked(what: str, vector: Any) -> str:
    return f"llvm.masked.{what}.{_suffix(vector)}.p0{_suffix(vector)}"


def _suffix(vector: Any) -> str:
    """What LLVM appends to the names of its functions of such vectors."""
    return f"v{vector.count}{'f32' if isinstance(vector.element, ir.FloatType) else 'f64'}"


def has_fma() -> bool:
    """Without the instruction, llvm.fma would be a call of the C library for every number."""
    return is_arm() or bool(HOST_FEATURES.get("fma"))


def multiply_add(builder, x: Any, y: Any, z: Any) -> Any:
    """x*y + z, rounded once where the processor can."""
    if not has_fma():
        return builder.fadd(builder.fmul(x, y), z)
    kind = ir.FunctionType(x.type, [x.type] * 3)
    function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fma.{_suffix(x.type)}")
    return builder.call(function, [x, y, z])


def transposed(builder, rows: list[Any]) -> list[Any]:
    """Perfect shuffles: interleaving row i with row i + n/2, log2(n) times, transposes n rows of n numbers."""
    lanes = len(rows)
    low = [lane // 2 + (lanes if lane % 2 else 0) for lane in range(lanes)]
    masks = [
        ir.Constant(ir.VectorType(ir.IntType(32), lanes), [lane + start for lane in low]) for start in (0, lanes // 2)
    ]
    for _ in range(lanes.bit_length() - 1):
        half = lanes // 2
        rows = [builder.shuffle_vector(rows[i], rows[i + half], mask) for i in range(half) for mask in masks]
    return rows


def prefetch(builder, pointer: Any, to_write: bool, near: int) -> None:
    """Fetch a line of memory, 3 to the first cache, 2 to the second."""
    word, byte = ir.IntType(32), ir.IntType(8).as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [byte, *[word] * 3])
    fetched = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
    how = (ir.Constant(word, number) for number in (int(to_write), near, 1))
    builder.call(fetched, [builder.bitcast(pointer, byte), *how])
