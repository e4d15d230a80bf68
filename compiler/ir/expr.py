"""The scalar expressions of the graph language.

::

    e ::= Const(value)                    number or truth value; its Python type is its type
        | Size(name)                      |S|, an integer known when the inputs arrive
        | Index(id, size, hint)           the value of an index variable: an integer, 0 <= i < size
        | Read(tensor, (e, ..), type)     an element of a tensor, which is named by its id
        | Op(name, (e, ..))               a row of ``ops.OPERATORS``
        | Select(cond, yes, no)           the branch not taken is not evaluated; Iverson's [c]*e is Select(c, e, 0)
        | Reduce(op, (Index, ..), e)      a row of ``ops.REDUCTIONS``; binds its indices in the body
        | Solve((row, column), a, b, e)   element ``e`` of the x with Σ_column a[row,column]*x[column] = b[row]

Sizes and subscripts are integer expressions of this same language.  A condition on a reduction is a ``Select`` in
its body whose other branch is the reduction's identity.

Nodes are immutable and hash-consed: building the same expression twice gives the same object, so equality is
identity, a repeated sub-expression is stored once, and a pass may keep a dictionary from node to result.  The name
of an index (``hint``) serves printing; ids are unique, and renaming does not matter.
Left out: anything with a side effect, and places in the source (equations carry those).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar
from weakref import WeakKeyDictionary, WeakValueDictionary

from dlc.compiler.ir.ops import IDENTITY, OPERATORS, REDUCTIONS, Type


class _Interned(type):
    """Gives the one object that stands for a class and its fields."""

    key: Callable[..., tuple[Any, ...]]
    _table: ClassVar[WeakValueDictionary[tuple[Any, ...], Any]] = WeakValueDictionary()

    def __call__(cls, *fields: Any) -> Any:
        key = (cls, *cls.key(*fields))
        found = _Interned._table.get(key)
        if found is None:
            found = super().__call__(*fields)
            _Interned._table[key] = found
        return found


class Expr(metaclass=_Interned):
    """An expression; see the module for the eight kinds."""

    __slots__ = ("type", "children", "__weakref__")
    type: Type
    children: tuple[Expr, ...]  # a field: nothing is asked for more often

    @staticmethod
    def key(*fields: Any) -> tuple[Any, ...]:
        return fields

    def rebuild(self, children: tuple[Expr, ...]) -> Expr:
        """The same node over other children."""
        return self

    def __repr__(self) -> str:
        return text(self)


class Const(Expr):
    __slots__ = ("value",)
    value: float | int | bool

    @staticmethod
    def key(*fields: Any) -> tuple[Any, ...]:
        return (type(fields[0]), repr(fields[0]))  # keeps 1, 1.0 and True apart, and 0.0 from -0.0

    def __init__(self, value: float | int | bool) -> None:
        self.value, self.children = value, ()
        self.type = "bool" if isinstance(value, bool) else "int" if isinstance(value, int) else "real"


class Size(Expr):
    __slots__ = ("name",)
    name: str

    def __init__(self, name: str) -> None:
        self.name, self.type, self.children = name, "int", ()


class Index(Expr):
    """Compare indices by identity; ``size`` is an integer expression without indices and reads."""

    __slots__ = ("id", "size", "hint")
    id: int
    size: Expr
    hint: str

    def __init__(self, id: int, size: Expr, hint: str) -> None:
        self.id, self.size, self.hint = id, size, hint
        self.type, self.children = "int", ()


class Read(Expr):
    __slots__ = ("tensor", "subscripts")
    tensor: str
    subscripts: tuple[Expr, ...]

    def __init__(self, tensor: str, subscripts: tuple[Expr, ...], type: Type) -> None:
        self.tensor, self.subscripts, self.type = tensor, subscripts, type
        self.children = subscripts

    def rebuild(self, children: tuple[Expr, ...]) -> Expr:
        return Read(self.tensor, children, self.type)


class Op(Expr):
    """Use ``op`` to build one: it flattens sums and products."""

    __slots__ = ("name", "args")
    name: str
    args: tuple[Expr, ...]

    def __init__(self, name: str, args: tuple[Expr, ...]) -> None:
        self.name, self.args, self.children = name, args, args
        result = OPERATORS[name].result
        self.type = args[0].type if result == "same" else result

    def rebuild(self, children: tuple[Expr, ...]) -> Expr:
        return op(self.name, *children)


class Select(Expr):
    __slots__ = ("cond", "yes", "no")
    cond: Expr
    yes: Expr
    no: Expr

    def __init__(self, cond: Expr, yes: Expr, no: Expr) -> None:
        self.cond, self.yes, self.no, self.type = cond, yes, no, yes.type
        self.children = (cond, yes, no)

    def rebuild(self, children: tuple[Expr, ...]) -> Expr:
        return Select(*children)


class Binder(Expr):
    """What binds indices in its children.  ``rebuild`` takes the children alone: indices are none of them."""

    __slots__ = ("indices",)
    indices: tuple[Index, ...]

    def rebound(self, indices: tuple[Index, ...], children: tuple[Expr, ...]) -> Expr:
        """The same node over other children, in which it binds other indices."""
        raise NotImplementedError


class Reduce(Binder):
    __slots__ = ("op", "body")
    op: str
    body: Expr

    def __init__(self, op: str, indices: tuple[Index, ...], body: Expr) -> None:
        self.op, self.indices, self.body, self.children = op, indices, body, (body,)
        result = REDUCTIONS[op]
        self.type = body.type if result == "same" else result

    def rebuild(self, children: tuple[Expr, ...]) -> Expr:
        return Reduce(self.op, self.indices, children[0])

    def rebound(self, indices: tuple[Index, ...], children: tuple[Expr, ...]) -> Expr:
        return Reduce(self.op, indices, children[0])


class Solve(Binder):
    """An element of the solution of a square linear system: nan where the matrix is singular.

    ``matrix`` is over both indices, row first, ``vector`` over the row; ``position`` is outside their scope.  It stands
    at the root of an equation only, and ``position`` is an index of that equation, on which matrix and vector do not
    depend: so the equation is one whole solution for each value of its other indices.
    """

    __slots__ = ("matrix", "vector", "position")
    matrix: Expr
    vector: Expr
    position: Expr

    def __init__(self, indices: tuple[Index, ...], matrix: Expr, vector: Expr, position: Expr) -> None:
        self.indices, self.matrix, self.vector, self.position = indices, matrix, vector, position
        self.type, self.children = "real", (matrix, vector, position)

    @property
    def row(self) -> Index:
        return self.indices[0]

    @property
    def column(self) -> Index:
        return self.indices[1]

    def rebuild(self, children: tuple[Expr, ...]) -> Expr:
        return Solve(self.indices, *children)

    def rebound(self, indices: tuple[Index, ...], children: tuple[Expr, ...]) -> Expr:
        return Solve(indices, *children)


# -- building -------------------------------------------------------------------------------------------------------

_ids = itertools.count()


def fresh(size: Expr, hint: str = "i") -> Index:
    """A new index variable over ``0 .. size-1``."""
    return Index(next(_ids), size, hint)


def refresh(index: Index) -> Index:
    """A new index variable over the same range, with the same name."""
    return fresh(index.size, index.hint)


def op(name: str, *args: Expr) -> Expr:
    """The operator applied; nested sums and products (and conjunctions) are flattened.  Nothing is simplified."""
    if OPERATORS[name].arity is not None:
        return Op(name, args)
    flat: list[Expr] = []
    for arg in args:
        flat.extend(arg.args if isinstance(arg, Op) and arg.name == name else (arg,))
    return flat[0] if len(flat) == 1 else Op(name, tuple(flat))


def identity_of(reduction: str, type: Type) -> Const:
    """The neutral element of a reduction over bodies of that type."""
    value = IDENTITY[reduction]
    if type == "int" and not isinstance(value, bool) and math.isinf(value):
        return Const(-(2**63) if value < 0 else 2**63 - 1)
    return Const(float(value)) if type == "real" else Const(value)


ZERO, ONE = Const(0), Const(1)
TRUE, FALSE = Const(True), Const(False)


def number(value: float | int, type: Type) -> Const:
    """``value`` as a constant of the given numeric type."""
    return Const(float(value)) if type == "real" else Const(int(value))


# -- walking --------------------------------------------------------------------------------------------------------


def walk(*roots: Expr) -> Iterator[Expr]:
    """Every distinct node below the roots, children first, in a deterministic order.  Sizes of indices are not
    entered.
    """
    seen: set[Expr] = set()
    entered: set[Expr] = set()
    stack = list(roots[::-1])
    while stack:
        node = stack[-1]
        if node in seen:
            stack.pop()
            continue
        children = node.children
        if node in entered or not children:
            stack.pop()
            seen.add(node)
            yield node
            continue
        entered.add(node)
        stack.extend(children[::-1])


_reads: WeakKeyDictionary[Expr, tuple[Read, ...]] = WeakKeyDictionary()


def reads(*roots: Expr) -> list[Read]:
    """The distinct reads below the roots, in the order of ``walk``.  Remembered for each root."""
    return list(dict.fromkeys(read for root in roots for read in _reads_below(root)))


def _reads_below(root: Expr) -> tuple[Read, ...]:
    found = _reads.get(root)
    if found is None:  # without the root itself, which would keep its own entry alive
        found = tuple(node for node in walk(root) if isinstance(node, Read) and node is not root)
        _reads[root] = found
    return (*found, root) if isinstance(root, Read) else found


_free: WeakKeyDictionary[Expr, tuple[Index, ...]] = WeakKeyDictionary()


def free_indices(root: Expr) -> tuple[Index, ...]:
    """The index variables that occur in ``root`` and are bound outside it, in order of first occurrence.

    Remembered for each node, so that asking it of every node of an expression costs one walk.
    """
    if isinstance(root, Index):
        return (root,)
    stack = [root]
    while stack:
        node = stack[-1]
        missing = [child for child in node.children if not isinstance(child, Index) and child not in _free]
        if missing:
            stack.extend(missing)
            continue
        stack.pop()
        merged = dict.fromkeys(index for child in node.children for index in _free_of(child))
        for index in node.indices if isinstance(node, Binder) else ():
            merged.pop(index, None)
        _free[node] = tuple(merged)
    return _free[root]


def _free_of(node: Expr) -> tuple[Index, ...]:
    return (node,) if isinstance(node, Index) else _free[node]


# -- a plain text for debugging and error messages; graph texts come from printer.py -----------------------------------


def text(node: Expr) -> str:
    """The expression; of one that is long as a tree, ``.. where`` its repeated parts are what they are."""
    lengths: dict[Expr, int] = {}
    uses: dict[Expr, int] = {}
    nodes = list(walk(node))
    for one in nodes:
        lengths[one] = 1 + sum(lengths[child] for child in one.children)
        for child in one.children:
            uses[child] = uses.get(child, 0) + 1
    known: dict[Expr, str] = {}
    where: list[str] = []
    for one in nodes:
        known[one] = _text(one, known)
        if lengths[node] > _LONG and one.children and uses.get(one, 0) > 1:
            where.append(f"e{len(where) + 1} = {known[one]}")
            known[one] = f"e{len(where)}"
    return f"{known[node]} where {', '.join(where)}" if where else known[node]


_LONG = 200  # nodes


def _text(node: Expr, known: Mapping[Expr, str]) -> str:
    """The node over its children as they are written."""
    parts = [known[child] for child in node.children]
    match node:
        case Const():
            return str(node.value)
        case Size():
            return f"|{node.name}|"
        case Index():
            return f"{node.hint}#{node.id}"
        case Read():
            return f"{node.tensor}[{','.join(parts)}]"
        case Op():
            return f"{node.name}({', '.join(parts)})"
        case Select():
            return f"select({', '.join(parts)})"
        case Reduce():
            return f"{node.op}[{_names(node)}]({parts[0]})"
        case Solve():
            matrix, vector, position = parts
            return f"solve[{_names(node)}]({matrix}, {vector})[{position}]"
    raise TypeError(type(node).__name__)


def _names(node: Binder) -> str:
    return ",".join(f"{index.hint}#{index.id}" for index in node.indices)
