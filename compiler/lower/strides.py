"""Steps in which loops go through rows, and which loops would keep LLVM from vectors if they were one."""

from __future__ import annotations

from dlc.compiler.ir.affine import known, step_of
from dlc.compiler.ir.expr import Expr
from dlc.compiler.ir.loops import For, Store


def hides_vectors(first: For, second: For) -> bool:
    """Whether both store every other element of a row, say, and the rows lie apart by a size that is not known: LLVM
    cannot tell them apart then, and takes no vectors of such elements.
    """
    if known(first.stop) is not None:
        return False
    mine, theirs = _stores_in_steps(first), _stores_in_steps(second)
    return any(mine[name] != theirs[name] for name in mine.keys() & theirs.keys())


def _stores_in_steps(loop: For) -> dict[str, set[tuple[Expr, ...]]]:
    """The rows of which the loop stores elements that do not lie side by side, by buffer."""
    found: dict[str, set[tuple[Expr, ...]]] = {}
    for statement in loop.body:
        if isinstance(statement, Store) and statement.subscripts:
            *row, last = statement.subscripts
            step = step_of(last, loop.index)
            if step is not None and abs(step[0]) > 1:
                found.setdefault(statement.buffer, set()).add(tuple(row))
    return found
