"""The register tile of a matrix product, written as explicit vectors: LLVM does not find it from loops.

``tile`` keeps `height` rows times one or two vectors of C in registers while it walks along k: for every k it loads two
vectors of B and, for every row, spreads one number of A. Shapes follow the host's registers: AVX-512 12 rows, AVX2 and
SSE 6 rows, NEON 8 rows.
All operands are addresses with strides in elements; A may be transposed, the rows of B and C are contiguous.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core import cgutils

from dlc.runtime.kernels.compilation import HOST_FEATURES, intrinsic, native, prefer_wide_vectors, types, vector_bits
from dlc.runtime.kernels.primitives import call, is_real, suffix
from dlc.runtime.kernels.vectors import WORD, constant, masked_load, masked_store, splat, vectors_from
from dlc.runtime.kernels.views import View, make_view

VECTORS = 2
AVX_512 = 64  # bytes of a vector
#: Bytes of a line of the cache, and how many of them are fetched at once.
LINE, AT_ONCE = 64, 12


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
    return shape_for(real, bits, 32 if bits == 512 or _is_arm() else 16)


def shape_for(real: Any, bits: int, registers: int) -> TileShape:
    """The tile for so many vector registers of so many bits."""
    height = {(512, 32): 12, (128, 32): 8}.get((bits, registers), 6)
    return TileShape(real, real.bitwidth // 8, bits // real.bitwidth, height)


def _is_arm() -> bool:
    return bool(HOST_FEATURES.get("neon"))


def has_fma() -> bool:
    """Without the instruction, llvm.fma would be a call of the C library for every number."""
    return _is_arm() or bool(HOST_FEATURES.get("fma"))


def multiply_add(builder, x: Any, y: Any, z: Any) -> Any:
    if not has_fma():
        return builder.fadd(builder.fmul(x, y), z)
    element = "f32" if isinstance(x.type.element, ir.FloatType) else "f64"
    name = f"llvm.fma.v{x.type.count}{element}"
    function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(x.type, [x.type] * 3), name)
    return builder.call(function, [x, y, z])


def below(builder, shape: TileShape, columns: Any) -> list[Any]:
    """For each vector of a row which of its numbers stand before that column."""
    places = [list(range(n * shape.lanes, (n + 1) * shape.lanes)) for n in range(VECTORS)]
    vector = ir.VectorType(ir.IntType(64), shape.lanes)
    return [
        builder.icmp_signed("<", ir.Constant(vector, each), splat(builder, columns, shape.lanes)) for each in places
    ]


def loaded(builder, shape: TileShape, spot: Any, mask: Any) -> Any:
    """A vector, or what a mask lets through of it."""
    return builder.load(spot, align=shape.bytes) if mask is None else masked_load(builder, spot, mask, shape.bytes)


def stored(builder, shape: TileShape, value: Any, spot: Any, mask: Any) -> None:
    if mask is None:
        builder.store(value, spot, align=shape.bytes)
    else:
        masked_store(builder, value, spot, mask, shape.bytes)


def keep_rolled(branch: Any) -> None:
    """Have LLVM leave the loop that this branch closes as it is: two steps at once do not fit into the registers."""
    module = branch.parent.parent.module
    name = module.add_metadata([module.add_metadata(["llvm.loop"])])
    name.operands = (name, module.add_metadata(["llvm.loop.unroll.disable"]))  # such a node names itself
    branch.set_metadata("llvm.loop", name)


def in_this_order(builder, shape: TileShape, values: list[Any]) -> list[Any]:
    """The same values, with all that is read behind them in the code read after them: with AVX-512, LLVM would read the
    numbers of all rows first, and have no register left to hold the sums.
    """
    if not shape.has_masks:
        return values
    kinds = [value.type for value in values]
    result = kinds[0] if len(kinds) == 1 else ir.LiteralStructType(kinds)
    constraints = ["=v"] * len(kinds) + [str(i) for i in range(len(kinds))] + ["~{memory}"]
    pinned = builder.asm(ir.FunctionType(result, kinds), "", ",".join(constraints), values, side_effect=True)
    return [pinned] if len(kinds) == 1 else [builder.extract_value(pinned, i) for i in range(len(kinds))]


def sums_of_products(
    builder,
    shape: TileShape,
    element: Any,
    height: int,
    vectors: int,
    k: Any,
    numbers_at: Callable[[Any], list[Any]],
    vectors_at: Callable[[Any], list[Any]],
) -> list[list[Any]]:
    """The sums over the steps below k (at least one) of `height` numbers of A, each times `vectors` of B, as the
    registers that hold them.  ``numbers_at`` gives the pointers to the numbers of a step, ``vectors_at`` its vectors.
    """
    vector = ir.VectorType(element, shape.lanes)
    before, loop, done = builder.block, builder.append_basic_block("k"), builder.append_basic_block("store")
    builder.branch(loop)
    builder.position_at_end(loop)
    step = builder.phi(WORD)
    step.add_incoming(constant(0), before)
    sums = [[builder.phi(vector) for _ in range(vectors)] for _ in range(height)]
    loaded = vectors_at(step)
    for number, accumulators in zip(numbers_at(step), sums, strict=True):
        spread = splat(builder, builder.load(number, align=shape.bytes), shape.lanes)
        added = [multiply_add(builder, spread, part, total) for total, part in zip(accumulators, loaded, strict=True)]
        for accumulator, total in zip(accumulators, in_this_order(builder, shape, added), strict=True):
            accumulator.add_incoming(ir.Constant(vector, [0.0] * shape.lanes), before)
            accumulator.add_incoming(total, loop)
    following = builder.add(step, constant(1))
    step.add_incoming(following, loop)
    keep_rolled(builder.cbranch(builder.icmp_signed("<", following, k), loop, done))
    builder.position_at_end(done)
    return [[accumulator.incomings[1][0] for accumulator in row] for row in sums]


def of_any_height(builder, shape: TileShape, height: Any, body: Callable[[int], None]) -> None:
    """The tile of each height up to the shape's, of which the one is run that `height` tells."""
    prefer_wide_vectors(builder.function)
    end = builder.append_basic_block("tile.end")
    blocks = [builder.append_basic_block(f"tile.{rows}") for rows in range(1, shape.height + 1)]
    switch = builder.switch(height, end)
    for rows, block in enumerate(blocks, start=1):
        switch.add_case(constant(rows), block)
        builder.position_at_end(block)
        body(rows)
        builder.branch(end)
    builder.position_at_end(end)


