"""Scattered sums that are added to one another: they are scattered into the result.

::

    d_w[v,d] = 0                                   d_a[v,d] = 0
    for b: d_a[i[b],d] += e[b,d]        ->         for b: d_w[i[b],d] += e[b,d]
    for b: d_b[j[b],d] += f[b,d]                   for b: d_w[j[b],d] += f[b,d]
    d_w[v,d] = d_a[v,d] + d_b[v,d]

So it is in the gradient of an embedding that is read in several places.  A vocabulary is large beside a batch: most of
the time would be filling tensors with zeros, and adding these.  Other terms of the result are computed first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from dlc.compiler.ir.expr import Expr, Op, Read, Reduce, reads
from dlc.compiler.ir.graph import Equation, Graph, Tensor
from dlc.compiler.ir.loops import For, Statement
from dlc.compiler.lower.fusion import with_buffers_renamed
from dlc.compiler.lower.kernels import Draft, Item
from dlc.compiler.lower.levels import Level
from dlc.compiler.lower.scatter import places


def addends(equation: Equation, level: Level, scattered: frozenset[str]) -> tuple[list[str], list[Expr]]:
    """The tensors that may be scattered into the sum of all terms, and the other terms."""
    value = equation.value
    if not (isinstance(value, Op) and value.name == "add" and equation.is_whole):
        return [], []
    names: list[str] = []
    rest: list[Expr] = []
    for term in value.args:
        if (
            isinstance(term, Read)
            and term.tensor in scattered
            and term.subscripts == equation.indices
            and (_is_alone(level.items[level.home[term.tensor]]))
        ):
            names.append(term.tensor)
        else:
            rest.append(term)
    return names, rest


def _is_alone(item: Item) -> bool:
    """Whether a kernel fills one tensor, and then visits some of its elements."""
    if not isinstance(item, Draft) or len(item.equations) != 1 or item.when or item.before or item.after:
        return False
    return len(item.body) == 2 and all(isinstance(one, For) for one in item.body)


def scattered_once(graph: Graph) -> frozenset[str]:
    """The tensors that are scattered sums, and that nothing reads but a term of one equation."""
    found = Counter(
        read.tensor
        for tensor in graph.tensors.values()
        for equation in tensor.equations
        for read in reads(equation.value, *equation.subscripts)
    )
    once = {name for name, count in found.items() if count == 1} - graph.kept
    return frozenset(name for name in once if _is_scattered(graph.tensors[name]))


def _is_scattered(tensor: Tensor) -> bool:
    if len(tensor.equations) != 1:
        return False
    (equation,) = tensor.equations
    value = equation.value
    return isinstance(value, Reduce) and value.op == "sum" and bool(places(equation, value))


def scattered_into(draft: Draft, tensor: Tensor, equation: tuple[Tensor, Equation], adds: bool) -> Draft:
    """The kernel of a scattered sum with its elements in another tensor, to which it ``adds`` what is there."""
    ((source, own),) = draft.equations
    body: Sequence[Statement] = draft.body[1:] if adds else draft.body
    return replace(
        draft,
        equations=[(tensor, own)],
        body=with_buffers_renamed(tuple(body), {source.id: tensor.id}),
        formulas=[*draft.formulas, equation],
        is_finished=True,
    )
