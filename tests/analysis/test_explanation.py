"""What is told of a program's costs: against the loops run one by one, and against formulas known by heart."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import pytest

from dlc.compiler import analysis, pipeline, semantics
from dlc.compiler.analysis import counting
from dlc.compiler.analysis.explanation import EntryReport, Explanation, Row, all_sizes
from dlc.compiler.ir import loops_reference
from dlc.compiler.ir.loops import Let, Program, Statement, Store, Update, Var
from dlc.compiler.syntax.parse import parse_text

HOST = analysis.Host(flops=1e9, memory=1e9, memory_of_all=1.5e9, cached=4e9, cache=1 << 16, fork=1e-6)


def choose(
    way: str, ta: bool, tb: bool, m: int, n: int, k: int, lda: int, ldb: int, ldc: int, has_term: bool
) -> tuple[str, str]:
    return "tile", f"{m * n * k}"


@cache
def program_of(text: str) -> Program:
    file = parse_text(text)
    return pipeline.program(semantics.elaborate(file, file.definitions[-1].name.text, semantics.Loader()))


def explained(text: str, sizes: Mapping[str, int], threads: int = 2, shards: int = 2, work: int = 0) -> Explanation:
    setting = analysis.Setting("float32", sizes, threads, shards, HOST, choose, work)
    return analysis.explained(program_of(text), setting)


def entry(found: Explanation, name: str = "forward") -> EntryReport:
    return next(one for one in found.entries if one.name == name)


def row(found: Explanation, kernel: str, name: str = "forward") -> Row:
    return next(one for one in entry(found, name).rows if one.kernel == kernel)


DENSE = """
layer Dense(x[B,J]; w[I,J] ~ normal(0, 1), c[I] = 0) -> y[B,I]:
    y[b,i] = relu(w[i,j]*x[b,j] + c[i])
