"""What makes a program of the loop language valid: ``verify`` yields a sentence for each thing that is wrong.

A program is valid when every name means a buffer, a local of an enclosing block or a kernel, elements have as many
subscripts as their buffer has axes, indices are bound by exactly one enclosing loop, nothing of the caller's is
written, ``start`` and ``stop`` stand only in kernels that split, and an entry reads no buffer before it has written it.
Whether shards keep out of each other's way, and whether subscripts stay in range, is not looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from dlc.compiler.ir.expr import Expr, Index, Read, Reduce, Size, walk
from dlc.compiler.ir.loops import (
    SHARD,
    SHARDS,
    START,
    STOP,
    Buffer,
    Entry,
    For,
    If,
    Kernel,
    Let,
    Matmul,
    Program,
    Repeat,
    Statement,
    Step,
    Steps,
    Store,
    System,
    Update,
    Var,
    When,
    expressions,
    in_place,
    kernels_of,
    room,
    statements,
    written,
)
from dlc.compiler.ir.ops import Type
from dlc.compiler.ir.verify import InternalError

GIVEN = frozenset(("input", "cotangent", "parameter", "hyper", "mode", "state"))
"""The roles of buffers that the caller fills."""
READ_ONLY = GIVEN - {"state"}
"""Those that a program never writes: a state may be updated in place."""


def check(program: Program, after: str) -> None:
    """Raises ``InternalError`` with the step that gave an invalid program, and why it is invalid."""
    problems = list(verify(program))
    if problems:
        raise InternalError("\n".join(f"after {after}: {problem}" for problem in problems))


def verify(program: Program) -> Iterator[str]:
    for name, size in program.derived.items():
        yield from _size_problems(size, f"the size {name}", set(program.sizes))
    known_sizes = {*program.sizes, *program.derived, SHARDS.name}
    for name, buffer in program.buffers.items():
        if name != buffer.id:
            yield f"the buffer {buffer.id} is kept under the name {name}"
        for size in buffer.sizes:
            yield from _size_problems(size, f"a size of {name}", known_sizes)
    for name, kernel in program.kernels.items():
        if name != kernel.name:
            yield f"the kernel {kernel.name} is kept under the name {name}"
        yield from _Scope(program, kernel, known_sizes).problems()
    for entry in program.entries:
        yield from _entry_problems(entry, program)
    for requirement in program.requirements:
        yield from _size_problems(requirement.value, "a requirement", known_sizes)


def _size_problems(size: Expr, what: str, known: set[str]) -> Iterator[str]:
    if size.type != "int":
        yield f"{what} is {size.type}"
    for node in walk(size):
        if isinstance(node, Index | Read | Reduce):
            yield f"{what} depends on {node!r}"
        if isinstance(node, Size) and node.name not in known:
            yield f"{what} depends on |{node.name}|, which nothing binds"


# -- kernels --------------------------------------------------------------------------------------------------------


class _Scope:
    """The names that hold inside one kernel, block by block."""

    def __init__(self, program: Program, kernel: Kernel, sizes: set[str]) -> None:
        self.program, self.kernel, self.sizes = program, kernel, sizes

    def problems(self) -> Iterator[str]:
        running: dict[str, Type] = {SHARD.tensor: "int"}
        if self.kernel.split is not None:
            running |= {START.tensor: "int", STOP.tensor: "int"}
            for problem in _size_problems(self.kernel.split, "the split", self.sizes):
                yield self._said(problem)
        yield from map(self._said, self._block(self.kernel.body, running, frozenset(self.kernel.over), frozenset()))

    def _said(self, problem: str) -> str:
        return f"{self.kernel.name}: {problem}"

    def _block(
        self, body: tuple[Statement, ...], outer: Mapping[str, Type], bound: frozenset[Index], variables: frozenset[str]
    ) -> Iterator[str]:
        names = dict(outer)
        for statement in body:
            for expression in expressions(statement):
                yield from self._expression(expression, names, bound)
            match statement:
                case For(index=index):
                    if index in bound:
                        yield f"{index!r} is bound by two loops"
                    yield from self._block(statement.body, names, bound | {index}, variables)
                case If():
                    if statement.cond.type != "bool":
                        yield f"the condition {statement.cond!r} is {statement.cond.type}"
                    yield from self._block(statement.body, names, bound, variables)
                case Let() | Var():
                    if statement.name in names or statement.name in self.program.buffers:
                        yield f"{statement.name} is defined twice"
                    names[statement.name] = statement.value.type
                    if isinstance(statement, Var):
                        variables |= {statement.name}
                case Update():
                    if statement.name not in variables or statement.name not in names:
                        yield f"{statement.name} is updated and is no accumulator here"
                    elif names[statement.name] != statement.value.type:
                        yield f"{statement.name} is {names[statement.name]} and gets {statement.value!r}"
                case Store():
                    yield from self._store(statement)
                case Matmul():
                    yield from self._matmul(statement)
                case System():
                    yield from self._system(statement)

    def _store(self, statement: Store) -> Iterator[str]:
        buffer = self.program.buffers.get(statement.buffer)
        if buffer is None:
            yield f"{statement.buffer} is written and is no buffer"
            return
        if buffer.role in READ_ONLY:
            yield f"{statement.buffer} is written and is the caller's"
        if not _reaches(statement.subscripts, buffer):
            yield f"{statement.buffer} is written with {len(statement.subscripts)} subscripts"
        if statement.value.type != buffer.type:
            yield f"{statement.buffer} is {buffer.type} and gets {statement.value!r}, which is {statement.value.type}"

    def _matmul(self, statement: Matmul) -> Iterator[str]:
        for operand in statement.operands:
            buffer = self.program.buffers.get(operand.buffer)
            if buffer is None or buffer.type != "real":
                yield f"{operand.buffer} is multiplied as a matrix and is no real buffer"
            elif len(operand.piece) > len(buffer.sizes):
                yield f"{operand.buffer} has fewer axes than the matrix in it has leading subscripts"
        steps = [step for o in (statement.a, statement.b, statement.c) for step in (o.row, o.column)]
        if len({isinstance(step, Steps) for step in steps}) > 1:
            yield f"{statement.c.buffer} is a product of which some operands have steps and others have not"
        if statement.band is not None and isinstance(statement.c.row, Steps):
            yield f"{statement.c.buffer} is a product with steps of which only a band counts"
        term = statement.term
        if term is not None and (
            statement.accumulate or isinstance(term.row, Steps) or term.buffer == written(statement)
        ):
            yield f"{statement.c.buffer} is a product that is added to a term, and not to that alone"
        if statement.support is not None and (statement.tiles is not None or not isinstance(statement.b.column, Steps)):
            yield f"{statement.c.buffer} is a product within a support that is in tiles, or has no steps"
        place = self.program.buffers.get(room(statement) or "")
        if statement.tiles is not None and (place is None or place.role != "workspace" or len(place.sizes) != 2):
            yield f"{statement.c.buffer} is a product in tiles without a room of its own for every shard"
        output = self.program.buffers.get(statement.c.buffer)
        if output is not None and output.role in GIVEN:
            yield f"{output.id} is written and is the caller's"

    def _system(self, statement: System) -> Iterator[str]:
        for name in (statement.matrix, statement.sides):
            buffer = self.program.buffers.get(name)
            if buffer is None or buffer.type != "real" or buffer.role in GIVEN:
                yield f"{name} is part of a linear system and is no real buffer that may be overwritten"

    def _expression(self, root: Expr, names: Mapping[str, Type], bound: frozenset[Index]) -> Iterator[str]:
        for node in walk(root):
            match node:
                case Index() if node not in bound:
                    yield f"{node!r} is bound by no loop"
                case Reduce():
                    yield f"{node!r} is not a scalar expression"
                case Size(name=name) if name not in self.sizes:
                    yield f"|{name}| is bound by nothing"
                case Read():
                    yield from self._read(node, names)

    def _read(self, node: Read, names: Mapping[str, Type]) -> Iterator[str]:
        if not node.subscripts and node.tensor in names:
            if names[node.tensor] != node.type:
                yield f"{node.tensor} is {names[node.tensor]} and is read as {node.type}"
            return
        buffer = self.program.buffers.get(node.tensor)
        if buffer is None:
            yield f"{node.tensor} is read and is neither a buffer nor a local here"
        elif not _reaches(node.subscripts, buffer):
            yield f"{node!r} has {len(node.subscripts)} subscripts; {buffer.id} has {len(buffer.sizes)} axes"
        elif buffer.type != node.type:
            yield f"{node!r} is read as {node.type}; it is {buffer.type}"


def _reaches(subscripts: Sequence[Expr], buffer: Buffer) -> bool:
    """Whether there is a subscript for each axis, or the last one counts through those that are left."""
    return len(subscripts) == len(buffer.sizes) or 0 < len(subscripts) < len(buffer.sizes)


# -- entries --------------------------------------------------------------------------------------------------------


def touched(kernel: Kernel) -> tuple[set[str], set[str]]:
    """The names that a kernel reads (locals among them), and the buffers that it writes."""
    read: set[str] = set()
    output: set[str] = set()
    for statement in statements(kernel.body):
        read.update(
            node.tensor for expression in expressions(statement) for node in walk(expression) if isinstance(node, Read)
        )
        read.update(in_place(statement))
        output.update(filter(None, (written(statement), room(statement))))
    return read, output


def _entry_problems(entry: Entry, program: Program) -> Iterator[str]:
    filled = {name for name, buffer in program.buffers.items() if buffer.role in GIVEN}
    for region in entry.regions:
        for problem in _step_problems(region.steps, program, filled, frozenset()):
            yield f"{entry.name}{problem}"
    for result in (*entry.results, *entry.gradients, *entry.updates):
        if result.buffer not in filled:
            yield f"{entry.name} returns {result.name} and never computes {result.buffer}"
    if entry.loss is not None:
        loss = program.buffers.get(entry.loss)
        if loss is None or loss.sizes or entry.loss not in filled:
            yield f"the loss of {entry.name}, {entry.loss}, is no scalar that it computes"


def _step_problems(steps: Iterable[Step], program: Program, filled: set[str], over: frozenset[Index]) -> Iterator[str]:
    """``filled``: the buffers that have been written, to which those are added that the steps write."""
    for step in steps:
        match step:
            case Repeat(index=index, stop=stop, steps=inner):
                if index in over:
                    yield f": {index!r} is repeated inside itself"
                yield from _index_problems(stop, "the end of a repeat", over)
                # what a step reads may have been written by a later one, in the round before
                known = [program.kernels[name] for name in kernels_of(inner) if name in program.kernels]
                filled.update(name for kernel in known for name in touched(kernel)[1])
                yield from _step_problems(inner, program, filled, over | {index})
            case When(cond=cond, steps=inner):
                yield from _index_problems(cond, "a condition", over)
                yield from _step_problems(inner, program, filled, over)
            case _ if step not in program.kernels:
                yield f" runs {step}, which is no kernel"
            case _:
                kernel = program.kernels[step]
                if not over.issuperset(kernel.over):
                    yield f": {step} stands outside a repeat whose index it uses"
                read, output = touched(kernel)
                for missing in sorted((read & program.buffers.keys()) - filled - output):
                    yield f": {step} reads {missing} before it is computed"
                filled |= output


def _index_problems(expression: Expr, what: str, over: frozenset[Index]) -> Iterator[str]:
    for node in walk(expression):
        if isinstance(node, Index) and node not in over:
            yield f": {what} depends on {node!r}, which nothing around it binds"
