"""Three factors are multiplied in the order that the sizes make cheap, and the product is the same."""

from __future__ import annotations

import pytest
from building import at, given, index, mul, total, when
from lower.agreement import agreeing

from dlc.compiler.ir.affine import known
from dlc.compiler.ir.expr import Const, Size, op
from dlc.compiler.ir.graph import Tensor, whole
from dlc.compiler.ir.loops import Matmul, Program, Step, When, statements
from dlc.compiler.ir.rewriting import substitute

NAMES = ("I", "J", "K", "L")
I, J, K, L = (index(name.lower(), name) for name in NAMES)
A, B, C = given("a", "I", "J"), given("b", "J", "K"), given("c", "K", "L")
FIRST = whole("first", (I, K), total(J, of=mul(at(A, I, J), at(B, J, K))))
SIZES = [(9, 2, 11, 3), (2, 9, 3, 11), (5, 5, 5, 5), (0, 4, 5, 6), (3, 0, 4, 5)]


def chain(name: str, first: Tensor = FIRST) -> Tensor:
    return whole(name, (I, L), total(K, of=mul(at(first, I, K), at(C, K, L))))


def lowered(*tensors: Tensor, sizes: tuple[int, ...] = (4, 5, 6, 7), kept: tuple[str, ...] = ("y",)) -> Program:
    return agreeing(*tensors, sizes=dict(zip(NAMES, sizes, strict=True)), shards=2, outputs=kept)


def choices(program: Program) -> list[Step]:
    return [step for entry in program.entries for region in entry.regions for step in region.steps if _is_when(step)]


def _is_when(step: Step) -> bool:
    return isinstance(step, When)


def products(program: Program) -> int:
    bodies = [kernel.body for kernel in program.kernels.values()]
    return sum(isinstance(one, Matmul) for body in bodies for one in statements(body))


@pytest.mark.parametrize("sizes", SIZES)
def test_either_order_gives_the_product(sizes: tuple[int, ...]) -> None:
    program = lowered(A, B, C, FIRST, chain("y"), sizes=sizes)
    assert products(program) == 4
    assert len(choices(program)) == 3  # what is multiplied last reads all rows of what is multiplied before


@pytest.mark.parametrize("sizes", SIZES)
def test_what_several_products_begin_with_is_computed_once(sizes: tuple[int, ...]) -> None:
    other = whole("z", (L, I), total(K, of=mul(at(FIRST, I, K), at(C, K, L))))
    assert products(lowered(A, B, C, FIRST, chain("y"), other, sizes=sizes, kept=("y", "z"))) == 6


@pytest.mark.parametrize(
    ("sizes", "rows"), [((9, 2, 11, 3), {"first": 1, "y.other": 3}), ((2, 9, 3, 11), {"first": 2, "y.other": 1})]
)
def test_what_is_not_multiplied_takes_one_row(sizes: tuple[int, ...], rows: dict[str, int]) -> None:
    """A model is run with sizes that leave none of its arrays empty."""
    program = lowered(A, B, C, FIRST, chain("y"), sizes=sizes)
    numbers = {Size(name): Const(size) for name, size in zip(NAMES, sizes, strict=True)}
    found = {name: known(substitute(buffer.sizes[0], numbers)) for name, buffer in program.buffers.items()}
    assert {name: size for name, size in found.items() if name not in ("a", "b", "c", "y")} == rows


def test_what_is_asked_for_is_there_anyway() -> None:
    assert not choices(lowered(A, B, C, FIRST, chain("y"), kept=("first", "y")))


def test_what_else_needs_the_first_product_leaves_no_choice() -> None:
    sums = whole("z", (I,), total(K, of=at(FIRST, I, K)))
    assert not choices(lowered(A, B, C, FIRST, chain("y"), sums, kept=("y", "z")))


def test_a_product_that_is_needed_in_part_leaves_no_choice() -> None:
    """What is computed of it would be another part in the other order."""
    sums = whole("z", (I,), total(L, of=when(op("le", L, I), at(chain("y"), I, L))))
    assert not choices(lowered(A, B, C, FIRST, chain("y"), sums, sizes=(6, 5, 4, 6), kept=("z",)))


def test_known_sizes_have_been_weighed() -> None:
    i, j, k, n = index("i", 64), index("j", 32), index("k", 64), index("l", 16)
    a, b, c = given("a", 64, 32), given("b", 32, 64), given("c", 64, 16)
    first = whole("first", (i, k), total(j, of=mul(at(a, i, j), at(b, j, k))))
    y = whole("y", (i, n), total(k, of=mul(at(first, i, k), at(c, k, n))))
    assert not choices(lowered(a, b, c, first, y))
