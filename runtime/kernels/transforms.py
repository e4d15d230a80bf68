"""Winograd's F(2,3) along one axis: what becomes of rows of numbers, many tiles side by side.

Two results of three taps take four products of sums: with data x, taps k and results y of a tile,

    y[r] = sum[p] k[p]*x[r+p]        m[a] = (G k)[a] * (B x)[a]        y[r] = (A' m)[r]

and the derivative by the taps is ``d_k = G' ((A d_y) * (B x))``. Each function here takes one step of one axis: across
rows, element by element, or along a row, whose tiles begin at every second number. They are loops over vectors, written
as such; rows are given by their addresses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from llvmlite import ir
from numba.core import cgutils

from dlc.runtime.kernels.compilation import intrinsic, prefer_wide_vectors, types
from dlc.runtime.kernels.primitives import call, is_real, suffix
from dlc.runtime.kernels.tile_shape import tile_shape
from dlc.runtime.kernels.vectors import constant, masked_load, masked_store, splat

#: From the values of all rows to those of the results; `half` is 0.5 in their type.
Formula = Callable[[Any, Sequence[Any], Any], Sequence[Any]]


@dataclass
class _Lanes:
    """So many numbers at a time, at a builder's position: 1 is a number, and no vector. If there is a `count`, only
    so many of a vector are there."""

    builder: Any
    element: Any
    lanes: int
    bytes: int
    count: Any = None

    @property
    def type(self) -> Any:
        return self.element if self.lanes == 1 else ir.VectorType(self.element, self.lanes)

    def pointer(self, row: Any, place: Any, kind: Any) -> Any:
        start = self.builder.gep(self.builder.inttoptr(row, self.element.as_pointer()), [place])
        return self.builder.bitcast(start, kind.as_pointer())

    def mask(self, times: int, vector: int) -> Any:
        """Which numbers of a vector are there, of `times` as many; None if all are."""
        if self.count is None:
            return None
        places = [ir.IntType(64)(vector * self.lanes + n) for n in range(self.lanes)]
        stop = splat(self.builder, self.builder.mul(self.count, constant(times)), self.lanes)
        return self.builder.icmp_signed("<", ir.Constant(stop.type, places), stop)

    def load(self, row: Any, place: Any, times: int = 1, vector: int = 0) -> Any:
        spot, mask = self.pointer(row, place, self.type), self.mask(times, vector)
        if mask is not None:
            return masked_load(self.builder, spot, mask, self.bytes)
        return self.builder.load(spot, align=self.bytes)

    def store(self, value: Any, row: Any, place: Any, times: int = 1, vector: int = 0) -> None:
        spot, mask = self.pointer(row, place, self.type), self.mask(times, vector)
        if mask is not None:
            masked_store(self.builder, value, spot, mask, self.bytes)
        else:
            self.builder.store(value, spot, align=self.bytes)

    def shuffled(self, one: Any, other: Any, order: Sequence[int]) -> Any:
        places = ir.Constant(ir.VectorType(ir.IntType(32), len(order)), [ir.IntType(32)(n) for n in order])
        return self.builder.shuffle_vector(one, other, places)

    def load_below(self, row: Any, place: Any, stop: Any) -> Any:
        """The numbers before `stop`, and zeros behind them; all are if there is no stop."""
        if stop is None:
            return self.load(row, place)
        builder, spot = self.builder, self.pointer(row, place, self.type)
        if self.lanes > 1:
            places = ir.Constant(ir.VectorType(ir.IntType(64), self.lanes), list(range(self.lanes)))
            left = splat(builder, builder.sub(stop, place), self.lanes)
            return masked_load(builder, spot, builder.icmp_signed("<", places, left), self.bytes)
        is_there, first = builder.icmp_signed("<", place, stop), self.pointer(row, constant(0), self.type)
        number = builder.load(builder.select(is_there, spot, first), align=self.bytes)
        return builder.select(is_there, number, self.spread(0.0))

    def load_pairs(self, row: Any, first: Any, stop: Any) -> list[Any]:
        """The numbers at even places from the first on, and those at odd ones, as far as they stand before `stop`."""
        one, other = (self.load_below(row, self.builder.add(first, constant(n * self.lanes)), stop) for n in (0, 1))
        if self.lanes == 1:
            return [one, other]
        return [self.shuffled(one, other, range(n, 2 * self.lanes, 2)) for n in (0, 1)]

    def store_pairs(self, even: Any, odd: Any, row: Any, place: Any) -> None:
        first, halves = self.builder.mul(place, constant(2)), [even, odd]
        if self.lanes > 1:
            mixed = [n // 2 + n % 2 * self.lanes for n in range(2 * self.lanes)]
            halves = [self.shuffled(even, odd, mixed[: self.lanes]), self.shuffled(even, odd, mixed[self.lanes :])]
        for n, half in enumerate(halves):
            self.store(half, row, self.builder.add(first, constant(n * self.lanes)), 2, n)

    def gather(self, row: Any, place: Any, step: Any) -> Any:
        """Numbers that lie `step` apart."""
        found = ir.Constant(self.type, ir.Undefined)
        for n in range(self.lanes):
            there = self.builder.mul(self.builder.add(place, constant(n)), step)
            number = self.builder.load(self.pointer(row, there, self.element), align=self.bytes)
            if self.lanes == 1:
                return number
            found = self.builder.insert_element(found, number, ir.IntType(32)(n))
        return found

    def spread(self, number: float) -> Any:
        return ir.Constant(self.type, number if self.lanes == 1 else [number] * self.lanes)


def _rows(formula: Formula, sources: int, targets: int, how: str = "") -> Any:
    """``f(*sources, *targets, count, like)``, or ``f(*sources, *targets, step, count, like)`` where `how` is `step`.

    `results`: the one target has tiles side by side; it and `taps`, whose targets are the sources, take one more row,
    as long as a vector: the sum of its numbers grows by that of all results.
    """

    @intrinsic
    def function(typing_context, *given):
        given = tuple(given[0]) if len(given) == 1 else given
        like = given[-1]
        if not is_real(like):
            return None
        shape = tile_shape(like)

        def codegen(context, builder, sig, args):
            prefer_wide_vectors(builder.function)
            *rows, count, one = args
            whole = builder.and_(count, constant(-shape.lanes))
            rest = builder.sub(count, whole) if shape.has_masks and how != "step" else None
            in_part = (shape.lanes if rest is not None else 1, rest)
            for start, stop, lanes, rest in ((constant(0), whole, shape.lanes, None), (whole, count, *in_part)):
                step = _Lanes(builder, one.type, lanes, shape.bytes, rest)
                total = None
                if how in ("results", "taps"):
                    total = cgutils.alloca_once_value(builder, step.spread(0.0))
                    builder.store(step.spread(0.0), total)
                with cgutils.for_range_slice(builder, start, stop, constant(lanes), inc=True) as (place, _):
                    _one_step(step, formula, rows[:sources], rows[sources:], place, how, total)
                if total is not None:
                    sums = step.pointer(rows[-1], constant(0), step.type)
                    before = builder.load(sums, align=shape.bytes)
                    builder.store(builder.fadd(before, builder.load(total)), sums, align=shape.bytes)
            return context.get_dummy_value()

        return types.void(*[types.int64] * (len(given) - 1), like), codegen

    return function


def _one_step(
    step: _Lanes, formula: Formula, sources: Sequence[Any], others: Sequence[Any], place: Any, how: str, total: Any
) -> None:
    builder = step.builder
    if how == "step":
        values = [step.gather(row, place, others[-1]) for row in sources]
    else:
        values = [step.load(row, place) for row in sources]
    found = formula(builder, values, step.spread(0.5))
    if how == "results":
        step.store_pairs(found[0], found[1], others[0], place)
    else:
        for value, row in zip(found, sources if how == "taps" else others, strict=False):
            step.store(value, row, place)
    if total is not None:
        for value in found:
            builder.store(builder.fadd(builder.load(total), value), total)


def _tiles(formula: Formula, sources: int) -> Any:
    """``f(*sources, target, apart, step, count, have, like)``: of a row of tiles the planes, which lie `apart` bytes
    apart. The tiles stand side by side in all sources, of which `have` numbers are there, and then zeros; each also
    reads the two numbers `step` further on, if it has four rows. What one axis makes stays in registers for the other.
    """

    @intrinsic
    def function(typing_context, *given):
        given = tuple(given[0]) if len(given) == 1 else given
        like = given[-1]
        if not is_real(like):
            return None
        shape = tile_shape(like)

        def codegen(context, builder, sig, args):
            prefer_wide_vectors(builder.function)
            *rows, target, apart, further, count, have, one = args
            firsts = [constant(0)] if sources == 2 else [constant(0), further]
            pairs = builder.ashr(builder.sub(have, firsts[-1]), constant(1))
            in_all = builder.select(builder.icmp_signed("<", pairs, count), pairs, count)
            whole = builder.and_(in_all, constant(-shape.lanes))
            whole = builder.select(builder.icmp_signed("<", whole, constant(0)), constant(0), whole)

            def some(start: Any, stop: Any, lanes: int, is_part: bool) -> None:
                with cgutils.for_range_slice(builder, start, stop, constant(lanes), inc=True) as (place, _):
                    left = builder.sub(count, place) if is_part and lanes > 1 else None
                    step, limit = _Lanes(builder, one.type, lanes, shape.bytes, left), have if is_part else None
                    spots = [builder.add(builder.mul(place, constant(2)), first) for first in firsts]
                    values = [[v for spot in spots for v in step.load_pairs(row, spot, limit)] for row in rows]
                    across = [formula(builder, column, step.spread(0.5)) for column in zip(*values, strict=True)]
                    for p, row in enumerate(zip(*across, strict=True)):
                        for q, value in enumerate(formula(builder, row, step.spread(0.5))):
                            plane = builder.add(target, builder.mul(apart, constant(4 * p + q)))
                            step.store(value, plane, place)

            some(constant(0), whole, shape.lanes, False)
            for lanes in (shape.lanes // 4, shape.lanes // 2) if shape.has_masks else ():  # stored in less time
                is_enough = builder.icmp_signed("<=", builder.sub(count, whole), constant(lanes))
                stop = builder.select(is_enough, count, whole)
                some(whole, stop, lanes, True)
                whole = stop
            some(whole, count, shape.lanes if shape.has_masks else 1, True)
            return context.get_dummy_value()

        return types.void(*[types.int64] * (len(given) - 1), like), codegen

    return function


def _data(b: Any, x: Sequence[Any], half: Any) -> Sequence[Any]:
    """B x"""
    return b.fsub(x[0], x[2]), b.fadd(x[1], x[2]), b.fsub(x[2], x[1]), b.fsub(x[1], x[3])


def _spread(b: Any, y: Sequence[Any], half: Any) -> Sequence[Any]:
    """A y"""
    return y[0], b.fadd(y[0], y[1]), b.fsub(y[0], y[1]), b.fneg(y[1])


def _taps_spread(b: Any, k: Sequence[Any], half: Any) -> Sequence[Any]:
    """G k"""
    ends = b.fadd(k[0], k[2])
    return k[0], b.fmul(half, b.fadd(ends, k[1])), b.fmul(half, b.fsub(ends, k[1])), k[2]


def _pair_spread(b: Any, k: Sequence[Any], half: Any) -> Sequence[Any]:
    """G k without a third tap, and without the last product, which is 0"""
    return k[0], b.fmul(half, b.fadd(k[0], k[1])), b.fmul(half, b.fsub(k[0], k[1]))


def _results(b: Any, m: Sequence[Any], half: Any) -> Sequence[Any]:
    """A' m"""
    return b.fadd(b.fadd(m[0], m[1]), m[2]), b.fsub(b.fsub(m[1], m[2]), m[3])


