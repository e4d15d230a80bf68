"""Parts that are every second element of a row, say, go over one range, and what some have besides is a part::

    d[2*i] = ..      i < (|W| + 1) // 2            d[2*i] = ..      i < |W| // 2
    d[2*i+1] = ..    i < |W| // 2                  d[2*i+1] = ..    i < |W| // 2
                                                   d[2*i + 2*(|W| // 2)] = ..    i < (|W| + 1) // 2 - |W| // 2

One loop that goes along a row writes whole vectors then. Copies of matrix products stay as they are: each is written
where its product is made.
"""

from __future__ import annotations

from dataclasses import replace

from dlc.compiler.ir.affine import Polynomial, integer, polynomial
from dlc.compiler.ir.algebra import SCALAR_RULES
from dlc.compiler.ir.bounds import nonnegative
from dlc.compiler.ir.expr import Expr, Read, Reduce, fresh, op
from dlc.compiler.ir.forms import is_contraction
from dlc.compiler.ir.graph import Equation, Graph, Tensor
from dlc.compiler.ir.rewriting import substitute
from dlc.compiler.ir.simplifier import Simplifier

NAME = "abreast"


def run(graph: Graph) -> Graph:
    simplified = Simplifier(SCALAR_RULES)
    circles = graph.recurrence_of
    return graph.with_tensors(
        one if name in circles else _abreast(one, graph, simplified) for name, one in graph.tensors.items()
    )


def _abreast(tensor: Tensor, graph: Graph, simplified: Simplifier) -> Tensor:
    parts = [one for one in tensor.equations if _is_class(one) and not _is_product(one, graph)]
    lengths = {one: polynomial(one.indices[-1].size) for one in parts}
    different = dict.fromkeys(lengths.values())
    common = next((one for one in different if all(nonnegative(other - one) for other in different)), None)
    if common is None or common.value == 0 or len(different) < 2:
        return tensor
    inside: list[Equation] = []
    ends: list[Equation] = []
    for one in tensor.equations:
        length = lengths.get(one, common)
        if length != common:
            ends.append(_some(one, (length - common).expression(), common, simplified))
            one = _some(one, common.expression(), Polynomial(()), simplified)
        inside.append(one)
    return replace(tensor, equations=(*inside, *ends))


def _is_class(part: Equation) -> bool:
    """Whether it is every so many-th element of a row."""
    if not part.indices:
        return False
    split = polynomial(part.subscripts[-1]).split(part.indices[-1])
    if split is None:
        return False
    step, first = split[0].value, split[1].value
    return step is not None and first is not None and 0 <= first < step and step > 1


def _is_product(part: Equation, graph: Graph) -> bool:
    """Whether it copies a product of matrices."""
    return isinstance(part.value, Read) and any(map(is_contraction, graph.tensors[part.value.tensor].equations))


def _some(part: Equation, extent: Expr, start: Polynomial, simplified: Simplifier) -> Equation:
    """The part for so many elements of the row from the start on."""
    *others, row = part.indices
    number = fresh(extent, row.hint)
    changes: dict[Expr, Expr] = {row: integer(op("add", number, start.expression()))}
    value = substitute(part.value, changes)
    value = value.rebuild((simplified(value.body),)) if isinstance(value, Reduce) else simplified(value)
    subscripts = tuple(integer(substitute(subscript, changes)) for subscript in part.subscripts)
    return Equation((*others, number), subscripts, value, part.span)
