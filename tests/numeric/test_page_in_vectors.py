"""Every line of docs/numerics.md in kernels over many elements: loops of 1 to 33 rounds, so that vectors and what is
left over both meet every case.

A line about numbers is computed for many at once, all cases of an expression in turn; one about vectors for many rows.
Rows of other lengths than the page has, with what is special at each of their places, and the kernels of `ROWS`, which
work on rows in blocks or in one go, are compared with the interpreter of the same graphs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import pytest
from numeric import numerics_page as page
from numeric.harness import entries_of, graph_of, interpreted
from numeric.test_numerics import agree
from numeric.test_remainders import rows

import dlc

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")
LENGTHS = range(1, 34)
Array = np.ndarray[Any, Any]


class Compiled(NamedTuple):
    models: dict[str, Any]
    dtype: str


def batched() -> dict[str, list[page.Line]]:
    """The lines of each expression; whole matrices stay as they are and have no kernel of ours."""
    lines: dict[str, list[page.Line]] = {}
    for line in page.lines():
        if line.given and "I'" not in line.text:
            lines.setdefault(line.name, []).append(line)
    return lines


LINES = batched()


def expressions(names: list[str], title: str) -> str:
    """A layer with the expressions of some lines over one more axis."""
    inputs, outputs, body = [], [], []
    for name in names:
        line = LINES[name][0]
        for letter, axes in page.declared(line):
            sort = axes.removeprefix("[I]")
            inputs.append(f"{letter}_{name}[L_{name}{f',I_{name}' * (sort != axes)}]{sort}")
        is_vector = isinstance(line.value, list)
        outputs.append(f"{name}[L_{name}{f',I_{name}' * is_vector}]")
        text = re.sub(r"\b([xyznk])_(e\d+)\b", r"\g<0>[l_\2]", page.renamed(line.text, name))
        text = re.sub(r"\b([abmq])_(e\d+)\[", r"\1_\2[l_\2,", text)
        body.append(f"    {name}[l_{name}{f',i_{name}' * is_vector}] = {text}")
    return "\n".join((f"layer {title}({', '.join(inputs)}) -> {', '.join(outputs)}:", *body, ""))


NUMBERS = [name for name in LINES if not {*LINES[name][0].given} & {*"abmq"}]
VECTORS = [name for name in LINES if name not in NUMBERS]
#: What the compiler does with rows, windows and blocks of them.
KERNELS = """
use nn.activations: LogSoftmax, MaskedSoftmax
use nn.attention: CausalAttention, MaskedAttention
use nn.losses: CrossEntropy

