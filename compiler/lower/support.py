"""Products with an image that has a border of zeros: which taps a place needs along one axis.

``d_x[c,h,w] = sum[o,p,q] k[o,c,p,q]*d_y.padded[o,h-p+4,w-q+4]`` multiplies by zeros wherever ``h-p`` is no row of
``d_y``: of images of few pixels half of the time.  A row h of pixels needs the taps p with ``0 <= h-p < |U|`` alone,
and with the taps along that axis outermost they are a range of the reduced indices.  The last axis of the columns is
left out: its places lie in the lanes of a vector, which go through the same steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from dlc.compiler.ir.affine import Polynomial, known, polynomial
from dlc.compiler.ir.expr import Index
from dlc.compiler.ir.loops import Support
from dlc.compiler.lower.masks import EVERYWHERE, Mask
from dlc.compiler.lower.nests import volume
from dlc.compiler.lower.tables import AxisSupport, Tabled

_WORTH = 0.8  # the part of the products that may be left: weights are packed faster in the order in which they lie
_NEAR = 1 << 16  # elements


def within_support(found: Tabled, of_left: Iterable[Polynomial], of_right: Iterable[Polynomial]) -> Tabled:
    """The product with the support of that factor, on the right, which leaves fewer products; of each factor it is told
    what is not negative where it may differ from zero.
    """
    turned = replace(found, left=found.right, right=found.left, rows=found.columns, columns=found.rows)
    ways = [(one, list(_supports(one, tuple(facts)))) for one, facts in ((found, of_right), (turned, of_left))]
    supports = [(along.support.part, replace(one, support=along)) for one, several in ways for along in several]
    least, best = min(supports, key=lambda pair: pair[0], default=(1.0, found))
    return best if least <= _WORTH else found


def with_support(found: Tabled, zeros: Mapping[str, Mask]) -> Tabled:
    """The same by what is known of tensors, where they may differ from zero."""
    told = (zeros.get(place.buffer, EVERYWHERE).at(place.read.subscripts) for place in found.layouts)
    return within_support(found, *told)


def _supports(found: Tabled, facts: Sequence[Polynomial]) -> Iterator[AxisSupport]:
    """The supports along each axis of the columns but the last."""
    for number, place in enumerate(found.columns[:-1]):
        inside = found.columns[number + 1 :]
        for tap in found.product.reduced:
            if _stays_near(found, tap) and all(known(index.size) is not None for index in (place, tap, *inside)):
                support = _support(facts, place, tap, inside)
                if support is not None:
                    yield AxisSupport(place, tap, support)


def _stays_near(found: Tabled, tap: Index) -> bool:
    """Whether the image stays in the cache while all of it is read for one tap, as not that of a whole batch does."""
    others = [index for index in found.product.reduced if index is not tap]
    spans = [known((found.right.strides[index] * (polynomial(index.size) - 1)).expression()) for index in others]
    return all(span is not None and abs(span) <= _NEAR for span in spans)


def _support(facts: Sequence[Polynomial], place: Index, tap: Index, inside: Sequence[Index]) -> Support | None:
    """What the facts about the two tell of one sum of both."""
    told = [steps for fact in facts if (steps := _steps(fact, place, tap)) is not None]
    for of_place, of_tap, _ in told:
        lows = [-rest for *steps, rest in told if steps == [of_place, of_tap]]
        highs = [rest + 1 for *steps, rest in told if steps == [-of_place, -of_tap]]
        if lows and highs and of_place > 0:
            return Support(volume(inside), volume((place,)), volume((tap,)), of_place, of_tap, max(lows), min(highs))
    return None


def _steps(fact: Polynomial, place: Index, tap: Index) -> tuple[int, int, int] | None:
    """How far a fact about the two moves with each of them, and what it is where both are 0."""
    by_place = fact.split(place)
    by_tap = by_place[1].split(tap) if by_place is not None else None
    if by_place is None or by_tap is None:
        return None
    one, other, rest = by_place[0].value, by_tap[0].value, by_tap[1].value
    return (one, other, rest) if one and other and rest is not None else None
