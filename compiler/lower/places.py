"""Tensors that take the place of others, which nobody needs any more.

Where the last loop that reads a tensor writes another one of the same shape, element by element, one place in memory
does for both::

    d_x[b,i] = d_y[b,i]*g(x[b,i])    ->    x[b,i] = d_y[b,i]*g(x[b,i])

So the gradient of an activation lies where what it was taken of lay, of all layers at once if they are a recurrence.
The loops hold nothing else, visit every element once, and read only the element that they are about to write.  All
else that touches the old tensor stands in regions before, and the new one is touched by nothing that runs before.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from dlc.compiler.ir.affine import polynomial
from dlc.compiler.ir.expr import Expr, Index, free_indices, reads, walk
from dlc.compiler.ir.loops import SHARDS, Entry, For, Kernel, Let, Program, Statement, Store, expressions
from dlc.compiler.lower.fusion import touches, with_buffers_renamed, writes


def in_old_places(program: Program) -> Program:
    """The program with tensors in the places of others wherever that is right."""
    uses = _Uses(program)
    for name in program.kernels:
        new = _stored(program.kernels[name])
        if new is None:
            continue
        for old in sorted(_candidates(program, name, new)):
            if all(uses.allow(entry.name, name, old, new) for entry in program.entries):
                program = _with_one_place(program, uses.touching[new], old, new)
                uses.renamed(new, old)
                break
    return program


def _with_one_place(program: Program, users: Iterable[str], old: str, new: str) -> Program:
    kernels = dict(program.kernels)
    for key in users:
        kernels[key] = replace(kernels[key], body=with_buffers_renamed(kernels[key].body, {new: old}))
    buffers = {key: buffer for key, buffer in program.buffers.items() if key != new}
    return replace(program, kernels=kernels, buffers=buffers)


class _Uses:
    """Which kernels touch and write each tensor, and where in an entry each of them runs.

    All kernels are looked at once: what is asked of one pair of tensors takes no longer in a larger program.
    """

    def __init__(self, program: Program) -> None:
        self.touching: dict[str, dict[str, None]] = {}
        self.writing: dict[str, dict[str, None]] = {}
        for key, kernel in program.kernels.items():
            for found, names in ((self.touching, touches(kernel.body)), (self.writing, writes(kernel.body))):
                for name in names:
                    found.setdefault(name, {})[key] = None
        self.runs = {entry.name: _runs(entry) for entry in program.entries}

    def renamed(self, new: str, old: str) -> None:
        """The one tensor lies where the other one lay."""
        for found in (self.touching, self.writing):
            found.setdefault(old, {}).update(found.pop(new, {}))

    def allow(self, entry: str, name: str, old: str, new: str) -> bool:
        """Whether in this entry all else that touches the old tensor runs in regions before, and all else that touches
        the new one runs later and only reads it.
        """
        runs = self.runs[entry]
        places = [place for key in self.touching[new] for _, place in runs.get(key, ())]
        if not places:
            return True
        homes = runs.get(name, ())
        if len(homes) != 1:
            return False
        ((home, here),) = homes
        others = [run for key in self.touching[old] for run in runs.get(key, ()) if run[1] != here]
        if min(places) < here or any(region >= home for region, _ in others):
            return False
        return not any(place > here for key in self.writing[new] for _, place in runs.get(key, ()))


def _runs(entry: Entry) -> dict[str, list[tuple[int, int]]]:
    """For every kernel of the entry the numbers of its regions, and its places among all that runs."""
    found: dict[str, list[tuple[int, int]]] = {}
    order = [(number, key) for number, region in enumerate(entry.regions) for key in region.kernels]
    for place, (number, key) in enumerate(order):
        found.setdefault(key, []).append((number, place))
    return found


def _loops(kernel: Kernel) -> tuple[list[Index], Sequence[Statement]]:
    """The indices of the loops that hold all of the kernel, and what stands in the innermost."""
    indices: list[Index] = []
    body: Sequence[Statement] = kernel.body
    while len(body) == 1 and isinstance(body[0], For):
        indices.append(body[0].index)
        body = body[0].body
    return indices, body


def _stored(kernel: Kernel) -> str | None:
    """The one tensor that the kernel writes, if all of it are loops around stores."""
    indices, body = _loops(kernel)
    found = {one.buffer for one in body if isinstance(one, Store)}
    if not indices or len(found) != 1 or not all(isinstance(one, Let | Store) for one in body):
        return None
    return found.pop()


def _candidates(program: Program, name: str, new: str) -> set[str]:
    """The tensors of the same shape that the kernel reads nowhere but where it writes, and before that."""
    indices, body = _loops(program.kernels[name])
    stores = [number for number, one in enumerate(body) if isinstance(one, Store)]
    place = next(one.subscripts for one in body if isinstance(one, Store))
    over = program.kernels[name].over
    if len(stores) != 1 or not _visits_once(place, [*indices, *over]) or not _is_internal(program, new):
        return set()
    read = [read for one in body for read in reads(*expressions(one))]
    late = {read.tensor for one in body[stores[0] + 1 :] for read in reads(*expressions(one))}
    buffer = program.buffers[new]
    return {
        one.tensor
        for one in read
        if one.tensor not in late | {new}
        and _is_internal(program, one.tensor)
        and replace(program.buffers[one.tensor], id=new) == buffer
        and all(other.subscripts == place for other in read if other.tensor == one.tensor)
    }


def _is_internal(program: Program, name: str) -> bool:
    buffer = program.buffers.get(name)
    if buffer is None or buffer.role != "workspace" or not buffer.sizes:
        return False
    return SHARDS not in walk(*buffer.sizes)


def _visits_once(place: Sequence[Expr], indices: Sequence[Index]) -> bool:
    """Whether the subscripts are different ones for different values of the indices."""
    left = set(indices)
    for subscript in place:
        found = left.intersection(free_indices(subscript))
        if len(found) == 1:
            (index,) = found
            parts = polynomial(subscript).split(index)
            if parts is None or not parts[0].value or set(indices).intersection(parts[1].atoms):
                return False
            left.remove(index)
        elif found:
            return False
    return not left
