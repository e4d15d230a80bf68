"""Patterns that lose digits as they are written, and what to compute instead; one row a rule.

``definition`` gives what an element of a tensor is computed from, so that a pattern may be spread over tensors.
"""

from __future__ import annotations

from collections.abc import Callable

from dlc.compiler.ir.affine import equal, known
from dlc.compiler.ir.alike import key
from dlc.compiler.ir.expr import Const, Expr, Op, Reduce, op
from dlc.compiler.ir.rewriting import rename_bound, substitute

Definition = Callable[[Expr], Expr]

_ONE = Const(1.0)


def _is(node: Expr, name: str) -> bool:
    return isinstance(node, Op) and node.name == name


def _neg(node: Expr) -> Expr:
    return node.args[0] if isinstance(node, Op) and node.name == "neg" else op("neg", node)


def _without(node: Expr, term: Expr) -> Expr:
    """The other terms of a sum; ``term`` stands in it."""
    rest = list(node.children)
    rest.remove(term)
    return op("add", *rest)


def _log_of_one_plus(node: Expr, definition: Definition) -> Expr | None:
    (arg,) = node.children
    if _is(arg, "add") and _ONE in arg.children:
        return op("log1p", _without(arg, _ONE))
    return None


def _log_of_difference(node: Expr, definition: Definition) -> Expr | None:
    (arg,) = node.children
    if not _is(arg, "expm1"):
        return None
    exponent = arg.children[0]
    return op("add", exponent, op("log", _neg(op("expm1", _neg(exponent)))))


def _softplus(node: Expr, definition: Definition) -> Expr | None:
    (arg,) = node.children
    return op("softplus", arg.children[0]) if _is(arg, "exp") else None


def _exp_minus_one(node: Expr, definition: Definition) -> Expr | None:
    """Any two terms of a sum that are exp(x) and -1, or 1 and -exp(x)."""
    for term in node.children:
        bare, sign = (term.children[0], -1) if _is(term, "neg") else (term, 1)
        if not _is(bare, "exp"):
            continue
        unit = Const(float(-sign))
        if unit in node.children:
            difference = op("expm1", bare.children[0])
            others = [other for other in node.children if other is not term and other is not unit]
            return op("add", difference if sign > 0 else op("neg", difference), *others)
    return None


def _one_minus_sigmoid(node: Expr, definition: Definition) -> Expr | None:
    if _ONE not in node.children:
        return None
    for term in node.children:
        if not _is(term, "neg"):
            continue
        bare = term.children[0]
        bare = bare if _is(bare, "sigmoid") else definition(bare)
        if _is(bare, "sigmoid"):
            others = [other for other in node.children if other is not term and other is not _ONE]
            return op("add", op("sigmoid", _neg(bare.children[0])), *others)
    return None


def _two_sigmoid_minus_one(node: Expr, definition: Definition) -> Expr | None:
    minus = Const(-1.0)
    if len(node.children) != 2 or minus not in node.children:
        return None
    product = _without(node, minus)
    if _is(product, "mul") and len(product.children) == 2 and product.children[0] is Const(2.0):
        bare = product.children[1]
        if _is(bare, "sigmoid"):
            return op("tanh", op("mul", Const(0.5), bare.children[0]))
    return None


# -- variance -------------------------------------------------------------------------------------------------------


def _mean_of(node: Expr, definition: Definition) -> tuple[Reduce, Expr] | None:
    """``(sum, mean)`` if the expression is a sum divided by the number of its terms."""
    if isinstance(node, Op) and node.name == "div":
        total, count = node.args
    elif isinstance(node, Op) and node.name == "mul" and len(node.args) == 2 and isinstance(node.args[0], Const):
        value = node.args[0].value
        total, count = node.args[1], Const(1.0 / value if value else 0.0)
    else:
        return None
    written, total = total, definition(total)
    if not (isinstance(total, Reduce) and total.op == "sum"):
        return None
    size = op("mul", Const(1), *(index.size for index in total.indices))
    number = known(size)
    if number is None:
        counts = isinstance(count, Op) and count.name == "real" and equal(count.args[0], size)
    else:
        counts = isinstance(count, Const) and abs(count.value - number) < 1e-9 * number
        counts = counts or (isinstance(count, Op) and count.name == "real" and known(count.args[0]) == number)
    return (total, substitute(node, {written: total})) if counts else None


