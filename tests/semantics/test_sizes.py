"""Sizes: found by matching axes, checked against each other, or required when the inputs arrive."""

from __future__ import annotations

import numpy as np
import pytest

from dlc.compiler.ir.arithmetic import EvaluationError
from dlc.compiler.ir.reference import evaluate
from tests.semantics.spec_texts import LINEAR, codes_of, errors_of, graph_of


def messages(text: str, name: str | None = None) -> list[str]:
    return [requirement.message for requirement in graph_of(text, name).requirements]


def test_what_is_proved_needs_no_requirement() -> None:
    text = """
layer F(x[H];; P = 3, stride = 2, padding = 1) -> y[U]:
    index U = (|H| + 2*padding - |P|) // stride + 1
    y[u] = sum[p] x[pad(u*stride + p - padding)]
layer G(x[T]) -> y[T]:
    y[t] = x[|T| - 1 - t]
layer K(x[K];; heads = 4) -> y[H,E]:
    index H = heads, E = |K| // heads
    y[h,e] = x[(h,e)]
"""
    assert not messages(text, "G") and not messages(text, "K")


def test_a_size_that_may_be_negative_is_required_not_to_be() -> None:
    text = "layer F(x[H], k[P]) -> y[U]:\n    index U = |H| - |P| + 1\n    y[u] = k[p]*x[u+p]\n"
    graph = graph_of(text)
    assert len(graph.requirements) == 1
    with pytest.raises(EvaluationError, match="`U` has the size"):
        evaluate(graph, {"x": np.ones(2), "k": np.ones(4)})


def test_two_inputs_that_an_equation_reads_together() -> None:
    graph = graph_of("layer F(x[T], y[S]) -> z[T]:\n    z[t] = x[t]*y[t]\n")
    evaluate(graph, {"x": np.ones(3), "y": np.ones(3)})
    with pytest.raises(EvaluationError, match="`t` runs over"):
        evaluate(graph, {"x": np.ones(3), "y": np.ones(2)})


def test_sizes_are_written_so_that_they_can_be_read_back() -> None:
    text = """
layer F(x[H]) -> y[U]:
    index U = (2*|H| + 1) // 3
    y[u] = x[u]
layer G(x[H]) -> y[H]:
    y[H] = F(x[H])
"""
    (found,) = set(messages(text, "G"))
    assert "has size ((2*|H| + 1) // 3)" in found


def test_derived_sizes_are_numbers_where_they_can_be() -> None:
    text = """
model M(x[B,H]) -> l:
    index H = 28, U = (|H| - 5) // 2 + 1, K = 4*|U|
    y[u] = x[0,2*u]
    l = sum[u] y[u]/|K|
"""
    assert [repr(size) for size in graph_of(text).tensors["y"].sizes] == ["12"]


def test_given_sizes() -> None:
    text = f"{LINEAR}model M(x[B,J]) -> y[B,I]:\n    fc = Linear()\n    y[b,I] = fc(x[b,J])\n"
    graph = graph_of(text, sizes={"I": 3, "J": 2})
    assert [repr(size) for size in graph.tensors["fc.w"].sizes] == ["3", "2"]
    assert codes_of(text) == ["DL066"]
    assert codes_of(text, sizes={"I": 3, "Q": 2}) == ["DL047"]


def test_a_given_size_that_the_spec_contradicts() -> None:
    text = "model M(x[B,J]) -> l:\n    index J = 3\n    l = sum[b,j] x[b,j]\n"
    assert codes_of(text, sizes={"J": 4}) == ["DL073"]


def test_conflict_names_both_axes_and_both_places() -> None:
    text = f"""{LINEAR}
model M(x[B,P]) -> l:
    index P = 784
    fc1 = Linear(I=100)
    fc2 = Linear(I=3, J=99)
    l = mean[b] fc2(fc1(x[b,P]))[0]
"""
    (problem,) = errors_of(text)
    assert problem.code == "DL065"
    assert "100" in problem.message and "99" in problem.message
    assert "J=99" in problem.render()


def test_an_instance_used_with_two_sizes() -> None:
    text = f"""{LINEAR}
model M(x[B,P], z[B,Q]) -> l:
    index P = 4, Q = 5
    fc = Linear(I=2)
    l = sum[b] (fc(x[b,P])[0] + fc(z[b,Q])[0])
"""
    assert codes_of(text) == ["DL065"]


def test_sets_of_layers_have_any_size_when_compiled_alone() -> None:
    graph = graph_of(LINEAR)
    assert graph.sizes == ("J", "I")
    result = evaluate(graph, {"x": np.ones(2), "w": np.ones((3, 2)), "b": np.ones(3)})
    assert result["y"].tolist() == [3, 3, 3]


def test_defaults_of_sets_give_way_to_data() -> None:
    text = """
layer Conv(x[W]; k[P] ~ zeros; P = 3) -> y[V]:
    index V = |W| - |P| + 1
    y[v] = k[p]*x[v+p]
layer F(x[W], kernel[Q]) -> y[V]:
    index Q = 5
    y[V] = Conv(x[W]; kernel)
model M(x[W]) -> y[V]:
    conv = Conv()
    y[V] = conv(x[W])
"""
    assert "|W| - 4" in str(messages(text, "F"))
    assert [repr(size) for size in graph_of(text, "M").tensors["conv.k"].sizes] == ["3"]
