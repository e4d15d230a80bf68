"""What is zero or unread off a diagonal takes no memory, and the tensors around it mean what they meant."""

from __future__ import annotations

import numpy as np
import pytest
from building import add, at, given, graph, index, mul, total, when
from passes.corpus import Model, through

from dlc.compiler import pipeline, semantics
from dlc.compiler.ir.expr import Const, Expr, op
from dlc.compiler.ir.graph import Graph, Tensor, whole
from dlc.compiler.ir.printer import tensor_lines
from dlc.compiler.passes import diagonals, simplify
from dlc.compiler.syntax.parse import parse_text

X = given("x", 4)


def eq(a: Expr, b: Expr) -> Expr:
    return op("eq", a, b)


def lines_after(*tensors: Tensor) -> str:
    """The equations of all tensors but the inputs."""
    model = Model("y", graph(X, *tensors, outputs=["y"]), {"x": np.arange(1.0, 5.0)})
    result = through(model, simplify, diagonals, simplify).graph
    return "\n".join(line for tensor in result.of_kind("computed") for line in tensor_lines(tensor))


def diagonal() -> Tensor:
    """d[i,i'] = [i == i']*x[i]^2"""
    i, other = index("i", 4), index("i", 4)
    return whole("d", (i, other), when(eq(i, other), mul(at(X, i), at(X, other))))


def test_a_chain_is_kept_on_its_diagonal() -> None:
    d = diagonal()
    i, other = index("i", 4), index("i", 4)
    chain = whole("chain", (i, other), add(mul(at(d, i, other), at(X, other)), op("neg", at(d, other, i))))
    i, other = index("i", 4), index("i", 4)
    y = whole("y", (i, other), at(chain, i, other))
    assert lines_after(d, chain, y) == ("d[i] = x[i]*x[i]\nchain[i] = d[i]*x[i] - d[i]\ny[i,i'] = [i == i']*chain[i]")


def test_a_sum_that_keeps_the_diagonal() -> None:
    """t[i,i'] = Σ_j d[i,i']*x[j]"""
    d = diagonal()
    i, other, j = index("i", 4), index("i", 4), index("j", 4)
    t = whole("t", (i, other), total(j, of=mul(at(d, i, other), at(X, j))))
    i, other = index("i", 4), index("i", 4)
    y = whole("y", (i,), total(other, of=op("exp", at(t, i, other))))
    assert "t[i] = sum[j] d[i]*x[j]" in lines_after(d, t, y)


def test_what_has_a_term_off_the_diagonal_is_kept_whole() -> None:
    d = diagonal()
    i, other = index("i", 4), index("i", 4)
    t = whole("t", (i, other), add(at(d, i, other), at(X, i)))
    i, other = index("i", 4), index("i", 4)
    y = whole("y", (i, other), op("exp", at(t, i, other)))
    assert "t[i,i'] = [i == i']*d[i] + x[i]" in lines_after(d, t, y)


def test_three_axes_that_are_equal() -> None:
    i, other, third = index("i", 4), index("i", 4), index("i", 4)
    t = whole("t", (i, other, third), when(op("and", eq(i, third), eq(third, other)), mul(at(X, i), at(X, i))))
    i, other, third = index("i", 4), index("i", 4), index("i", 4)
    y = whole("y", (i, other, third), op("exp", at(t, i, other, third)))
    assert "t[i] = x[i]*x[i]\n" in lines_after(t, y)


def test_only_the_diagonal_is_read() -> None:
    i, other, third = index("i", 4), index("i", 4), index("j", 4)
    inner = whole("inner", (i, other), total(third, of=mul(at(X, i), at(X, other), at(X, third))))
    i, other = index("i", 4), index("i", 4)
    t = whole("t", (i, other), op("exp", at(inner, i, other)))
    i = index("i", 4)
    y = whole("y", (i,), mul(at(t, i, i), at(t, i, i)))
    assert lines_after(inner, t, y).startswith("inner[i] = sum[j] x[i]*x[i]*x[j]\nt[i] = exp(inner[i])\n")


def test_only_one_row_is_read() -> None:
    i, other = index("i", 4), index("i", 4)
    t = whole("t", (i, other), op("exp", mul(at(X, i), at(X, other))))
    i = index("i", 4)
    y = whole("y", (i,), at(t, Const(2), i))
    assert lines_after(t, y) == "t[i] = exp(x[2]*x[i])\ny[i] = t[i]"


def test_a_row_that_may_not_be_there_is_kept() -> None:
    """t[9] is read under a guard that never holds."""
    i, other = index("i", 4), index("i", 4)
    t = whole("t", (i, other), op("exp", mul(at(X, i), at(X, other))))
    i = index("i", 4)
    y = whole("y", (i,), when(op("lt", at_integer(i), Const(0)), at(t, Const(9), i)))
    assert "t[i,i'] = exp(x[i]*x[i'])" in lines_after(t, y)


def at_integer(i: Expr) -> Expr:
    return op("mul", i, i)


# -- derivatives of a spec -------------------------------------------------------------------------------------------


def prepared(text: str) -> Graph:
    file = parse_text(text)
    return pipeline.prepared(semantics.elaborate(file, file.definitions[0].name.text, semantics.Loader()))


def axes(made: Graph, name: str) -> list[int]:
    """How many axes over ``name`` each computed tensor has, without the outputs."""
    outputs = {output.tensor for output in made.outputs}
    return [repr(tensor.sizes).count(name) for tensor in made.of_kind("computed") if tensor.id not in outputs]


@pytest.mark.parametrize(
    ("signature", "equations"),
    [
        ("x[B,I]; w[H,I] ~ zeros, v[H] ~ zeros) -> e", "f[b] = v[h]*tanh(w[h,i]*x[b,i])\n"
         "e = mean[b] (sqrt(sum[i] grad(f[b], x[b,i])^2) - 1)^2"),
        ("x[B]) -> y[B]", "h[b] = exp(sin(x[b]))\ny[b] = grad(log(h[b])*h[b], x[b])"),
        ("x[B]) -> y[B]", "h[b] = exp(sin(x[b]))\ny[b] = grad(grad(log(h[b])*h[b], x[b]), x[b])"),
        ("x[B], w[K,B]) -> y[K,B]", "h[b] = exp(sin(x[b]))\nz[k] = w[k,b]*h[b]\ny[k,b] = grad(z[k], x[b])"),
        ("x[B,K]) -> y[B,K]", "p[b,k] = exp(x[b,k]) / sum[k'] exp(x[b,k'])\n"
         "y[b,k] = grad(sum[k'] p[b,k']^2, x[b,k])"),
        ("u[B,K], v[M,K], x[B,M]) -> y[B,K,K]", "e = sum[b,m] (x[b,m] - u[b,k]*v[m,k])^2\n"
         "y[b,k,k'] = grad(grad(e, u[b,k]), u[b,k'])"),
    ],
)  # fmt: skip
def test_samples_that_do_not_mix_have_one_axis(signature: str, equations: str) -> None:
    made = prepared(f"layer Case({signature}:\n" + "".join(f"    {line}\n" for line in equations.split("\n")))
    assert max(axes(made, "|B|")) == 1


def test_samples_that_mix_have_two() -> None:
    made = prepared("layer Case(x[B]) -> y[B]:\n    m = mean[b] x[b]\n    h[b] = exp(x[b]*m)\n    f[b] = h[b]^2\n"
                    "    y[b] = sum[b'] grad(f[b], x[b'])\n")  # fmt: skip
    assert max(axes(made, "|B|")) == 2
