"""Room between planes that are used at once.

Places a multiple of 4 KiB apart share the same few lines of the first cache. Where equations write or read several
planes of a tensor side by side, as a transformation into tiles does, and these lie so far apart, an axis within the
planes is made longer by one. Nothing is ever kept there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from math import prod

from dlc.compiler.ir.affine import known
from dlc.compiler.ir.expr import Const, Expr, reads
from dlc.compiler.ir.graph import Graph

_CROWDED = 512  # numbers in 4 KiB, if they are wide
_SEVERAL = 4


def spaced(graph: Graph) -> dict[str, tuple[Expr, ...]]:
    """The sizes of all tensors, with room in those that nobody sees outside."""
    used: dict[str, dict[int, set[Expr]]] = {}
    for name, subscripts in _accesses(graph):
        for axis, subscript in enumerate(subscripts[:-1]):
            if isinstance(subscript, Const):
                used.setdefault(name, {}).setdefault(axis, set()).add(subscript)
    kept = graph.kept
    sizes = {name: tensor.sizes for name, tensor in graph.tensors.items()}
    for name, axes in used.items():
        tensor = graph.tensors[name]
        several = [axis for axis, places in axes.items() if len(places) >= _SEVERAL]
        if several and tensor.kind == "computed" and name not in kept:
            sizes[name] = _with_room(tensor.sizes, several)
    return sizes


def _accesses(graph: Graph) -> Iterator[tuple[str, tuple[Expr, ...]]]:
    for tensor in graph.tensors.values():
        for equation in tensor.equations:
            yield tensor.id, equation.subscripts
            for read in reads(equation.value):
                yield read.tensor, read.subscripts


def _with_room(sizes: tuple[Expr, ...], planes: Collection[int]) -> tuple[Expr, ...]:
    """The sizes, with one more on the outermost axis within the planes that moves them apart from each other."""
    extents = [known(size) for size in sizes]
    for axis in planes:
        if not _crowded(extents[axis + 1 :]):
            continue
        place = next((n for n in range(axis + 1, len(sizes) - 1) if not _crowded(extents[n + 1 :])), None)
        extent = None if place is None else extents[place]
        if place is not None and extent is not None:
            extents[place] = extent + 1
            sizes = (*sizes[:place], Const(extent + 1), *sizes[place + 1 :])
    return sizes


def _crowded(extents: Sequence[int | None]) -> bool:
    """Whether planes of these extents lie so far apart that they share lines of the cache."""
    if None in extents:
        return False
    volume = prod(extent for extent in extents if extent is not None)
    return volume > 0 and volume % _CROWDED == 0