def _square_root(node: Expr) -> Expr | None:
    """x for x² and x*x."""
    if isinstance(node, Op) and node.name == "pow" and isinstance(node.args[1], Const) and node.args[1].value == 2:
        return node.args[0]
    if isinstance(node, Op) and node.name == "mul" and len(node.args) == 2 and node.args[0] is node.args[1]:
        return node.args[0]
    return None


def _variance(node: Expr, definition: Definition) -> Expr | None:
    for minus in node.children:
        mean = _square_root(minus.children[0]) if _is(minus, "neg") else None
        if mean is None:
            continue
        first = _mean_of(mean, definition) or _mean_of(definition(mean), definition)
        if first is None:
            continue
        for plus in node.children:
            variance = _second_moment(plus, definition, first[0], mean)
            if variance is not None:
                others = [other for other in node.children if other is not plus and other is not minus]
                return op("add", variance, *others)
    return None


def _second_moment(plus: Expr, definition: Definition, sum_: Reduce, mean: Expr) -> Expr | None:
    """mean[j] (f - mean)² for plus = mean[j] f² and sum_ = sum[j] f"""
    second = _mean_of(plus, definition) or _mean_of(definition(plus), definition)
    root = _square_root(second[0].body) if second is not None else None
    if second is None or root is None:
        return None
    squares, written = second
    if key(Reduce("sum", squares.indices, root)) != key(sum_):
        return None
    centred = op("add", root, op("neg", rename_bound(mean)))
    total = Reduce("sum", squares.indices, op("pow", centred, Const(2)))
    place = next(n for n, child in enumerate(written.children) if child is squares)
    return written.rebuild((*written.children[:place], total, *written.children[place + 1 :]))


def sums_to_nothing(node: Reduce, definition: Definition) -> bool:
    """sum[j] (x[j] - mean x) = 0"""
    if node.op != "sum" or not (isinstance(node.body, Op) and node.body.name == "add" and len(node.body.args) == 2):
        return False
    for value, minus in (node.body.args, node.body.args[::-1]):
        if _is(minus, "neg"):
            mean = minus.children[0]
            found = _mean_of(mean, definition) or _mean_of(definition(mean), definition)
            if found is not None and key(found[0]) == key(Reduce("sum", node.indices, value)):
                return True
    return False


_RULES: tuple[tuple[str, Callable[[Expr, Definition], Expr | None]], ...] = (
    ("log", _log_of_one_plus),  # log(1 + x) = log1p(x)
    ("log1p", _softplus),  # log(1 + exp(x)) = softplus(x)
    ("add", _exp_minus_one),  # exp(x) - 1 = expm1(x)
    ("add", _one_minus_sigmoid),  # 1 - sigmoid(x) = sigmoid(-x)
    ("add", _two_sigmoid_minus_one),  # 2*sigmoid(x) - 1 = tanh(x/2)
    ("log", _log_of_difference),  # log(exp(x) - 1) = x + log(1 - exp(-x))
    ("add", _variance),  # E[x²] - E[x]² = E[(x - E[x])²]
)


def precise(node: Expr, definition: Definition) -> Expr:
    """The node as the first rule that fits writes it, until none does."""
    changed: Expr | None = node
    while changed is not None:
        node = changed
        changed = None
        for name, rule in _RULES:
            if isinstance(node, Op) and node.name == name:
                changed = rule(node, definition)
                if changed is not None:
                    break
    return node