def expected(
    builder, shape: TileShape, height: int, vectors: int, k: Any, places_of: Callable[[Any], list[Any]]
) -> Callable[[Any], None]:
    """Fetch the lines of memory, those of each row's places, that are written after the sums: they arrive meanwhile.
    Of many lines, this fetches all at once only where there are fewer steps than rows; otherwise what it returns does,
    called in each step with its number: those of one row, for many at once wait for one another, and what is read, for
    them.
    """

    def fetch_row(row: Any) -> None:
        for place in places_of(row):
            prefetch(builder, place, to_write=True, near=3)

    def fetch_row_of_step(step: Any) -> None:
        is_row = builder.icmp_signed("<", step, constant(height - 1))
        fetch_row(builder.select(is_row, step, constant(height - 1)))

    if height * vectors * shape.lanes * shape.bytes <= AT_ONCE * LINE:
        for row in range(height):
            fetch_row(constant(row))
        return lambda step: None
    with builder.if_then(builder.icmp_signed("<", k, constant(height))):
        for row in range(height):
            fetch_row(constant(row))
    return fetch_row_of_step


def prefetch(builder, pointer: Any, to_write: bool, near: int) -> None:
    """Fetch a line of memory, 3 to the first cache, 2 to the second."""
    word, byte = ir.IntType(32), ir.IntType(8).as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [byte, *[word] * 3])
    fetched = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
    how = (ir.Constant(word, number) for number in (int(to_write), near, 1))
    builder.call(fetched, [builder.bitcast(pointer, byte), *how])