layer Rows(x[B,N], z[B] in N, m[B,N] : bool) -> normed[B,N], logs[B,N], masked[B,N], entropy[B], falling[B,N]:
    mu[b] = mean[n] x[b,n]
    normed[b,n] = (x[b,n] - mu[b]) / sqrt(1e-5 + mean[n'] (x[b,n'] - mu[b])^2)
    logs[b,N] = LogSoftmax(x[b,N])
    masked[b,N] = MaskedSoftmax(x[b,N], m[b,N])
    entropy[b] = CrossEntropy(x[b,N], z[b])
    falling[b,n] = max[n' : n' <= n] x[b,n']

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
TEXT = "\n".join((expressions(NUMBERS, "Numbers"), expressions(VECTORS, "Vectors")))


@pytest.fixture(scope="module", params=["float32", pytest.param("float64", marks=pytest.mark.slow)])
def compiled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compiled]:
    folder = tmp_path_factory.mktemp("vectors")
    (folder / "vectors.dl").write_text(TEXT, encoding="utf-8")
    (folder / "kernels.dl").write_text(KERNELS, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DLC_CACHE_DIR", str(folder))
        modules = (dlc.compile(folder / f"{name}.dl", dtype=request.param) for name in ("vectors", "kernels"))
        yield Compiled({name: getattr(module, name) for module in modules for name in module.__all__}, request.param)


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
                wrong += checked(compiled.models[title](), cases, compiled.dtype)
    assert not wrong, "\n".join(wrong[:20])


def by_shape(lines: list[page.Line]) -> list[list[page.Line]]:
    """Rows of one matrix are of one length."""
    groups: dict[str, list[page.Line]] = {}
    for line in lines:
        groups.setdefault(str([np.shape(value) for value in line.given.values()]), []).append(line)
    return list(groups.values())


def checked(layer: Any, cases: Mapping[str, list[page.Line]], dtype: str) -> Iterator[str]:
    given, weights = {}, {}
    for name, lines in cases.items():
        for letter, sort in page.declared(lines[0]):
            given[f"{letter}_{name}"] = np.array([line.given[letter] for line in lines], type_of(sort, dtype))
        if lines[0].slopes:
            weights[name] = np.ones(np.shape([line.value for line in lines]), dtype)
            weights[name][..., 1:] = 0 if weights[name].ndim == 2 else 1  # the slopes are those of a vector's first
    values, slopes = layer.vjp(weights, **given)
    for name, lines in cases.items():
        yield from differences("value", values[name], [line.value for line in lines], lines, dtype)
        real = [letter for letter in lines[0].given if type_of(page.INPUTS[letter], dtype) == dtype]
        for place, letter in enumerate(real if lines[0].slopes else ()):
            wanted = [line.slopes[place] for line in lines]
            yield from differences(f"slope by {letter}", slopes[f"{letter}_{name}"], wanted, lines, dtype)


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


def assert_same(module: Any, graph: Any, given: Mapping[str, Array], weights: Mapping[str, Array], dtype: str) -> None:
    """Values and gradients are the interpreter's: infinities and nan exactly, numbers nearly."""
    found, gradients = module().vjp(weights, **given)
    wanted = interpreted(graph, {**given, **{f"d_{name}": weight for name, weight in weights.items()}})
    for name, value in wanted.outputs.items():
        close(found[name], value, dtype, name)
    for name, value in wanted.gradients.items():
        close(gradients[name], value, dtype, f"gradient of {name}")


def close(found: Array, wanted: Array, dtype: str, name: str) -> None:
    tolerance = 2e-4 if dtype == "float32" else 1e-10
    scale = max(1.0, float(np.max(np.abs(wanted), initial=0.0, where=np.isfinite(wanted))))
    np.testing.assert_allclose(found, wanted, tolerance, tolerance * scale, err_msg=name)


def random_weights(graph: Any, outputs: Mapping[str, tuple[int, ...]], dtype: str) -> dict[str, Array]:
    random = np.random.default_rng(7)
    wanted = {tensor.id.removeprefix("d_") for tensor in entries_of(graph)["vjp"].of_kind("cotangent")}
    return {name: random.normal(size=shape).astype(dtype) for name, shape in outputs.items() if name in wanted}


@pytest.mark.parametrize("length", LENGTHS)
def test_rows_of_the_page(compiled: Compiled, length: int) -> None:
    """Reductions and softmaxes of rows of that length."""
    graph = graph_of(TEXT, "Vectors")
    x = rows(length, compiled.dtype, (-1e4, 0.0))
    random = np.random.default_rng(length)
    m = random.random(x.shape) < 0.5
    m[-1], m[1] = False, True
    given = {}
    for name in VECTORS:
        text = LINES[name][0].text
        kinds = {"a": abs(x) if "log(a" in text else x, "b": x[::-1], "m": m, "q": random.integers(-3, 4, x.shape)}
        given |= {f"{letter}_{name}": kinds[letter] for letter, _ in page.declared(LINES[name][0])}
    shapes = {name: x.shape if isinstance(LINES[name][0].value, list) else x.shape[:1] for name in VECTORS}
    weights = random_weights(graph, shapes, compiled.dtype)
    assert_same(compiled.models["Vectors"], graph, given, weights, compiled.dtype)


@pytest.mark.parametrize("length", LENGTHS)
def test_row_kernels(compiled: Compiled, length: int) -> None:
    graph = graph_of(KERNELS, "Rows")
    x = rows(length, compiled.dtype, (-1e4, 1e4))
    random = np.random.default_rng(length)
    m = random.random(x.shape) < 0.5
    m[-1], m[1] = False, True
    shapes = {**dict.fromkeys(("normed", "logs", "masked", "falling"), x.shape), "entropy": x.shape[:1]}
    given = {"x": x, "z": random.integers(0, length, len(x)), "m": m}
    assert_same(compiled.models["Rows"], graph, given, random_weights(graph, shapes, compiled.dtype), compiled.dtype)


@pytest.mark.parametrize("length", LENGTHS)
def test_windows(compiled: Compiled, length: int) -> None:
    graph, dtype = graph_of(KERNELS, "Windows"), compiled.dtype
    x = rows(length, dtype)[length % 3 :: 3]
    x = x[: len(x) // 2 * 2].reshape(-1, 2, length)
    random = np.random.default_rng(length)
    f, g = (random.normal(size=(3, 2, *taps)).astype(dtype) for taps in ((3,), (3, 3)))
    p = random.normal(size=(len(x), 2, 3, length)).astype(dtype)
    p[np.arange(len(x)), :, random.integers(0, 3, len(x))] = x
    wide, half, high = (len(x), 2, length), (len(x), 2, (length + 1) // 2), (len(x), 2, 3, length)
    shapes = {"best": wide, "least": half, "means": wide, "mixed": (len(x), 3, length), "strided": (len(x), 3, half[2])}
    shapes |= {"plane": (len(x), 3, 3, length), "peaks": (*high[:3], half[2])}
    weights = random_weights(graph, shapes, dtype)
    assert_same(compiled.models["Windows"], graph, {"x": x, "f": f, "p": p, "g": g}, weights, dtype)


@pytest.mark.parametrize("length", [*LENGTHS, 47, 48, 49, 95, 97])
def test_attention(compiled: Compiled, length: int) -> None:
    """Also in blocks: with queries that see nothing, and with large scores, of which some are equal."""
    graph, dtype = graph_of(KERNELS, "Attended"), compiled.dtype
    random = np.random.default_rng(length)
    q, k, v = random.normal(size=(3, 3, length, 4)).astype(dtype)
    q[1], k[1] = 100 * np.sign(q[1]), 100 * np.sign(k[1])
    m = random.random((3, length, length)) < 0.5
    m[:2] |= np.eye(length, dtype=bool)
    m[2, random.integers(0, length, 2)] = False
    weights = random_weights(graph, dict.fromkeys(("causal", "masked", "added", "banded"), q.shape), dtype)
    assert_same(compiled.models["Attended"], graph, {"q": q, "k": k, "v": v, "m": m}, weights, dtype)
    k[0, random.integers(0, length)] = np.nan  # what follows is nan, what comes before never looked
    found = compiled.models["Attended"]().forward(q=q, k=k, v=v, m=m)
    wanted = interpreted(graph, {"q": q, "k": k, "v": v, "m": m, **{f"d_{n}": w for n, w in weights.items()}}).outputs
    for name in ("causal", "banded", "masked"):
        close(found[name], wanted[name], dtype, name)
