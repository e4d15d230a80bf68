"""Views: typed windows on memory that compiled code indexes like arrays, `x[b, i]`, and the table that holds them.

A view is an address with a dtype and extents, contiguous in row-major order. An extent that is a literal belongs to the
type, so strides become constants; the others travel with the address. Compared with Numba's arrays there is no
reference count, no negative index that wraps around, and no packing of strides: kernels compile in half the time, and
loops over `range(lo, hi)` vectorise whatever the bounds are. With fewer subscripts than axes, the last one counts
through all the axes that are left. An index outside the extents is undefined behaviour.

A *table* is an int64 vector; `f32(table, slot, *extents)` is the view at the address in that slot, `size(table, slot)`
the integer in it. Views are made and used inside compiled code only; they can be passed to kernels.
"""

from __future__ import annotations

import operator
from typing import Any

from llvmlite import ir
from numba.core import cgutils
from numba.core.typing import templates
from numba.core.typing.templates import AbstractTemplate, signature
from numba.extending import lower_builtin, models, register_model

from dlc.runtime.kernels.compilation import intrinsic, types

WORD = ir.IntType(64)
#: Registers how an operator is typed; a type checker takes it for None.
resolves: Any = templates.infer_global


class View(types.Type):
    """The Numba type of a view; an extent of None is known at run time only."""

    def __init__(self, dtype: Any, extents: tuple[int | None, ...]) -> None:
        self.dtype = dtype
        self.extents = extents
        super().__init__(f"View({dtype}, {extents})")

    @property
    def key(self) -> Any:
        return self.dtype, self.extents


@register_model(View)
class ViewModel(models.StructModel):
    """The address, and the extents that are not literals."""

    def __init__(self, manager, view):
        dynamic = [(f"extent{axis}", types.int64) for axis, extent in enumerate(view.extents) if extent is None]
        super().__init__(manager, view, [("data", types.CPointer(view.dtype)), *dynamic])


def extents_of(context, builder, view, value) -> list[Any]:
    proxy = cgutils.create_struct_proxy(view)(context, builder, value)
    return [
        ir.Constant(WORD, extent) if extent is not None else getattr(proxy, f"extent{axis}")
        for axis, extent in enumerate(view.extents)
    ]


def element_pointer(context, builder, view, value, subscripts) -> Any:
    """The address of an element, by Horner's rule over the extents."""
    *leading, last = subscripts
    offset = None
    for axis, extent in enumerate(extents_of(context, builder, view, value)):
        if offset is not None:
            offset = builder.mul(offset, extent, flags=("nsw",))
        if axis < len(leading):
            offset = leading[axis] if offset is None else builder.add(offset, leading[axis], flags=("nsw",))
    offset = last if offset is None else builder.add(offset, last, flags=("nsw",))
    data = cgutils.create_struct_proxy(view)(context, builder, value).data
    return builder.gep(data, [offset], inbounds=True)


def subscripts_type(view: View, index: Any) -> Any:
    """The type that an index is converted to, None if it does not fit the view: at most as many integers as axes."""
    if isinstance(index, types.Integer):
        return types.int64
    if not isinstance(index, types.BaseTuple) or not 0 < len(index) <= len(view.extents):
        return None
    if not all(isinstance(part, types.Integer) for part in index):
        return None
    return types.UniTuple(types.int64, len(index))


def subscripts_of(builder, index, value) -> list[Any]:
    return cgutils.unpack_tuple(builder, value) if isinstance(index, types.BaseTuple) else [value]


@resolves(operator.getitem)
class ReadElement(AbstractTemplate):
    """view[subscripts]"""

    def generic(self, args, kws):
        view, index = args
        if isinstance(view, View) and (subscripts := subscripts_type(view, index)):
            return signature(view.dtype, view, subscripts)


@resolves(operator.setitem)
class WriteElement(AbstractTemplate):
    """view[subscripts] = value"""

    def generic(self, args, kws):
        view, index, _ = args
        if isinstance(view, View) and (subscripts := subscripts_type(view, index)):
            return signature(types.none, view, subscripts, view.dtype)