def tile_body(builder, shape: TileShape, height: int, vectors: int, arguments, in_part: bool = False) -> None:
    """C[height, vectors*lanes] = beta*D + alpha * A.B at the builder's position; D is not read where beta is 0. The
    numbers of a row of D lie side by side, or are one number if `column_d` is 0. In each step a line of what comes
    next is fetched, `row_coming` numbers from the one before: many at a time would wait for one another."""
    a, row_a, column_a, b, row_b, k, c, row_c, columns, d, row_d, column_d, coming, row_coming, alpha, beta = arguments
    mask = below(builder, shape, columns)[0] if in_part else None
    vector = ir.VectorType(alpha.type, shape.lanes)
    a, b, c, d, coming = (builder.inttoptr(address, alpha.type.as_pointer()) for address in (a, b, c, d, coming))
    rows, rows_of_c, rows_of_d = (
        [builder.gep(first, [builder.mul(step, constant(i))]) for i in range(height)]
        for first, step in ((a, row_a), (c, row_c), (d, row_d))
    )
    spots = [vectors_from(builder, row, vector, vectors) for row in rows_of_c]
    # Where the last numbers of vectors lie: a vector may begin on the line that the panel before it has written to.
    first_end = builder.gep(c, [constant(shape.lanes - 1)])

    def side_by_side(row: Any) -> list[Any]:
        return [loaded(builder, shape, spot, mask) for spot in vectors_from(builder, row, vector, vectors)]

    def ends_of(row: Any) -> list[Any]:
        return vectors_from(builder, builder.gep(first_end, [builder.mul(row_c, row)]), vector, vectors)

    fetch_in_step = expected(builder, shape, height, vectors, k, ends_of)

    def vectors_at(step: Any) -> list[Any]:
        row = builder.gep(b, [builder.mul(step, row_b)])
        fetch_in_step(step)
        prefetch(builder, builder.gep(coming, [builder.mul(step, row_coming)]), to_write=False, near=2)
        return side_by_side(row)

    results = sums_of_products(
        builder,
        shape,
        alpha.type,
        height,
        vectors,
        k,
        lambda step: [builder.gep(row, [builder.mul(step, column_a)]) for row in rows],
        vectors_at,
    )
    wide_alpha, wide_beta = splat(builder, alpha, shape.lanes), splat(builder, beta, shape.lanes)
    scaled = [[builder.fmul(wide_alpha, result, flags=("contract",)) for result in row] for row in results]
    overwrites = builder.fcmp_ordered("==", beta, ir.Constant(beta.type, 0.0))

    def add(terms: Callable[[Any], list[Any]]) -> None:
        for row, values, places in zip(rows_of_d, scaled, spots, strict=True):
            for term, value, spot in zip(terms(row), values, places, strict=True):
                kept = builder.fmul(wide_beta, term, flags=("contract",))
                stored(builder, shape, builder.fadd(kept, value, flags=("contract",)), spot, mask)

    def one_number(row: Any) -> list[Any]:
        return [splat(builder, builder.load(row, align=shape.bytes), shape.lanes)] * vectors

    with builder.if_else(overwrites) as (overwrite, otherwise):
        with overwrite:
            for values, places in zip(scaled, spots, strict=True):
                for value, spot in zip(values, places, strict=True):
                    stored(builder, shape, value, spot, mask)
        with otherwise, builder.if_else(builder.icmp_signed("==", column_d, constant(0))) as (spread, read):
            with spread:
                add(one_number)
            with read:
                add(side_by_side)


