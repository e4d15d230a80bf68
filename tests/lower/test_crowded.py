"""Room between rows and planes that fall on few lines of the cache: with thresholds so low that all do."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
import recurrences

from dlc.compiler import pipeline
from dlc.compiler.grad.reverse import differentiate
from dlc.compiler.ir import loops_reference, loops_verify
from dlc.compiler.ir.affine import known
from dlc.compiler.ir.graph import Graph
from dlc.compiler.ir.loops import Buffer
from dlc.compiler.ir.reference import bind_sizes, evaluate
from dlc.compiler.ir.ways import Ways
from dlc.compiler.lower import layouts, lower, products, spacing

MODELS = {model.name: model for model in recurrences.models()}


@pytest.fixture(params=[2, 3])
def crowded(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Rows and planes are crowded where they lie a multiple of so many elements apart."""
    for module in (layouts, products, spacing):
        monkeypatch.setattr(module, "_CROWDED", request.param)
    monkeypatch.setattr(spacing, "_SEVERAL", 2)
    return request.param


def mean_the_same(graph: Graph, inputs: Mapping[str, np.ndarray], sizes: Mapping[str, int]) -> Mapping[str, Buffer]:
    """The loops compute what the graph says; these are their buffers.  Small products are products too."""
    program = lower({"entry": graph}, Ways("tile"))
    loops_verify.check(program, "lower")
    wanted = evaluate(graph, inputs, sizes)
    found = loops_reference.run(program, "entry", inputs, bind_sizes(graph, inputs, sizes), shards=2)
    (entry,) = program.entries
    for result in entry.results:
        np.testing.assert_allclose(found[result.buffer], wanted[result.name], 1e-10, 1e-10, err_msg=result.name)
    for gradient, result in zip(graph.gradients, entry.gradients, strict=True):
        np.testing.assert_allclose(found[result.buffer], wanted[gradient.adjoint], 1e-10, 1e-10, err_msg=result.name)
    return program.buffers


def of_recurrence(name: str) -> Graph:
    made = pipeline.prepared(MODELS[name].graph)
    wrt = [tensor.id for tensor in made.of_kind("input", "parameter") if tensor.type == "real"]
    return pipeline.finished(differentiate(made, made.objectives[0].loss, wrt))


@pytest.mark.parametrize("name", MODELS)
def test_recurrences(name: str, crowded: int) -> None:
    mean_the_same(of_recurrence(name), MODELS[name].inputs, MODELS[name].sizes)


@pytest.mark.parametrize("crowded", [3], indirect=True)
def test_weights_that_are_read_in_every_round_have_room_between_rows(crowded: int) -> None:
    graph = of_recurrence("gru")
    buffers = mean_the_same(graph, MODELS["gru"].inputs, MODELS["gru"].sizes)
    for name in ("u.stack", "u.stack.2"):
        assert known(buffers[name].sizes[-1]) == (known(graph.tensors[name].sizes[-1]) or 0) + 16
    assert [known(size) for size in buffers["w.stack"].sizes] == [2, 3 + 1, 2]  # planes side by side
    buffers = mean_the_same(of_recurrence("rnn-batch"), MODELS["rnn-batch"].inputs, MODELS["rnn-batch"].sizes)
    assert "wh.packed" in buffers  # in the order of the columns of its product
