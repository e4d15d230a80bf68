"""Products whose results overlap and are added: the derivative by an image without the zeros around it.

``d_x[c,h,w] = sum[o,p,q] k[o,c,p,q]*d_y[o,h-p,w-q]`` asks for ``d_y`` at places that it does not have: of images of
few pixels a third of the products are with zeros.  The sum over o and p of ``k[o,c,p,q]*d_y[o,h-p,v]``, added for all
v and q to the place ``w = v+q``, has none of them along that axis.  What one v adds, over q and c, lies side by side
where the axes of the result stand in the order ``[h,w,c]``: it is one row of a product, and rows overlap::

    d_x.turned[h, v+q, c] += sum[o,p] k.packed[o,p,q,c]*d_y[o,h-p,v]    of each h the p within the support
    d_x[c,h,w] = d_x.turned[h,w,c]

The weights are copied once for all samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from dlc.compiler.ir.affine import known, polynomial
from dlc.compiler.ir.bounds import decide, facts_of_all, nonnegative
from dlc.compiler.ir.conditions import conjunction, conjuncts, is_zero
from dlc.compiler.ir.expr import Expr, Index, Read, Reduce, Select, free_indices, fresh, op, refresh
from dlc.compiler.ir.graph import Equation, Graph, Tensor, whole
from dlc.compiler.ir.loops import Matmul, statements
from dlc.compiler.ir.rewriting import rename_bound, substitute
from dlc.compiler.ir.ways import Ways
from dlc.compiler.lower.contractions import Contraction, Factor
from dlc.compiler.lower.layouts import Layout, Packer, layout
from dlc.compiler.lower.masks import Mask, zeros
from dlc.compiler.lower.nests import volume
from dlc.compiler.lower.support import with_support, within_support
from dlc.compiler.lower.tables import Tabled, groups, tabled, tabled_body
from dlc.compiler.lower.winograd import sliding

_LANES = 16  # numbers of a vector, which a row has at least: rows are filled up to a multiple of them
_ADDING, _TURNING = 10, 12  # multiplications in the time that adding a number to another takes, and copying one
_MOST = 128  # places of an image along the axis: their rows of the product stay together


@dataclass(frozen=True)
class OverlapAdd:
    """The product that is added to ``turned``, and the equation that takes its results from there."""

    turned: Tensor
    product: Tabled
    equation: Equation
    slide: Slide

    def is_less(self, product: Tabled) -> bool:
        """Whether it takes less time so, with the support that it has, than all places of the axis with all taps."""
        place, tap, index = (volume((one,)) for one in (self.slide.place, self.slide.tap, self.slide.index))
        maps = volume(product.rows) // tap
        terms = volume(product.product.reduced) * (product.support.support.part if product.support is not None else 1.0)
        row = -(-tap * maps // _LANES) * _LANES
        if tap * maps < _LANES:
            return False
        return index * row * (terms + _ADDING) + place * maps * _TURNING < place * tap * maps * terms


@dataclass(frozen=True)
class Slide:
    """An image is read at ``place - tap + low``; where that is an ``index`` of it, it is ``value``, elsewhere 0."""

    image: Factor
    weights: Factor
    place: Index
    tap: Index
    index: Index
    low: int
    value: Expr

    def image_in_place(self, packer: Packer) -> Layout:
        """Where the image lies, whatever guards it."""
        (place, *_) = packer.in_place(self.value.yes if isinstance(self.value, Select) else self.value)
        return place

    @property
    def at(self) -> Expr:
        """The place by the other two."""
        return (polynomial(self.index) + polynomial(self.tap) - self.low).expression()


def slides(product: Contraction, graph: Graph) -> Iterator[Slide]:
    """The ways in which an image under a guard is read at a difference along its last axis, where the other factor is
    the same for all samples.
    """
    for image, weights in ((product.right, product.left), (product.left, product.right)):
        value, own = image.value, {*weights.own, *product.reduced}
        if not (isinstance(value, Select) and isinstance(value.yes, Read) and is_zero(value.no)):
            continue
        if not isinstance(weights.value, Read) or set(free_indices(weights.value)) != own:
            continue
        sizes = graph.tensors[value.yes.tensor].sizes
        for axis, subscript in enumerate(value.yes.subscripts):
            for tap in product.reduced:
                low = (polynomial(subscript) - polynomial(image.own[-1]) + polynomial(tap)).value
                slide = _slide(image, weights, axis, tap, low, sizes[axis]) if low is not None else None
                if slide is not None:
                    yield slide


def _slide(image: Factor, weights: Factor, axis: int, tap: Index, low: int, size: Expr) -> Slide | None:
    """Along one axis, if all that the image has there is needed, and no more guarded than by its ends."""
    value, place = image.value, image.own[-1]
    assert isinstance(value, Select) and isinstance(value.yes, Read)
    extents = [known(one) for one in (size, place.size, tap.size, *(index.size for index in weights.own))]
    others = [one for number, one in enumerate(value.yes.subscripts) if number != axis]
    if None in extents or volume((place,)) > _MOST or any({place, tap} & set(free_indices(one)) for one in others):
        return None
    index = fresh(size, place.hint)
    slide = Slide(image, weights, place, tap, index, low, value)
    ends = polynomial(slide.at), polynomial(place.size) - 1 - polynomial(slide.at)
    names: dict[Expr, Expr] = {place: slide.at}
    conditions = [substitute(condition, names) for condition in conjuncts(value.cond)]
    kept = [condition for condition in conditions if decide(condition) is not True]
    if not all(map(nonnegative, ends)) or any({index, tap} & set(free_indices(condition)) for condition in kept):
        return None
    subscripts = tuple(index if number == axis else one for number, one in enumerate(value.yes.subscripts))
    read = Read(value.yes.tensor, subscripts, value.yes.type)
    return replace(slide, value=Select(conjunction(kept), read, value.no) if kept else read)


def pays(
    product: Contraction, slide: Slide, graph: Graph, packer: Packer, ways: Ways, known_zeros: Mapping[str, Mask]
) -> bool:
    """Whether that takes less than a product with a border all around, by Winograd's tiles too; what the packer packs
    meanwhile is for nothing."""
    found = overlap_add(product, slide, packer, ways, str)
    if found is None:
        return False
    all_zeros = {**known_zeros, **{packed.id: zeros(graph, packed) for packed in packer.tensors}}
    if not found.is_less(with_support(found.product, all_zeros)):
        return False
    around = tabled(product, packer, ways)
    products = [one for one in statements(tabled_body(around, label="")) if isinstance(one, Matmul)] if around else []
    return not any(tiled.is_faster for one in products if (tiled := sliding(one, None)) is not None)


# -- the product -------------------------------------------------------------------------------------------------------


def overlap_add(
    product: Contraction, slide: Slide, packer: Packer, ways: Ways, fresh_id: Callable[[str], str]
) -> OverlapAdd | None:
    """The product as one whose results overlap, if it is made sample by sample."""
    tensor, equation, weights = product.tensor, product.equation, slide.weights
    found = groups(product, packer, ways)
    looped = found[0] if found is not None and not ways.packs and ways.conv != "winograd" else ()
    places = tuple(index for index in slide.image.own if index not in looped)
    if equation.indices[0] not in looped or not set(looped).isdisjoint((*weights.own, slide.place)):
        return None
    reduced = tuple(index for index in product.reduced if index is not slide.tap)
    rows = (slide.tap, *weights.own)
    of_weights = _weights(weights.value, rows, reduced, packer, tensor, equation)
    axes = (*looped, *places, *weights.own)
    turned = _turned(fresh_id(f"{tensor.id}.turned"), axes, equation)
    own = replace(product, tensor=turned, rows=(), columns=(), reduced=reduced)
    added = _within_guard(slide, _added(own, slide, looped, of_weights, slide.image_in_place(packer)))
    if added is None:
        of_image = _image(slide.value, packer, tensor, equation)
        if of_image is None:
            return None
        added = _added(own, slide, looped, of_weights, of_image)
    # in the order in which shards have their parts: of the first axis behind the samples
    indices = (*looped, *places[:-1], *weights.own, places[-1])
    reader = replace(equation, indices=indices, value=Read(turned.id, axes, "real"))
    return OverlapAdd(turned, added, reader, slide)


def _added(
    product: Contraction, slide: Slide, looped: tuple[Index, ...], of_weights: Layout, of_image: Layout
) -> Tabled:
    """The product that reads both there."""
    places = tuple(index for index in slide.image.own[:-1] if index not in looped)
    rows, columns = (slide.tap, *slide.weights.own), (*places, slide.index)
    subscripts = (*looped, *places, slide.at, *slide.weights.own)
    result = layout(Read(product.tensor.id, subscripts, "real"), product.tensor.sizes)
    assert result is not None
    value = Reduce("sum", product.reduced, op("mul", of_weights.read, of_image.read))
    equation = Equation((*looped, *columns, *rows), subscripts, value, product.equation.span)
    left, right = Factor(of_weights.read, rows), Factor(of_image.read, (*looped, *columns))
    added = replace(product, equation=equation, result=result, left=left, right=right)
    return Tabled(added, of_weights, of_image, looped, rows, columns, adds=True)


def _within_guard(slide: Slide, bare: Tabled) -> Tabled | None:
    """The product of an image without a border, if its support tells all that the guard does: results that overlap are
    added without what is outside.
    """
    conditions = conjuncts(slide.value.cond) if isinstance(slide.value, Select) else ()
    found = within_support(bare, (), facts_of_all((condition, True) for condition in conditions))
    along = found.support
    if not conditions or along is None:
        return None if conditions else bare
    at = polynomial(along.place) * along.support.of_place + polynomial(along.tap) * along.support.of_tap
    inside = (at - along.support.low, -at + (along.support.high - 1))
    return found if all(decide(condition, inside) for condition in conditions) else None


def _image(value: Expr, packer: Packer, tensor: Tensor, equation: Equation) -> Layout | None:
    """Where the image lies, or a copy of it with what border is left."""
    places = packer.in_place(value)
    border = packer.bordered(value) if not places else None
    if border is not None:
        return packer.copied(border, value, tensor, equation)
    return places[0] if places else None


def _turned(name: str, axes: tuple[Index, ...], equation: Equation) -> Tensor:
    own = tuple(refresh(index) for index in axes)
    names: dict[Expr, Expr] = dict(zip(axes, own, strict=True))
    return whole(name, own, substitute(rename_bound(equation.value), names), equation.span)


def _weights(
    value: Expr,
    rows: tuple[Index, ...],
    reduced: tuple[Index, ...],
    packer: Packer,
    tensor: Tensor,
    equation: Equation,
) -> Layout:
    """The weights with the numbers of a row side by side, which a copy has where they do not lie so."""
    for place in packer.in_place(value):
        stride = place.stride(rows)
        if stride is not None and stride.value == 1:
            return place
    return packer.pack(value, (*reduced, *rows), tensor, equation, rows)
