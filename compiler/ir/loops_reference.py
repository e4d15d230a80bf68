"""A plain interpreter of the loop language: NumPy float64, statement by statement, slow.

The oracle for lowering: it must agree with ``reference.evaluate`` of the graph, for any number of shards.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import prod
from typing import Any

import numpy as np

from dlc.compiler.ir.arithmetic import operator, solved
from dlc.compiler.ir.expr import Const, Expr, Index, Op, Read, Select, Size
from dlc.compiler.ir.loops import (
    SHARD,
    SHARDS,
    START,
    STOP,
    Entry,
    For,
    If,
    Kernel,
    Let,
    Matmul,
    Operand,
    Program,
    Repeat,
    Statement,
    Step,
    Steps,
    Store,
    Support,
    System,
    Update,
    Var,
    When,
)

Array = np.ndarray[Any, Any]
_TYPES = {"real": np.float64, "int": np.int64, "bool": np.bool_}


def run(
    program: Program, entry: str, given: Mapping[str, Any], sizes: Mapping[str, int], shards: int = 1
) -> dict[str, Array]:
    """Run an entry and give all buffers.  ``given`` holds inputs, parameters and hyper-parameters by buffer id."""
    found = next(e for e in program.entries if e.name == entry)
    return _Run(program, given, {**sizes, SHARDS.name: shards}).run(found, shards)


class _Run:
    def __init__(self, program: Program, given: Mapping[str, Any], sizes: Mapping[str, int]) -> None:
        self.program, self.sizes = program, dict(sizes)
        self.sizes.update({name: max(0, int(self.value(size, {}))) for name, size in program.derived.items()})
        self.buffers: dict[str, Array] = {}
        garbage = {"real": np.nan, "int": -(10**9), "bool": True}  # so that reading what was not written shows
        for name, buffer in program.buffers.items():
            shape = tuple(int(self.value(size, {})) for size in buffer.sizes)
            if name in given:
                self.buffers[name] = np.array(given[name], dtype=_TYPES[buffer.type]).reshape(shape)
            else:
                self.buffers[name] = np.full(shape, garbage[buffer.type], _TYPES[buffer.type])

    def run(self, entry: Entry, shards: int) -> dict[str, Array]:
        for region in entry.regions:
            for shard in reversed(range(shards)):
                self.steps(region.steps, {}, shard, shards)
        return self.buffers

    def steps(self, steps: Iterable[Step], over: Mapping[Index, int], shard: int, shards: int) -> None:
        for step in steps:
            match step:
                case Repeat(index=index, stop=stop, steps=inner, alone=alone):
                    if alone and shard:
                        continue
                    for value in range(int(self.value(stop, dict(over)))):
                        self.steps(inner, {**over, index: value}, 0 if alone else shard, 1 if alone else shards)
                case When(cond=cond, steps=inner):
                    if self.value(cond, dict(over)):
                        self.steps(inner, over, shard, shards)
                case _:
                    self.kernel(self.program.kernels[step], over, shard, shards)

    def kernel(self, kernel: Kernel, over: Mapping[Index, int], shard: int, shards: int) -> None:
        scope: dict[Any, Any] = {SHARD.tensor: shard, **{index: over[index] for index in kernel.over}}
        if kernel.split is None:
            if shard == 0:
                self.body(kernel.body, scope)
            return
        extent = int(self.value(kernel.split, {}))
        scope[START.tensor], scope[STOP.tensor] = extent * shard // shards, extent * (shard + 1) // shards
        self.body(kernel.body, scope)

    def body(self, body: tuple[Statement, ...], scope: dict[Any, Any]) -> None:
        for statement in body:
            match statement:
                case For(index, start, stop, inner):
                    for value in range(int(self.value(start, scope)), int(self.value(stop, scope))):
                        scope[index] = value
                        self.body(inner, scope)
                case Let(name, value) | Var(name, value) | Update(name, value):
                    scope[name] = self.value(value, scope)
                case Store(buffer, subscripts, value):
                    place = self.place(buffer, subscripts, scope)
                    self.buffers[buffer][place] = self.value(value, scope)
                case If(cond, inner):
                    if self.value(cond, scope):
                        self.body(inner, scope)
                case Matmul():
                    self.matmul(statement, scope)
                case System():
                    self.system(statement, scope)

    def place(self, buffer: str, subscripts: tuple[Expr, ...], scope: dict[Any, Any]) -> tuple[int, ...]:
        place = tuple(int(self.value(s, scope)) for s in subscripts)
        shape = self.buffers[buffer].shape
        if 0 < len(place) < len(shape):  # the last subscript counts through the axes that are left
            last = len(place) - 1
            if not 0 <= place[last] < prod(shape[last:]):
                raise IndexError(f"{buffer}[{place}] of {shape}")
            place = (*place[:last], *map(int, np.unravel_index(place[last], shape[last:])))
        if any(not 0 <= p < n for p, n in zip(place, shape, strict=True)):
            raise IndexError(f"{buffer}[{place}] of {shape}")
        return place

    def matmul(self, statement: Matmul, scope: dict[Any, Any]) -> None:
        m, n, k = (max(0, int(self.value(e, scope))) for e in (statement.m, statement.n, statement.k))
        a = self.matrix(statement.a, m, k, scope)
        columns, inner = self.in_band(statement, "columns", m, n, scope), self.in_band(statement, "inner", m, k, scope)
        there = np.ones((k, n), bool)
        if statement.support is not None:
            there = within(statement.support, int(self.value(statement.support.first, scope)), k, n)
        b = np.where(there, self.matrix(statement.b, k, n, scope, there if statement.accumulate else None), 0)
        rows = self.addresses(statement.c, m, n, scope)
        flat = self.buffers[statement.c.buffer].reshape(-1)
        term = self.matrix(statement.term, m, n, scope) if statement.term is not None else 0
        product = np.array([row[there] @ b[there] for row, there in zip(a, inner, strict=True)]).reshape(m, n)
        if statement.accumulate:
            np.add.at(flat, rows[columns], product[columns])  # results may overlap
        else:
            flat[rows[columns]] = (product + term)[columns]

    def in_band(self, statement: Matmul, of: str, rows: int, count: int, scope: dict[Any, Any]) -> Array:
        """For each row which of the columns, or of the terms, count."""
        band = statement.band
        if band is None or band.of != of:
            return np.ones((rows, count), bool)
        low, high = (int(self.value(bound, scope)) for bound in (band.low, band.high))
        place = np.arange(count)[None, :] - np.arange(rows)[:, None]
        return (low <= place) & (place < high)

    def system(self, statement: System, scope: dict[Any, Any]) -> None:
        n, count = (int(self.value(e, scope)) for e in (statement.n, statement.count))
        piece = tuple(int(self.value(e, scope)) for e in statement.piece)
        columns = self.buffers[statement.matrix][piece]
        sides = self.buffers[statement.sides][piece].reshape(count, n)
        sides[:] = [solved(columns[:n].T, side) for side in sides]
        columns[:] = np.nan

    def addresses(
        self, operand: Operand, rows: int, columns: int, scope: dict[Any, Any], there: Array | None = None
    ) -> Array:
        """Where its elements lie; any place for those that are not ``there``."""
        offset = int(self.value(operand.offset, scope))
        row, column = self.steps_of(operand.row, rows, scope), self.steps_of(operand.column, columns, scope)
        shape = self.buffers[operand.buffer].shape
        for axis, subscript in enumerate(operand.piece):
            offset += int(self.value(subscript, scope)) * prod(shape[axis + 1 :])
        places = offset + row[:, None] + column[None, :]
        if there is not None:
            places = np.where(there, places, 0)
        if np.any(places < 0):
            raise IndexError(f"a matrix begins before {operand.buffer} does")
        return places

    def steps_of(self, step: Expr | Steps, number: int, scope: dict[Any, Any]) -> Array:
        """How far so many rows or columns stand from the first one."""
        if not isinstance(step, Steps):
            return np.arange(number) * int(self.value(step, scope))
        extents = [int(self.value(extent, scope)) for extent in step.extents]
        strides = [int(self.value(stride, scope)) for stride in step.strides]
        if prod(extents) != number:
            raise ValueError(f"{extents} are not the extents of {number} rows or columns")
        return sum((i * s for i, s in zip(np.indices(extents), strides, strict=True)), np.zeros(extents, int)).ravel()

    def matrix(
        self, operand: Operand, rows: int, columns: int, scope: dict[Any, Any], there: Array | None = None
    ) -> Array:
        places = self.addresses(operand, rows, columns, scope, there)
        return self.buffers[operand.buffer].reshape(-1)[places]

    def value(self, node: Expr, scope: dict[Any, Any]) -> Any:
        match node:
            case Const(value=value):
                return value
            case Size(name=name):
                return self.sizes[name]
            case Index():
                return scope[node]
            case Read(tensor=name, subscripts=()) if name in scope:
                return scope[name]
            case Read(tensor=name, subscripts=subscripts):
                return self.buffers[name][self.place(name, subscripts, scope)]
            case Select(cond=cond, yes=yes, no=no):
                return self.value(yes if self.value(cond, scope) else no, scope)
            case Op(name="and", args=args):
                return all(self.value(arg, scope) for arg in args)
            case Op(name="or", args=args):
                return any(self.value(arg, scope) for arg in args)
            case Op(name=name, args=args):
                return operator(name)(*(np.asarray(self.value(arg, scope)) for arg in args))[()]
        raise TypeError(type(node).__name__)


def within(support: Support, first: int, steps: int, columns: int) -> Array:
    """Where the right factor of a product may differ from zero."""
    tap = np.arange(steps) // (steps // support.taps)
    place = (first + np.arange(columns) // support.inside) % support.places
    at = tap[:, None] * support.of_tap + place[None, :] * support.of_place
    return (support.low <= at) & (at < support.high)
