"""Every line of docs/numerics.md in kernels over many elements: loops of 1 to 33 rounds, so that vectors and what is
left over both meet every case.

A line about numbers is computed for many at once, all cases of an expression in turn; one about vectors for many rows.
Rows of other lengths than the page has, with what is special at each of their places, and the kernels of `ROWS` and
`BLOCKS`, which work on rows in blocks or in one go, are compared with the interpreter of the same graphs. The elements
of a row lie together, apart, or across the rows.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numeric import numerics_page as page
from numeric.harness import graph_of, interpreted, plain_entries_of
from numeric.layouts import APART, LAYOUTS, TOGETHER, axes, laid, subscripts, taken
from numeric.test_numerics import agree, check_functions
from numeric.test_remainders import rows

import dlc
from dlc.compiler.ir.graph import Graph
from dlc.compiler.ir.reference import bind_sizes, size_value

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")
LENGTHS = range(1, 34)
Array = np.ndarray[Any, Any]


class Compiled(NamedTuple):
    models: dict[str, Any]
    dtype: str
    layout: str


def batched() -> dict[str, list[page.Line]]:
    """The lines of each expression; whole matrices stay as they are and have no kernel of ours."""
    lines: dict[str, list[page.Line]] = {}
    for line in page.lines():
        if line.given and "I'" not in line.text:
            lines.setdefault(line.name, []).append(line)
    return lines


LINES = batched()


def expressions(names: list[str], title: str, layout: str) -> str:
    """A layer with the expressions of some lines over one more axis."""
    inputs, outputs, body = [], [], []
    for name in names:
        line = LINES[name][0]
        for letter, declared in page.declared(line):
            sort = declared.removeprefix("[I]")
            sets = f"L_{name},I_{name}" if sort != declared else f"L_{name}"
            inputs.append(f"{letter}_{name}[{axes(layout, sets)}]{sort}")
        is_vector = isinstance(line.value, list)
        sets = f"L_{name},I_{name}" if is_vector else f"L_{name}"
        outputs.append(f"{name}[{result(layout, sets)}]")
        text = re.sub(
            r"\b([abmq]_e\d+)\[([^]]*)\]|\b([xyznk]_e\d+)\b",
            lambda read, name=name: read_at(layout, f"l_{name}", *read.groups()),
            page.renamed(line.text, name),
        )
        body.append(f"    {name}[{result(layout, sets).lower()}] = {text}")
    pair = ["    index Pair = 2"] * (layout == APART)
    return "\n".join((f"layer {title}({', '.join(inputs)}) -> {', '.join(outputs)}:", *pair, *body, ""))


def result(layout: str, places: str) -> str:
    """Results have no elements between theirs."""
    return places if layout == APART else subscripts(layout, places)


def read_at(layout: str, row: str, vector: str | None, place: str | None, number: str | None) -> str:
    return f"{vector or number}[{subscripts(layout, row if vector is None else f'{row},{place}')}]"


NUMBERS = [name for name in LINES if not {*LINES[name][0].given} & {*"abmq"}]
VECTORS = [name for name in LINES if name not in NUMBERS]
#: What the compiler does with rows: in one go, along them, and of two.
ROWS = """
use nn.activations: LogSoftmax, MaskedSoftmax
use nn.losses: CrossEntropy

layer Rows(x[B,N], z[B] in N, m[B,N] : bool) -> normed[B,N], unit[B,N], logs[B,N], masked[B,N], entropy[B]:
    mu[b] = mean[n] x[b,n]
    normed[b,n] = (x[b,n] - mu[b]) / sqrt(1e-5 + mean[n'] (x[b,n'] - mu[b])^2)
    unit[b,n] = x[b,n] / sqrt(sum[n'] x[b,n']^2)
    logs[b,N] = LogSoftmax(x[b,N])
    masked[b,N] = MaskedSoftmax(x[b,N], m[b,N])
    entropy[b] = CrossEntropy(x[b,N], z[b])

