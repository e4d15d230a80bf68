"""The parts of a tensor: equations whose left sides must neither overlap nor leave a hole.

Two parts are disjoint if on some axis their intervals are, or if they are interleaved (`y[2*i]`, `y[2*i + 1]`).
Disjoint parts that map different indices to different elements leave no hole if and only if their numbers of elements
add up to that of the tensor, so the cover is an identity of polynomials in the sizes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from dlc.compiler.diagnostics import Diagnostic
from dlc.compiler.ir.affine import Polynomial, polynomial
from dlc.compiler.ir.bounds import extreme, nonnegative, products
from dlc.compiler.ir.expr import Expr, Index
from dlc.compiler.ir.graph import Equation, Tensor
from dlc.compiler.semantics.errors_indices import BadLeftSubscript, Hole, Overlap
from dlc.compiler.semantics.sizes import Sizes
from dlc.compiler.semantics.words import polynomial_in_words
from dlc.compiler.source import Span


def parts_problems(tensor: Tensor, name: str, sizes: Sizes, spans: Sequence[Span]) -> list[Diagnostic]:
    """What is wrong with the parts of a tensor whose sizes are found; ``spans`` are those of the left sides.

    What depends on sizes that only the inputs tell becomes a requirement.
    """
    equations = tensor.equations
    if len(equations) == 1 and equations[0].is_whole:
        return []
    boxes = [tuple(map(polynomial, equation.subscripts)) for equation in equations]
    return overlaps(tensor, name, sizes, spans) or _holes(tensor, name, sizes, boxes, spans)


def overlaps(tensor: Tensor, name: str, sizes: Sizes, spans: Sequence[Span]) -> list[Diagnostic]:
    """Parts that define an element twice, or one that there is not."""
    equations = tensor.equations
    boxes = [tuple(map(polynomial, equation.subscripts)) for equation in equations]
    for equation, box, span in zip(equations, boxes, spans, strict=True):
        if not _injective(equation, box):
            return [BadLeftSubscript(span, "two values of its index variables may mean the same element")]
        problem = _below_zero(name, box, sizes, span)
        if problem is not None:
            return [problem]
    problems: list[Diagnostic] = []
    places = [[_Place.of(value) for value in box] for box in boxes]
    for (i, first), (j, second) in combinations(enumerate(places), 2):
        if not _disjoint(first, second):
            surely = _surely_meet(first, second)
            problems.append(Overlap(spans[j], name, spans[i], surely))
    return problems


def _injective(equation: Equation, box: Sequence[Polynomial]) -> bool:
    """Whether different indices give different places: each index on one axis, and axes in mixed radix."""
    for index in equation.indices:
        if sum(index in value.atoms for value in box) != 1:
            return False
    return all(_mixed_radix(value) for value in box)


def _mixed_radix(value: Polynomial) -> bool:
    """Whether different indices give different values: each stride exceeds what the smaller ones reach."""
    strides: list[tuple[Polynomial, Polynomial]] = []
    for index in (atom for atom in value.atoms if isinstance(atom, Index)):
        parts = value.split(index)
        if parts is None:
            return False
        strides.append((parts[0], polynomial(index.size)))
    # an index without values makes the part empty
    return _stacked(strides, Polynomial(()), products(size - 1 for _, size in strides))


def _stacked(strides: Sequence[tuple[Polynomial, Polynomial]], reach: Polynomial, facts: Sequence[Polynomial]) -> bool:
    """Whether the strides, in some order, exceed ``reach`` and what those before them reach."""
    if not strides:
        return True
    for place, (stride, size) in enumerate(strides):
        others = [*strides[:place], *strides[place + 1 :]]
        if nonnegative(stride - reach - 1, facts) and _stacked(others, reach + stride * (size - 1), facts):
            return True
    return False


def _below_zero(name: str, box: Sequence[Polynomial], sizes: Sizes, span: Span) -> Diagnostic | None:
    for value in box:
        first = extreme(value, False)
        if first is None:
            return BadLeftSubscript(span, "it is not affine in its index variables")
        if nonnegative(-first - 1):
            return BadLeftSubscript(span, f"it begins at {polynomial_in_words(first)}, below 0")
        if not nonnegative(first):
            message = f"a part of `{name}` begins at {polynomial_in_words(first)}, which must not be negative"
            sizes.require(first.expression(), message, span)
    return None


@dataclass(frozen=True)
class _Place:
    """A subscript of a part with the interval that it covers, where its ends are known."""

    value: Polynomial
    low: Polynomial | None
    high: Polynomial | None

    @staticmethod
    def of(value: Polynomial) -> _Place:
        return _Place(value, extreme(value, False), extreme(value, True))


def _disjoint(first: Sequence[_Place], second: Sequence[_Place]) -> bool:
    pairs = [(a, b) for a, b in zip(first, second, strict=True) if a.value != b.value]
    return any(_apart(a, b) or _interleaved(a.value, b.value) for a, b in pairs)


def _apart(a: _Place, b: _Place) -> bool:
    if a.low is None or a.high is None or b.low is None or b.high is None:
        return False
    return nonnegative(b.low - a.high - 1) or nonnegative(a.low - b.high - 1)


def _interleaved(a: Polynomial, b: Polynomial) -> bool:
    """Whether the places differ modulo a stride that all index variables of both have."""
    indices = [atom for atom in (*a.atoms, *b.atoms) if isinstance(atom, Index)]
    strides: list[int] = []
    for index in indices:
        for value in (a, b):
            parts = value.split(index) if index in value.atoms else None
            if parts is not None:
                stride = parts[0].value
                if stride is None:
                    return False
                strides.append(abs(stride))
    difference = _without_indices(a) - _without_indices(b)
    return any(
        stride > 1
        and all(other % stride == 0 for other in strides)
        and difference.value is not None
        and difference.value % stride
        for stride in strides
    )


def _without_indices(value: Polynomial) -> Polynomial:
    return Polynomial.of(term for term in value.terms if not any(isinstance(atom, Index) for atom in term[0]))


def _surely_meet(first: Sequence[_Place], second: Sequence[_Place]) -> bool:
    """Whether on every axis the intervals without gaps meet, whatever the sizes (as long as nothing is empty)."""
    for a, b in zip(first, second, strict=True):
        if a.low is None or a.high is None or b.low is None or b.high is None:
            return False
        if not (nonnegative(b.high - a.low) and nonnegative(a.high - b.low)):
            return False
    return True


def _holes(
    tensor: Tensor, name: str, sizes: Sizes, boxes: Sequence[Sequence[Polynomial]], spans: Sequence[Span]
) -> list[Diagnostic]:
    total = _volume(tensor.sizes)
    covered = Polynomial(())
    for equation in tensor.equations:
        covered = covered + _volume([index.size for index in equation.indices])
    missing = total - covered
    if not missing.terms:
        return []
    gap = _gap(tensor, boxes)
    if gap is not None or nonnegative(missing - 1):
        return [Hole(spans[0], name, gap)]
    if nonnegative(-missing - 1):
        return [Overlap(spans[-1], name, spans[0], True)]
    message = f"the equations of `{name}` must define every element: {polynomial_in_words(missing)} are missing"
    sizes.require((-missing).expression(), message, spans[0])
    sizes.require(missing.expression(), message, spans[0])
    return []


def _volume(extents: Sequence[Expr]) -> Polynomial:
    result = Polynomial.constant(1)
    for extent in extents:
        result = result * polynomial(extent)
    return result


def _gap(tensor: Tensor, boxes: Sequence[Sequence[Polynomial]]) -> str | None:
    """The elements that no part defines, where the parts differ along one axis only."""
    axes = (
        [axis for axis in range(tensor.rank) if len({box[axis] for box in boxes}) > 1]
        if len(boxes) > 1
        else list(range(tensor.rank))
    )
    for axis in axes:
        intervals = [(extreme(box[axis], False), extreme(box[axis], True)) for box in boxes]
        start = Polynomial(())
        left = [(low, high) for low, high in intervals if low is not None and high is not None]
        while left:
            following = next((one for one in left if all(nonnegative(other[0] - one[0]) for other in left)), None)
            if following is None:
                break
            if nonnegative(following[0] - start - 1):
                first, last = polynomial_in_words(start), polynomial_in_words(following[0] - 1)
                elements = f"element {first}" if first == last else f"elements {first} .. {last}"
                return f"{elements} of axis {axis + 1}"
            start = following[1] + 1
            left.remove(following)
    return None
