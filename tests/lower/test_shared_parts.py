"""Expressions are graphs: what is used twice is looked at once, or 40 levels of it would take for ever."""

from __future__ import annotations

import pytest
from numeric.harness import graph_of

from dlc.compiler import pipeline
from dlc.compiler.ir.expr import Expr, Op, walk
from dlc.compiler.ir.loops import expressions, statements
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
    slot = vars(Expr)["children"]

    def children(node: Op) -> tuple[Expr, ...]:
        nonlocal visits
        visits += 1
        assert visits < 1_000_000, "what is used twice is looked at twice"
        return node.args

    monkeypatch.setattr(Op, "children", property(children, slot.__set__))
    lower({which: made})


OF_INTEGERS = {
    "integers": "v{0}[i] + 1 if v{0}[i] > {0} else 2*v{0}[i]",
    "truth values": "(x[i] > {0} and v{0}[i]) or (n[i] < {0} and not v{0}[i])",
}


@pytest.mark.parametrize("name", OF_INTEGERS)
def test_what_is_no_number_is_written_about_as_often_as_the_spec_does(name: str) -> None:
    """Written into each other, 40 levels have 2^40 ways to the first of them."""
    levels = "\n".join(f"    v{n}[i] = {OF_INTEGERS[name].format(n - 1)}" for n in range(1, 41))
    first, last = ("n[i]", "v40[i]") if name == "integers" else ("n[i] > 0", "[v40[i]]")
    spec = f"layer Deep(x[I], n[I] : int) -> y[I]:\n    v0[i] = {first}\n{levels}\n    y[i] = x[i]*{last}\n"
    program = lower({pipeline.FORWARD: pipeline.entries(graph_of(spec))[pipeline.FORWARD]})
    roots = [root for k in program.kernels.values() for one in statements(k.body) for root in expressions(one)]
    assert len(roots) > 10
    assert sum(map(as_text, roots)) < 200 * 40
    assert sum(len(formula) for kernel in program.kernels.values() for formula in kernel.formulas) < 2000 * 40


def as_text(root: Expr) -> int:
    """Nodes of the expression as a tree."""
    lengths: dict[Expr, int] = {}
    for node in walk(root):
        lengths[node] = 1 + sum(lengths[child] for child in node.children)
    return lengths[root]
