"""Graphs of entries -> one program of the loop language."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import PurePath

from dlc.compiler.ir import elements
from dlc.compiler.ir.expr import free_indices
from dlc.compiler.ir.graph import Equation, Graph, Requirement, Tensor, unique
from dlc.compiler.ir.loops import (
    Buffer,
    Entry,
    For,
    If,
    Kernel,
    Matmul,
    Program,
    Result,
    Role,
    Statement,
    Value,
    expressions,
    statements,
)
from dlc.compiler.ir.printer import equation_text
from dlc.compiler.ir.ways import OPEN, Ways
from dlc.compiler.lower.drafting import drafts
from dlc.compiler.lower.fills import filled_once
from dlc.compiler.lower.fusion import touches, with_buffers_renamed
from dlc.compiler.lower.invariants import hoisted
from dlc.compiler.lower.kernels import Draft, finish, leaves
from dlc.compiler.lower.quotients import by_quotients
from dlc.compiler.lower.regions import regions
from dlc.compiler.lower.remainders import without_rests
from dlc.compiler.lower.rotations import unrolled_around
from dlc.compiler.lower.row_tiles import in_row_tiles
from dlc.compiler.lower.runs import in_runs
from dlc.compiler.lower.sections import in_sections
from dlc.compiler.lower.sharing import shared
from dlc.compiler.lower.sizes import DerivedSizes
from dlc.compiler.lower.sums_of_rows import by_rows_abreast
from dlc.compiler.lower.tiling import by_blocks
from dlc.compiler.lower.unroll_and_jam import jammed
from dlc.compiler.lower.windows_of_rows import with_rows_abreast
from dlc.compiler.lower.winograd import in_tiles


def lower(graphs: Mapping[str, Graph], ways: Ways = OPEN) -> Program:
    """The program with one entry for each graph; all graphs are of one model and agree on inputs and parameters.

    Buffers that two entries declare alike are one buffer: entries never run at once on one workspace.
    """
    first = next(iter(graphs.values()))
    values: dict[str, Value] = {}
    for graph in graphs.values():
        for tensor in graph.of_kind("input", "parameter", "hyper", "mode", "state", "cotangent"):
            values.setdefault(tensor.id, _value(tensor))
    derived = DerivedSizes(graphs.values())
    buffers: dict[str, Buffer] = {}
    kernels: dict[str, Kernel] = {}
    entries = tuple(_entry(name, graph, derived, buffers, kernels, ways) for name, graph in graphs.items())
    requirements: dict[tuple[object, ...], Requirement] = {}
    for graph in graphs.values():
        requirements.update({(r.value, r.message): r for r in graph.requirements})
    program = Program(
        first.name,
        first.sizes,
        tuple(values.values()),
        buffers,
        kernels,
        entries,
        tuple(requirements.values()),
        first.doc,
        derived.formulas,
        first.is_optimizer,
    )
    return in_tiles(program, ways)


def _multiplied(body: tuple[Statement, ...], ways: Ways) -> tuple[Statement, ...]:
    """The body with products by the implementation that is forced."""

    def one(statement: Statement) -> Statement:
        if isinstance(statement, For | If):
            return replace(statement, body=_multiplied(statement.body, ways))
        return replace(statement, way=ways.gemm) if isinstance(statement, Matmul) else statement

    return tuple(map(one, body)) if ways.gemm else body


def _value(tensor: Tensor) -> Value:
    assert tensor.kind not in ("computed", "derivative")
    return Value(
        tensor.id,
        tensor.kind,
        tensor.sizes,
        tensor.sets,
        tensor.type,
        tensor.bound,
        tensor.bound_set,
        tensor.initialiser,
        tensor.default,
        tensor.doc,
    )


def _entry(
    name: str,
    plain: Graph,
    derived: DerivedSizes,
    buffers: dict[str, Buffer],
    kernels: dict[str, Kernel],
    ways: Ways,
) -> Entry:
    graph = derived.used_in(plain)
    own_ids: dict[str, object] = dict(graph.tensors)
    all_ids: dict[str, object] = {**buffers, **graph.tensors}

    def fresh(wanted: str) -> str:
        """The id of a new tensor: the same as in another entry, where that is likely to be the same tensor."""
        own_ids[found := unique(wanted, own_ids)] = None
        all_ids[found] = None
        return found

    def local(label: str) -> str:
        own_ids[found := unique(f"{label}.v", all_ids)] = None
        all_ids[found] = None
        return found

    def elsewhere(wanted: str) -> str:
        """The id of a buffer that another entry declares otherwise."""
        all_ids[found := unique(wanted, all_ids)] = None
        return found

    made = drafts(graph, plain, derived.formulas, local, fresh, ways)
    own = {tensor.id: Buffer(tensor.id, tensor.sizes, tensor.type, _role(graph, tensor)) for tensor in made.tensors}
    short = elements.short(made.tensors)
    own = {key: replace(one, is_short=one.role == "workspace" and key in short) for key, one in own.items()}
    everything = list(leaves(made.items))
    shared_by = Counter(key for draft in everything for key in touches(draft.whole))
    private = {key for key, buffer in own.items() if buffer.role == "workspace" and shared_by[key] <= 1}
    for draft in everything:
        finish(draft, private, own, local, fresh)
    users = Counter(key for draft in everything for key in touches(draft.body))
    private = {key for key, buffer in own.items() if buffer.role == "workspace" and users[key] <= 1}
    for draft in everything:
        draft.body = in_row_tiles(draft.body, private, draft.split is not None, own, local, fresh)
    renames = _merge_buffers(own, buffers, elsewhere)
    for draft in everything:
        body = filled_once(_multiplied(with_buffers_renamed(draft.body, renames), ways), buffers)
        draft.body = by_blocks(in_runs(body, buffers))
    finished = {id(draft): _kernel(draft, kernels, local).name for draft in everything}
    loss = graph.objectives[0].loss if graph.objectives else None
    return Entry(
        name,
        regions(made.items, lambda draft: finished[id(draft)], renames),
        tuple(Result(output.name, renames.get(output.tensor, output.tensor)) for output in graph.outputs),
        renames.get(loss, loss) if loss is not None else None,
        tuple(Result(g.tensor, renames.get(g.adjoint, g.adjoint)) for g in graph.gradients),
        tuple(Result(t.output, t.id) for t in graph.of_kind("cotangent")),
        graph.objectives[0].over if graph.gradients and graph.objectives else (),
        tuple(Result(u.state, renames.get(u.value, u.value)) for u in graph.updates),
    )


def _merge_buffers(
    own: Mapping[str, Buffer], buffers: dict[str, Buffer], fresh: Callable[[str], str]
) -> dict[str, str]:
    """Add an entry's buffers to the program's; those that another entry declares otherwise get names of their own."""
    renames: dict[str, str] = {}
    for key, buffer in own.items():
        if key in buffers and buffers[key] != buffer:
            renames[key] = fresh(key)
            buffer = replace(buffer, id=renames[key])
        buffers.setdefault(buffer.id, buffer)
    return renames


def _role(graph: Graph, tensor: Tensor) -> Role:
    assert tensor.kind != "derivative"
    if tensor.kind != "computed":
        return tensor.kind
    gradients = {g.adjoint: graph.tensors[g.tensor] for g in graph.gradients}
    if tensor.id in gradients and gradients[tensor.id].kind == "parameter":
        return "gradient"
    return "result" if tensor.id in graph.roots else "workspace"


def _kernel(draft: Draft, kernels: dict[str, Kernel], names: Callable[[str], str]) -> Kernel:
    """The finished kernel, under the name of the last tensor that it computes."""
    formulas = tuple(_formula(tensor, equation) for tensor, equation in draft.formulas)
    mentioned = {i for s in statements(draft.body) for e in expressions(s) for i in free_indices(e)}
    over = tuple(index for index in draft.over if index in mentioned)
    body = hoisted(in_sections(unrolled_around(by_rows_abreast(jammed(by_quotients(draft.body))), names)), names)
    body = without_rests(shared(with_rows_abreast(body, names), names), names)
    kernel = Kernel(draft.formulas[-1][0].id, body, draft.split, formulas, over)
    kernel = replace(kernel, name=unique(kernel.name, kernels))
    kernels[kernel.name] = kernel
    return kernel


def _formula(tensor: Tensor, equation: Equation) -> str:
    """The equation, and where it comes from: the file without its folder, which is another one on every machine."""
    span = equation.span
    place = f"    {PurePath(span.source.name).name}:{span.line}" if span is not None else ""
    return equation_text(tensor, equation) + place
