"""When two expressions say the same thing: a key that depends on neither the names of indices nor the order of factors.

``key`` puts the arguments of commutative operators in an order that the shapes of the arguments decide, and renumbers
the indices.  Arguments of one shape keep their order, so the key may tell apart what is equal; it never confuses what
differs.
"""

from __future__ import annotations

import hashlib
from weakref import WeakKeyDictionary

from dlc.compiler.ir.expr import Const, Expr, Index, Op, Read, Reduce, Size, Solve, free_indices, walk
from dlc.compiler.ir.rewriting import canonical

_COMMUTATIVE = frozenset(("add", "mul", "max", "min", "eq", "ne"))  # ``and`` and ``or`` look from left to right

_shapes: WeakKeyDictionary[Expr, str] = WeakKeyDictionary()
_sorted: WeakKeyDictionary[Expr, Expr] = WeakKeyDictionary()


def key(root: Expr) -> tuple[Expr, tuple[Index, ...]]:
    """``(form, indices)``: expressions with one form are equal when the k-th free indices are identified."""
    arranged = _arranged(root)
    return canonical(arranged), free_indices(arranged)


def shape(root: Expr) -> str:
    """Equal for all expressions of one form, and cheap: to look before comparing forms."""
    _arranged(root)
    return _shapes[root]


def form(root: Expr, free: tuple[Index, ...]) -> Expr:
    """The form of an equation's value whose indices are ``free``, in that order."""
    return canonical(_arranged(root), free)


def _arranged(root: Expr) -> Expr:
    for node in walk(root):
        if node in _shapes:
            continue
        children = tuple(_sorted.get(child, child) for child in node.children)
        if isinstance(node, Op) and node.name in _COMMUTATIVE:
            children = tuple(sorted(children, key=_shape))
        arranged = node if children == node.children else node.rebuild(children)
        _shapes[node] = _shapes[arranged] = _digest(arranged)
        if arranged is not node:
            _sorted[node] = arranged
    return _sorted.get(root, root)


def _shape(node: Expr) -> str:
    if node not in _shapes:
        _shapes[node] = _digest(node)
    return _shapes[node]


def _digest(node: Expr) -> str:
    match node:
        case Const():
            head = f"{node.type} {node.value!r}"
        case Size(name=name):
            head = f"size {name}"
        case Index(size=size):
            head = f"index {_shape(size)}"
        case Read(tensor=tensor):
            head = f"read {tensor}"
        case Op(name=name):
            head = f"op {name}"
        case Reduce(op=name, indices=indices):
            head = f"reduce {name} {[_shape(index.size) for index in indices]}"
        case Solve(indices=indices):
            head = f"solve {[_shape(index.size) for index in indices]}"
        case _:
            head = "select"
    text = "\n".join((head, *map(_shape, node.children)))
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()
