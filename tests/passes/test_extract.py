"""Extraction within recurrences of few steps: what is taken out of the only element at a time has a time of its own."""

from __future__ import annotations

import pytest
from properties.checks import close, cotangents, given_arrays, gradients, graph_of, outputs

from dlc.compiler import pipeline

BY_INDEX = "    index T = {steps}\n    y[t,d] = x[t,d] + a[d]*(w[d,d']*y[pad(t-{lag}),d']/|D|)\n"
BACKWARDS = "    index T = {steps}\n    y[t,d] = x[t,d] + a[d]*(w[d,d']*y[pad(t+{lag}),d']/|D|)\n"
MUTUAL = """    index T = {steps}
    y[t,d] = x[t,d] + tanh(w[d,d']*z[pad(t-{lag}),d'])/|D|
    z[t,d] = a[d]*((max[d'] (w[d,d'] + y[t,d']))/|D|)
"""
GRID = """    index T = {steps}, U = 2
    g[t,u,d] = x[t,d] + a[d]*(w[d,d']*g[pad(t-{lag}),u,d']/|D|) + (logsumexp[d'] g[t,pad(u-1),d'])/|T|
    y[t,d] = g[t,0,d]*g[t,1,d]
"""
TWICE = """    index T = {steps}
    h[t,d] = x[t,d] + a[d]*(w[d,d']*h[pad(t-{lag}),d']/|D|)
    e = sum[t,d] h[t,d]^3
    y[t,d] = grad(e, x[t,d])
"""
BY_PLACES = """    index T = 3
    y[0,d] = x[0,d]
    y[1,d] = x[1,d] + a[d]*(w[d,d']*y[0,d']/|D|)
    y[2,d] = x[2,d] + exp(-(logsumexp[d'] (w[d,d'] + y[1,d']))^2)*(sum[d'] y[1,d'])/|D|
"""


def agrees(body: str, off: tuple[str, ...] = ()) -> None:
    graph = graph_of(f"layer Random(x[T,D], w[D,D'], a[D]) -> y[T,D]:\n{body}")
    known = {"D": 2}
    arrays = given_arrays(graph, known, 3)
    made, plain = pipeline.entries(graph, "*", off), pipeline.entries(graph, "*", pipeline.OPTIONAL)
    close(outputs(made["forward"], arrays, known), outputs(graph, arrays, known))
    arrays = {**arrays, **cotangents(made["vjp"], known, 3)}
    close(gradients(made["vjp"], arrays, known), gradients(plain["vjp"], arrays, known))
    pipeline.lowered(made)


@pytest.mark.parametrize("body", [BY_INDEX, BACKWARDS, MUTUAL, GRID, TWICE])
def test_one_step(body: str) -> None:
    agrees(body.format(lag=1, steps=2))


@pytest.mark.parametrize("steps", [1, 3, 4, 5])
def test_few_steps_that_look_far_back(steps: int) -> None:
    agrees(BY_INDEX.format(lag=3, steps=steps))


@pytest.mark.parametrize("off", [(), ("stabilise",), pipeline.OPTIONAL])
def test_elements_one_by_one(off: tuple[str, ...]) -> None:
    agrees(BY_PLACES, off)
