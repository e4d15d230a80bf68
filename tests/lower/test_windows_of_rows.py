"""Windows of several rows go on side by side, and add up to the same."""

from __future__ import annotations

import pytest
from building import add, at, given, index, mul, total
from lower.agreement import agreeing, loops_in

from dlc.compiler.ir.expr import Const
from dlc.compiler.ir.graph import Tensor, whole
from dlc.compiler.ir.loops import For, Program, statements
from dlc.compiler.ir.short_rows import keeps_rows_apart


def depthwise(rows: int | str, width: int | str, taps: int = 3, step: int = 1) -> tuple[Tensor, ...]:
    c, p, q, u, v = (index(*one) for one in (("c", "C"), ("p", taps), ("q", taps), ("u", rows), ("v", width)))
    high = step * (rows - 1) + taps if isinstance(rows, int) else "H"
    x, k = given("x", "C", high, width + taps - 1 if isinstance(width, int) else "W"), given("k", "C", taps, taps)
    place = add(mul(Const(step), u), p) if step > 1 else add(u, p)
    return x, k, whole("y", (c, u, v), total(p, q, of=mul(at(k, c, p, q), at(x, c, place, add(v, q)))))


def apart(program: Program) -> list[For]:
    kernels = program.kernels.values()
    return [one for each in kernels for one in statements(each.body) if isinstance(one, For) and keeps_rows_apart(one)]


@pytest.mark.parametrize("rows", [4, 5, 6, 9, 13, 14, 28])
def test_several_rows_of_known_length_at_a_time(rows: int) -> None:
    program = agreeing(*depthwise(rows, 16), sizes={"C": 3}, shards=2)
    (along,) = apart(program)
    assert len([one for one in along.body if type(one).__name__ == "Store"]) in (3, 4)
    assert loops_in(program)[0] == "c" and loops_in(program)[1].startswith("u") and loops_in(program)[1] != "u"


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 5, 7, 8, 11])
@pytest.mark.parametrize("width", [1, 7, 16])
def test_of_an_open_number_of_rows_four_at_a_time_if_there_are_as_many(rows: int, width: int) -> None:
    sizes = {"C": 2, "U": rows, "V": width, "H": rows + 6, "W": width + 6}
    program = agreeing(*depthwise("U", "V", taps=7), sizes=sizes)
    assert loops_in(program) == ["c", "u4", "v", "u", "v"]


def test_many_terms_pay_in_shorter_rows() -> None:
    assert apart(agreeing(*depthwise(12, 12, taps=7), sizes={"C": 2}))
    assert not apart(agreeing(*depthwise(12, 12, taps=3), sizes={"C": 2}))
    assert not apart(agreeing(*depthwise(7, 7, taps=7), sizes={"C": 2}))
    assert not apart(agreeing(*depthwise("U", "V"), sizes={"C": 2, "U": 5, "V": 16, "H": 7, "W": 18}))


def test_windows_that_move_in_steps_have_little_in_common() -> None:
    assert not apart(agreeing(*depthwise(16, 16, step=2), sizes={"C": 2}))


def test_few_terms_stay() -> None:
    assert not apart(agreeing(*depthwise(16, 16, taps=2), sizes={"C": 2}))


def test_sums_that_share_no_rows_stay() -> None:
    c, u, v, q = index("c", "C"), index("u", 16), index("v", 16), index("q", 9)
    x, k = given("x", "C", 16, 24), given("k", 9)
    y = whole("y", (c, u, v), total(q, of=mul(at(k, q), at(x, c, u, add(v, q)))))
    assert not apart(agreeing(x, k, y, sizes={"C": 2}))


def test_rows_that_are_shared_out_stay() -> None:
    u, v, p, q = index("u", 16), index("v", 16), index("p", 3), index("q", 3)
    x, k = given("x", 18, 18), given("k", 3, 3)
    y = whole("y", (u, v), total(p, q, of=mul(at(k, p, q), at(x, add(u, p), add(v, q)))))
    program = agreeing(x, k, y, sizes={}, shards=3)
    assert any(kernel.split is not None for kernel in program.kernels.values())
    assert not apart(program)
