"""Integers that are read from tensors: below which sizes they lie, for a reason that can be seen.

Elements of a declared set do, positions of a greatest element, remainders, and what is clamped.  A recurrence lies
below the bounds of what it is made of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import prod

from dlc.compiler.ir.affine import Polynomial, known, polynomial
from dlc.compiler.ir.bounds import nonnegative, within
from dlc.compiler.ir.expr import Const, Expr, Index, Op, Read, Reduce, Select, op, walk
from dlc.compiler.ir.graph import Graph, Tensor

_SHORT = 1 << 31

Below = tuple[Expr, ...]
"""Sizes: an element is at least 0, and lies below the greatest of them."""
Bounds = Mapping[str, Below]


def bounds_of(graph: Graph) -> dict[str, Below]:
    """The tensors of integers whose elements are known to lie below a size."""
    found: dict[str, Below] = {}
    for name, tensor in graph.tensors.items():
        if tensor.type == "int":
            below = _of_tensor(tensor, graph.tensors, frozenset())
            if below is not None:
                found[name] = below
    return found


def _of_tensor(tensor: Tensor, tensors: Mapping[str, Tensor], seen: frozenset[str]) -> Below | None:
    if tensor.bound is not None:
        return (tensor.bound,)
    if tensor.kind != "computed" or not tensor.equations:
        return None
    seen = seen | {tensor.id}

    def of_read(name: str) -> Below | None:
        return () if name in seen else _of_tensor(tensors[name], tensors, seen)

    return _together([_of(equation.value, of_read) for equation in tensor.equations])


def short(tensors: Iterable[Tensor]) -> set[str]:
    """The tensors of integers that need no more than 32 bits: places in small windows, and copies of them."""
    named = {tensor.id: tensor for tensor in tensors}
    found: set[str] = set()
    waiting = [tensor for tensor in named.values() if tensor.type == "int" and tensor.equations]
    while True:
        added = {one.id for one in waiting if all(_is_short(equation.value, found) for equation in one.equations)}
        if added <= found:
            return found
        found |= added


def _is_short(value: Expr, short: set[str]) -> bool:
    match value:
        case Const(value=number):
            return abs(number) < _SHORT
        case Select(yes=yes, no=no):
            return _is_short(yes, short) and _is_short(no, short)
        case Read(tensor=tensor):
            return tensor in short
        case Reduce(op="argmax" | "argmin", indices=indices):
            counts = [known(index.size) for index in indices]
            return None not in counts and prod(count or 0 for count in counts) < _SHORT
    return False


def below(node: Expr, bounds: Bounds) -> Below | None:
    return _of(node, bounds.get)


def _of(node: Expr, of_read: Callable[[str], Below | None]) -> Below | None:
    match node:
        case Index(size=size):
            return (size,)
        case Read(tensor=tensor):
            return of_read(tensor)
        case Reduce(op="argmax" | "argmin", indices=(index,)):
            return (index.size,)
        case Op(name="mod", args=(_, divisor)):
            return (divisor,)
        case Op(name="min", args=(Op(name="max", args=(_, Const(value=0)) | (Const(value=0), _)), last)):
            return (op("add", last, Const(1)),)
        case Op(name="random_integer", args=(*_, size)):
            return (size,)
        case Op(name="max", args=args):
            return _together([_of(arg, of_read) for arg in args])
        case Op(name="min", args=args):
            found = [_of(arg, of_read) for arg in args]
            return None if None in found else found[0]
        case Select(yes=yes, no=no):
            return _together([_of(yes, of_read), _of(no, of_read)])
        case Const(value=value) if value >= 0 and node.type == "int":
            return (Const(int(value) + 1),)
    return None


def _together(found: Sequence[Below | None]) -> Below | None:
    return None if None in found else tuple(dict.fromkeys(size for one in found for size in one or ()))


def lies_within(node: Expr, size: Expr, bounds: Bounds, facts: Sequence[Polynomial]) -> bool:
    """Whether a subscript stays on an axis of this size: by what it is made of, or by ``facts`` about what it reads."""
    known = below(node, bounds)
    extent = polynomial(size)
    if known is not None and all(nonnegative(extent - polynomial(one), facts) for one in known):
        return True
    more = list(facts)
    for part in walk(node):
        sizes = below(part, bounds) if isinstance(part, Read | Reduce) and part.type == "int" else None
        if sizes:
            limit = sizes[0] if len(sizes) == 1 else op("max", *sizes)
            more += [polynomial(part), polynomial(limit) - polynomial(part) - 1]
    return within(node, size, more)
