"""Vectors in LLVM's language: made of one number, found in memory, read and written in part."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils

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
    kind = f"v{vector.count}{'f32' if isinstance(vector.element, ir.FloatType) else 'f64'}"
    return f"llvm.masked.{what}.{kind}.p0{kind}"
