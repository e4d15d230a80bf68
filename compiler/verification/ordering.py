"""An order of expressions that renaming their bound indices changes as little as may be."""

from __future__ import annotations

import hashlib

from dlc.compiler.ir.expr import Binder, Const, Expr, Index, Op, Read, Reduce, Size, walk

Text = tuple[str, str]


class Ordering:
    """A key for every expression: equal for equal ones, and short however large they are."""

    def __init__(self) -> None:
        self._texts: dict[Expr, Text] = {}

    def __call__(self, node: Expr) -> Text:
        """What expressions are put in order by: first what does not depend on the numbers of indices."""
        for part in walk(node):
            if part not in self._texts:
                children = [self._texts[child] for child in part.children]
                shape = _digest(_head(part, False), *(its for its, _ in children))
                self._texts[part] = shape, _digest(_head(part, True), *(its for _, its in children))
        return self._texts[node]


def _digest(*parts: str) -> str:
    return hashlib.blake2b(" ".join(parts).encode(), digest_size=12).hexdigest()


def _head(node: Expr, numbered: bool) -> str:
    match node:
        case Const(value=value):
            return f"{node.type} {value!r}"
        case Size(name=name):
            return f"size {name}"
        case Index(id=number):
            return f"index {number}" if numbered else "index"
        case Read(tensor=tensor):
            return f"read {tensor}"
        case Op(name=name):
            return f"op {name}"
        case Binder():
            kind = node.op if isinstance(node, Reduce) else "solve"
            return f"{kind} {' '.join(str(index.id) if numbered else '.' for index in node.indices)}"
    return "select"
