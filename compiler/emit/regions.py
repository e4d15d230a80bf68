"""Regions as Python functions: read the sizes and views from the table, call the kernels one after the other.

``(table, shard, shards)`` is what the runtime calls a region with.  A kernel with a split runs its part of it, a kernel
without is run by the first shard.  The number of shards that per-shard buffers are made for stands in the table, as a
size, because a region of little work is run by one shard whatever that number is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby

from dlc.compiler.emit.expressions import CHOICE, UNARY, Spelling
from dlc.compiler.emit.kernels import Signature, signature
from dlc.compiler.emit.names import Names
from dlc.compiler.emit.writer import Writer
from dlc.compiler.ir.expr import Expr, Size, reads, walk
from dlc.compiler.ir.loops import (
    SHARD,
    SHARDS,
    START,
    STOP,
    Buffer,
    Entry,
    Kernel,
    Program,
    Region,
    expressions,
    in_place,
    statements,
    written,
)

VIEWS = {("real", "float32"): "f32", ("real", "float64"): "f64", ("int", ""): "i64", ("bool", ""): "b1"}
_ARGUMENTS = ("table", "shard", "shards")


@dataclass(frozen=True)
class Function:
    name: str
    lines: tuple[str, ...]
    used: frozenset[str]


def slots(program: Program) -> dict[str, int]:
    """The place of every size and buffer in the table: sizes, derived sizes, the number of shards, buffers."""
    names = [*program.sizes, *program.derived, SHARDS.name, *program.buffers]
    return {name: slot for slot, name in enumerate(names)}


def touched(kernel: Kernel) -> dict[str, bool]:
    """The names that a kernel reads or writes, locals included, and whether it writes them."""
    found: dict[str, bool] = {}
    for statement in statements(kernel.body):
        names = [read.tensor for read in reads(*expressions(statement))]
        names += in_place(statement)
        for name in names:
            found.setdefault(name, False)
        output = written(statement)
        if output is not None:
            found[output] = True
    return found


def is_parallel(region: Region, program: Program) -> bool:
    return any(program.kernels[name].split is not None for name in region.kernels)


def needs_all_shards(region: Region, entry: Entry, program: Program) -> bool:
    """Whether every shard must run: the region fills, one row a shard, a buffer that another region reads."""
    mine = {name for kernel in region.kernels for name, writes in touched(program.kernels[kernel]).items() if writes}
    per_shard = {name for name in mine if name in program.buffers and SHARDS in set(walk(*program.buffers[name].sizes))}
    others = [kernel for other in entry.regions if other is not region for kernel in other.kernels]
    return any(not per_shard.isdisjoint(touched(program.kernels[kernel])) for kernel in others)


class RegionWriter:
    """Writes the regions of one program."""

    def __init__(self, program: Program, module: Names, real: str, functions: Mapping[str, str]) -> None:
        self._program = program
        self._module = module
        self._real = real
        self._functions = functions  # kernel -> name of its function
        self._slots = slots(program)

    def function(self, region: Region, name: str) -> Function:
        kernels = [self._program.kernels[kernel] for kernel in region.kernels]
        signatures = [signature(kernel, self._program.buffers) for kernel in kernels]
        scope = _Scope(self._module, self._real)
        views = [self._view(self._program.buffers[name], scope) for name in _all_buffers(signatures)]
        parts = self._parts(kernels, signatures, scope)
        calls = [self._call(kernel, sign, scope) for kernel, sign in zip(kernels, signatures, strict=True)]
        sizes = [f"{scope(Size(size))} = size(table, {self._slots[size]})" for size in scope.sizes]
        if sizes:
            scope.spelling.used.add("size")
        writer = Writer()
        writer.lines((*sizes, *views))
        writer.blank()
        writer.lines(parts)
        self._calls(writer, kernels, calls)
        return Function(name, tuple(writer.written), frozenset(scope.spelling.used))

    def _calls(self, writer: Writer, kernels: list[Kernel], calls: list[str]) -> None:
        """The calls in order; beside kernels that split, those that do not are left to the first shard."""
        some_split = any(kernel.split is not None for kernel in kernels)
        for alone, group in groupby(zip(kernels, calls, strict=True), lambda pair: pair[0].split is None):
            lines = [call for _, call in group]
            if alone and some_split:
                with writer.block("if shard == 0:"):
                    writer.lines(lines)
            else:
                writer.lines(lines)

    def _view(self, buffer: Buffer, scope: _Scope) -> str:
        kind = VIEWS.get((buffer.type, self._real)) or VIEWS[buffer.type, ""]
        scope.spelling.used.add(kind)
        extents = [scope.text(size) for size in buffer.sizes] or ["1"]
        return f"{scope.view(buffer.id)} = {kind}(table, {self._slots[buffer.id]}, {', '.join(extents)})"

    def _parts(self, kernels: list[Kernel], signatures: list[Signature], scope: _Scope) -> list[str]:
        """``start, stop = ..`` for every different split."""
        lines = []
        for kernel, sign in zip(kernels, signatures, strict=True):
            bounded = START.tensor in sign.running or STOP.tensor in sign.running
            if kernel.split is None or not bounded or scope.has_part(kernel.split):
                continue
            start, stop = scope.part(kernel.split)
            extent = scope.text(kernel.split, UNARY)
            lines.append(f"{start}, {stop} = {extent}*shard // shards, {extent}*(shard + 1) // shards")
        return lines

    def _call(self, kernel: Kernel, sign: Signature, scope: _Scope) -> str:
        running = {SHARD.tensor: "shard"}
        if kernel.split is not None and scope.has_part(kernel.split):
            running.update(zip((START.tensor, STOP.tensor), scope.part(kernel.split), strict=True))
        arguments = [running[name] for name in sign.running]
        arguments += [scope.text(Size(size)) for size in sign.sizes]
        arguments += [f"{scope(name)}[0]" if name in sign.scalars else scope(name) for name in sign.buffers]
        return f"{self._functions[kernel.name]}({', '.join(arguments)})"


def _all_buffers(signatures: list[Signature]) -> list[str]:
    return list(dict.fromkeys(name for sign in signatures for name in sign.buffers))


class _Scope:
    """The names inside one region; sizes are named when they are first mentioned."""

    def __init__(self, module: Names, real: str) -> None:
        self._names = Names(_ARGUMENTS, module)
        self._known: dict[Expr | str, str] = {}
        self._parts: dict[Expr, tuple[str, str]] = {}
        self.sizes: list[str] = []
        self.spelling = Spelling(real, self)

    def __call__(self, key: Expr | str) -> str:
        if isinstance(key, Size) and key not in self._known:
            self.sizes.append(key.name)
            self._known[key] = self._names.fresh("all_shards" if key is SHARDS else key.name)
        return self._known[key]

    def view(self, buffer: str) -> str:
        self._known[buffer] = self._names.fresh(buffer)
        return self._known[buffer]

    def text(self, size: Expr, level: int = CHOICE) -> str:
        return self.spelling.text(size, level)

    def has_part(self, split: Expr) -> bool:
        return split in self._parts

    def part(self, split: Expr) -> tuple[str, str]:
        if split not in self._parts:
            self._parts[split] = (self._names.fresh("start"), self._names.fresh("stop"))
        return self._parts[split]
