"""What users write naively is computed exactly: values and gradients at ±1e4, against many digits of mpmath."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import mpmath
import numpy as np
import pytest
from building import add, at, extent, given, graph, index, mul, sub, total, when
from numeric.harness import graph_of

from dlc.compiler import pipeline
from dlc.compiler.grad.reverse import differentiate_vjp
from dlc.compiler.ir.expr import Const, Expr, Index, Op, Read, Reduce, Select, op, walk
from dlc.compiler.ir.graph import Graph, Tensor, whole
from dlc.compiler.ir.printer import tensor_lines
from dlc.compiler.ir.reference import evaluate
from dlc.compiler.ir.verify import check
from dlc.compiler.passes import cse, dce, deltas, extract, factor, fuse, simplify, stabilise

N = 4
POINTS = (
    [0.3, -1.2, 0.7, 2.0],
    [1e4, -1e4, 3.0, 9999.0],
    [-1e4, -1e4, -1e4, -9999.0],
    [0.5, 1e4, 1e4, 0.25],
    [1e-3, 1e-9, -1e-6, 1e-12],
)
COTANGENT = [1.0, 0.5, -2.0, 0.25]


def exp(x: Expr) -> Expr:
    return op("exp", x)


def log(x: Expr) -> Expr:
    return op("log", x)


def neg(x: Expr) -> Expr:
    return op("neg", x)


def div(x: Expr, y: Expr) -> Expr:
    return op("div", x, y)


def number(value: float) -> Const:
    return Const(float(value))


ONE = number(1)
Formula = Callable[[Callable[..., Read], Index], Expr]


def softmax(x: Callable[..., Read], i: Expr, beta: float = 1.0) -> Expr:
    j = index("j", N)
    return div(exp(mul(number(beta), x(i))), total(j, of=exp(mul(number(beta), x(j)))))


def sigmoid(x: Expr) -> Expr:
    return div(ONE, add(ONE, exp(neg(x))))


def _log_sum_exp(x: Callable[..., Read], i: Index) -> Expr:
    j = index("j", N)
    return log(total(j, of=exp(x(j))))


def _entropy(x: Callable[..., Read], i: Index) -> Expr:
    k = index("k", N)
    return neg(total(k, of=mul(softmax(x, k), log(softmax(x, k)))))


def _stabilised_by_hand(x: Callable[..., Read], i: Index) -> Expr:
    j, k = index("j", N), index("k", N)
    top = Reduce("max", (k,), x(k))
    return div(exp(sub(x(i), top)), total(j, of=exp(sub(x(j), top))))


def _kernel_regression(x: Callable[..., Read], i: Index) -> Expr:
    j, k = index("j", N), index("k", N)

    def kernel(other: Index) -> Expr:
        return exp(div(neg(op("pow", sub(x(i), mul(number(2), x(other))), Const(2))), number(2)))

    return div(total(j, of=mul(kernel(j), op("real", j))), total(k, of=kernel(k)))


def _mixture(x: Callable[..., Read], i: Index) -> Expr:
    j = index("j", N)
    weight = op("real", add(j, Const(1)))
    return log(total(j, of=div(mul(weight, exp(neg(op("pow", sub(x(i), x(j)), Const(2))))), number(4))))


def _prefix_softmax(x: Callable[..., Read], i: Index) -> Expr:
    j = index("j", N)
    return div(exp(x(i)), total(j, of=when(op("le", j, i), exp(x(j)))))


def _tail_probability(x: Callable[..., Read], i: Index) -> Expr:
    j = index("j", N)
    return log(total(j, of=when(op("lt", Const(0), j), softmax(x, j))))


def _log_of_product(x: Callable[..., Read], i: Index) -> Expr:
    j = index("j", N)
    return log(Reduce("prod", (j,), sigmoid(x(j))))


def _root_of_sum(x: Callable[..., Read], i: Index) -> Expr:
    j = index("j", N)
    return log(op("sqrt", total(j, of=exp(mul(number(2), x(j))))))


FORMULAS: dict[str, Formula] = {
    "softmax": softmax,
    "softmax with a temperature": lambda x, i: softmax(x, i, 5.0),
    "softmin": lambda x, i: softmax(x, i, -1.0),
    "softmax stabilised by hand": _stabilised_by_hand,
    "log softmax": lambda x, i: log(softmax(x, i)),
    "log-sum-exp": _log_sum_exp,
    "root of a sum of squares": _root_of_sum,
    "entropy": _entropy,
    "softmax of a prefix": _prefix_softmax,
    "logarithm of a sum of probabilities": _tail_probability,
    "softplus": lambda x, i: log(add(ONE, exp(x(i)))),
    "softplus with beta": lambda x, i: div(log(add(ONE, exp(mul(number(3), x(i))))), number(3)),
    "sigmoid": lambda x, i: sigmoid(x(i)),
    "sigmoid, the other way": lambda x, i: div(exp(x(i)), add(exp(x(i)), ONE)),
    "log sigmoid": lambda x, i: log(sigmoid(x(i))),
    "log of 1 - sigmoid": lambda x, i: log(sub(ONE, sigmoid(x(i)))),
    "swish": lambda x, i: div(x(i), add(ONE, exp(neg(x(i))))),
    "tanh": lambda x, i: div(sub(exp(x(i)), exp(neg(x(i)))), add(exp(x(i)), exp(neg(x(i))))),
    "tanh by exp(2x)": lambda x, i: div(sub(exp(mul(number(2), x(i))), ONE), add(exp(mul(number(2), x(i))), ONE)),
    "tanh by sigmoid": lambda x, i: sub(div(number(2), add(ONE, exp(mul(number(-2), x(i))))), ONE),
    "tanh by sinh and cosh": lambda x, i: div(op("sinh", x(i)), op("cosh", x(i))),
    "log cosh": lambda x, i: log(op("cosh", x(i))),
    "sech": lambda x, i: div(number(2), add(exp(x(i)), exp(neg(x(i))))),
    "log of a sum of three": lambda x, i: log(add(exp(x(i)), exp(mul(number(2), x(i))), number(3))),
    "log of a Gaussian": lambda x, i: log(div(exp(div(neg(op("pow", x(i), Const(2))), number(2))), number(2.5))),
    "log of a mixture": _mixture,
    "kernel regression": _kernel_regression,
    "product of exponentials": lambda x, i: mul(exp(x(i)), exp(neg(x(i)))),
    "log of a product": _log_of_product,
    "elu": lambda x, i: Select(op("lt", number(0), x(i)), x(i), sub(exp(x(i)), ONE)),
    "log of 1 + x²": lambda x, i: log(add(ONE, op("pow", x(i), Const(2)))),
    "inverse of softplus": lambda x, i: log(sub(exp(add(op("abs", x(i)), ONE)), ONE)),
}


def model_of(formula: Formula) -> tuple[Graph, Expr, Tensor, Index]:
    x, i = given("x", N), index("i", N)
    value = formula(lambda *subscripts: at(x, *subscripts), i)
    return graph(x, whole("y", (i,), value), outputs=["y"]), value, x, i


def prepared(made: Graph) -> Graph:
    for step in (simplify, stabilise, extract, cse, dce):
        made = step.run(made)
        check(made, step.NAME)
    return made


def derived(made: Graph, *wrt: str) -> Graph:
    result = differentiate_vjp(made, [output.tensor for output in made.outputs], wrt)
    for step in (simplify, deltas, simplify, factor, extract, cse, dce, fuse):
        result = step.run(result)
        check(result, step.NAME)
    return result


# -- the truth, with many digits ------------------------------------------------------------------------------------

Number = Any  # of mpmath, which has no types
_MANY: dict[str, Callable[..., Number]] = {
    "add": lambda *args: mpmath.fsum(args),
    "mul": lambda *args: mpmath.fprod(args),
    "neg": lambda x: -x,
    "div": lambda x, y: x / y,
    "pow": lambda x, y: x ** int(y),
    "exp": mpmath.exp,
    "log": mpmath.log,
    "sqrt": mpmath.sqrt,
    "sinh": mpmath.sinh,
    "cosh": mpmath.cosh,
    "abs": abs,
    "real": mpmath.mpf,
    "le": lambda x, y: x <= y,
    "lt": lambda x, y: x < y,
}


def exact(node: Expr, x: Sequence[Number], place: dict[Index, int]) -> Number:
    match node:
        case Const(value=value):
            return mpmath.mpf(value)
        case Index():
            return place[node]
        case Read(subscripts=(subscript,)):
            return x[int(exact(subscript, x, place))]
        case Select(cond=cond, yes=yes, no=no):
            return exact(yes if exact(cond, x, place) else no, x, place)
        case Reduce(op=name, indices=(bound,), body=body):
            terms = [exact(body, x, {**place, bound: n}) for n in range(N)]
            return {"sum": mpmath.fsum, "prod": mpmath.fprod, "max": max}[name](terms)
        case Op(name=name, args=args):
            return _MANY[name](*(exact(arg, x, place) for arg in args))
    raise TypeError(node)


@pytest.mark.parametrize("name", FORMULAS)
def test_values_and_gradients_are_exact(name: str) -> None:
    made, value, _, i = model_of(FORMULAS[name])
    forward = prepared(made)
    backward = derived(forward, "x")
    with mpmath.workdps(200):
        for point in POINTS:
            if name == "log of 1 - sigmoid":
                point = [max(-400.0, min(x, 400.0)) for x in point]  # within 200 digits 1 - exp(-400) is not 1
            x = [mpmath.mpf(number) for number in point]

            def weighted(*changed: Number) -> Number:
                return mpmath.fsum(c * exact(value, changed, {i: n}) for n, c in enumerate(COTANGENT))

            expected = [float(exact(value, x, {i: n})) for n in range(N)]
            slope = [float(mpmath.diff(weighted, tuple(x), tuple(int(n == k) for k in range(N)))) for n in range(N)]
            given_ = {"x": np.array(point)}
            actual = evaluate(forward, given_)["y"]
            np.testing.assert_allclose(actual, expected, 1e-11, 1e-15, err_msg=f"{name} at {point}")
            result = evaluate(backward, {**given_, "d_y": np.array(COTANGENT)})
            gradient = result[backward.gradients[0].adjoint]
            np.testing.assert_allclose(gradient, slope, 1e-9, 1e-11, err_msg=f"gradient of {name} at {point}")


# -- spread over tensors --------------------------------------------------------------------------------------------


def classifier(target: str) -> Graph:
    """Softmax in a layer of its own; then cross-entropy by an index, or by a one-hot target."""
    o, b, y, y2 = given("o", "B", 3), index("b", "B"), index("y", 3), index("y", 3)
    e = whole("e", (b, y), exp(at(o, b, y)))
    s = whole("s", (b,), total(y2, of=at(e, b, y2)))
    p = whole("p", (b, y), div(at(e, b, y), at(s, b)))
    z, t = given("z", "B", type="int", bound=Const(3), bound_set="Y"), given("t", "B", 3)
    if target == "index":
        loss = whole("loss", (b,), neg(log(at(p, b, at(z, b)))))
        return graph(o, z, e, s, p, loss, outputs=["loss"], sizes=["B"])
    loss = whole("loss", (b,), neg(total(y, of=mul(at(t, b, y), log(at(p, b, y))))))
    return graph(o, t, e, s, p, loss, outputs=["loss"], sizes=["B"])


@pytest.mark.parametrize("target", ["index", "one-hot"])
def test_cross_entropy_across_layers(target: str) -> None:
    forward = prepared(classifier(target))
    backward = derived(forward, "o")
    o = np.array([[1e4, -1e4, 0.0], [-1e4, -1e4, -9999.0], [0.1, 0.2, 0.3]])
    z = np.array([1, 0, 2])
    inputs = {"o": o, "z": z} if target == "index" else {"o": o, "t": np.eye(3)[z]}
    shifted = o - o.max(1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    np.testing.assert_allclose(evaluate(forward, inputs)["loss"], -logs[np.arange(3), z], 1e-12)
    result = evaluate(backward, {**inputs, "d_loss": np.ones(3)})
    np.testing.assert_allclose(result[backward.gradients[0].adjoint], np.exp(logs) - np.eye(3)[z], 1e-9, 1e-12)


def test_binary_cross_entropy_across_layers() -> None:
    x, t, b = given("x", "B"), given("t", "B"), index("b", "B")
    p = whole("p", (b,), sigmoid(at(x, b)))
    loss = neg(add(mul(at(t, b), log(at(p, b))), mul(sub(ONE, at(t, b)), log(sub(ONE, at(p, b))))))
    forward = prepared(graph(x, t, p, whole("loss", (b,), loss), outputs=["loss"], sizes=["B"]))
    inputs = {"x": np.array([1e4, -1e4, 1e4, -1e4, 0.5]), "t": np.array([1.0, 0.0, 0.0, 1.0, 0.25])}
    expected = np.logaddexp(0, inputs["x"]) - inputs["t"] * inputs["x"]
    np.testing.assert_allclose(evaluate(forward, inputs)["loss"], expected, 1e-12)
    backward = derived(forward, "x")
    gradient = evaluate(backward, {**inputs, "d_loss": np.ones(5)})[backward.gradients[0].adjoint]
    np.testing.assert_allclose(gradient, [0, 0, 1, -1, 1 / (1 + np.exp(-0.5)) - 0.25], 1e-12)


def test_the_element_of_a_softmax_needs_no_copy_of_the_layer_before() -> None:
    """The scores are a sum: an element of them is read, not computed again where the target stands."""
    x, w = given("x", "B", 4), given("w", 3, 4)
    z = given("z", "B", type="int", bound=Const(3), bound_set="Y")
    b, y, y2, i = index("b", "B"), index("y", 3), index("y", 3), index("i", 4)

    def score(of: Index) -> Expr:
        return total(i, of=mul(at(w, of, i), at(x, b, i)))

    p = whole("p", (b, y), div(exp(score(y)), total(y2, of=exp(score(y2)))))
    loss = whole("loss", (b,), neg(log(at(p, b, at(z, b)))))
    made = prepared(graph(x, w, z, p, loss, outputs=["loss"], sizes=["B"]))
    products = [t for t in made.tensors.values() if "w[" in " ".join(tensor_lines(t)) and t.kind == "computed"]
    assert len(products) == 1


# -- rows with nothing in them --------------------------------------------------------------------------------------


def masked(inside: Callable[[Expr, Expr], Expr]) -> Graph:
    x, m = given("x", "B", 3), given("m", "B", 3, type="bool")
    b, i, j = index("b", "B"), index("i", 3), index("j", 3)
    e = {n: inside(at(m, b, n), at(x, b, n)) for n in (i, j)}
    y = whole("y", (b, i), div(e[i], total(j, of=e[j])))
    lse = whole("lse", (b,), log(total(j, of=e[j])))
    return graph(x, m, y, lse, outputs=["y", "lse"], sizes=["B"])


MASKS: dict[str, Callable[[Expr, Expr], Expr]] = {
    "guard": lambda cond, x: Select(cond, exp(x), number(0)),
    "minus infinity": lambda cond, x: exp(Select(cond, x, number(-np.inf))),
    "factor": lambda cond, x: mul(op("real", cond), exp(x)),
}


@pytest.mark.parametrize("name", MASKS)
def test_masked_rows(name: str) -> None:
    forward = prepared(masked(MASKS[name]))
    backward = derived(forward, "x")
    x = np.array([[1e4, 2.0, 1e4], [-1e4, -1e4, 5.0], [1.0, 2.0, 3.0]])
    m = np.array([[False, True, False], [True, True, False], [False, False, False]])
    result = evaluate(forward, {"x": x, "m": m})
    np.testing.assert_allclose(result["y"][:2], [[0, 1, 0], [0.5, 0.5, 0]])
    np.testing.assert_allclose(result["lse"], [2.0, -1e4 + np.log(2), -np.inf])
    if name == "minus infinity":
        assert np.isnan(result["y"][2]).all()  # 0/0, as the mathematics says
    else:
        np.testing.assert_equal(result["y"][2], 0.0)  # a guard that does not hold leaves no quotient
    slopes = evaluate(backward, {"x": x, "m": m, "d_y": np.zeros((3, 3)), "d_lse": np.array([1.0, 1.0, 0.0])})
    np.testing.assert_allclose(slopes[backward.gradients[0].adjoint][:2], [[0, 1, 0], [0.5, 0.5, 0]])


def test_nan_and_infinity_stay_what_they_are() -> None:
    made, *_ = model_of(FORMULAS["log-sum-exp"])
    forward = prepared(made)
    for point, expected in (([1, np.nan, 2, 3], np.nan), ([-np.inf] * 4, -np.inf), ([0, np.inf, 1, 2], np.inf)):
        actual = evaluate(forward, {"x": np.array(point, float)})["y"]
        np.testing.assert_equal(actual, [expected] * 4)


# -- texts ----------------------------------------------------------------------------------------------------------


def lines(made: Graph) -> list[str]:
    return [line for tensor in made.tensors.values() if tensor.kind == "computed" for line in tensor_lines(tensor)]


@pytest.mark.parametrize(
    "name, expected",
    [
        ("softplus", ["y[i] = softplus(x[i])"]),
        ("sigmoid, the other way", ["y[i] = sigmoid(x[i])"]),
        ("log sigmoid", ["y[i] = -softplus(-x[i])"]),
        ("log of 1 - sigmoid", ["y[i] = -softplus(x[i])"]),
        ("swish", ["y[i] = x[i]*sigmoid(x[i])"]),
        ("tanh", ["y[i] = tanh(x[i])"]),
        ("tanh by exp(2x)", ["y[i] = tanh(x[i])"]),
        ("tanh by sigmoid", ["y[i] = tanh(x[i])"]),
        ("tanh by sinh and cosh", ["y[i] = tanh(x[i])"]),
        ("elu", ["y[i] = x[i] if 0 < x[i] else expm1(x[i])"]),
        ("log of 1 + x²", ["y[i] = log1p(x[i]^2)"]),
        ("product of exponentials", ["y[i] = 1"]),
        (
            "softmax stabilised by hand",
            [
                "y.max = max[j] max(min(x[j], 1e+38), -1e+38)",
                "y.sum = sum[j] exp(x[j] - stop(y.max))",
                "y[i] = exp(x[i] - stop(y.max))/y.sum",
            ],
        ),
    ],
)
def test_texts(name: str, expected: list[str]) -> None:
    made, *_ = model_of(FORMULAS[name])
    assert lines(prepared(made)) == expected


def test_variance_is_centred_across_tensors() -> None:
    x, b, i = given("x", "B", "I"), index("b", "B"), index("i", "I")
    count = op("real", extent("I"))
    mu = whole("mu", (b,), div(total(i, of=at(x, b, i)), count))
    squares = whole("squares", (b,), div(total(i, of=mul(at(x, b, i), at(x, b, i))), count))
    var = whole("var", (b,), sub(at(squares, b), op("pow", at(mu, b), Const(2))))
    forward = prepared(graph(x, mu, squares, var, outputs=["var"], sizes=["B", "I"]))
    assert lines(forward)[-2:] == ["var.sum[b] = sum[i] (x[b,i] - mu[b])^2", "var[b] = var.sum[b]/|I|"]
    points = 1e8 + np.array([[1.0, 2.0, 3.0, 4.0]])
    np.testing.assert_allclose(evaluate(forward, {"x": points})["var"], [1.25])


def test_what_divides_by_another_number_is_no_variance() -> None:
    x, i = given("x", "I"), index("i", "I")
    size = op("real", extent("I"))
    mean = div(total(i, of=at(x, i)), size)
    other = div(total(i, of=op("pow", at(x, i), Const(2))), sub(size, ONE))
    made = graph(x, whole("y", (), sub(other, op("pow", mean, Const(2)))), outputs=["y"], sizes=["I"])
    values = {"x": np.array([1.0, 2.0, 4.0])}
    np.testing.assert_allclose(evaluate(prepared(made), values)["y"], evaluate(made, values)["y"])


def test_a_plain_sum_of_exponentials_is_left_alone() -> None:
    x, i = given("x", "I"), index("i", "I")
    made = graph(x, whole("y", (), total(i, of=exp(at(x, i)))), outputs=["y"], sizes=["I"])
    assert lines(prepared(made)) == ["y = sum[i] exp(x[i])"]
    assert not any(isinstance(node, Op) and node.name == "max" for node in walk(made.tensors["y"].equations[0].value))


@pytest.mark.parametrize("feature", ["elu", "sigmoid"])
def test_features_of_rows_and_columns_have_scales_of_their_own(feature: str) -> None:
    """Linear attention: with one scale for a pair there would be an exponential for each term of every sum. That of a
    sigmoid is looked up in a tensor, which says no more than how it is computed that it is never positive.
    """
    q, k = given("q", "T", "D"), given("k", "T", "D")
    t, s, r, d = index("t", "T"), index("s", "T"), index("r", "T"), index("d", "D")
    of = {"elu": lambda x: Select(op("lt", Const(0.0), x), add(x, Const(1.0)), exp(x)), "sigmoid": sigmoid}[feature]
    rows, columns = whole("rows", (t, d), of(at(q, t, d))), whole("columns", (s, d), of(at(k, s, d)))
    a = whole("a", (t, s), total(d, of=when(op("le", s, t), mul(at(rows, t, d), at(columns, s, d)))))
    y = whole("y", (t, s), div(at(a, t, s), total(r, of=at(a, t, r))))
    made = graph(q, k, rows, columns, a, y, outputs=["y"], sizes=["T", "D"])
    after = dce.run(cse.run(factor.run(extract.run(prepared(made)))))
    for equation in (one for tensor in after.tensors.values() for one in tensor.equations):
        over = {*equation.indices, *(equation.value.indices if isinstance(equation.value, Reduce) else ())}
        assert len(over) < 3 or not any(isinstance(node, Op) and node.name == "exp" for node in walk(equation.value))
    draw = np.random.default_rng(0).normal(size=(2, 5, 3)) * 2
    expected = evaluate(made, {"q": draw[0], "k": draw[1]})
    np.testing.assert_allclose(evaluate(after, {"q": draw[0], "k": draw[1]})["y"], expected["y"], 1e-11)
    far = evaluate(after, {"q": draw[0] - 1e4, "k": draw[1] - 1e4})
    assert np.isfinite(far["y"]).all()


def test_what_a_guard_leaves_out_has_no_say_in_the_scale() -> None:
    """The exponents that a mask hides may be far above the others, in a tensor as in a formula."""
    x, b, i, j = given("x", "I"), given("b", "I"), index("i", "I"), index("j", "I")
    close = op("le", op("abs", sub(i, j)), Const(1))
    near = whole("near", (i, j), when(close, exp(at(x, j))))
    i, j, k = index("i", "I"), index("j", "I"), index("k", "I")
    share = whole("share", (i, j), div(at(near, i, j), total(k, of=at(near, i, k))))
    i = index("i", "I")
    either = add(when(op("lt", i, Const(2)), exp(at(x, i))), when(op("lt", Const(0), i), exp(at(b, i))))
    both = whole("both", (i,), log(either))
    made = graph(x, b, near, share, both, outputs=["share", "both"], sizes=["I"])
    values = np.array([0.25, -1.0, 0.5, 2.0])
    expected = evaluate(made, {"x": values, "b": values - 1})
    found = evaluate(prepared(made), {"x": values - 1e4, "b": values - 1 - 1e4})
    np.testing.assert_allclose(found["share"], expected["share"], 1e-11)
    np.testing.assert_allclose(found["both"] + 1e4, expected["both"], 1e-9)


def test_what_a_recurrence_adds_to_its_own_elements_stays_a_number() -> None:
    """Where the exponential overflows, so do the elements before: a scale would only compute the recurrence again."""
    x, i = given("x", "I"), index("i", "I")
    before = when(op("lt", Const(0), i), Read("h", (sub(i, Const(1)),), "real"))
    h = whole("h", (i,), add(exp(at(x, i)), before))
    i = index("i", "I")
    made = graph(x, h, whole("y", (i,), log(at(h, i))), outputs=["y"], sizes=["I"])
    assert lines(stabilise.run(made)) == lines(made)


@pytest.mark.parametrize(
    "next_one",
    [
        "u[t,d] / sum[d'] u[t,d']",  # elements that are divided by their sum are not as large as what is added to them
        "log(u[t,d])",
        "u[t,d] / (1 + exp(x[t,d]))",
    ],
)
def test_what_is_added_to_a_recurrence_that_shrinks_again_keeps_its_scale(next_one: str) -> None:
    text = f"""layer Steps(x[T,D], h0[D]) -> h[S,D]:
    index S = |T| + 1
    u[t,d] = h[t,d] + exp(x[t,d])
    h[0,d] = h0[d]
    h[t+1,d] = {next_one}
