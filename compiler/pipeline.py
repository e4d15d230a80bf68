"""The order of everything between the graph that semantics gives and the text of the module.

::

    PREPARE      the graph of a definition, in extracted form: what the model computes
    differentiate                                             for value_and_grad and vjp
    FINISH       either graph, ready for lowering: what an entry of the module computes
    lower, emit

The verifier of the language runs after every pass, and names the pass that broke it. A pass that is optional may be
switched off: the program is then slower, or less exact where numbers overflow, and still right.

Every stage has a name that occurs once (the second run of a pass is `simplify.2`), by which `--print-after` and
`--stop-after` know it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from dlc.compiler.grad import checkpoint, expand, reverse
from dlc.compiler.ir import loops_verify, verify
from dlc.compiler.ir.expr import Expr, Read, reads
from dlc.compiler.ir.functions import ScalarFunction
from dlc.compiler.ir.graph import Graph, Objective, Output, Tensor, Update, whole
from dlc.compiler.ir.loops import Program
from dlc.compiler.ir.rewriting import transform
from dlc.compiler.ir.ways import OPEN, Ways
from dlc.compiler.lower import in_old_places, in_place, lower
from dlc.compiler.passes import (
    abreast,
    batch_first,
    borders,
    cse,
    dce,
    deltas,
    diagonals,
    extract,
    factor,
    first,
    fuse,
    guard,
    hold,
    interleave,
    invert,
    lift,
    margins,
    narrow,
    optimizer,
    prefix,
    residues,
    separate,
    simplify,
    sink,
    stabilise,
    stack,
    timewise,
)


@dataclass(frozen=True)
class Pass:
    """A step from graph to graph; `stage` names the graph that it gives."""

    stage: str
    run: Callable[[Graph], Graph]
    optional: bool = True

    @property
    def name(self) -> str:
        """The pass, of which there may be several runs."""
        return self.stage.partition(".")[0]


EXPAND = (
    Pass("derive", expand.run),  # the innermost derivatives
    Pass("simplify", simplify.run),
    Pass("deltas", deltas.run),
    Pass("simplify", simplify.run),
    Pass("diagonals", diagonals.run),  # after deltas: what is left of them is structure
    Pass("simplify", simplify.run),
    Pass("deltas", deltas.run),  # those of the tensors that have lost an axis
    Pass("simplify", simplify.run),
    Pass("extract", extract.run),
)
"""One round of expanding the derivatives that a definition speaks of."""


def _derived(graph: Graph) -> Graph:
    """The graph with equations in the place of all derivatives, however they are nested."""
    while graph.of_kind("derivative"):
        for step in EXPAND:
            graph = step.run(graph)
            # inside a recurrence, a derivative has an order when it has lost the axis over the other steps
            verify.check(graph, step.stage, orders=step is EXPAND[-1])
    return graph


PREPARE = (
    Pass("simplify", simplify.run),  # one spelling for what is equal, so that the patterns of the next pass match
    # before extract: a softmax is recognised as a quotient with its sum in it, not as a read of a computed tensor;
    # before differentiate: what is derived is then stable too, and derivatives in terms of the output stay
    Pass("stabilise", stabilise.run),
    Pass("extract", extract.run, optional=False),  # differentiation takes extracted graphs only
    Pass("prefix", prefix.before_derivatives),  # before what differentiates: the derivative is a recurrence too
    Pass("separate", separate.run),  # before what differentiates: the derivative goes along rows and columns too
    Pass("margins", margins.run),  # before what differentiates: what is derived by the copy is a convolution too
    # after stabilise: derivatives of what is stable are so too; before what makes tensors shorter or one: what is
    # differentiated by is told apart from what has equal values
    Pass("derive", _derived, optional=False),
    # after extract: a guard is narrowed where it stands at the root; before cse: what is then equal is shared
    Pass("narrow", narrow.run),
    Pass("cse", cse.run),  # after extract: only tensors are shared
    Pass("dce", dce.run),
)
FINISH = (
    Pass("simplify.2", simplify.run),  # adjoints come with factors 1 and nested guards, in which no delta shows
    Pass("deltas", deltas.run),
    Pass("simplify.3", simplify.run),  # a solved delta leaves subscripts to normalise and conditions that always hold
    # before factor, which takes apart products that the forward pass holds: a softmax's derivative reads its values
    Pass("cse.2", cse.run),
    Pass("factor", factor.run),  # after deltas, which change what depends on a summed index
    Pass("extract.2", extract.run, optional=False),  # factoring, adjoints of products: sums inside sums
    Pass("narrow.2", narrow.run),  # adjoints of slices and recurrences are guarded
    Pass("lift", lift.run),  # after narrow, which makes shorter what it can; before cse: products become alike
    Pass("first", first.run),  # before cse: the extreme may be there already
    Pass("hold", hold.run),  # before cse, which reads what is held
    Pass("cse.3", cse.run),  # forward and backward in one: the backward pass reads what the forward one has computed
    Pass("dce.2", dce.run),
    Pass("prefix.2", prefix.run),  # after factor, which moves out of a sum what depends on its end alone
    Pass("sink", sink.run),  # after cse, which has all readers read one tensor
    Pass("fuse", fuse.run),  # after cse, which would take out again what it writes from one tensor into another
    Pass("interleave", interleave.run),  # after fuse, like residues, which takes what has few classes
    Pass("residues", residues.run),  # after fuse, which writes whole tensors into their readers, and not parts
    Pass("borders", borders.run),  # after residues, of whose parts each has windows of its own
    Pass("abreast", abreast.run),  # after borders, which spares the parts conditions that none holds in part of a range
    Pass("stack", stack.run),  # after fuse, which writes nothing of tensors in parts into their readers
    Pass("timewise", timewise.run),  # after stack, whose tensors belong to recurrences too
    Pass("batch_first", batch_first.run),  # after fuse, which leaves fewer tensors to turn
    # after fuse, which would write an inverse into its only reader; not a change of meaning, but of rounding
    Pass("invert", invert.run),
    Pass("guard", guard.run),  # late: of a draw that fuse has written into its only reader nothing is left to guard
)
DIFFERENTIATE, CHECKPOINT, LOWER, EMIT = "differentiate", "checkpoint", "lower", "emit"
FORWARD, VALUE_AND_GRAD, VJP = "forward", "value_and_grad", "vjp"

STAGES = (
    *(step.stage for step in PREPARE),
    DIFFERENTIATE,
    *(step.stage for step in FINISH),
    LOWER,
    EMIT,
)
OPTIONAL = tuple(dict.fromkeys(step.name for step in (*PREPARE, *FINISH) if step.optional))
"""The passes that may be switched off."""


class Stage(NamedTuple):
    """What there is after the pass of that name."""

    name: str
    graph: Graph


def _through(passes: Sequence[Pass], graph: Graph, off: Collection[str]) -> Iterator[Stage]:
    for step in passes:
        if not (step.optional and step.name in off):
            graph = step.run(graph)
            verify.check(graph, step.stage)
            yield Stage(step.stage, graph)


def prepared(graph: Graph, off: Collection[str] = ()) -> Graph:
    """What the definition computes, in extracted form: the stage `graph`."""
    return _last(_through(PREPARE, graph, off))


def finished(graph: Graph, off: Collection[str] = ()) -> Graph:
    """The graph of an entry, ready for lowering."""
    return _last(_through(FINISH, graph, off))


def derived(graph: Graph) -> Graph:
    """The graph with its derivatives written out, and nothing optimised."""
    return _derived(extract.run(graph))


def simplified(graph: Graph) -> Graph:
    """The graph after every pass but those that change how much is computed or rounded: of two that mean the same,
    what is compared."""
    steps = [step for step in (*PREPARE, *FINISH) if step.stage not in ("fuse", "invert")]
    return _last(_through(steps, graph, ()))


def _last(stages: Iterator[Stage]) -> Graph:
    *_, end = stages  # there is one: extract is never off
    return end.graph


def without_derivatives(function: ScalarFunction) -> ScalarFunction:
    """A function for callers in Python, its derivatives worked out."""
    if not function.tensors:
        return function
    inputs = [Tensor(one.name, (), one.type, "input") for one in function.parameters]
    result = whole("value of the function", (), function.value)
    tensors = {tensor.id: tensor for tensor in (*inputs, *function.tensors, result)}
    graph = prepared(Graph(function.name, tensors, (Output(result.id, result.id),)))

    def change(node: Expr) -> Expr | None:
        defined = graph.tensors[node.tensor].equations if isinstance(node, Read) else ()
        return transform(defined[0].value, change) if defined else None

    return replace(function, value=transform(graph.tensors[result.id].equations[0].value, change), tensors=())


# --- derivatives ------------------------------------------------------------------------------------------------------


def gradient_targets(graph: Graph, objective: Objective | None, wrt: Collection[str] = ()) -> tuple[str, ...]:
    """What is differentiated by: the parameters, and inputs.

    An objective is differentiated by the parameters that `minimize` moves (without it, by all), and by the inputs named
    in `wrt` (`*`: all real ones). A layer, or a model without parameters, is differentiated by its inputs too. Where
    there are several objectives, an input that one of them does not depend on is not asked for.
    """
    parameters = tuple(tensor.id for tensor in graph.of_kind("parameter") if tensor.type == "real")
    inputs = tuple(tensor.id for tensor in graph.of_kind("input") if tensor.type == "real")
    moved = parameters
    if objective is not None and len(graph.objectives) > 1:
        needed = _inputs_of(graph, [objective.loss])
        inputs = tuple(name for name in inputs if name in needed)
    if objective is not None and objective.over:
        moved = objective.over
    if "*" in wrt or (not wrt and (objective is None or not moved)):
        return (*moved, *inputs)
    return tuple(dict.fromkeys((*moved, *(name for name in (*inputs, *parameters) if name in wrt))))


def differentiated(graph: Graph, wrt: Collection[str] = ()) -> dict[str, Graph]:
    """The graph, raw, of every derivative of a prepared graph, by the name of its entry; none if there is nothing.

    value_and_grad computes the loss, its gradients and the next states, and nothing else; where a model has several
    objectives each has one of its own, `value_and_grad.d_loss`. vjp takes a cotangent for every real output, and gives
    the outputs too.
    """
    found: dict[str, Graph] = {}
    for objective in graph.objectives:
        targets = gradient_targets(graph, objective, wrt)
        name = f"{VALUE_AND_GRAD}.{objective.name}" if len(graph.objectives) > 1 else VALUE_AND_GRAD
        if targets:
            one = replace(graph, outputs=(), objectives=(objective,), updates=_updates_with(graph, objective))
            found[name] = reverse.differentiate(one, objective.loss, targets)
    if not graph.objectives:
        targets = gradient_targets(graph, None, wrt)
        outputs = [output.tensor for output in graph.outputs if graph.tensors[output.tensor].type == "real"]
        if targets and outputs:
            found[VJP] = reverse.differentiate_vjp(graph, outputs, targets)
    for result in found.values():
        verify.check(result, DIFFERENTIATE)
    return found


def _updates_with(graph: Graph, objective: Objective) -> tuple[Update, ...]:
    """The states that a step changes: where there are several, those whose next value the same inputs tell."""
    needs = {update: _inputs_of(graph, [update.value]) for update in graph.updates}
    steps = [_inputs_of(graph, [one.loss]) for one in graph.objectives]
    mine = _inputs_of(graph, [objective.loss])
    return tuple(update for update, given in needs.items() if given <= mine or not any(given <= one for one in steps))


# --- the whole way ----------------------------------------------------------------------------------------------------


def entries(graph: Graph, wrt: Collection[str] = (), off: Collection[str] = ()) -> dict[str, Graph]:
    """The finished graph of every entry of the definition whose graph semantics gave."""
    verify.check(graph, "semantics")
    if graph.is_optimizer:
        return {name: finished(prepared(part, off), off) for name, part in optimizer.parts(graph).items()}
    ready = prepared(graph, off)
    raw = {FORWARD: _forward(ready), **differentiated(ready, wrt), **_partial(ready)}
    return {name: finished(entry, off) for name, entry in raw.items()}


def checkpointed(entries: Mapping[str, Graph], length: int | None) -> dict[str, Graph]:
    """The entries, those with derivatives keeping every state of number `length` of a recurrence (0: about the root of
    how many there are; None: all of them)."""
    if length is None:
        return dict(entries)
    return {
        name: entry if name.startswith(FORWARD) else _checkpointed(entry, length) for name, entry in entries.items()
    }


def _checkpointed(graph: Graph, length: int) -> Graph:
    result = checkpoint.run(graph, length or None)
    verify.check(result, CHECKPOINT)
    return result


def keeping_all(entries: Mapping[str, Graph]) -> tuple[Tensor, ...] | None:
    """Of every recurrence that keeps all its states, checkpointed or not, a tensor; None if nothing is kept for a
    backward pass at all."""
    derived = [entry for name, entry in entries.items() if not name.startswith(FORWARD)]
    known = entries[FORWARD].tensors if FORWARD in entries else {}
    states = [checkpoint.recurrences(entry) for entry in derived]
    if not any(found.segmented or found.whole for found in states):
        return None
    members = [[name for name in one if name in known] for found in states for one in found.whole]
    names = dict.fromkeys(min(one, key=len) for one in members if one)  # what is written out has the shortest name
    return tuple(entry.tensors[name] for name in names for entry in derived[:1] if name in known)


def _forward(graph: Graph) -> Graph:
    """Everything that the model computes, the losses first; states stay as they are."""
    losses: list[Output] = []
    for objective in graph.objectives:
        named = [output for output in graph.outputs if output.tensor == objective.loss]
        if len(graph.objectives) > 1:  # each under the name of its step
            named = [output for output in named if output.name == objective.name]
        losses += [output for output in named or [Output(objective.name, objective.loss)] if output not in losses]
    others = [output for output in graph.outputs if output not in losses]
    return replace(graph, outputs=(*losses, *others), updates=())


def _partial(graph: Graph) -> dict[str, Graph]:
    """The outputs that need fewer inputs than the losses: a classifier is asked for its logits without the target.

    Where there are several objectives, what can be had for the inputs of each of them, too.
    """
    if not graph.objectives:
        return {}
    everything = _forward(graph).outputs
    outputs = everything if len(graph.objectives) > 1 else graph.outputs
    needs = {output: _inputs_of(graph, [output.tensor]) for output in outputs}
    whole = _inputs_of(graph, [objective.loss for objective in graph.objectives])
    groups = [tuple(output for output in outputs if needs[output] < whole)]
    if len(graph.objectives) > 1:
        most_first = sorted(needs.values(), key=len, reverse=True)
        groups += [tuple(output for output in outputs if needs[output] <= given) for given in most_first]
    kept = [group for group in dict.fromkeys(groups) if group and len(group) < len(everything)]
    names = ("forward.outputs", *(f"forward.outputs.{number}" for number in range(2, len(kept) + 1)))
    return {
        name: replace(graph, outputs=group, objectives=(), updates=()) for name, group in zip(names, kept, strict=False)
    }


def _inputs_of(graph: Graph, roots: Sequence[str]) -> set[str]:
    """The inputs that these tensors depend on."""
    found: set[str] = set()
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            equations = graph.tensors[name].equations
            waiting += [node.tensor for e in equations for node in reads(e.value, *e.subscripts)]
    return {name for name in found if graph.tensors[name].kind == "input"}


def program(
    graph: Graph,
    wrt: Collection[str] = (),
    off: Collection[str] = (),
    length: int | None = None,
    ways: Ways = OPEN,
) -> Program:
    """The loops of the definition; for `length` see `checkpointed`."""
    return lowered(checkpointed(entries(graph, wrt, off), length), ways)


def lowered(graphs: dict[str, Graph], ways: Ways = OPEN) -> Program:
    """The loops of the entries of one definition, with some implementations forced."""
    result = in_old_places(lower(graphs, ways))
    if optimizer.STEP in graphs:
        result = in_place(result)
    loops_verify.check(result, LOWER)
    return result


def stages(
    graph: Graph, wrt: Collection[str] = (), off: Collection[str] = (), length: int | None = None
) -> Iterator[Stage]:
    """The graph after every pass, on the way to the derivative; without one, on the way to the values.

    Where there are several objectives, a stage of the derivative occurs for each of them, one after the other.
    """
    verify.check(graph, "semantics")
    for stage in _through(PREPARE, graph, off):
        graph = stage.graph
        yield stage
    graphs = list(differentiated(graph, wrt).values())
    yield from (Stage(DIFFERENTIATE, derivative) for derivative in graphs)
    ways = [list(_through(FINISH, one, off)) for one in graphs or [graph]]
    yield from (stage for same in zip(*ways, strict=True) for stage in same)  # stage by stage, of all objectives
    if length is not None:
        yield from (Stage(CHECKPOINT, _checkpointed(way[-1].graph, length)) for way in ways if graphs)