def tile_product(vectors: int) -> Any:
    """``tile(height, a, row_a, column_a, b, row_b, k, c, row_c, columns, d, row_d, column_d, coming, row_coming, alpha,
    beta)``: k >= 1, height at most the shape's. With one vector and masks, only so many columns are read and written;
    otherwise all that the vectors hold."""

    @intrinsic
    def tile(
        typing_context, height, a, row_a, column_a, b, row_b, k, c, row_c, columns, d, row_d, column_d, coming,
        row_coming, alpha, beta,
    ):  # fmt: skip
        if not is_real(alpha, beta):
            return None
        shape = tile_shape(alpha)

        def codegen(context, builder, sig, args):
            def tiles(in_part: bool) -> None:
                body = lambda rows: tile_body(builder, shape, rows, vectors, args[1:], in_part)  # noqa: E731
                of_any_height(builder, shape, args[0], body)

            if vectors > 1 or not shape.has_masks:
                tiles(in_part=False)
                return context.get_dummy_value()
            is_part = builder.icmp_signed("<", args[9], constant(shape.lanes))
            with builder.if_else(is_part) as (part, whole):
                with part:
                    tiles(in_part=True)
                with whole:  # masks take longer
                    tiles(in_part=False)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 15, alpha, alpha), codegen

    return tile


def copy_of(count: Callable[[TileShape], int], doc: str) -> Any:
    """``copy(source, target, like)``: so many numbers of the type of `like`, in whole vectors."""

    @intrinsic
    def copy(typing_context, source, target, like):
        if not is_real(like):
            return None
        shape = tile_shape(like)

        def codegen(context, builder, sig, args):
            vector = ir.VectorType(args[2].type, shape.lanes)
            pointers = (builder.inttoptr(address, args[2].type.as_pointer()) for address in args[:2])
            vectors = count(shape) // shape.lanes
            spots, targets = (vectors_from(builder, pointer, vector, vectors) for pointer in pointers)
            for spot, place in zip(spots, targets, strict=True):
                builder.store(builder.load(spot, align=shape.bytes), place, align=shape.bytes)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 2, like), codegen

    copy.__doc__ = doc
    return copy


@intrinsic
def fetch(typing_context, address):
    """Have the line of memory at an address brought to the second cache: it will be read."""

    def codegen(context, builder, sig, args):
        prefetch(builder, builder.inttoptr(args[0], ir.IntType(8).as_pointer()), to_write=False, near=2)
        return context.get_dummy_value()

    return types.void(types.int64), codegen


copy_row = copy_of(lambda shape: shape.width, "Copy as many numbers as a tile is wide.")
copy_column = copy_of(lambda shape: shape.stored_height, "Copy as many numbers as a tile is high, in whole vectors.")


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


_tile_1, _tile_2 = tile_product(1), tile_product(2)


def one_vector(
    height, a, row_a, column_a, b, row_b, k, c, row_c, columns, d, row_d, column_d, coming, row_coming, alpha, beta
):  # fmt: skip
    """A tile of one vector."""
    _tile_1(
        height, a, row_a, column_a, b, row_b, k, c, row_c, columns, d, row_d, column_d, coming, row_coming, alpha, beta
    )


def two_vectors(
    height, a, row_a, column_a, b, row_b, k, c, row_c, columns, d, row_d, column_d, coming, row_coming, alpha, beta
):  # fmt: skip
    """A tile of two vectors."""
    _tile_2(
        height, a, row_a, column_a, b, row_b, k, c, row_c, columns, d, row_d, column_d, coming, row_coming, alpha, beta
    )


def tile_symbol(real: Any, vectors: int) -> str:
    return f"dlc_tile_{suffix(real)}_{vectors}"


def load_tiles(real: Any) -> None:
    """Compile the tiles for one type, or load them, and make them known by their symbols."""
    signature = types.void(*[types.int64] * 15, real, real)
    for vectors, function in ((1, one_vector), (2, two_vectors)):
        llvm.add_symbol(tile_symbol(real, vectors), native(signature)(function).address)


def tile_call(vectors: int) -> Any:
    """The tile of that many vectors, called by symbol."""

    @intrinsic
    def tile(
        typing_context, height, a, row_a, column_a, b, row_b, k, c, row_c, columns, d, row_d, column_d, coming,
        row_coming, alpha, beta,
    ):  # fmt: skip
        if not is_real(alpha, beta):
            return None

        def codegen(context, builder, sig, args):
            call(builder, tile_symbol(alpha, vectors), ir.VoidType(), args)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 15, alpha, alpha), codegen

    return tile


narrow_tile, full_tile = tile_call(1), tile_call(2)