"""
TRIANGLE = """
layer Before(x[T]) -> y[T]:
    y[t] = sum[t' : t' <= t] (x[t'] + x[t])^2
"""
RECURRENCE = """
layer Run(x[B,T,D]; u[D,D'] ~ normal(0, 1)) -> last[B,D]:
    h[b,0,d] = 0
    h[b,t+1,d] = tanh(u[d,d']*h[b,t,d'] + x[b,t,d])
    last[b,d] = h[b,|T|,d]
"""
LOOKUP = """
layer Lookup(i[B] in V; e[V,D] ~ normal(0, 1)) -> y[B,D]:
    y[b,d] = e[i[b],d]
"""
MEAN = """
model Mean(x[B,D]) -> loss:
    param m[D] = 0
    loss = mean[b] sum[d] (x[b,d] - m[d])^2
    minimize loss
"""
EXAMPLES = {
    DENSE: {"B": 3, "J": 4, "I": 5},
    TRIANGLE: {"T": 7},
    RECURRENCE: {"B": 4, "T": 5, "D": 3},
    LOOKUP: {"B": 5, "V": 6, "D": 4},
    MEAN: {"B": 6, "D": 3},
}


class Counting(loops_reference._Run):
    """Runs the loops and counts what they do, element by element."""

    def __init__(self, program: Program, given: Mapping[str, Any], sizes: Mapping[str, int]) -> None:
        self.flops: dict[str, float] = {}
        self.places: dict[str, set[tuple[int, ...]]] = {}
        self.kernel_name = ""
        super().__init__(program, given, sizes)

    def kernel(self, kernel, over, shard, shards) -> None:
        self.kernel_name = kernel.name
        self.flops.setdefault(kernel.name, 0.0)
        super().kernel(kernel, over, shard, shards)

    def body(self, body: tuple[Statement, ...], scope: dict[Any, Any]) -> None:
        for statement in body:
            if isinstance(statement, Let | Var | Update | Store):
                self.flops[self.kernel_name] += counting.operations(statement.value)
            super().body((statement,), scope)

    def matmul(self, statement, scope) -> None:
        m, n, k = (int(self.value(e, scope)) for e in (statement.m, statement.n, statement.k))
        self.flops[self.kernel_name] += 2 * m * n * k
        super().matmul(statement, scope)

    def place(self, buffer, subscripts, scope) -> tuple[int, ...]:
        found = super().place(buffer, subscripts, scope)
        self.places.setdefault(buffer, set()).add(found)
        return found


def given(program: Program, sizes: Mapping[str, int]) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    known = all_sizes(program, sizes, 2)
    found = {}
    for value in program.values:
        shape = tuple(counting.whole(size, known) for size in value.sizes)
        drawn = random.normal(size=shape)
        found[value.name] = np.zeros(shape, int) if value.type == "int" else drawn
    return found


@pytest.mark.parametrize("text", EXAMPLES)
@pytest.mark.parametrize("shards", [1, 2])
def test_operations_are_those_of_the_loops(text: str, shards: int) -> None:
    """But for what shards do once for each of their blocks of a sum."""
    program, sizes = program_of(text), EXAMPLES[text]
    for one in program.entries:
        run = Counting(program, given(program, sizes), {**sizes, "#shards": shards})
        run.run(one, shards)
        found = entry(explained(text, sizes, shards=shards), one.name)
        assert {row.kernel: row.flops for row in found.rows} == pytest.approx(run.flops, rel=0.02), one.name


@pytest.mark.parametrize("text", EXAMPLES)
def test_elements_touched_are_those_of_the_loops(text: str) -> None:
    """Of one entry in all, because products touch theirs out of sight."""
    program, sizes = program_of(text), EXAMPLES[text]
    for one in program.entries:
        run = Counting(program, given(program, sizes), {**sizes, "#shards": 1})
        run.run(one, 1)
        known = all_sizes(program, sizes, 1)
        counted: dict[str, float] = {}
        for region in one.regions:
            for count in counting.counts(program, region.steps, known).values():
                for name, elements in (*count.read.items(), *count.written.items()):
                    counted[name] = counted.get(name, 0.0) + elements
                    assert elements <= counting.length(program.buffers[name], known), name
        for name, places in run.places.items():
            assert counted[name] >= len(places), name


@pytest.mark.parametrize("text", EXAMPLES)
def test_the_formula_gives_the_operations(text: str) -> None:
    sizes = EXAMPLES[text]
    found = explained(text, sizes)
    formulas = [(row.flops_formula, row.flops) for one in found.entries for row in one.rows]
    assert any(formula for formula, _ in formulas)
    names = {**all_sizes(program_of(text), sizes, 2), "shards": 2}
    for formula, flops in formulas:
        if formula:
            python = formula.replace("^", "**").replace("|", "")
            assert eval(python, {}, dict(names)) == pytest.approx(flops, rel=0.02), formula


def test_formulas_known_by_heart() -> None:
    dense = row(explained(DENSE, {"B": 100, "J": 200, "I": 300}), "y.sum")
    assert (dense.flops, dense.flops_formula) == (2 * 100 * 200 * 300, "2*|B|*|I|*|J|")
    assert dense.bytes_read == 4 * (100 * 200 + 300 * 200)
    assert dense.bytes_written == 4 * 100 * 300
    assert [(one.what, one.way) for one in dense.choices] == [("product 50 x 200 x 300, 2 times", "tile")]


def test_a_triangle_is_half_a_square() -> None:
    small, large = (entry(explained(TRIANGLE, {"T": size})).flops for size in (20, 2000))
    assert small == 3 * 20 * 21 / 2  # two sums and a square
    assert large == pytest.approx(3 * 2000 * 2001 / 2, rel=0.01)


def test_lengths_that_are_data_leave_nothing_out() -> None:
    text = """
layer Sums(a[B,T,S], v[B,S,D], n[B] : int) -> y[B,T,D]:
    e[b,t,s] = [s < n[b]]*exp(a[b,t,s])
    y[b,t,d] = e[b,t,s]*v[b,s,d]
"""
    found = explained(text, {"B": 2, "T": 30, "S": 40, "D": 50})
    assert row(found, "y").flops == 2 * 30 * 40 * (16 + 2 * 50)


def test_a_recurrence_counts_its_rounds() -> None:
    found = explained(RECURRENCE, {"B": 4, "T": 50, "D": 64})
    product = next(one for one in entry(found).rows if any(c.what.startswith("product") for c in one.choices))
    assert product.runs == 50
    assert product.flops == 2 * 4 * 64 * 64 * 50


def test_what_lives_inside_a_kernel_costs_no_traffic() -> None:
    text = """
layer Softmax(x[B,I]) -> y[B,I]:
    z[b,i] = 2*x[b,i] + 1
    y[b,i] = exp(z[b,i])/sum[i'] exp(z[b,i'])
"""
    (only,) = entry(explained(text, {"B": 32, "I": 50})).rows
    assert (only.bytes_read, only.bytes_written) == (4 * 32 * 50, 4 * 32 * 50)


def test_sharing_and_its_reasons() -> None:
    sizes = {"B": 4, "T": 5, "D": 3}
    shared = entry(explained(RECURRENCE, sizes))
    assert shared.forks == shared.regions and all(one.share.is_shared for one in shared.rows)
    little = entry(explained(RECURRENCE, sizes, work=10**6))
    assert little.forks == 0
    assert {one.share.why.split(":")[0] for one in little.rows} == {"one thread"}
    assert entry(explained(RECURRENCE, sizes, shards=1)).rows[0].share.why == "one processor"


def test_the_prediction_is_the_longer_of_two_times() -> None:
    found = explained(DENSE, {"B": 100, "J": 200, "I": 300}, threads=1, shards=1)
    product = row(found, "y.sum")
    assert product.bound == "arithmetic"
    assert product.seconds == pytest.approx(2 * 100 * 200 * 300 / 1e9)
    copy = entry(explained(LOOKUP, {"B": 5000, "V": 6, "D": 400}, threads=1, shards=1)).rows[0]
    assert copy.bound == "memory" and copy.flops == 0
    assert copy.seconds == pytest.approx((4 * 6 * 400 + 8 * 5000 + 4 * 5000 * 400) / 1e9)


def test_the_table() -> None:
    found = explained(DENSE, {"B": 100, "J": 200, "I": 300})
    text = analysis.as_text(found)
    assert "Dense   float32   B = 100, J = 200, I = 300" in text
    lines = text.splitlines()
    heads = [line for line in lines if line.lstrip().startswith("predicted ") and "share" in line]
    assert len(heads) == len(found.entries)
    place = lines.index(heads[0])
    assert lines[place + 1].endswith("  y.sum"), "the longest comes first"
    assert lines[place + 2] == "    y.sum[b,i] = sum[j] w[i,j]*x[b,j]    <text>:3"
    assert "    - 2 shards along |B|" in lines
    assert "product" not in analysis.as_text(found, formulas=False)


def test_json_has_all_of_it() -> None:
    found = explained(DENSE, {"B": 100, "J": 200, "I": 300})
    (plain,) = json.loads(analysis.as_json([found]))
    assert plain["model"] == "Dense" and plain["sizes"] == {"B": 100, "J": 200, "I": 300}
    (first, *_) = plain["entries"]
    assert first["flops"] == entry(found).flops
    assert first["rows"][0]["formulas"] == list(entry(found).rows[0].formulas)
    assert plain["host"]["flops"] == 1e9


def test_systems_count() -> None:
    found = explained("layer Solved(a[N,N'], b[N]) -> x[N]:\n    x[N] = solve(a[N,N'], b[N'])\n", {"N": 30})
    assert entry(found).flops >= 2 * 30**3 / 3
    assert any(choice.way == "LAPACK" for one in entry(found).rows for choice in one.choices)


CONVOLUTION = """
layer Convolved(x[N,C,H,W]; k[O,C,P,Q] ~ normal(0, 1)) -> y[N,O,H,W]:
    index C = 32, O = 64, H = 20, W = 20, P = 3, Q = 3
    y[n,o,h,w] = k[o,c,p,q]*x[n,c,pad(h+p-1),pad(w+q-1)]
"""


@pytest.mark.parametrize(
    ("samples", "shards", "tiled", "direct"),
    [(4, 4, 4, 0), (1, 2, 2, 0), (3, 2, 4, 0), (1, 16, 0, 16), (17, 16, 24, 8), (1, 1, 1, 0), (0, 2, 0, 0)],
)
def test_samples_in_shares_are_told_from_whole_ones(samples: int, shards: int, tiled: int, direct: int) -> None:
    """A shard that has a sample, or many maps of it, takes it apart into tiles, one that has few does not."""
    found = [row for row in entry(explained(CONVOLUTION, {"N": samples}, shards, shards)).rows if row.kernel == "y"]
    program = program_of(CONVOLUTION)
    (region,) = next(one for one in program.entries if one.name == "forward").regions
    count = counting.counts(program, region.steps, all_sizes(program, {"N": samples}, shards))
    products = [product for one in count.values() for product in one.products]
    assert sum(one.times for one in products if one.is_in_tiles) == tiled
    assert sum(one.times for one in products if not one.is_in_tiles) == direct
    assert any("Winograd" in choice.way for row in found for choice in row.choices) == bool(tiled)
