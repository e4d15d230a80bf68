"""Tensors that take the place of others: programs with them compute what the graph says."""

from __future__ import annotations

import pytest
from lower.agreement import agree, drawn
from numeric.harness import graph_of

from dlc.compiler import pipeline
from dlc.compiler.ir import loops_verify
from dlc.compiler.ir.graph import Graph
from dlc.compiler.ir.loops import Program
from dlc.compiler.lower import in_old_places, lower, places
from dlc.compiler.lower.fusion import touches

LAYERS = """
layer Deep(x[B,J]; up[L,I,J] ~ normal(0, 1), down[L,J,I] ~ normal(0, 1)) -> y[B,J]:
    h[0,b,j] = x[b,j]
    s[l,b,i] = up[l,i,j]*h[l,b,j]
    h[l+1,b,j] = h[l,b,j] + down[l,j,i]*sin(s[l,b,i])
    y[b,j] = h[|L|,b,j]
"""
AGAIN = """
layer Deep(x[B,J]; up[I,J] ~ normal(0, 1), down[J,I] ~ normal(0, 1)) -> y[B,J], z[B,I]:
    s[b,i] = up[i,j]*x[b,j]
    y[b,j] = sum[i] down[j,i]*sin(s[b,i])
    z[b,i] = cos(s[b,i])
"""
TURNED = """
layer Turned(x[I,I]; w[I,I] ~ normal(0, 1)) -> y[I,I]:
    s[i,i'] = sum[i''] w[i,i'']*x[i'',i']
    y[i,i'] = sum[i''] w[i'',i]*sin(s[i',i''])
"""
SIZES = {"B": 5, "J": 3, "I": 4, "L": 3}


def programs(spec: str) -> tuple[Graph, Program, Program]:
    graph = pipeline.entries(graph_of(spec), wrt="*")["vjp"]
    plain = lower({"vjp": graph})
    found = in_old_places(plain)
    loops_verify.check(found, "places")
    return graph, plain, found


@pytest.mark.parametrize("shards", [1, 2, 3])
@pytest.mark.parametrize("spec", [LAYERS, AGAIN, TURNED])
def test_programs_compute_what_the_graph_says(spec: str, shards: int) -> None:
    graph, _, program = programs(spec)
    agree(graph, program, drawn(graph, SIZES), SIZES, shards, 1e-11)


def test_the_gradient_of_an_activation_lies_where_its_argument_lay_for_all_layers() -> None:
    _, plain, program = programs(LAYERS)
    assert "d_s" in plain.buffers and "s" in plain.buffers
    assert plain.buffers.keys() - program.buffers.keys() == {"d_s"}


def test_what_is_returned_keeps_its_place() -> None:
    _, plain, program = programs(AGAIN)
    assert {"y", "z"} <= program.buffers.keys()
    assert program.buffers["z"] == plain.buffers["z"]


def test_what_is_read_at_another_element_keeps_its_place() -> None:
    _, plain, program = programs(TURNED)
    assert plain.buffers.keys() == program.buffers.keys()


def test_kernels_are_looked_at_once_however_many_pairs_of_tensors_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    values = ["x[b,i']", *(f"sin(h{n}[b,i'])" for n in range(8))]
    lines = [f"h{n}[b,i] = sum[i'] w[i,i']*{value}" for n, value in enumerate(values)]
    spec = "\n    ".join(["layer Deep(x[B,I]; w[I,I] ~ normal(0, 1)) -> y[B,I]:", *lines, "y[b,i] = sin(h8[b,i])\n"])
    plain = lower({"vjp": pipeline.entries(graph_of(spec), wrt="*")["vjp"]})
    looked: list[object] = []
    pairs: list[object] = []
    allow = places._Uses.allow
    monkeypatch.setattr(places, "touches", lambda body: looked.append(body) or touches(body))
    monkeypatch.setattr(places._Uses, "allow", lambda self, *names: pairs.append(names) or allow(self, *names))
    in_old_places(plain)
    assert len(pairs) > 8
    assert len(looked) == len(plain.kernels)
