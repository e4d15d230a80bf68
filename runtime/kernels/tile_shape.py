"""The shape of the register tile of a matrix product, which is what fits the host's registers, and room for its panels.

AVX-512 takes 12 rows, AVX2 and SSE 6 rows, NEON 8 rows, of two vectors each. Compiled code sees the shape as constants.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from llvmlite import ir

from dlc.runtime.kernels.compilation import intrinsic, is_arm, types, vector_bits
from dlc.runtime.kernels.primitives import is_real
from dlc.runtime.kernels.vectors import WORD, constant
from dlc.runtime.kernels.views import View, make_view

VECTORS = 2
AVX_512 = 64  # bytes of a vector


@dataclass(frozen=True)
class TileShape:
    """`height` rows and `VECTORS` vectors of `lanes` numbers of `bytes` bytes each."""

    real: Any
    bytes: int
    lanes: int
    height: int

    @property
    def width(self) -> int:
        return VECTORS * self.lanes

    @property
    def has_masks(self) -> bool:
        """Whether vectors are read and written in part as fast as whole."""
        return self.lanes * self.bytes == AVX_512

    @property
    def few(self) -> int:
        """The fewest columns that a vector is worth which holds no more: a part of one is read and written by masks."""
        return self.lanes // 4 if self.has_masks else self.lanes

    @property
    def stored_height(self) -> int:
        """Numbers of a column of a tile of A, where that is copied: whole vectors."""
        return -(-self.height // self.lanes) * self.lanes

    @property
    def depth(self) -> int:
        """Steps of k between two visits of C: so many that a panel of B stays in the first cache."""
        return min(256, 32768 // (self.width * self.bytes))


@cache
def tile_shape(real: Any) -> TileShape:
    """The tile that fits the host's registers: accumulators, one row of B and one number of A."""
    bits = vector_bits()
    return shape_for(real, bits, 32 if bits == 512 or is_arm() else 16)


def shape_for(real: Any, bits: int, registers: int) -> TileShape:
    """The tile for so many vector registers of so many bits."""
    height = {(512, 32): 12, (128, 32): 8}.get((bits, registers), 6)
    return TileShape(real, real.bitwidth // 8, bits // real.bitwidth, height)


def shape_number(of: Callable[[TileShape], int], doc: str) -> Any:
    """A number of the tile shape for the type of the argument, as a constant of the compiled code."""

    @intrinsic
    def number(typing_context, like):
        if not is_real(like):
            return None

        def codegen(context, builder, sig, args):
            return constant(of(tile_shape(like)))

        return types.int64(like), codegen

    number.__doc__ = doc
    return number


itemsize = shape_number(lambda shape: shape.bytes, "Bytes of a number.")
lanes = shape_number(lambda shape: shape.lanes, "Numbers in a vector.")
width = shape_number(lambda shape: shape.width, "Columns of a tile.")
few = shape_number(lambda shape: shape.few, "The fewest columns that a vector alone is worth.")
has_masks = shape_number(lambda shape: int(shape.has_masks), "1 if parts of vectors are read as fast as whole ones.")
height = shape_number(lambda shape: shape.height, "Rows of a tile.")
stored_height = shape_number(lambda shape: shape.stored_height, "Numbers of a column of a copied tile of A.")
most_depth = shape_number(lambda shape: shape.depth, "Steps of k between two visits of C, at most.")


def scratch(count: Callable[[TileShape], int], doc: str) -> Any:
    """Memory on the stack of the enclosing function for so many numbers of the argument's type, aligned to 64."""

    @intrinsic
    def memory(typing_context, like):
        if not is_real(like):
            return None
        shape = tile_shape(like)

        def codegen(context, builder, sig, args):
            with builder.goto_entry_block():  # cgutils.alloca_once would fill it with zeros
                space = builder.alloca(ir.ArrayType(ir.IntType(8), count(shape) * shape.bytes))
            space.align = 64
            return builder.ptrtoint(space, WORD)

        return types.int64(like), codegen

    memory.__doc__ = doc
    return memory


#: Panels of B that are copied together, from longer runs of its rows, where k is long; more where it is very short.
PANELS = 4
panel_memory = scratch(lambda shape: PANELS * shape.depth * shape.width, "The address of room for some panels of B.")
#: Bytes of A that are copied together: a part of a second cache, and of the smallest stacks of threads.
COPIED = 1 << 18
column_memory = scratch(lambda shape: COPIED // shape.bytes, "The address of room for tiles of A.")
block_memory = scratch(lambda shape: shape.height * shape.width, "The address of room for one tile.")


@intrinsic
def flat(typing_context, address, like):
    """The numbers from an address on, of the type of `like`, as a view of one axis."""
    if not is_real(like):
        return None
    view = View(like, (None,))

    def codegen(context, builder, sig, args):
        return make_view(context, builder, view, args[0], [constant(2**62)])

    return view(types.int64, like), codegen