"""
    plain = graph_of(text)
    values = {"x": np.array([[800.0, 1.0], [-3.0, 900.0], [710.0, 711.0]]), "h0": np.array([0.5, 2.0])}
    forward = pipeline.entries(plain)[pipeline.FORWARD]
    assert np.isfinite(evaluate(forward, values)["h"]).all()


WITHOUT_TERMS = {
    "no index": "logsumexp[t] q[d]",
    "a condition": "logsumexp[t : u[t] == d] q[d]",
    "beside terms": "logsumexp[t : u[t] == d] (x[t] + q[d])",
    "all of a sum": "logsumexp[d' : d' <= d] logsumexp[t : u[t] == d'] q[d']",
    "a factor": "log(r[d]^2*sum[t : u[t] == d] exp(q[d]))",
    "two of one scale": "log((sum[t : u[t] == d] exp(q[d])) + sum[t : u[t] > d] exp(q[d]))",
    "as a tensor": "log(s[d])",
}


@pytest.mark.parametrize("written", WITHOUT_TERMS)
@pytest.mark.parametrize("u", [[], [4], [1, 4, 4]])
def test_a_sum_without_terms_has_no_slope_by_its_scale(written: str, u: list[int]) -> None:
    """The logarithm of nothing does not depend on what each of its terms would have been multiplied by."""
    text = f"""