def _taps(b: Any, m: Sequence[Any], half: Any) -> Sequence[Any]:
    """G' m"""
    both, apart = b.fmul(half, b.fadd(m[1], m[2])), b.fmul(half, b.fsub(m[1], m[2]))
    return b.fadd(m[0], both), apart, b.fadd(m[3], both)


def _pair(b: Any, m: Sequence[Any], half: Any) -> Sequence[Any]:
    """The first two of G' m, of which the last product is no part"""
    return b.fadd(m[0], b.fmul(half, b.fadd(m[1], m[2]))), b.fmul(half, b.fsub(m[1], m[2]))


data_tiles, spread_tiles = _tiles(_data, 4), _tiles(_spread, 2)
taps_spread, pair_spread = _rows(_taps_spread, 3, 4, "step"), _rows(_pair_spread, 2, 3, "step")
results_across, results_along = _rows(_results, 4, 2), _rows(_results, 4, 1, "results")
taps, pair = _rows(_taps, 4, 0, "taps"), _rows(_pair, 3, 0, "taps")


@intrinsic
def copied_plus(typing_context, source, target, count, number):
    """Copies of numbers, with one number added to each."""
    if not is_real(number):
        return None
    shape = tile_shape(number)

    def codegen(context, builder, sig, args):
        prefer_wide_vectors(builder.function)
        source, target, count, number = args
        whole = builder.and_(count, constant(-shape.lanes))
        rest = builder.sub(count, whole) if shape.has_masks else None
        at_a_time = shape.lanes if shape.has_masks else 1
        for start, stop, lanes, left in ((constant(0), whole, shape.lanes, None), (whole, count, at_a_time, rest)):
            step = _Lanes(builder, number.type, lanes, shape.bytes, left)
            added = number if lanes == 1 else splat(builder, number, lanes)
            with cgutils.for_range_slice(builder, start, stop, constant(lanes), inc=True) as (place, _):
                step.store(builder.fadd(step.load(source, place), added), target, place)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 3, number), codegen


@intrinsic
def exchanged(typing_context, source, target, count, like):
    """Of every four numbers the middle two change places; `count` is a multiple of four."""
    if not is_real(like):
        return None
    lanes = max(tile_shape(like).lanes, 4)

    def codegen(context, builder, sig, args):
        prefer_wide_vectors(builder.function)
        source, target, count, one = args
        whole = builder.and_(count, constant(-lanes))
        for width, start, stop in ((lanes, constant(0), whole), (4, whole, count)):
            step = _Lanes(builder, one.type, width, tile_shape(like).bytes)
            order = [n + (0, 1, -1, 0)[n % 4] for n in range(width)]
            with cgutils.for_range_slice(builder, start, stop, constant(width), inc=True) as (place, _):
                row = step.load(source, place)
                step.store(step.shuffled(row, row, order), target, place)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 3, like), codegen


@intrinsic
def finite(typing_context, x):
    """Whether a number is neither infinite nor nan."""
    if not is_real(x):
        return None

    def codegen(context, builder, sig, args):
        size = call(builder, f"llvm.fabs.{suffix(x)}", args[0].type, args)
        return builder.fcmp_ordered("<", size, ir.Constant(args[0].type, float("inf")))

    return types.boolean(x), codegen
