"""Expressions made of others: parts replaced, indices renamed, sizes given.

Each distinct node is rebuilt once, however often it stands in the expression.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import cast

from dlc.compiler.ir.expr import Binder, Expr, Index, refresh, walk


def transform(root: Expr, change: Callable[[Expr], Expr | None]) -> Expr:
    """Rebuild bottom-up; ``change`` sees each node over its changed children and may return another (None: keep).

    Each distinct node is visited once.  Neither binders nor sizes of indices are changed: see ``substitute``.
    """
    done: dict[Expr, Expr] = {}
    for node in walk(root):
        children = tuple(done[child] for child in node.children)
        rebuilt = node if children == node.children else node.rebuild(children)
        done[node] = change(rebuilt) or rebuilt
    return done[root]


def substitute(root: Expr, mapping: Mapping[Expr, Expr] | Mapping[Index, Expr]) -> Expr:
    """Replace nodes (usually free indices and sizes).  Index ids are unique, so nothing can be captured as long as
    the replacements do not contain indices that ``root`` binds; callers that duplicate an expression ``rename`` it."""
    if not mapping:
        return root
    return transform(root, cast(Mapping[Expr, Expr], mapping).get)


def replaced(root: Expr, mapping: Mapping[Expr, Expr]) -> Expr:
    """Replace nodes as they stand in ``root``, outermost first: what is inside of one that is replaced is not looked
    at, where ``substitute`` changes it before."""
    if not mapping:
        return root
    done: dict[Expr, Expr] = {}

    def visit(node: Expr) -> Expr:
        if node in mapping:
            return mapping[node]
        if node not in done:
            children = tuple(visit(child) for child in node.children)
            done[node] = node if children == node.children else node.rebuild(children)
        return done[node]

    return visit(root)


def rename_bound(root: Expr) -> Expr:
    """The same expression with fresh bound indices: needed where a copy of it will stand beside or inside itself."""

    def renew(node: Expr) -> Expr | None:
        if not isinstance(node, Binder):
            return None
        names = {index: refresh(index) for index in node.indices}
        children = (substitute(child, names) for child in node.children)
        return node.rebound(tuple(names.values()), tuple(children))

    return transform(root, renew)


def resize(root: Expr, sizes: Mapping[Expr, Expr]) -> Expr:
    """Replace ``Size`` nodes everywhere, in the ranges of bound and free indices too."""

    def ranged(index: Index) -> Index:
        return Index(index.id, substitute(index.size, sizes), index.hint)

    def change(node: Expr) -> Expr | None:
        if isinstance(node, Index):
            return ranged(node)
        if isinstance(node, Binder):
            return node.rebound(tuple(ranged(index) for index in node.indices), node.children)
        return sizes.get(node)

    return transform(root, change)


def canonical(root: Expr, free: Iterable[Index] = ()) -> Expr:
    """``root`` with its indices renumbered -1, -2, .. : first ``free`` in their order, then binders as met.

    Two expressions that differ by the names of their indices alone have the same canonical form.
    """
    numbers = itertools.count(1)
    names: dict[Index, Index] = {}

    def named(index: Index) -> Index:
        if index not in names:
            names[index] = Index(-next(numbers), index.size, "")
        return names[index]

    for index in free:
        named(index)
    done: dict[Expr, Expr] = {}

    def visit(node: Expr) -> Expr:
        if node in done:
            return done[node]
        if isinstance(node, Index):
            result: Expr = named(node)
        elif isinstance(node, Binder):
            indices = tuple(named(index) for index in node.indices)
            result = node.rebound(indices, tuple(map(visit, node.children)))
        else:
            result = node.rebuild(tuple(visit(child) for child in node.children)) if node.children else node
        done[node] = result
        return result

    return visit(root)
