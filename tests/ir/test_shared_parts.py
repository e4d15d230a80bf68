"""Expressions whose parts are shared many times over: what walks them takes no longer than they are large."""

from __future__ import annotations

from collections.abc import Callable

from building import add, at, given, index, mul

from dlc.compiler.ir.affine import order_key
from dlc.compiler.ir.dependences import guarded_reads, reads_under
from dlc.compiler.ir.expr import Const, Expr, Op, Select, op
from dlc.compiler.ir.safety import needs_more, reads_in_range

LEVELS = 200
AT = index("i", "I")
X = given("x", "I")
INSIDE = {"x": X.sizes}


def choices(cond_of: Callable[[Expr, int], Expr]) -> Expr:
    """``v if c else 2*v``, and so on for that: there are 2^LEVELS ways to the innermost v."""
    value = at(X, AT)
    for level in range(LEVELS):
        value = Select(cond_of(value, level), value, mul(Const(2.0), value))
    return value


def by_value(value: Expr, level: int) -> Expr:
    return op("lt", Const(float(level)), value)


def by_index(value: Expr, level: int) -> Expr:
    return op("eq", op("mod", AT, Const(level + 2)), Const(0))


def test_conditions_on_numbers() -> None:
    value = choices(by_value)
    assert {read for read, _ in guarded_reads(value)} == {at(X, AT)}
    assert all(facts == () for _, facts in guarded_reads(value))
    assert reads_in_range(value, INSIDE)
    assert not needs_more(value, INSIDE, (), (by_index(value, 0),))


def test_conditions_on_indices() -> None:
    """Each way says something else of the index; of very many, what they have in common counts."""
    value = choices(by_index)
    assert 1 < len(reads_under(value)) < 64
    assert reads_in_range(value, INSIDE)


def test_what_all_ways_have_in_common_is_known() -> None:
    before = at(X, add(AT, Const(-1)))
    value: Expr = before
    for level in range(LEVELS):
        value = Select(by_index(value, level), value, mul(Const(2.0), value))
    assert reads_in_range(Select(op("lt", Const(0), AT), value, Const(0.0)), INSIDE)
    assert not reads_in_range(value, INSIDE)
    assert needs_more(value, INSIDE, (), (op("lt", Const(0), AT),))


def test_few_ways_are_told_apart() -> None:
    low, high = op("lt", AT, Const(3)), op("lt", Const(5), AT)
    read = at(X, AT)
    value = add(Select(low, read, Const(0.0)), Select(high, mul(read, read), Const(0.0)))
    assert reads_under(value) == [(read, ((low, True),)), (read, ((high, True),))]


def test_what_is_read_anyway_is_looked_at_once() -> None:
    read = at(X, AT)
    value = add(read, Select(op("lt", AT, Const(3)), read, Const(0.0)))
    assert reads_under(value) == [(read, ())]


def test_the_order_of_integers() -> None:
    value: Expr = AT
    for level in range(LEVELS):
        value = Op("mod", (Op("min", (value, add(value, Const(level)))), Const(11)))
    assert order_key(AT) < order_key(value)


def test_the_text_of_an_expression_is_about_as_long_as_the_expression() -> None:
    """Error messages show expressions: nobody reads 2^200 characters."""
    value = choices(by_value)
    assert len(repr(value)) < 100 * LEVELS
    assert repr(value).startswith("select(lt(199.0, e200), e200, mul(2.0, e200)) where e1 = x[")
    assert "where" not in repr(mul(at(X, AT), at(X, AT)))
