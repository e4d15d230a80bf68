"""The stages of the graph language: a predicate for each, which gives the reasons why a graph is not there.

*Extracted* is the form that differentiation, fusion and lowering take: an equation is a *map*, whose value holds no
reduction, or a *reduction*, which has one, at its root, over a body that holds none, or the solution of a *system*, at
its root too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from itertools import pairwise
from math import prod

from dlc.compiler.ir.affine import Polynomial, guessed, known, polynomial, shrinks, size_symbols
from dlc.compiler.ir.expr import Expr, Index, Reduce, Solve, free_indices, reads, walk
from dlc.compiler.ir.graph import Equation, Graph
from dlc.compiler.ir.products import guarded_product


def is_extracted(graph: Graph) -> list[str]:
    """Why the graph is not in extracted form; nothing if it is."""
    return [
        f"{tensor.id} has a {node.op} that is not at the root of its equation"
        for tensor in graph.tensors.values()
        for equation in tensor.equations
        for node in nested_reductions(equation)
    ]


def nested_reductions(equation: Equation) -> list[Reduce]:
    """Every reduction of the equation but one at the root."""
    return [node for node in _reductions(*equation.subscripts, equation.value) if node is not equation.value]


def is_map(equation: Equation) -> bool:
    """Whether each element is computed from elements, without a reduction."""
    return not isinstance(equation.value, Solve) and not _reductions(equation.value)


def is_reduction(equation: Equation) -> bool:
    return isinstance(equation.value, Reduce) and not _reductions(equation.value.body)


def is_contraction(equation: Equation) -> bool:
    """Whether the equation is a product of two matrices, or many: a sum of products of two factors."""
    return matrices(equation) is not None


def matrices(equation: Equation) -> tuple[Expr, Expr] | None:
    """The factors of a product of two matrices, or many; None for anything else.

    The summed indices occur in both factors, and each factor has an index of its own on the left: rows and columns.
    """
    value = equation.value
    if not (isinstance(value, Reduce) and value.op == "sum" and value.type == "real"):
        return None
    factors = guarded_product(value.body).factors
    if len(factors) != 2:
        return None
    first, second = factors
    left, right = set(free_indices(first)), set(free_indices(second))
    summed, free = set(value.indices), set(equation.indices)
    is_one = summed <= left & right and bool((left - right) & free) and bool((right - left) & free)
    return (first, second) if is_one else None


_MOST_TERMS = 49  # seven by seven
_SHORTEST_ROW = 4
_LONGEST_STEP = 4  # elements that a row may jump over: further apart, each lies in a cache line of its own


_USUAL_WINDOW = 3  # counts for an axis of one whose size is not known


def axes_by_factor(product: Equation) -> tuple[Index, ...]:
    """The axes of a matrix product, the first in its place; rows and columns that alternate are put together, those
    that are more behind the others.
    """
    first, *others = product.indices
    assert isinstance(product.value, Reduce)
    free = [set(free_indices(factor)) for factor in guarded_product(product.value.body).factors]
    own = [[index for index in others if index in free[n] and index not in free[1 - n]] for n in (0, 1)]
    is_split = all((index in free[0]) != (index in free[1]) for index in others)
    alternations = sum((one in own[0]) != (next_ in own[0]) for one, next_ in pairwise(others))
    if not is_split or alternations < 2:
        return product.indices
    own.sort(key=lambda group: prod(guessed(index.size) for index in group))
    return (first, *own[0], *own[1])


def window_sizes(facts: Iterable[Polynomial]) -> frozenset[str]:
    """The sizes that count as few where they are not known, told from what is not negative: those that leave fewer
    places the greater they are, as that of a kernel does in ``|H| - |P| + 1``.
    """
    sizes = [fact.expression() for fact in facts]
    return frozenset(name for size in sizes for name in size_symbols(size) if shrinks(size, {name}))


def made_of(windows: frozenset[str], formulas: Mapping[str, Expr]) -> frozenset[str]:
    """Those sizes, and the names of such as are made of them alone."""
    own = {name: size_symbols(formula) for name, formula in formulas.items()}
    return windows | {name for name, symbols in own.items() if symbols and windows.issuperset(symbols)}


def is_few(index: Index, windows: Set[str]) -> bool:
    """Whether the size of the index is not known, and made of such sizes alone."""
    symbols = size_symbols(index.size)
    return bool(symbols) and all(one in windows for one in symbols)


def is_window(equation: Equation, windows: Set[str] = frozenset()) -> bool:
    """Whether the equation reduces few elements, which move along rows together with the last index on the left; of
    sizes that are not known, those of ``windows`` are taken for small.
    """
    value = equation.value
    if not isinstance(value, Reduce) or not equation.indices or value.op in ("any", "all"):
        return False
    number = prod(_USUAL_WINDOW if is_few(index, windows) else known(index.size) or 0 for index in value.indices)
    row = equation.indices[-1]
    extent = known(row.size)
    if not 1 < number <= _MOST_TERMS or (extent is not None and extent < _SHORTEST_ROW):
        return False
    return row in free_indices(value.body) and _moves_along(row, value.body)


def _moves_along(row: Index, body: Expr) -> bool:
    """Whether every read that depends on the row's index moves along its last axis in small steps."""
    for read in reads(body):
        if row not in free_indices(read):
            continue
        parts = polynomial(read.subscripts[-1]).split(row)
        step = parts[0].value if parts is not None else None
        if step is None or not 1 <= step <= _LONGEST_STEP:
            return False
        if any(row in free_indices(subscript) for subscript in read.subscripts[:-1]):
            return False
    return True


def _reductions(*roots: Expr) -> list[Reduce]:
    return [node for node in walk(*roots) if isinstance(node, Reduce)]
