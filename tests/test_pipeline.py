"""The pass list: names and order, what is differentiated, and right programs with any pass switched off."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
from building import add, at, finite_differences, given, graph, index, mul, total, when, within

from dlc.compiler import pipeline
from dlc.compiler.ir import loops_reference
from dlc.compiler.ir.expr import Const, Expr, Reduce, Select, Size, op
from dlc.compiler.ir.graph import Graph, Objective, Output, whole
from dlc.compiler.ir.reference import evaluate
from dlc.compiler.ir.verify import InternalError

Arrays = Mapping[str, np.ndarray]


def classifier() -> tuple[Graph, Arrays, dict[str, int]]:
    """Two affine maps with tanh between them, and the cross-entropy of a softmax written as on paper."""
    x, target = given("x", "B", 3), given("target", "B", type="int", bound=Const(4))
    w, c, v = (given(name, *sizes, kind="parameter") for name, sizes in (("w", (5, 3)), ("c", (5,)), ("v", (4, 5))))
    b, h, i = index("b", "B"), index("h", 5), index("i", 3)
    hidden = whole("hidden", (b, h), op("tanh", add(total(i, of=mul(at(w, h, i), at(x, b, i))), at(c, h))))
    b, y, h = index("b", "B"), index("y", 4), index("h", 5)
    logits = whole("logits", (b, y), total(h, of=mul(at(v, y, h), at(hidden, b, h))))
    b, y, y2 = index("b", "B"), index("y", 4), index("y", 4)
    share = op("div", op("exp", at(logits, b, y)), total(y2, of=op("exp", at(logits, b, y2))))
    shares = whole("shares", (b, y), share)
    b = index("b", "B")
    mean = op("div", total(b, of=op("neg", op("log", at(shares, b, at(target, b))))), op("real", Size("B")))
    made = graph(x, target, w, c, v, hidden, logits, shares, whole("loss", (), mean), loss="loss", sizes=["B"])
    objective = Objective("loss", "loss", ("w", "c", "v"))
    made = replace(made, outputs=(Output("logits", "logits"),), objectives=(objective,))
    return made, {"target": np.array([1, 3, 0, 1])} | normal(made, {"B": 4}), {"B": 4}


def pooled() -> tuple[Graph, Arrays, dict[str, int]]:
    """A padded convolution in one dimension, its maxima over windows, and a product of them."""
    x, k = given("x", "B", "T"), given("k", 3, kind="parameter")
    b, t, q = index("b", "B"), index("t", "T"), index("q", 3)
    place = add(t, q, Const(-1))
    y = whole("y", (b, t), total(q, of=mul(at(k, q), when(within(place, Size("T")), at(x, b, place)))))
    half = op("floordiv", Size("T"), Const(2))
    b, t, q = index("b", "B"), index("t", half), index("q", 2)
    z = whole("z", (b, t), Reduce("max", (q,), at(y, b, add(mul(t, Const(2)), q))))
    b, t = index("b", "B"), index("t", half)
    loss = whole("loss", (), total(b, of=Reduce("prod", (t,), at(z, b, t))))
    made = graph(x, k, y, z, loss, loss="loss", sizes=["B", "T"])
    return made, normal(made, {"B": 3, "T": 6}), {"B": 3, "T": 6}


def attended() -> tuple[Graph, Arrays, dict[str, int]]:
    """A softmax over what came before, written as a quotient of guarded sums, and a variance as E[x²] - E[x]²."""
    q, v = given("q", "T", 2), given("v", "T", 2, kind="parameter")
    t, s, d = index("t", "T"), index("s", "T"), index("d", 2)
    score = whole("score", (t, s), total(d, of=mul(at(q, t, d), at(v, s, d))))
    t, s, r = index("t", "T"), index("s", "T"), index("r", "T")
    below = total(r, of=when(op("le", r, t), op("exp", at(score, t, r))))
    share = whole("share", (t, s), when(op("le", s, t), op("div", op("exp", at(score, t, s)), below)))
    t, d, s = index("t", "T"), index("d", 2), index("s", "T")
    y = whole("y", (t, d), total(s, of=mul(at(share, t, s), at(v, s, d))))
    t, d, d2 = index("t", "T"), index("d", 2), index("d", 2)
    mean = op("div", total(d, of=at(y, t, d)), op("real", Const(2)))
    square = op("div", total(d2, of=mul(at(y, t, d2), at(y, t, d2))), op("real", Const(2)))
    loss = whole("loss", (), total(t, of=add(square, op("neg", mul(mean, mean)))))
    made = graph(q, v, score, share, y, loss, loss="loss", sizes=["T"])
    return made, normal(made, {"T": 5}), {"T": 5}


def normal(made: Graph, sizes: Mapping[str, int]) -> dict[str, np.ndarray]:
    """Random values for the real inputs and parameters."""
    random = np.random.default_rng(5)
    numbers: dict[Expr, int] = {Size(name): value for name, value in sizes.items()}

    def extent(size: Expr) -> int:
        return int(size.value) if isinstance(size, Const) else numbers[size]

    tensors = [tensor for tensor in made.of_kind("input", "parameter") if tensor.type == "real"]
    return {tensor.id: random.normal(size=[extent(size) for size in tensor.sizes]) for tensor in tensors}


CASES: dict[str, Callable[[], tuple[Graph, Arrays, dict[str, int]]]] = {
    "classifier": classifier,
    "pooled": pooled,
    "attended": attended,
}
OFF: list[tuple[str, ...]] = [(), *((name,) for name in pipeline.OPTIONAL), pipeline.OPTIONAL]


@pytest.mark.parametrize("off", OFF, ids=["all on", *(f"no {name}" for name in pipeline.OPTIONAL), "only extract"])
@pytest.mark.parametrize("case", CASES)
def test_every_pass_on_and_off(case: str, off: tuple[str, ...]) -> None:
    """Values and gradients, of graphs and of loops, against the graph as it was written."""
    made, arrays, sizes = CASES[case]()
    expected = evaluate(made, arrays)
    entries = pipeline.entries(made, wrt="*", off=off)
    program = pipeline.lowered(entries)
    for name, entry in entries.items():
        found = evaluate(entry, {key: arrays[key] for key in arrays if key in entry.tensors})
        ran = loops_reference.run(program, name, arrays, sizes, shards=3)
        declared = next(declared for declared in program.entries if declared.name == name)
        for output, result in zip(entry.outputs, declared.results, strict=True):
            np.testing.assert_allclose(found[output.tensor], expected[output.tensor], 1e-9, 1e-12)
            np.testing.assert_allclose(ran[result.buffer], expected[output.tensor], 1e-9, 1e-12)
        for gradient, result in zip(entry.gradients, declared.gradients, strict=True):
            wanted = finite_differences(made, arrays, "loss", gradient.tensor)
            np.testing.assert_allclose(found[gradient.adjoint], wanted, 1e-5, 1e-6, err_msg=gradient.tensor)
            np.testing.assert_allclose(ran[result.buffer], found[gradient.adjoint], 1e-9, 1e-12)


@pytest.mark.parametrize("cond", ["s <= t", "s < t", "t <= s", "t < s"])
def test_the_derivative_of_products_up_to_each_end_is_one_walk_back_and_passes_zeros(cond: str) -> None:
    """No tensor has an axis for the ends and one more for the factors."""
    end, s = index("t", "T"), index("s", "T")
    x, weights, (left, relation, right) = given("x", "T"), given("w", "T"), cond.split()
    ends = {"s": s, "t": end}
    inside = op("le" if relation == "<=" else "lt", ends[left], ends[right])
    product = whole("p", (end,), Reduce("prod", (s,), Select(inside, at(x, s), Const(1.0))))
    loss = whole("loss", (), total(end, of=mul(at(product, end), at(weights, end))))
    made = graph(x, weights, product, loss, loss="loss", sizes=["T"])
    entry = pipeline.entries(made, wrt=["x"])["value_and_grad"]
    assert all(len(tensor.sizes) < 2 for tensor in entry.tensors.values())
    arrays = {"x": np.array([2.0, 3.0, 0.0, 5.0, 0.5, 0.0, 2.0, -1.0, 4.0]), "w": np.arange(9.0) + 1}
    (gradient,) = entry.gradients
    wanted = finite_differences(made, arrays, "loss", "x")
    np.testing.assert_allclose(evaluate(entry, arrays)[gradient.adjoint], wanted, 1e-5, 1e-6)


def test_stages_have_names_that_occur_once_and_are_passed_in_order() -> None:
    assert len(set(pipeline.STAGES)) == len(pipeline.STAGES)
    assert [stage.name for stage in pipeline.stages(classifier()[0])] == list(pipeline.STAGES[:-2])
    always = {"extract", "derive"}  # nothing goes on without them
    assert set(pipeline.OPTIONAL) == {step.name for step in (*pipeline.PREPARE, *pipeline.FINISH)} - always


def test_a_pass_that_is_off_does_not_run() -> None:
    names = [stage.name for stage in pipeline.stages(classifier()[0], off={"cse", "fuse"})]
    assert names == [name for name in pipeline.STAGES[:-2] if name.partition(".")[0] not in ("cse", "fuse")]


def test_a_pass_that_breaks_the_graph_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def lose_the_loss(made: Graph) -> Graph:
        return made.with_tensors(tensor for tensor in made.tensors.values() if tensor.id != "loss")

    broken = tuple(replace(step, run=lose_the_loss) if step.stage == "cse" else step for step in pipeline.PREPARE)
    monkeypatch.setattr(pipeline, "PREPARE", broken)
    with pytest.raises(InternalError, match="after cse: the loss is loss, which no equation defines"):
        pipeline.entries(classifier()[0])


@pytest.mark.parametrize(
    ("wrt", "targets"),
    [((), ("w", "c", "v")), (("x",), ("w", "c", "v", "x")), ("*", ("w", "c", "v", "x"))],
)
def test_a_model_is_differentiated_by_its_parameters(wrt: Sequence[str], targets: tuple[str, ...]) -> None:
    made = classifier()[0]
    (objective,) = made.objectives
    assert pipeline.gradient_targets(made, objective, wrt) == targets
    assert pipeline.gradient_targets(made, replace(objective, over=("v",)), wrt) == ("v", *targets[3:])
    assert pipeline.gradient_targets(made, replace(objective, over=()), wrt) == targets


def test_a_layer_is_differentiated_by_its_inputs_too() -> None:
    layer = replace(classifier()[0], objectives=())
    assert pipeline.gradient_targets(layer, None) == ("w", "c", "v", "x")
    assert pipeline.gradient_targets(layer, None, ["w"]) == ("w", "c", "v")
    entries = pipeline.entries(layer)
    assert list(entries) == ["forward", "vjp"]
    assert [output.name for output in entries["vjp"].outputs] == ["logits"]
    assert [tensor.id for tensor in entries["vjp"].of_kind("cotangent")] == ["d_logits"]


def test_outputs_that_need_no_target_are_an_entry_of_their_own() -> None:
    entries = pipeline.entries(classifier()[0])
    assert list(entries) == ["forward", "value_and_grad", "forward.outputs"]
    assert [output.name for output in entries["forward"].outputs] == ["loss", "logits"]
    assert entries["value_and_grad"].outputs == ()
    assert [output.name for output in entries["forward.outputs"].outputs] == ["logits"]
    assert "shares" not in entries["forward.outputs"].tensors


def test_nothing_to_differentiate() -> None:
    z, i = given("z", 4, type="int"), index("i", 4)
    counts = graph(z, whole("y", (i,), op("add", at(z, i), Const(1))), outputs=["y"])
    assert list(pipeline.entries(counts)) == ["forward"]
    i = index("i", 4)
    x, constant = given("x", 4), whole("y", (i,), Select(op("lt", i, Const(2)), Const(1.0), Const(0.0)))
    assert list(pipeline.entries(graph(x, constant, outputs=["y"]))) == ["forward", "vjp"]
