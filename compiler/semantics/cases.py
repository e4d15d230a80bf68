"""Recurrences by cases: a tensor of its own for each case of an equation, read where only that case is possible.

    r[i,j] = [i < j]*q[n,i]*a[n,j] + [i == j]*sqrt(sum[n] p[n,j]^2)

Where ``r[k,j]`` is read under ``k < j`` the first case alone is meant, and in ``r[j,j]`` the second.  Told apart, they
need not be computed at one time.  This is done only where a recurrence has no order without it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from dlc.compiler.ir.bounds import decide, facts_of_all
from dlc.compiler.ir.conditions import conjunction, conjuncts, guarded, is_zero, negation, reads_nothing
from dlc.compiler.ir.dependences import Guards
from dlc.compiler.ir.expr import Expr, Index, Op, Read, Reduce, Select, free_indices, op, refresh
from dlc.compiler.ir.graph import Equation, Graph, Requirement, Tensor, unique, whole
from dlc.compiler.ir.recurrence import conflicts
from dlc.compiler.ir.rewriting import rename_bound, substitute
from dlc.compiler.ir.steps import with_needs

_MOST_CASES = 8  # of one equation


@dataclass(frozen=True)
class _Case:
    """What is added to an element where the condition holds, and the tensor that holds it."""

    tensor: str
    axes: tuple[Index, ...]
    condition: Expr
    value: Expr

    def at(self, subscripts: Sequence[Expr]) -> Expr:
        """The condition at an element."""
        return substitute(self.condition, dict(zip(self.axes, subscripts, strict=True)))


def by_cases(tensors: Mapping[str, Tensor], requirements: tuple[Requirement, ...]) -> dict[str, Tensor]:
    """The tensors, with one for each case in those recurrences that have an order then."""
    result = dict(tensors)
    plain = with_needs(Graph("", tensors, requirements=requirements))
    for component, _ in conflicts(plain):
        cases = {name: found for name in component if (found := _cases(result[name], result))}
        if not cases:
            continue
        changed = {name: one for tensor in component for name, one in _told_apart(result[tensor], cases).items()}
        found = with_needs(Graph("", {**result, **changed}, requirements=requirements))
        circles = (one for one in found.recurrences if not changed.keys().isdisjoint(one))
        if not any(conflicts(found, circles)):
            result |= changed
    return result


def _cases(tensor: Tensor, names: Mapping[str, Tensor]) -> tuple[_Case, ...]:
    """The cases of a tensor that has several."""
    if tensor.type != "real" or len(tensor.equations) != 1 or not tensor.equations[0].is_whole:
        return ()
    terms = _terms(tensor.equations[0].value)
    if not 1 < len(terms) <= _MOST_CASES or not any(guards for guards, _ in terms):
        return ()
    found: list[_Case] = []
    taken = dict(names)
    for guards, value in terms:
        name = unique(f"{tensor.id}.case", taken)
        taken[name] = tensor
        condition = conjunction(cond if holds else negation(cond) for cond, holds in guards)
        found.append(_Case(name, tensor.equations[0].indices, condition, value))
    return tuple(found)


def _terms(value: Expr, guards: Guards = ()) -> list[tuple[Guards, Expr]]:
    """What the value is a sum of, each term with the conditions under which it is there."""
    if is_zero(value):
        return []
    match value:
        case Select(cond=cond, yes=yes, no=no):
            return [*_terms(yes, (*guards, (cond, True))), *_terms(no, (*guards, (cond, False)))]
        case Op(name="add", args=args) if any(isinstance(arg, Select) or _outer(arg) for arg in args):
            return [term for arg in args for term in _terms(arg, guards)]
    return [((*guards, *_outer(value)), value)]


def _outer(value: Expr) -> Guards:
    """The conditions of a sum that its indices have no part in: where they do not hold, it is 0."""
    if not (isinstance(value, Reduce) and value.op == "sum" and isinstance(value.body, Select)):
        return ()
    if not is_zero(value.body.no):
        return ()
    parts = (cond for cond in conjuncts(value.body.cond) if reads_nothing(cond))
    return tuple((cond, True) for cond in parts if set(value.indices).isdisjoint(free_indices(cond)))


def _told_apart(tensor: Tensor, cases: Mapping[str, Sequence[_Case]]) -> dict[str, Tensor]:
    """The tensor as the sum of its cases, these before it, with reads of cases where those of tensors stood."""
    reading = _Reading(cases)
    if tensor.id not in cases:
        equations = (replace(one, value=reading.of(one.value, ())) for one in tensor.equations)
        return {tensor.id: replace(tensor, equations=tuple(equations))}
    (equation,) = tensor.equations
    found: dict[str, Tensor] = {}
    for case in cases[tensor.id]:
        value = reading.of(guarded(case.condition, case.value), ())
        found[case.tensor] = replace(_defined(case.tensor, equation, value), sets=tensor.sets)
    total = op("add", *(Read(case.tensor, equation.indices, "real") for case in cases[tensor.id]))
    found[tensor.id] = replace(tensor, equations=(replace(equation, value=total),))
    return found


def _defined(name: str, equation: Equation, value: Expr) -> Tensor:
    axes = tuple(refresh(index) for index in equation.indices)
    renamed: dict[Expr, Expr] = dict(zip(equation.indices, axes, strict=True))
    return whole(name, axes, substitute(rename_bound(value), renamed), equation.span)


class _Reading:
    """Reads of tensors as reads of those of their cases that are possible there."""

    def __init__(self, cases: Mapping[str, Sequence[_Case]]) -> None:
        self.cases = cases
        self.known: dict[tuple[Expr, Guards], Expr] = {}

    def of(self, node: Expr, guards: Guards) -> Expr:
        if (node, guards) not in self.known:
            self.known[node, guards] = self.anew(node, guards)
        return self.known[node, guards]

    def anew(self, node: Expr, guards: Guards) -> Expr:
        match node:
            case Select(cond=cond, yes=yes, no=no):
                yes, no = self.of(yes, (*guards, (cond, True))), self.of(no, (*guards, (cond, False)))
                return Select(self.of(cond, guards), yes, no)
            case Op(name="and" | "or", args=args):
                made: list[Expr] = []
                for arg in args:
                    made.append(self.of(arg, guards))
                    guards = (*guards, (arg, node.name == "and"))
                return op(node.name, *made)
        made = [self.of(child, guards) for child in node.children]
        node = node.rebuild(tuple(made)) if made else node
        return self.read(node, guards) if isinstance(node, Read) and node.tensor in self.cases else node

    def read(self, node: Read, guards: Guards) -> Expr:
        facts, cases = facts_of_all(guards), self.cases[node.tensor]
        possible = [case for case in cases if decide(case.at(node.subscripts), facts) is not False]
        if len(possible) in (0, len(cases)):
            return node
        return op("add", *(Read(case.tensor, node.subscripts, "real") for case in possible))
