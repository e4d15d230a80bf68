"""States whose next value takes their place at once.

A state and its next value are two buffers, and the caller copies one into the other afterwards.  Where one loop holds
everything that reads the state and writes the next value, each at the position of the loop's index, no iteration needs
what another has overwritten: the next value is stored into the state itself, and its old value is read first.

A scalar stays a buffer of its own: the entry may be run for several pieces of one state, which share the scalars.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dlc.compiler.ir.expr import Expr, Read, reads
from dlc.compiler.ir.graph import unique
from dlc.compiler.ir.loops import Entry, For, Kernel, Let, Program, Result, Statement, Store, expressions, statements
from dlc.compiler.ir.rewriting import substitute
from dlc.compiler.lower.fusion import mapped, touches, with_buffers_renamed, writes


def in_place(program: Program) -> Program:
    """The program with every update in place for which that is right."""
    for entry in program.entries:
        for update in entry.updates:
            program = _with_update_in_place(program, entry.name, update)
    return program


def _with_update_in_place(program: Program, name: str, update: Result) -> Program:
    entry = next(one for one in program.entries if one.name == name)
    order = [kernel for region in entry.regions for kernel in region.kernels]
    number = _place_of(program, order, update)
    if number is None or not program.buffers[update.name].sizes:
        return program
    kernel = program.kernels[order[number]]
    changed = {kernel.name: _first_read(kernel, update.name, unique(f"{update.name}.old", program.buffers))}
    for other in order[number:]:
        now = changed.get(other, program.kernels[other])
        changed[other] = replace(now, body=with_buffers_renamed(now.body, {update.buffer: update.name}))
    return replace(
        program,
        buffers={key: buffer for key, buffer in program.buffers.items() if key != update.buffer},
        kernels={**program.kernels, **changed},
        entries=tuple(_without(one, update) if one.name == name else one for one in program.entries),
    )


def _without(entry: Entry, update: Result) -> Entry:
    return replace(entry, updates=tuple(one for one in entry.updates if one != update))


def _place_of(program: Program, order: Sequence[str], update: Result) -> int | None:
    """The number of the one kernel that writes the next value, if that may be done in place."""
    writing = [number for number, name in enumerate(order) if update.buffer in writes(program.kernels[name].body)]
    returned = [result.buffer for entry in program.entries for result in (*entry.results, *entry.gradients)]
    others = [one.buffer for entry in program.entries for one in entry.updates if one != update]
    if len(writing) != 1 or update.buffer in (*returned, *others):
        return None
    (number,) = writing
    if any(update.name in touches(program.kernels[name].body) for name in order[number + 1 :]):
        return None
    return number if _at_its_index(program.kernels[order[number]], {update.name, update.buffer}) else None


def _at_its_index(kernel: Kernel, names: set[str]) -> bool:
    """Whether the kernel is one loop without others in it, which touches these buffers at its index only."""
    loop = kernel.body[0] if len(kernel.body) == 1 else None
    if not isinstance(loop, For) or not all(isinstance(one, Let | Store) for one in loop.body):
        return False
    return all(subscripts == (loop.index,) for one in loop.body for subscripts in _subscripts(one, names))


def _subscripts(statement: Statement, names: set[str]) -> list[tuple[Expr, ...]]:
    found = [read.subscripts for read in reads(*expressions(statement)) if read.tensor in names]
    if isinstance(statement, Store) and statement.buffer in names:
        found.append(statement.subscripts)
    return found


def _first_read(kernel: Kernel, state: str, local: str) -> Kernel:
    """The kernel that reads the state once an iteration, before anything else."""
    (loop,) = kernel.body
    assert isinstance(loop, For)
    old = next((r for one in statements(kernel.body) for r in reads(*expressions(one)) if r.tensor == state), None)
    if old is None:
        return kernel
    body = mapped(loop.body, lambda node: substitute(node, {old: Read(local, (), old.type)}))
    return replace(kernel, body=(replace(loop, body=(Let(local, old), *body)),))