layer Case(u[T] in D, x[T], q[D], r[D]) -> y[D]:
    s[d] = sum[t : u[t] == d] exp(q[d])
    y[d] = {WITHOUT_TERMS[written]}
"""
    random = np.random.default_rng(3)
    values = {"u": np.array(u, int), "x": random.normal(size=len(u))}
    values |= {one: random.normal(size=5) for one in ("q", "r", "d_y")}
    plain, stable = (pipeline.entries(graph_of(text), off=off) for off in (pipeline.OPTIONAL, ()))
    found, expected = (evaluate(one[pipeline.VJP], values) for one in (stable, plain))
    assert np.isfinite(expected["d_q"]).all()
    for name in ("y", "d_x", "d_q"):
        np.testing.assert_allclose(found[name], expected[name], 1e-12, 1e-12)


def test_the_scale_of_a_sum_without_terms_is_not_that_of_others() -> None:
    text = """
layer Case(u[T] in D, q[D]) -> nested, beside:
    nested = log(sum[d] sum[t : u[t] == d] exp(q[d]))
    beside = log((sum[t : u[t] == 0] exp(q[0])) + exp(q[1]))
"""
    stable = pipeline.entries(graph_of(text))[pipeline.FORWARD]
    values = evaluate(stable, {"u": np.array([1, 1]), "q": np.array([1e4, 3.0])})
    assert values["nested"] == pytest.approx(3 + np.log(2))
    assert values["beside"] == pytest.approx(3)