@lower_builtin(operator.getitem, View, types.Any)
def lower_read(context, builder, sig, args):
    view, index = sig.args
    pointer = element_pointer(context, builder, view, args[0], subscripts_of(builder, index, args[1]))
    return context.unpack_value(builder, view.dtype, pointer)


@lower_builtin(operator.setitem, View, types.Any, types.Any)
def lower_write(context, builder, sig, args):
    view, index, _ = sig.args
    pointer = element_pointer(context, builder, view, args[0], subscripts_of(builder, index, args[1]))
    context.pack_value(builder, view.dtype, args[2], pointer)
    return context.get_dummy_value()


def make_view(context, builder, view, address, extents) -> Any:
    proxy = cgutils.create_struct_proxy(view)(context, builder)
    proxy.data = builder.inttoptr(address, proxy.data.type)
    for axis, extent in enumerate(view.extents):
        if extent is None:
            setattr(proxy, f"extent{axis}", extents[axis])
    return proxy._getvalue()


def slot_value(builder, table, slot) -> Any:
    return builder.load(builder.gep(builder.inttoptr(table, WORD.as_pointer()), [slot]))


def view_type(dtype: Any, extents: Any) -> View | None:
    """Of `extents` as the typing of a starred argument gives them: types of integers."""
    if len(extents) == 1 and isinstance(extents[0], types.BaseTuple | tuple):
        extents = tuple(extents[0])
    if not extents or not all(isinstance(extent, types.Integer) for extent in extents):
        return None
    return View(dtype, tuple(getattr(extent, "literal_value", None) for extent in extents))


def literals(view: View) -> tuple[Any, ...]:
    """The types of the extents in a constructor's signature.

    Numba looks a compiled constructor up by the types of its arguments alone, so those must tell views apart.
    """
    return tuple(types.int64 if extent is None else types.literal(extent) for extent in view.extents)


def table_view(dtype: Any) -> Any:
    """The constructor `name(table, slot, *extents)` of views of one dtype."""

    @intrinsic(prefer_literal=True)
    def view(typing_context, table, slot, *extents):
        result = view_type(dtype, extents)
        if result is None:
            return None
        rest = types.StarArgTuple(literals(result))

        def codegen(context, builder, sig, args):
            address = slot_value(builder, args[0], args[1])
            return make_view(context, builder, result, address, cgutils.unpack_tuple(builder, args[2]))

        return result(types.int64, types.int64, rest), codegen

    return view


def address_view(dtype: Any) -> Any:
    """The constructor `name(address, *extents)` of views of one dtype."""

    @intrinsic(prefer_literal=True)
    def view(typing_context, address, *extents):
        result = view_type(dtype, extents)
        if result is None:
            return None
        rest = types.StarArgTuple(literals(result))

        def codegen(context, builder, sig, args):
            return make_view(context, builder, result, args[0], cgutils.unpack_tuple(builder, args[1]))

        return result(types.int64, rest), codegen

    return view


f32, f64 = table_view(types.float32), table_view(types.float64)
i32, i64, u8 = table_view(types.int32), table_view(types.int64), table_view(types.uint8)
b1 = table_view(types.boolean)
f32_at, f64_at = address_view(types.float32), address_view(types.float64)


@intrinsic
def size(typing_context, table, slot):
    """The integer in a slot of the table."""

    def codegen(context, builder, sig, args):
        return slot_value(builder, *args)

    return types.int64(types.int64, types.int64), codegen


@intrinsic
def address(typing_context, view, *subscripts):
    """The address of an element of a view as a typed pointer: what `gemm_f32` and `gemm_f64` take."""
    if len(subscripts) == 1 and isinstance(subscripts[0], types.BaseTuple | tuple):
        subscripts = tuple(subscripts[0])
    if not isinstance(view, View) or len(subscripts) != len(view.extents):
        return None
    rest = types.StarArgTuple((types.int64,) * len(subscripts))

    def codegen(context, builder, sig, args):
        return element_pointer(context, builder, view, args[0], cgutils.unpack_tuple(builder, args[1]))

    return types.CPointer(view.dtype)(view, rest), codegen