layer Along(x[B,N]
    ) -> highest[B,N], lowest[B,N], summed[B,N], rest[B,N], grown[B,N], level[B,N], best[B,N], worst[B,N]:
    highest[b,n] = max[n' : n' <= n] x[b,n']
    lowest[b,n] = min[n' : n' >= n] x[b,n']
    summed[b,n] = sum[n' : n' <= n] x[b,n']
    rest[b,n] = sum[n' : n' > n] x[b,n']
    grown[b,n] = prod[n' : n' <= n] x[b,n']
    level[b,n] = logsumexp[n' : n' <= n] x[b,n']
    best[b,n] = argmax[n' : n' <= n] x[b,n']
    worst[b,n] = argmin[n' : n' <= n] x[b,n']

layer Pairs(x[B,N], y[B,N]) -> product[B], far[B], less[B,N], alike[B,N]:
    product[b] = x[b,n]*y[b,n]
    far[b] = max[n] abs(x[b,n] - y[b,n])
    less[b,n] = [x[b,n] <= y[b,n] and not x[b,n] > 1]
    alike[b,n] = x[b,n] if x[b,n] == y[b,n] else y[b,n] if x[b,n] != 9 else max(x[b,n], y[b,n])
"""
#: And with windows and blocks of rows.
BLOCKS = """
use nn.attention: CausalAttention, MaskedAttention

layer Windows(x[B,C,W], f[O,C,J], p[B,C,V,W], g[O,C,J,J']
    ) -> best[B,C,W], least[B,C,H], means[B,C,W], mixed[B,O,W], strided[B,O,H], plane[B,O,V,W], peaks[B,C,V,H]:
    index H = (|W| + 1)//2, J = 3, L = 2
    best[b,c,w] = max[j : w + j >= 1 and w + j - 1 < |W|] x[b,c,w+j-1]
    least[b,c,h] = min[j : 2*h + j >= 1 and 2*h + j - 1 < |W|] x[b,c,2*h+j-1]
    means[b,c,w] = mean[l] x[b,c,clamp(w + l)]
    mixed[b,o,w] = f[o,c,j]*x[b,c,pad(w + j - 1)]
    strided[b,o,h] = f[o,c,j]*x[b,c,pad(2*h + j - 1)]
    plane[b,o,v,w] = g[o,c,j,j']*p[b,c,pad(v + j - 1),pad(w + j' - 1)]
    peaks[b,c,v,h] = max[l,j : v + l < |V| and 2*h + j < |W|] p[b,c,v+l,2*h+j]

layer Attended(q[B,T,D], k[B,T,D], v[B,T,D],
    m[B,T,T'] : bool) -> causal[B,T,D], masked[B,T,D], added[B,T,D], banded[B,T,D]:
    causal[b,T,D] = CausalAttention(q[b,T,D], k[b,T,D], v[b,T,D])
    masked[b,T,D] = MaskedAttention(q[b,T,D], k[b,T,D], v[b,T,D], m[b,T,T'])
    score[b,t,t'] = q[b,t,d]*k[b,t',d] if m[b,t,t'] else -inf
    added[b,t,d] = exp(score[b,t,t'])/(sum[t''] exp(score[b,t,t'']))*v[b,t',d]
    near[b,t,t'] = [t' <= t and t' > t - 3]*exp(q[b,t,d']*k[b,t',d'])
    banded[b,t,d] = near[b,t,t']/(sum[t''] near[b,t,t''])*v[b,t',d]
"""


@cache
def lines_in(layout: str) -> str:
    return "\n".join((expressions(NUMBERS, "Numbers", layout), expressions(VECTORS, "Vectors", layout)))


@cache
def rows_in(layout: str) -> str:
    def in_layout(array: re.Match[str]) -> str:
        name, places = array.groups()
        where = axes if places.isupper() else subscripts
        return f"{name}[{where(layout, places) if name in 'xym' else result(layout, places)}]"

    text = re.sub(r"\b([a-z]+)\[([bB],[nN]'?)\]", in_layout, ROWS)
    return text.replace("]:\n", "]:\n    index Pair = 2\n") if layout == APART else text


def combinations() -> Iterator[Any]:
    for dtype, layout in product(("float32", "float64"), LAYOUTS):
        quick = (dtype, layout) == ("float32", TOGETHER)
        yield pytest.param((dtype, layout), id=f"{dtype}-{layout}", marks=() if quick else pytest.mark.slow)


@pytest.fixture(scope="module", params=combinations())
def compiled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compiled]:
    dtype, layout = request.param
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DLC_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield Compiled(models(dtype, lines_in(layout), rows_in(layout)), dtype, layout)


@pytest.fixture(scope="module", params=["float32", pytest.param("float64", marks=pytest.mark.slow)])
def blocks(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compiled]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DLC_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield Compiled(models(request.param, BLOCKS), request.param, TOGETHER)


@pytest.fixture(scope="module", params=["float32", "float64"])
def functions(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compiled]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DLC_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield Compiled(models(request.param, page.functions_in(APART)), request.param, APART)


def models(dtype: str, *texts: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for text in texts:
            spec = Path(folder) / "vectors.dl"
            spec.write_text(text, encoding="utf-8")
            module = dlc.compile(spec, dtype=dtype)
            found |= {name: getattr(module, name) for name in module.__all__}
    return found


# -- as the page says ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", LENGTHS)
def test_lines_in_turn(compiled: Compiled, length: int) -> None:
    """Every case of an expression at every place of vectors; cases of vectors are rows."""
    wrong: list[str] = []
    for title, names in (("Numbers", NUMBERS), ("Vectors", VECTORS)):
        groups = {name: by_shape(LINES[name]) for name in names}
        for turn in range(max(map(len, groups.values()))):
            taken = {name: found[turn % len(found)] for name, found in groups.items()}
            for start in range(max(map(len, taken.values()))):
                places = range(start, start + length)
                cases = {name: [lines[place % len(lines)] for place in places] for name, lines in taken.items()}
                wrong += checked(compiled.models[title](), cases, compiled)
    assert not wrong, "\n".join(wrong[:20])


@pytest.mark.slow
@pytest.mark.parametrize("length", LENGTHS)
def test_functions_of_what_lies_apart(functions: Compiled, length: int) -> None:
    for start in range(max(len(one.points) for one in page.functions())):
        check_functions(functions.models["Functions"](), functions.dtype, start, length, functions.layout)


def by_shape(lines: list[page.Line]) -> list[list[page.Line]]:
    """Rows of one matrix are of one length."""
    groups: dict[str, list[page.Line]] = {}
    for line in lines:
        groups.setdefault(str([np.shape(value) for value in line.given.values()]), []).append(line)
    return list(groups.values())


def checked(layer: Any, cases: Mapping[str, list[page.Line]], compiled: Compiled) -> Iterator[str]:
    given, weights = {}, {}
    dtype, layout = compiled.dtype, compiled.layout
    of_results = TOGETHER if layout == APART else layout
    for name, lines in cases.items():
        for letter, sort in page.declared(lines[0]):
            values = np.array([line.given[letter] for line in lines], type_of(sort, dtype))
            given[f"{letter}_{name}"] = laid(layout, values)
        if lines[0].slopes:
            weight = np.ones(np.shape([line.value for line in lines]), dtype)
            weight[..., 1:] = 0 if weight.ndim == 2 else 1  # the slopes are those of a vector's first
            weights[name] = laid(of_results, weight)
    values, slopes = layer.vjp(weights, **given)
    for name, lines in cases.items():
        yield from differences("value", taken(of_results, values[name]), [line.value for line in lines], lines, dtype)
        real = [letter for letter in lines[0].given if type_of(page.INPUTS[letter], dtype) == dtype]
        for place, letter in enumerate(real if lines[0].slopes else ()):
            wanted = [line.slopes[place] for line in lines]
            found = taken(layout, slopes[f"{letter}_{name}"])
            yield from differences(f"slope by {letter}", found, wanted, lines, dtype)


def type_of(sort: str, dtype: str) -> str:
    return "bool" if sort.endswith("bool") else "int64" if sort.endswith("int") else dtype


def differences(what: str, found: Array, wanted: list[Any], lines: list[page.Line], dtype: str) -> Iterator[str]:
    if agree(found, wanted, dtype):
        return
    for place, (one, expected, line) in enumerate(zip(found, wanted, lines, strict=True)):
        if not agree(one, expected, dtype):
            where = f"{line.text} at {line.given}, place {place} of {len(lines)}"
            yield f"{what} of {where}: {one}, the page says {expected}"


# -- as the graphs say -----------------------------------------------------------------------------------------------


def assert_same(compiled: Compiled, name: str, graph: Graph, given: Mapping[str, Array]) -> None:
    """Values and gradients are the interpreter's: infinities and nan exactly, numbers nearly."""
    weights = random_weights(graph, given, compiled.dtype)
    found, gradients = compiled.models[name]().vjp(weights, **given)
    wanted = interpreted(graph, {**given, **{f"d_{name}": weight for name, weight in weights.items()}})
    for name, value in wanted.outputs.items():
        close(found[name], value, compiled.dtype, name)
    for name, value in wanted.gradients.items():
        close(gradients[name], value, compiled.dtype, f"gradient of {name}")


def close(found: Array, wanted: Array, dtype: str, name: str) -> None:
    tolerance = 2e-4 if dtype == "float32" else 1e-10
    scale = max(1.0, float(np.max(np.abs(wanted), initial=0.0, where=np.isfinite(wanted))))
    np.testing.assert_allclose(found, wanted, tolerance, tolerance * scale, err_msg=name)


def random_weights(graph: Graph, given: Mapping[str, Array], dtype: str) -> dict[str, Array]:
    """A cotangent for each real output."""
    random, sizes = np.random.default_rng(7), bind_sizes(graph, given, {})
    shapes = {
        tensor.output: [size_value(size, sizes) for size in tensor.sizes]
        for tensor in plain_entries_of(graph)["vjp"].of_kind("cotangent")
    }
    return {name: np.asarray(random.normal(size=shape)).astype(dtype) for name, shape in shapes.items()}


@pytest.mark.parametrize("length", LENGTHS)
def test_rows_of_the_page(compiled: Compiled, length: int) -> None:
    """Reductions and softmaxes of rows of that length, some beside a number for each row."""
    x = rows(length, compiled.dtype, (-1e4, 0.0))
    random = np.random.default_rng(length)
    m = random.random(x.shape) < 0.5
    m[-1], m[1] = False, True
    given = {}
    for name in VECTORS:
        text = LINES[name][0].text
        kinds = {"a": abs(x) if "log(a" in text else x, "b": x[::-1], "m": m, "q": random.integers(-3, 4, x.shape)}
        kinds |= {"x": x[:, 0], "y": x[::-1, -1]}
        for letter, _ in page.declared(LINES[name][0]):
            given[f"{letter}_{name}"] = laid(compiled.layout, kinds[letter])
    assert_same(compiled, "Vectors", graph_of(lines_in(compiled.layout), "Vectors"), given)


@pytest.mark.parametrize("length", LENGTHS)
def test_row_kernels(compiled: Compiled, length: int) -> None:
    x = rows(length, compiled.dtype, (-1e4, 1e4))
    random = np.random.default_rng(length)
    m = random.random(x.shape) < 0.5
    m[-1], m[1] = False, True
    y = np.where(random.random(x.shape) < 0.5, x, random.permutation(x.ravel()).reshape(x.shape))
    given = {name: laid(compiled.layout, array) for name, array in {"x": x, "y": y, "m": m}.items()}
    given["z"] = random.integers(0, length, len(x))
    for name, read in {"Rows": "xzm", "Along": "x", "Pairs": "xy"}.items():
        graph = graph_of(rows_in(compiled.layout), name)
        assert_same(compiled, name, graph, {letter: given[letter] for letter in read})


@pytest.mark.parametrize("length", LENGTHS)
def test_windows(blocks: Compiled, length: int) -> None:
    dtype = blocks.dtype
    x = rows(length, dtype)[length % 3 :: 3]
    x = x[: len(x) // 2 * 2].reshape(-1, 2, length)
    random = np.random.default_rng(length)
    f, g = (random.normal(size=(3, 2, *taps)).astype(dtype) for taps in ((3,), (3, 3)))
    p = random.normal(size=(len(x), 2, 3, length)).astype(dtype)
    p[np.arange(len(x)), :, random.integers(0, 3, len(x))] = x
    assert_same(blocks, "Windows", graph_of(BLOCKS, "Windows"), {"x": x, "f": f, "p": p, "g": g})


@pytest.mark.parametrize("length", [*LENGTHS, 47, 48, 49, 95, 97])
def test_attention(blocks: Compiled, length: int) -> None:
    """Also in blocks: with queries that see nothing, and with large scores, of which some are equal."""
    graph, dtype = graph_of(BLOCKS, "Attended"), blocks.dtype
    random = np.random.default_rng(length)
    q, k, v = random.normal(size=(3, 3, length, 4)).astype(dtype)
    q[1], k[1] = 100 * np.sign(q[1]), 100 * np.sign(k[1])
    m = random.random((3, length, length)) < 0.5
    m[:2] |= np.eye(length, dtype=bool)
    m[2, random.integers(0, length, 2)] = False
    given = {"q": q, "k": k, "v": v, "m": m}
    assert_same(blocks, "Attended", graph, given)
    weights = {f"d_{name}": weight for name, weight in random_weights(graph, given, dtype).items()}
    k[0, random.integers(0, length)] = np.nan  # what follows is nan, what comes before never looked
    found, wanted = blocks.models["Attended"]().forward(given), interpreted(graph, {**given, **weights}).outputs
    for name in ("causal", "banded", "masked"):
        close(found[name], wanted[name], dtype, name)
