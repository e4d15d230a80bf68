"""Recurrences lowered: rounds of kernels compute what the graph says, with any number of shards."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import recurrences
from building import add, at, index
from numeric.harness import graph_of

from dlc.compiler import pipeline
from dlc.compiler.grad.reverse import differentiate
from dlc.compiler.ir import loops_reference, loops_verify
from dlc.compiler.ir.expr import Const
from dlc.compiler.ir.graph import Graph, Output, whole
from dlc.compiler.ir.loops import SHARDS, Program, Repeat, kernels_of
from dlc.compiler.ir.reference import bind_sizes, evaluate
from dlc.compiler.lower import lower
from dlc.compiler.passes import extract
from dlc.compiler.pipeline import finished, prepared

MODELS = {model.name: model for model in recurrences.models()}


def compared(made: Graph, program: Program, entry: str, model: recurrences.Model, shards: int) -> None:
    expected = evaluate(made, model.inputs, model.sizes)
    sizes = bind_sizes(made, model.inputs, model.sizes)
    found = loops_reference.run(program, entry, model.inputs, sizes, shards)
    (run,) = program.entries
    for result in run.results:
        np.testing.assert_allclose(found[result.buffer], expected[result.name], 1e-11, 1e-11, err_msg=result.name)
    for gradient, result in zip(made.gradients, run.gradients, strict=True):
        np.testing.assert_allclose(found[result.buffer], expected[gradient.adjoint], 1e-11, 1e-11, err_msg=result.name)


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("name", MODELS)
def test_values(name: str, shards: int) -> None:
    model = MODELS[name]
    made = extract.run(model.graph)
    program = lower({"forward": made})
    loops_verify.check(program, "lower")
    compared(made, program, "forward", model, shards)


@pytest.mark.parametrize("name", MODELS)
def test_gradients(name: str) -> None:
    """The way of the compiler: optimised before and after differentiation."""
    model = MODELS[name]
    made = prepared(model.graph)
    wrt = [tensor.id for tensor in made.of_kind("input", "parameter") if tensor.type == "real"]
    made = finished(replace(differentiate(made, made.objectives[0].loss, wrt), outputs=()))
    program = lower({"value_and_grad": made})
    loops_verify.check(program, "lower")
    for shards in (1, 3):
        compared(made, program, "value_and_grad", model, shards)


def repeats(program: Program) -> list[Repeat]:
    steps = [step for entry in program.entries for region in entry.regions for step in region.steps]
    return [step for step in steps if isinstance(step, Repeat)]


def last_state(batch: int | None) -> Graph:
    """A recurrence of which the loss uses the last state only."""
    model = recurrences.rnn(batch)
    h = model.graph.tensors["h"]
    axes = [index("b", size) for size in h.sizes[:-2]]
    d = index("d", h.sizes[-1])
    last = whole("last", (*axes, d), at(h, *axes, add(h.sizes[-2], Const(-1)), d))
    kept = {name: tensor for name, tensor in model.graph.tensors.items() if name != "loss"}
    return replace(model.graph, tensors={**kept, "last": last}, outputs=(Output("last", "last"),), objectives=())


@pytest.mark.parametrize("batch", [None, 3])
@pytest.mark.parametrize("steps", [1, 4])
def test_only_what_a_loop_looks_back_at_is_kept(batch: int | None, steps: int) -> None:
    made = extract.run(last_state(batch))
    program = lower({"forward": made})
    (h,) = [buffer for buffer in program.buffers.values() if buffer.id == "h"]
    assert Const(2) in h.sizes
    model = recurrences.rnn(batch, steps=steps)
    compared(made, program, "forward", replace(model, graph=made), 2)


def test_a_batch_is_shared_out_and_a_single_sequence_is_not() -> None:
    for batch, alone in ((3, False), (None, True)):
        program = lower({"forward": extract.run(recurrences.rnn(batch).graph)})
        assert [repeat.alone for repeat in repeats(program)] == [alone]


LAYERS = """
layer Mixed(x[B,T,S]; w[L,S,S] ~ normal(0, 1)) -> y[B,T,S]:
    h[0,b,t,s] = x[b,t,s]
    r[l,b,t,s] = sum[s'] w[l,s,s']*h[l,b,t,s']
    h[l+1,b,t,s] = [s <= t]*exp(r[l,b,t,s]) / sum[s' : s' <= t] exp(r[l,b,t,s'])
    y[b,t,s] = h[|L|,b,t,s]
"""


def test_rows_that_shards_keep_for_themselves_do_not_tie_them_together() -> None:
    """The exponentials of a softmax are kept in a row that a round of the recurrence uses and forgets."""
    graph = pipeline.entries(graph_of(LAYERS), wrt="*")["forward"]
    program = lower({"forward": graph})
    assert any(SHARDS in buffer.sizes for buffer in program.buffers.values())
    assert [repeat.alone for repeat in repeats(program)] == [False]


def test_what_does_not_depend_on_the_step_before_stands_outside_the_loop() -> None:
    """The products with the inputs of all steps are one."""
    program = lower({"forward": extract.run(recurrences.rnn(3).graph)})
    inside = {name for repeat in repeats(program) for name in kernels_of((repeat,))}
    reading_x = {name for name, kernel in program.kernels.items() if "x" in loops_verify.touched(kernel)[0]}
    assert reading_x
    assert not reading_x & inside
