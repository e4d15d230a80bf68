"""The loop language as text: what golden tests pin, and what ``dlc show --stage loops`` prints.

Expressions are spelled as in the graph language. A loop is ``for i < n``, or ``for i in a .. b`` where it does not
begin at 0; a local that never changes is ``let``, an accumulator ``var`` and then ``<-``; a matrix product gives its
extents and, for each operand, the buffer with the offset and the two strides where they are not those of a matrix of
its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from dlc.compiler.ir.expr import ZERO, Const, Expr, Index
from dlc.compiler.ir.loops import (
    START,
    STOP,
    Buffer,
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
    System,
    Update,
    Value,
    Var,
    When,
)
from dlc.compiler.ir.printer import Naming, expression_text

_INDENT = "    "


def text(program: Program) -> str:
    """The whole program: what is given, the buffers, the kernels, the entries."""
    header = [f"program {program.name}"]
    if program.sizes:
        header.append("index " + ", ".join(program.sizes))
    header += [f"index {name} = {expression_text(size, {})}" for name, size in program.derived.items()]
    requirements = [f"require {expression_text(r.value, {})} >= 0  # {r.message}" for r in program.requirements]
    given = {value.name for value in program.values}
    buffers = [_buffer_line(buffer) for name, buffer in program.buffers.items() if name not in given]
    blocks: list[Sequence[str]] = [header, [_value_line(value) for value in program.values], requirements, buffers]
    blocks += [list(_kernel_lines(kernel, program)) for kernel in program.kernels.values()]
    blocks += [list(_entry_lines(entry)) for entry in program.entries]
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def _value_line(value: Value) -> str:
    kind = f" in {expression_text(value.bound, {})}" if value.bound is not None else _type(value.type)
    return f"{value.role} {_shaped(value.name, value.sizes)}{kind}"


def _buffer_line(buffer: Buffer) -> str:
    return f"{buffer.role} {_shaped(buffer.id, buffer.sizes)}{_type(buffer.type)}"


def _shaped(name: str, sizes: Sequence[Expr]) -> str:
    return f"{name}[{','.join(expression_text(size, {}) for size in sizes)}]" if sizes else name


def _type(kind: str) -> str:
    return "" if kind == "real" else f" : {kind}"


def _kernel_lines(kernel: Kernel, program: Program) -> Iterator[str]:
    split = f" split {expression_text(kernel.split, {})}" if kernel.split is not None else ""
    yield f"kernel {kernel.name}{split}"
    yield from (f"{_INDENT}# {formula}" for formula in kernel.formulas)
    scalars = [name for name, buffer in program.buffers.items() if not buffer.sizes]
    naming = Naming(scalars)
    names = naming.extend({}, kernel.over)
    if kernel.over:
        yield f"{_INDENT}over {', '.join(names[index] for index in kernel.over)}"
    yield from _Lines(naming).block(kernel.body, names, 1)


def _entry_lines(entry: Entry) -> Iterator[str]:
    yield f"entry {entry.name}"
    for number, region in enumerate(entry.regions):
        work = f"  # work {expression_text(region.work, {})}" if region.work is not None else ""
        if all(isinstance(step, str) for step in region.steps):
            yield f"{_INDENT}region {number}: {', '.join(region.kernels)}{work}"
        else:
            yield f"{_INDENT}region {number}:{work}"
            yield from _step_lines(region.steps, Naming(()), {}, 2)
    yield from (f"{_INDENT}cotangent {given.buffer}" for given in entry.cotangents)
    yield from (f"{_INDENT}result {_named(result.name, result.buffer)}" for result in entry.results)
    if entry.loss is not None:
        yield f"{_INDENT}loss {entry.loss}"
    yield from (f"{_INDENT}gradient {_named(result.name, result.buffer)}" for result in entry.gradients)
    yield from (f"{_INDENT}update {update.name} <- {update.buffer}" for update in entry.updates)


def _step_lines(steps: Sequence[Step], naming: Naming, names: Mapping[Index, str], depth: int) -> Iterator[str]:
    indent = _INDENT * depth
    for step in steps:
        match step:
            case Repeat(index=index, stop=stop, steps=inner):
                within = naming.extend(names, (index,))
                alone = "  # by one shard" if step.alone else ""
                yield f"{indent}repeat {within[index]} < {expression_text(stop, names, naming)}{alone}"
                yield from _step_lines(inner, naming, within, depth + 1)
            case When(cond=cond, steps=inner):
                yield f"{indent}when {expression_text(cond, names, naming)}"
                yield from _step_lines(inner, naming, names, depth + 1)
            case _:
                yield f"{indent}{step}"


def _named(name: str, buffer: str) -> str:
    return name if name == buffer else f"{name} = {buffer}"


class _Lines:
    """The statements of one kernel; ``names`` are those of the indices of the loops around a statement."""

    def __init__(self, naming: Naming) -> None:
        self._naming = naming

    def block(self, body: Sequence[Statement], names: Mapping[Index, str], depth: int) -> Iterator[str]:
        for statement in body:
            yield from self._statement(statement, names, depth)

    def _statement(self, statement: Statement, names: Mapping[Index, str], depth: int) -> Iterator[str]:
        indent = _INDENT * depth

        def spelled(expression: Expr) -> str:
            return expression_text(expression, names, self._naming)

        match statement:
            case For(index=index):
                inner = self._naming.extend(names, (index,))
                yield f"{indent}for {inner[index]} {self._range(statement, spelled)}"
                yield from self.block(statement.body, inner, depth + 1)
            case If():
                yield f"{indent}if {spelled(statement.cond)}"
                yield from self.block(statement.body, names, depth + 1)
            case Let():
                yield f"{indent}let {statement.name} = {spelled(statement.value)}"
            case Var():
                yield f"{indent}var {statement.name} = {spelled(statement.value)}"
            case Update():
                yield f"{indent}{statement.name} <- {spelled(statement.value)}"
            case Store():
                subscripts = ",".join(map(spelled, statement.subscripts))
                target = f"{statement.buffer}[{subscripts}]" if subscripts else statement.buffer
                yield f"{indent}{target} = {spelled(statement.value)}"
            case Matmul(m=m, n=n, k=k):
                a, b, c = (self._operand(o, spelled) for o in (statement.a, statement.b, statement.c))
                sign = "+=" if statement.accumulate else "="
                if statement.term is not None:
                    sign = f"= {self._operand(statement.term, spelled)} +"
                way = f" by {statement.way}" if statement.way else ""
                if statement.tiles is not None:
                    rows = f"{rows} " if isinstance(rows := statement.tiles.rows, int) else ""
                    way += f" in {rows}rows of tiles in {statement.tiles.room}"
                note = f"{spelled(m)} x {spelled(k)} x {spelled(n)}"
                if (band := statement.band) is not None:
                    note += f", of row i {band.of} from {spelled(band.low)} + i to below {spelled(band.high)} + i"
                if (support := statement.support) is not None:
                    note += f", within support ({', '.join(map(spelled, support.numbers))})"
                yield f"{indent}matmul{way} {c} {sign} {a} . {b}  # {note}"

            case System(n=n, count=count):
                piece = f"[{','.join(map(spelled, statement.piece))}]" if statement.piece else ""
                system = f"{statement.matrix}{piece} . x = {statement.sides}{piece}"
                yield f"{indent}solve {system}  # {spelled(n)} x {spelled(n)}, {spelled(count)} right sides"

    def _range(self, loop: For, spelled: Callable[[Expr], str]) -> str:
        if loop.start is START and loop.stop is STOP:
            return "in start .. stop"
        return f"< {spelled(loop.stop)}" if loop.start is ZERO else f"in {spelled(loop.start)} .. {spelled(loop.stop)}"

    def _operand(self, operand: Operand, spelled: Callable[[Expr], str]) -> str:
        offset = "" if operand.offset is ZERO else f"{spelled(operand.offset)}, "
        row, column = (self._step(step, spelled) for step in (operand.row, operand.column))
        piece = f"[{','.join(map(spelled, operand.piece))}]" if operand.piece else ""
        return f"{operand.buffer}{piece}({offset}{row}, {column})"

    def _step(self, step: Expr | Steps, spelled: Callable[[Expr], str]) -> str:
        if isinstance(step, Steps):
            pairs = zip(step.extents, step.strides, strict=True)
            return f"[{', '.join(f'{spelled(extent)}: {self._step(stride, spelled)}' for extent, stride in pairs)}]"
        return str(step.value) if isinstance(step, Const) else spelled(step)
