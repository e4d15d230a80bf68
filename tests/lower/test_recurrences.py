"""Recurrences lowered: rounds of kernels compute what the graph says, with any number of shards."""

from __future__ import annotations

import numpy as np
import pytest
import recurrences

from dlc.compiler.ir import loops_reference, loops_verify
from dlc.compiler.ir.graph import Graph
from dlc.compiler.ir.loops import Program, Repeat
from dlc.compiler.ir.reference import bind_sizes, evaluate
from dlc.compiler.lower import lower
from dlc.compiler.passes import extract

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


def repeats(program: Program) -> list[Repeat]:
    return [step for entry in program.entries for region in entry.regions for step in region.steps
            if isinstance(step, Repeat)]  # fmt: skip


def test_only_what_a_loop_looks_back_at_is_kept() -> None:
    """h stands alone in the loss at its last step: a ring of two rows."""
