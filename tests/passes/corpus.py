"""Graphs as semantics would give them, with inputs: every pass must keep what they mean.

Each is a small model in the form before any pass: sums nested in expressions, guards around reads, one tensor for
each tensor of a spec.  ``derivatives`` gives the same after reverse mode, with the raw deltas that it writes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from types import ModuleType

import numpy as np
import recurrences
from building import Model, add, at, given, graph, index, mul, parts, sub, total, when, within

from dlc.compiler import pipeline
from dlc.compiler.grad.reverse import differentiate
from dlc.compiler.ir.expr import Const, Expr, Index, Read, Reduce, Select, Size, op
from dlc.compiler.ir.graph import Graph, Tensor, whole
from dlc.compiler.ir.reference import evaluate
from dlc.compiler.ir.verify import check
from dlc.compiler.passes import extract

ZERO, ONE = Const(0.0), Const(1.0)


def reals(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(100 * seed + sum(shape)).normal(size=shape)


def integers(bound: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(bound + sum(shape)).integers(0, bound, size=shape)


def exp(x: Expr) -> Expr:
    return op("exp", x)


def div(x: Expr, y: Expr) -> Expr:
    return op("div", x, y)


def mean(*indices: Index, of: Expr) -> Expr:
    return div(total(*indices, of=of), op("real", mul(Const(1), *(i.size for i in indices))))


def squares(tensor: Tensor) -> Tensor:
    """A loss that weighs every element differently."""
    axes = [index("abcd"[axis], size) for axis, size in enumerate(tensor.sizes)]
    weights = [op("real", add(axis, Const(number + 1))) for number, axis in enumerate(axes)]
    return whole("loss", (), total(*axes, of=mul(op("sin", at(tensor, *axes)), *weights)))


def with_loss(*tensors: Tensor, sizes: tuple[str, ...] = ()) -> Graph:
    """The last tensor is an output, and a loss is made of it."""
    return graph(*tensors, squares(tensors[-1]), loss="loss", outputs=[tensors[-1].id], sizes=sizes)


def mlp() -> Model:
    """Two dense layers, softmax as its own layer, cross-entropy as minus its logarithm."""
    x, z = given("x", "B", 5), given("z", "B", type="int", bound=Const(3), bound_set="Y")
    w1, c1 = given("w1", 4, 5, kind="parameter"), given("c1", 4, kind="parameter")
    w2, c2 = given("w2", 3, 4, kind="parameter"), given("c2", 3, kind="parameter")
    b, i, h, y, y2 = index("b", "B"), index("i", 5), index("h", 4), index("y", 3), index("y", 3)
    a = whole("a", (b, h), op("relu", add(total(i, of=mul(at(w1, h, i), at(x, b, i))), at(c1, h))))
    o = whole("o", (b, y), add(total(h, of=mul(at(w2, y, h), at(a, b, h))), at(c2, y)))
    s = whole("s", (b, y), div(exp(at(o, b, y)), total(y2, of=exp(at(o, b, y2)))))
    loss = whole("loss", (), mean(b, of=op("neg", op("log", at(s, b, at(z, b))))))
    made = graph(x, z, w1, c1, w2, c2, a, o, s, loss, loss="loss", outputs=["o"], sizes=["B"])
    inputs = {"x": reals(6, 5), "z": integers(3, 6), "w1": reals(4, 5), "c1": reals(4), "w2": reals(3, 4)}
    return Model("mlp", made, {**inputs, "c2": reals(3)})


def convolution(stride: int = 1, height: int = 6) -> Model:
    x, k = given("x", "B", 2, height, 5), given("k", 3, 2, 3, 2, kind="parameter")
    rows = (height + 2 - 3) // stride + 1
    b, o, u, v = index("b", "B"), index("o", 3), index("u", rows), index("v", 4)
    c, p, q = index("c", 2), index("p", 3), index("q", 2)
    row = add(mul(Const(stride), u), p, Const(-1))
    padded = Select(within(row, Const(height)), at(x, b, c, row, add(v, q)), ZERO)
    y = whole("y", (b, o, u, v), total(c, p, q, of=mul(at(k, o, c, p, q), padded)))
    return Model(
        f"convolution-{stride}",
        with_loss(x, k, y, sizes=("B",)),
        {"x": reals(2, 2, height, 5), "k": reals(3, 2, 3, 2)},
    )


def max_pool(window: int = 2, stride: int = 2) -> Model:
    x = given("x", "B", 7)
    b, u, p = index("b", "B"), index("u", (7 - window) // stride + 1), index("p", window)
    y = whole("y", (b, u), Reduce("max", (p,), at(x, b, add(mul(Const(stride), u), p))))
    return Model(f"max-pool-{window}-{stride}", with_loss(x, y, sizes=("B",)), {"x": reals(3, 7)})


def attention() -> Model:
    """Causal, softmax over a guarded sum."""
    q, k, v = (given(name, "T", 4) for name in "qkv")
    t, s, s2, d = index("t", "T"), index("s", "T"), index("s", "T"), index("d", 4)
    scores = whole("scores", (t, s), div(total(d, of=mul(at(q, t, d), at(k, s, d))), op("sqrt", Const(4.0))))
    e = exp(at(scores, t, s))
    norm = total(s2, of=when(op("le", s2, t), exp(at(scores, t, s2))))
    a = whole("a", (t, s), when(op("le", s, t), div(e, norm)))
    y = whole("y", (t, d), total(s, of=mul(at(a, t, s), at(v, s, d))))
    made = with_loss(q, k, v, scores, a, y, sizes=("T",))
    return Model("attention", made, {name: reals(5, 4, seed=n) for n, name in enumerate("qkv")})


def layer_norm() -> Model:
    x, g = given("x", "B", 6), given("g", 6, kind="parameter")
    b, i, j = index("b", "B"), index("i", 6), index("i", 6)
    mu = whole("mu", (b,), mean(j, of=at(x, b, j)))
    var = whole("var", (b,), sub(mean(j, of=op("pow", at(x, b, j), Const(2))), op("pow", at(mu, b), Const(2))))
    y = whole("y", (b, i), div(mul(sub(at(x, b, i), at(mu, b)), at(g, i)), op("sqrt", add(at(var, b), Const(1e-5)))))
    return Model("layer-norm", with_loss(x, g, mu, var, y, sizes=("B",)), {"x": reals(4, 6), "g": reals(6)})


def embedding() -> Model:
    """A row of a table, once by a read and once by a delta that the user wrote."""
    w, z = given("w", 7, 3, kind="parameter"), given("z", "B", type="int", bound=Const(7), bound_set="V")
    b, d, v = index("b", "B"), index("d", 3), index("v", 7)
    picked = total(v, of=mul(Select(op("eq", v, at(z, b)), ONE, ZERO), at(w, v, d)))
    y = whole("y", (b, d), add(at(w, at(z, b), d), op("tanh", picked)))
    return Model("embedding", with_loss(w, z, y, sizes=("B",)), {"w": reals(7, 3), "z": integers(7, 5)})


def segments() -> Model:
    """Messages summed at the node where their edge ends."""
    m, dst = given("m", "E", 2), given("dst", "E", type="int", bound=Size("V"), bound_set="V")
    h = given("h", "V", 2)
    v, e, d = index("v", "V"), index("e", "E"), index("d", 2)
    y = whole("y", (v, d), add(at(h, v, d), total(e, of=when(op("eq", at(dst, e), v), at(m, e, d)))))
    return Model(
        "segments",
        with_loss(m, dst, h, y, sizes=("E", "V")),
        {"m": reals(8, 2), "dst": integers(4, 8), "h": reals(4, 2)},
    )


def transposed_convolution() -> Model:
    """An upsampling that the user writes with a delta: y[v] = sum[w,q] [v == 2*w + q] x[w]*k[q]."""
    x, k = given("x", "W"), given("k", 3, kind="parameter")
    v, w, q = index("v", add(mul(Const(2), Size("W")), Const(1))), index("w", "W"), index("q", 3)
    place = op("eq", v, add(mul(w, Const(2)), q))
    y = whole("y", (v,), total(w, q, of=mul(Select(place, ONE, ZERO), at(x, w), at(k, q))))
    return Model("transposed-convolution", with_loss(x, k, y, sizes=("W",)), {"x": reals(5), "k": reals(3)})


def concatenation() -> Model:
    a, b = given("a", "B", 2), given("b", "B", 3)
    n, i, j = index("b", "B"), index("i", 2), index("j", 3)
    y = parts("y", ["B", 5], ((n, i), (n, i), op("tanh", at(a, n, i))), ((n, j), (n, add(j, Const(2))), at(b, n, j)))
    return Model("concatenation", with_loss(a, b, y, sizes=("B",)), {"a": reals(3, 2), "b": reals(3, 3)})


def flattened() -> Model:
    """Three axes become one, and go through a dense layer."""
    x, w = given("x", "B", 2, "H", 3), given("w", 4, mul(Const(6), Size("H")), kind="parameter")
    b, c, h, k, o = index("b", "B"), index("c", 2), index("h", "H"), index("k", 3), index("o", 4)
    place = add(mul(add(mul(c, Size("H")), h), Const(3)), k)
    flat = parts("flat", ["B", mul(Const(6), Size("H"))], ((b, c, h, k), (b, place), at(x, b, c, h, k)))
    i = index("i", mul(Const(6), Size("H")))
    y = whole("y", (b, o), total(i, of=mul(at(w, o, i), at(flat, b, i))))
    grouped = whole("r", (b, o), total(c, h, k, of=mul(at(w, o, place), at(x, b, c, h, k), at(y, b, o))))
    made = with_loss(x, w, flat, y, grouped, sizes=("B", "H"))
    return Model("flattened", made, {"x": reals(2, 2, 2, 3), "w": reals(4, 12)})


def kernel_regression() -> Model:
    """Nadaraya-Watson: a quotient of two sums of one kernel."""
    x, xs, ys = given("x", "N"), given("xs", "M"), given("ys", "M")
    n, m, m2 = index("n", "N"), index("m", "M"), index("m", "M")

    def kernel(j: Index) -> Expr:
        return exp(div(op("neg", op("pow", sub(at(x, n), at(xs, j)), Const(2.0))), Const(2.0)))

    top, bottom = total(m, of=mul(kernel(m), at(ys, m))), total(m2, of=kernel(m2))
    made = with_loss(x, xs, ys, whole("y", (n,), div(top, bottom)), sizes=("N", "M"))
    return Model("kernel-regression", made, {"x": reals(3), "xs": reals(4), "ys": reals(4, seed=1)})


def bilinear() -> Model:
    x, w, y = given("x", "B", 3), given("w", 2, 3, 4, kind="parameter"), given("y", "B", 4)
    b, o, i, j = index("b", "B"), index("o", 2), index("i", 3), index("j", 4)
    r = whole("r", (b, o), total(i, j, of=mul(at(x, b, i), at(w, o, i, j), at(y, b, j))))
    return Model(
        "bilinear", with_loss(x, w, y, r, sizes=("B",)), {"x": reals(5, 3), "w": reals(2, 3, 4), "y": reals(5, 4)}
    )


def masked_product() -> Model:
    """A mask inside a product, a factor that the sum does not need, and a sum of terms times a weight."""
    a, m, w = given("a", "I"), given("m", "I", "J", type="bool"), given("w", "J", kind="parameter")
    b = given("b", "I", "J")
    i, j = index("i", "I"), index("j", "J")
    mask = op("real", Read("m", (i, j), "bool"))
    first = total(j, of=mul(at(a, i), mask, at(b, i, j), at(w, j)))
    second = total(j, of=mul(add(at(b, i, j), at(a, i)), at(w, j)))
    y = whole("y", (i,), add(first, op("tanh", second)))
    inputs = {"a": reals(3), "m": integers(2, 3, 4).astype(bool), "w": reals(4), "b": reals(3, 4)}
    return Model("masked-product", with_loss(a, m, w, b, y, sizes=("I", "J")), inputs)


def guarded_sum() -> Model:
    """A sum whose reads are in range only where its guard holds, and what follows where it does not."""
    x, w = given("x", "I", 4), given("w", 4, kind="parameter")
    i, j = index("i", "I"), index("j", 4)
    before = Const(-2)
    sum_ = total(j, of=mul(at(x, add(i, before), j), at(w, j)))
    y = whole("y", (i,), add(Select(op("le", Const(2), i), op("sin", sum_), at(x, i, 0)), mul(Const(2.0), at(x, i, 1))))
    return Model("guarded-sum", with_loss(x, w, y, sizes=("I",)), {"x": reals(5, 4), "w": reals(4)})


def statistics() -> Model:
    """Reductions of every kind beside each other."""
    x = given("x", "I", 4)
    i, j, k = index("i", "I"), index("j", 4), index("k", 4)
    largest, least = Reduce("max", (j,), at(x, i, j)), Reduce("min", (k,), at(x, i, k))
    product = Reduce("prod", (j,), at(x, i, j))
    place = op("real", Reduce("argmax", (k,), at(x, i, k)))
    positive = Reduce("any", (j,), op("lt", ZERO, at(x, i, j)))
    y = whole("y", (i,), add(mul(largest, least), product, Select(positive, place, ONE)))
    return Model("statistics", with_loss(x, y, sizes=("I",)), {"x": reals(3, 4)})


def models() -> list[Model]:
    return [
        mlp(),
        convolution(),
        convolution(2),
        max_pool(),
        max_pool(3, 2),
        max_pool(3, 1),
        attention(),
        layer_norm(),
        embedding(),
        segments(),
        transposed_convolution(),
        concatenation(),
        flattened(),
        kernel_regression(),
        bilinear(),
        masked_product(),
        guarded_sum(),
        statistics(),
        *recurrences.models(),
    ]


def derivative(model: Model) -> Model:
    """The raw graph of the loss and its gradients by everything real."""
    wrt = [t.id for t in model.graph.of_kind("input", "parameter") if t.type == "real"]
    made = differentiate(extract.run(model.graph), model.graph.objectives[0].loss, wrt)
    check(made, "differentiate")
    return replace(model, name=f"d-{model.name}", graph=made)


def corpus() -> Iterator[Model]:
    for model in models():
        yield model
        yield derivative(model)


def values(made: Graph, model: Model) -> dict[str, np.ndarray]:
    """Outputs, loss and gradients by the names that the caller knows."""
    result = evaluate(made, model.inputs, model.sizes, made.roots)
    named = {output.name: result[output.tensor] for output in made.outputs}
    named.update((f"({objective.name})", result[objective.loss]) for objective in made.objectives)
    named.update({f"({gradient.tensor})": result[gradient.adjoint] for gradient in made.gradients})
    return named


def finish(before: str = "") -> tuple[ModuleType, ...]:
    """The passes that follow differentiation, in the order of the compiler: all, or those before the one named."""
    steps = tuple(sys.modules[step.run.__module__] for step in pipeline.FINISH)
    return steps[: [step.NAME for step in steps].index(before)] if before else steps


def through(model: Model, *passes: ModuleType, tolerance: float = 1e-11) -> Model:
    """The model after the passes, each of which gives a valid graph that means the same."""
    for step in passes:
        result = step.run(model.graph)
        check(result, step.NAME)
        expected, actual = values(model.graph, model), values(result, model)
        assert list(expected) == list(actual)
        for name, value in expected.items():
            message = f"{model.name} after {step.NAME}: {name}"
            np.testing.assert_allclose(actual[name], value, tolerance, tolerance, err_msg=message)
        model = replace(model, graph=result)
    return model
