"""Regions as Python functions: read the sizes and views from the table, call the kernels one after the other.

``(table, shard, shards)`` is what the runtime calls a region with.  A kernel with a split runs its part of it; a kernel
without is run by the first shard, and so is a recurrence that shards cannot share out.  The number of shards that
per-shard buffers are made for stands in the table, as a size, because a region of little work is run by one shard
whatever that number is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby

from dlc.compiler.emit.expressions import CHOICE, UNARY, Spelling
from dlc.compiler.emit.kernels import Signature, signature
from dlc.compiler.emit.names import Names
from dlc.compiler.emit.writer import Writer
from dlc.compiler.ir.expr import Expr, Index, Size, reads, walk
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
    Repeat,
    Step,
    When,
    expressions,
    in_place,
    room,
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
        found.update((name, True) for name in (written(statement), room(statement)) if name is not None)
    return found


def is_parallel(region: Region, program: Program) -> bool:
    return _splits(region.steps, program)


def _splits(steps: Iterable[Step], program: Program) -> bool:
    for step in steps:
        if isinstance(step, str):
            if program.kernels[step].split is not None:
                return True
        elif not (isinstance(step, Repeat) and step.alone) and _splits(step.steps, program):
            return True
    return False


def needing_all_shards(entry: Entry, program: Program) -> frozenset[int]:
    """The numbers of the regions of which every shard must run: they fill, one row a shard, a buffer that another
    region reads.
    """
    rows = {name for name, buffer in program.buffers.items() if SHARDS in set(walk(*buffer.sizes))}
    touching: dict[str, set[int]] = {name: set() for name in rows}
    writing: dict[str, set[int]] = {name: set() for name in rows}
    for number, region in enumerate(entry.regions):
        for kernel in region.kernels:
            for name, writes in touched(program.kernels[kernel]).items() if rows else ():
                if name in rows:
                    touching[name].add(number)
                    if writes:
                        writing[name].add(number)
    return frozenset(number for name in rows for number in writing[name] if touching[name] != {number})


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
        signatures = {kernel.name: signature(kernel, self._program.buffers) for kernel in kernels}
        scope = _Scope(self._module, self._real)
        views = [self._view(self._program.buffers[name], scope) for name in _all_buffers(signatures.values())]
        calls = Writer()
        steps = _Steps(self._program, self._functions, signatures, scope, calls)
        parts = steps.parts(region)
        steps.write(region)
        sizes = [f"{scope(Size(size))} = size(table, {self._slots[size]})" for size in scope.sizes]
        if sizes:
            scope.spelling.used.add("size")
        writer = Writer()
        writer.lines((*sizes, *views))
        writer.blank()
        writer.lines(parts)
        writer.include(calls.written)
        return Function(name, tuple(writer.written), frozenset(scope.spelling.used))

    def _view(self, buffer: Buffer, scope: _Scope) -> str:
        kind = "i32" if buffer.is_short else VIEWS.get((buffer.type, self._real)) or VIEWS[buffer.type, ""]
        scope.spelling.used.add(kind)
        extents = [scope.text(size) for size in buffer.sizes] or ["1"]
        return f"{scope.view(buffer.id)} = {kind}(table, {self._slots[buffer.id]}, {', '.join(extents)})"


class _Steps:
    """Writes the calls of one region."""

    def __init__(
        self,
        program: Program,
        functions: Mapping[str, str],
        signatures: Mapping[str, Signature],
        scope: _Scope,
        writer: Writer,
    ) -> None:
        self._program, self._functions, self._signatures = program, functions, signatures
        self._scope, self._writer = scope, writer

    def parts(self, region: Region) -> list[str]:
        """``start, stop = ..`` for every different split."""
        lines = []
        for split in self._splits(region.steps):
            if not self._scope.has_part(split):
                start, stop = self._scope.part(split)
                extent = self._scope.text(split, UNARY)
                lines.append(f"{start}, {stop} = {extent}*shard // shards, {extent}*(shard + 1) // shards")
        return lines

    def _splits(self, steps: Iterable[Step]) -> Iterator[Expr]:
        """The extents of the kernels of which every shard runs a part."""
        for step in steps:
            if isinstance(step, str):
                kernel = self._program.kernels[step]
                bounded = {START.tensor, STOP.tensor} & {*self._signatures[step].running}
                if kernel.split is not None and bounded:
                    yield kernel.split
            elif not (isinstance(step, Repeat) and step.alone):
                yield from self._splits(step.steps)

    def write(self, region: Region) -> None:
        """The calls in order; beside kernels that split, those that do not are left to the first shard."""
        some_split = any(not self._is_alone(step) for step in region.steps)
        for alone, group in groupby(region.steps, self._is_alone):
            if alone and some_split:
                with self._writer.block("if shard == 0:"):
                    self._write(group, False)
            else:
                self._write(group, False)

    def _is_alone(self, step: Step) -> bool:
        if isinstance(step, str):
            return self._program.kernels[step].split is None
        if isinstance(step, When):
            return all(map(self._is_alone, step.steps))
        return step.alone

    def _write(self, steps: Iterable[Step], alone: bool) -> None:
        for step in steps:
            match step:
                case Repeat(index=index, stop=stop):
                    extent = self._scope.text(stop)
                    with self._writer.block(f"for {self._scope.enter(index)} in range({extent}):"):
                        self._write(step.steps, alone or step.alone)
                    self._scope.leave(index)
                case When(cond=cond):
                    with self._writer.block(f"if {self._scope.text(cond)}:"):
                        self._write(step.steps, alone)
                case _:
                    self._writer.line(self._call(step, alone))

    def _call(self, name: str, alone: bool) -> str:
        kernel, sign, scope = self._program.kernels[name], self._signatures[name], self._scope
        running = {SHARD.tensor: "0" if alone else "shard"}
        if kernel.split is not None and alone:
            running |= {START.tensor: "0", STOP.tensor: scope.text(kernel.split)}
        elif kernel.split is not None and scope.has_part(kernel.split):
            running.update(zip((START.tensor, STOP.tensor), scope.part(kernel.split), strict=True))
        arguments = [running[name] for name in sign.running]
        arguments += [scope(index) for index in sign.over]
        arguments += [scope.text(Size(size)) for size in sign.sizes]
        arguments += [f"{scope(name)}[0]" if name in sign.scalars else scope(name) for name in sign.buffers]
        return f"{self._functions[name]}({', '.join(arguments)})"


def _all_buffers(signatures: Iterable[Signature]) -> list[str]:
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

    def enter(self, index: Index) -> str:
        """The variable of a loop."""
        self._known[index] = self._names.fresh(index.hint[:1].lower() + index.hint[1:])
        return self._known[index]

    def leave(self, index: Index) -> None:
        self._names.release(self._known.pop(index))

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
