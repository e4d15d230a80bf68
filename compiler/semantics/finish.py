"""From drafts to a graph: sizes settled, subscripts and parts proved, what no output needs left out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from dlc.compiler.diagnostics import CompileError
from dlc.compiler.ir.affine import polynomial, size_symbols
from dlc.compiler.ir.bounds import decide, nonnegative
from dlc.compiler.ir.expr import Binder, Const, Expr, Index, Read, Reduce, Select, walk
from dlc.compiler.ir.graph import (
    Claim,
    Equation,
    Graph,
    Objective,
    Output,
    Requirement,
    Tensor,
    Update,
    reads_of,
)
from dlc.compiler.ir.rewriting import transform
from dlc.compiler.semantics.arithmetic import LARGEST
from dlc.compiler.semantics.cases import by_cases
from dlc.compiler.semantics.errors_sizes import NegativeSize, SizeDiagnostic, SizeTooLarge, UnboundSet
from dlc.compiler.semantics.fans import with_fans
from dlc.compiler.semantics.flattened import along_groups
from dlc.compiler.semantics.folding import known_truth
from dlc.compiler.semantics.forwarding import forwarded
from dlc.compiler.semantics.frames import Draft, Elaboration, Frame, Poisoned
from dlc.compiler.semantics.names import take_default
from dlc.compiler.semantics.orders import in_order
from dlc.compiler.semantics.parts import parts_problems
from dlc.compiler.semantics.ranges import check_ranges, demands
from dlc.compiler.semantics.sizes import unknown_sizes
from dlc.compiler.semantics.words import in_words, is_unknown


def settle(build: Elaboration, top: Frame) -> None:
    """Find all sizes and report every contradiction; afterwards nothing is unknown, or it has been said.

    What failed before leaves no equation behind, so the ranges of the others can be looked at all the same; parts
    cannot, for the part that failed would be missed as a hole.
    """
    failed = build.problems.has_errors
    build.sizes.settle(build.report)
    _instance_defaults(build, top)
    build.sizes.settle(build.report)
    _work_late(build)
    _unbound(build)
    if _sizes_failed(build):
        return
    _negative_sizes(build, top)
    if _sizes_failed(build):
        return
    check_ranges(build)
    if not failed:
        _check_parts(build)


def _sizes_failed(build: Elaboration) -> bool:
    return any(isinstance(problem, SizeDiagnostic) for problem in build.problems)


def _instance_defaults(build: Elaboration, top: Frame) -> None:
    """Sets of instances that were read but never called still have their defaults."""
    waiting = list(top.instance.nested.values())
    while waiting:
        instance = waiting.pop(0)
        waiting.extend(instance.nested.values())
        for name in instance.scope.sets:
            if name in instance.statics.sets:
                take_default(instance.statics, name)


def _work_late(build: Elaboration) -> None:
    for work in build.late:
        try:
            work()
        except CompileError as error:
            for problem in error.diagnostics:
                build.report(problem)
        except Poisoned:
            continue


def _unbound(build: Elaboration) -> None:
    """Sizes that nothing bound, each said once, where a tensor needs them."""
    told: set[Expr] = set()
    for draft in build.drafts.values():
        for part in _sizes_of(draft):
            for symbol in unknown_sizes(build.sizes.value(part)):
                if symbol not in told:
                    told.add(symbol)
                    evidence = build.sizes.names[symbol]
                    build.report(UnboundSet(evidence.span, evidence.text, _how_to_bind(evidence.text)))


def _how_to_bind(text: str) -> str:
    name, of, _ = text.replace("`", "").partition(" of ")
    if of:
        return f"calling the instance says it, or name it where the instance is made: `{name}=..`"
    return f"fix it with `index {name} = ..` or when compiling (`-D {name}=..`), or give an input an axis over it"


def _sizes_of(draft: Draft) -> Iterable[Expr]:
    yield from draft.tensor.sizes
    if draft.tensor.bound is not None:
        yield draft.tensor.bound
    for equation in draft.tensor.equations:
        for node in walk(equation.value, *equation.subscripts):
            if isinstance(node, Index):
                yield node.size
            elif isinstance(node, Binder):
                yield from (index.size for index in node.indices)
            elif is_unknown(node):
                yield node


def _negative_sizes(build: Elaboration, top: Frame) -> None:
    seen: set[Expr] = set()
    for frame in (top, *build.frames):
        for name, symbol in frame.sets.items():
            size = build.sizes.value(symbol)
            if size in seen:
                continue
            seen.add(size)
            value = polynomial(size)
            span = frame.scope.sets[name].size_span or frame.scope.sets[name].span
            for part in walk(size):
                for message, least in demands(build, part):
                    if not nonnegative(least):
                        build.sizes.require(least.expression(), message, span)
            if nonnegative(-value - 1):
                frame.report(NegativeSize(span, name, in_words(size)))
            elif not nonnegative(value):
                build.sizes.require(size, f"`{name}` has the size {in_words(size)}, which must not be negative", span)


def _check_parts(build: Elaboration) -> None:
    for draft in build.drafts.values():
        tensor = draft.tensor
        if not tensor.equations:
            continue
        name = draft.name or tensor.id
        for problem in parts_problems(_with_sizes(build, tensor), name, build.sizes, draft.left_spans):
            (draft.report or build.report)(problem)


# -- the graph ---------------------------------------------------------------------------------------------------------


def assemble(
    build: Elaboration,
    name: str,
    outputs: Sequence[Output],
    objectives: Sequence[Objective],
    updates: Sequence[Update],
    claims: Sequence[Claim],
    doc: str,
) -> Graph | None:
    """The graph of everything that the definition's own tensors and outputs need; None if a cycle has no order."""
    before = _read_by(draft.tensor for draft in build.drafts.values())
    tensors = {name: _resolved(build, draft.tensor) for name, draft in build.drafts.items()}
    local = {name for name, draft in build.drafts.items() if draft.is_local}
    required = tuple(_resolved_requirement(build, one) for one in build.sizes.requirements)
    tensors = by_cases(along_groups(tensors, required), required)
    roots = (*(output.tensor for output in outputs), *(objective.loss for objective in objectives))
    tensors = in_order(build, tensors, {*roots, *(update.value for update in updates)})
    if build.problems.has_errors:
        return None
    after = _reachable(tensors, local)
    kept = {
        name: tensor
        for name, tensor in tensors.items()
        if name in after or (tensor.kind not in ("computed", "derivative") and (name not in before or "." not in name))
    }
    kept = forwarded(kept, local)
    kept = with_fans(_known_bounds(kept), build.array_axes)
    requirements = tuple(_resolved_requirement(build, one) for one in build.sizes.requirements)
    used = _size_names(kept.values(), [one.value for one in requirements])
    assert all(root in kept for root in roots)
    return Graph(
        name,
        kept,
        tuple(outputs),
        tuple(used),
        tuple(replace(one, over=tuple(name for name in one.over if name in kept)) for one in objectives),
        updates=tuple(updates),
        requirements=requirements,
        claims=tuple(claims),
        doc=doc,
    )


