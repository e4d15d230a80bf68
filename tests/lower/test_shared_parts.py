"""Expressions are graphs: what is used twice is looked at once, or 40 levels of it would take for ever."""

from __future__ import annotations

import pytest
from numeric.harness import graph_of

from dlc.compiler import pipeline
from dlc.compiler.ir.expr import Expr, Op
from dlc.compiler.lower import lower

LEVELS = {
    "a product": "v{0}[i]*sigmoid(v{0}[i])",
    "a choice": "v{0}[i]*sigmoid(v{0}[i]) if x[i] > 0 else 3",
}


@pytest.mark.parametrize("name", LEVELS)
@pytest.mark.parametrize("which", [pipeline.FORWARD, pipeline.VJP])
def test_the_work_grows_with_the_levels(name: str, which: str, monkeypatch: pytest.MonkeyPatch) -> None:
    levels = "\n".join(f"    v{n}[i] = {LEVELS[name].format(n - 1)}" for n in range(1, 41))
    plain = graph_of(f"layer Deep(x[I]) -> y[I]:\n    v0[i] = x[i]\n{levels}\n    y[i] = v40[i]\n")
    made = pipeline.entries(plain, "*")[which]
    visits = 0

    def children(node: Op) -> tuple[Expr, ...]:
        nonlocal visits
        visits += 1
        assert visits < 1_000_000, "what is used twice is looked at twice"
        return node.args

    monkeypatch.setattr(Op, "children", property(children))
    lower({which: made})
