"""Quotients and remainders by a number, in which an index moves in steps: adjoints of reads that do so hold them."""

from __future__ import annotations

from collections.abc import Iterator
from math import gcd, lcm

from dlc.compiler.ir.affine import known, polynomial
from dlc.compiler.ir.expr import Expr, Index, Op, free_indices, walk


def quotients(value: Expr) -> Iterator[Op]:
    """The quotients and remainders that depend on an index."""
    for node in walk(value):
        if isinstance(node, Op) and node.name in ("floordiv", "mod") and free_indices(node):
            yield node


def moduli(value: Expr) -> dict[Index, int]:
    """For every index under a quotient or a remainder, the number that its residue classes are taken by."""
    found: dict[Index, int] = {}
    for atom in quotients(value):
        over, under = polynomial(atom.args[0]), known(atom.args[1])
        for index in free_indices(atom):
            parts = over.split(index)  # None: it stands in a quotient or remainder inside this one
            factor = parts[0].value if parts is not None else 1
            if under is None or under < 2 or not factor:
                return {}
            found[index] = lcm(found.get(index, 1), under // gcd(under, factor))
    return found