def _with_sizes(build: Elaboration, tensor: Tensor) -> Tensor:
    sizes = build.sizes
    equations = tuple(
        Equation(
            tuple(_index(sizes.resolve(index)) for index in equation.indices),
            tuple(sizes.resolve(subscript) for subscript in equation.subscripts),
            equation.value,
            equation.span,
        )
        for equation in tensor.equations
    )
    return replace(tensor, sizes=tuple(sizes.value(size) for size in tensor.sizes), equations=equations)


def _index(node: Expr) -> Index:
    assert isinstance(node, Index)
    return node


def _resolved(build: Elaboration, tensor: Tensor) -> Tensor:
    sizes = build.sizes
    tensor = _with_sizes(build, tensor)
    bound = None if tensor.bound is None else sizes.value(tensor.bound)
    equations = tuple(replace(one, value=_decided(sizes.resolve(one.value))) for one in tensor.equations)
    return replace(tensor, equations=equations, bound=bound, initialiser=tensor.initialiser)


def _decided(value: Expr) -> Expr:
    """Choices that the sizes decide are made."""

    def change(node: Expr) -> Expr | None:
        if not isinstance(node, Select) or any(isinstance(part, Index | Read | Reduce) for part in walk(node.cond)):
            return None
        answer = known_truth(node.cond)
        answer = decide(node.cond) if answer is None else answer
        return None if answer is None else (node.yes if answer else node.no)

    return transform(value, change)


def _read_by(tensors: Iterable[Tensor]) -> set[str]:
    return {name for tensor in tensors for name in reads_of(tensor)}


def _reachable(tensors: Mapping[str, Tensor], local: set[str]) -> set[str]:
    """The tensors that the definition names itself, and what these need."""
    waiting = [name for name, tensor in tensors.items() if name not in local and tensor.kind == "computed"]
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting.extend(_read_by([tensors[name]]))
    return seen


def _known_bounds(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """A bound is kept where the runtime checks it: at inputs."""
    return {
        name: tensor if tensor.kind == "input" or tensor.bound is None else replace(tensor, bound=None, bound_set="")
        for name, tensor in tensors.items()
    }


def _resolved_requirement(build: Elaboration, one: Requirement) -> Requirement:
    return replace(one, value=build.sizes.value(one.value))


def _size_names(tensors: Iterable[Tensor], values: Iterable[Expr]) -> list[str]:
    found: dict[str, None] = {}
    for tensor in tensors:
        if tensor.kind == "input":
            for size in tensor.sizes:
                found.update(dict.fromkeys(size_symbols(size)))
        if tensor.bound is not None:
            found.update(dict.fromkeys(size_symbols(tensor.bound)))
    for tensor in tensors:
        parts = [*tensor.sizes, *(value for one in tensor.equations for value in (one.value, *one.subscripts))]
        for part in parts:
            found.update(dict.fromkeys(size_symbols(part)))
    for value in values:
        found.update(dict.fromkeys(size_symbols(value)))
    return list(found)


def too_large(tensors: Iterable[Tensor]) -> list[SizeTooLarge]:
    """Tensors whose number of elements no 64-bit integer holds."""
    found: list[SizeTooLarge] = []
    for tensor in tensors:
        count = 1
        for size in tensor.sizes:
            count *= int(size.value) if isinstance(size, Const) else 1
        if count > LARGEST:
            found.append(SizeTooLarge(tensor.span, f"the number of elements of `{tensor.id}`"))
    return found
