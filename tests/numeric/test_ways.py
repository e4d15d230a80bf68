"""Every implementation of matrix products and of convolutions, forced in turn, computes what PyTorch computes; `pytest
tests/numeric --gemm blas --conv gemm` runs all numeric tests with one of each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from numeric.harness import EXACT, SINGLE
from numeric.test_compiled import CASES, assert_all_agree

import dlc
from dlc.compiler.diagnostics import CompileError

WAYS = ("tile", "blas", "loops")
CONVOLUTIONS = {"direct": "in place", "winograd": "Winograd's products", "gemm": "packed windows"}
#: A product by itself, one in a recurrence, one under a mask, and those of convolutions.
QUICK = ("Linear", "CausalAttention")
SLOW = ("Conv2d-strided", "LSTM", "MultiHeadAttention", "LeNet")


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DLC_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


def rows() -> Iterator[object]:
    by_name = {case.name: case for case in CASES}
    for name, way in product((*QUICK, *SLOW), WAYS):
        marks = () if name in QUICK else pytest.mark.slow
        yield pytest.param(by_name[name], way, id=f"{name}-{way}", marks=marks)


@pytest.mark.parametrize(("case", "way"), list(rows()))
def test_forced(case, way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DLC_CONV", raising=False)  # convolutions in place are no products
    (tmp_path / "case.dl").write_text(case.text, encoding="utf-8")
    name = case.definition or "Case"
    real, tolerance = ("float32", SINGLE) if case.name in QUICK else ("float64", EXACT)
    module = dlc.compile(tmp_path / "case.dl", dtype=real, wrt="*", model=name, gemm=way)
    assert module.__doc__ is not None and f"matrix products by {'the tile' if way == 'tile' else ''}" in module.__doc__
    text = Path(str(module.__file__)).read_text(encoding="utf-8")
    suffix = {"float32": "f32", "float64": "f64"}[real]
    called = set(re.findall(rf"\bgemm_(?:(tile|blas)_)?(?:plus_|band_)?{suffix}\(", text))
    assert called == ({way} if way != "loops" else set())
    assert_all_agree(case, getattr(module, name), tolerance)


@pytest.mark.parametrize("way", CONVOLUTIONS)
@pytest.mark.parametrize("name", ["Conv2d", pytest.param("LeNet", marks=pytest.mark.slow)])
def test_forced_convolutions(name: str, way: str, tmp_path: Path) -> None:
    case = next(case for case in CASES if case.name == name)
    (tmp_path / "case.dl").write_text(case.text, encoding="utf-8")
    definition = case.definition or "Case"
    module = dlc.compile(tmp_path / "case.dl", dtype="float64", wrt="*", model=definition, conv=way)
    assert module.__doc__ is not None and CONVOLUTIONS[way] in module.__doc__
    assert_all_agree(case, getattr(module, definition), EXACT)


TAPS = {"C": 4, "O": 5, "P": 3, "Q": 3, "H": 7, "W": 6}
TAKEN_APART = {
    "padded": "x[N,C,H,W], k[O,C,P,Q]) -> y[N,O,H,W]:\n    y[n,o,h,w] = k[o,c,p,q]*x[n,c,pad(h+p-1),pad(w+q-1)]",
    "plain": "x[N,C,H,W], k[O,C,P,Q]) -> y[N,O,U,V]:\n    index U = |H| - 2, V = |W| - 2\n"
    "    y[n,o,u,v] = k[o,c,p,q]*x[n,c,u+p,v+q]",
    "relu behind": "x[N,C,H,W], k[O,C,P,Q]) -> y[N,O,H,W]:\n"
    "    y[n,o,h,w] = relu(k[o,c,p,q]*x[n,c,pad(h+p-1),pad(w+q-1)])",
    "dilated": "x[N,C,H,W], k[O,C,P,Q]) -> y[N,O,H,W]:\n"
    "    y[n,o,h,w] = relu(k[o,c,p,q]*x[n,c,pad(h+2*p-2),pad(w+2*q-2)])",
    "taps of each sample": "x[C,H,W], k[N,O,C,P,Q]) -> y[N,O,H,W]:\n"
    "    y[n,o,h,w] = relu(k[n,o,c,p,q]*x[c,pad(h+p-1),pad(w+q-1)])",
}


@pytest.mark.parametrize("name", TAKEN_APART)
def test_products_that_are_taken_apart(name: str, tmp_path: Path) -> None:
    """Whatever the number of samples, which may be fewer than the shards, or none.  Where products are loops, there is
    none that could be."""
    body = TAKEN_APART[name]
    (tmp_path / "conv.dl").write_text(f"layer Conv({body}\n", encoding="utf-8")
    made = {}
    for way in ("winograd", "direct"):
        module = dlc.compile(tmp_path / "conv.dl", dtype="float64", wrt="*", gemm="tile", conv=way, sizes=TAPS)
        text = Path(str(module.__file__)).read_text(encoding="utf-8")
        assert (re.search(r"winograd(_share)?_f64\(", text) is not None) == (way == "winograd")
        made[way] = module.Conv()
    random = np.random.default_rng(5)
    for samples in (5, 1, 3, 0):
        sizes = {**TAPS, "N": samples}
        shapes = {name: re.findall(r"\w+", axes) for name, axes in re.findall(r"(\w)\[([A-Z,]+)\]", body)[:2]}
        inputs = {name: random.normal(size=[sizes[axis] for axis in axes]) for name, axes in shapes.items()}
        y = made["direct"].forward(inputs)["y"]
        weight = {"y": random.normal(size=y.shape)}
        (found, by), (wanted, exact) = (made[way].vjp(weight, **inputs) for way in ("winograd", "direct"))
        np.testing.assert_allclose(found["y"], wanted["y"], rtol=0, atol=1e-12)
        for one in inputs:
            np.testing.assert_allclose(by[one], exact[one], rtol=0, atol=1e-12)


DENSE = """
layer Dense(x[B,J]; w[I,J] ~ xavier_uniform, c[I] = 0) -> y[B,I]:
    y[b,i] = relu(w[i,j]*x[b,j] + c[i])
"""


@pytest.mark.parametrize("way", WAYS)
def test_every_size(way: str, tmp_path: Path) -> None:
    """Also none at all, which a library may refuse."""
    (tmp_path / "dense.dl").write_text(DENSE, encoding="utf-8")
    dense = dlc.compile(tmp_path / "dense.dl", dtype="float64", gemm=way).Dense
    random = np.random.default_rng(0)
    for b, j, i in product((0, 1, 2, 7, 33), (1, 3, 16, 40), (1, 5, 8, 31)):
        layer = dense(sizes={"I": i, "J": j})
        x = random.normal(size=(b, j))
        y = layer.forward(x=x)["y"]
        np.testing.assert_allclose(y, np.maximum(x @ layer.params["w"].T + layer.params["c"], 0), 1e-12, 1e-12)


def test_the_environment_forces_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dense.dl").write_text(DENSE, encoding="utf-8")
    monkeypatch.setenv("DLC_GEMM", "blas")
    assert "by BLAS" in str(dlc.compile(tmp_path / "dense.dl").__doc__)
    assert "by the tile" in str(dlc.compile(tmp_path / "dense.dl", gemm="tile").__doc__)
    monkeypatch.setenv("DLC_CONV", "direct")
    assert "in place" in str(dlc.compile(tmp_path / "dense.dl").__doc__)
    for variable in ("DLC_GEMM", "DLC_CONV"):
        monkeypatch.setenv(variable, "mkl")
        with pytest.raises(CompileError, match="DL932"):
            dlc.compile(tmp_path / "dense.dl")
        monkeypatch.delenv(variable)


def test_an_implementation_that_there_is_not(tmp_path: Path) -> None:
    (tmp_path / "dense.dl").write_text(DENSE, encoding="utf-8")
    with pytest.raises(CompileError, match="did you mean `blas`"):
        dlc.compile(tmp_path / "dense.dl", gemm="bals")
    with pytest.raises(CompileError, match="did you mean `winograd`"):
        dlc.compile(tmp_path / "dense.dl", conv="vinograd")


FEW_PIXELS = """use nn.conv: Conv2d

layer Case(x[N,C,H,W], k[O,C,P,Q], b[O];; padding = 0) -> y[N,O,U,V]:
    y[n,O,U,V] = Conv2d(x[n,C,H,W]; k, b; padding=padding)
"""


@pytest.mark.parametrize(("maps", "padding"), [(3, 0), (16, 3)])
def test_convolutions_of_few_pixels(maps: int, padding: int, tmp_path: Path) -> None:
    """Of products with zeros many are left out, in panels of pixels and in tiles of them."""
    (tmp_path / "case.dl").write_text(FEW_PIXELS, encoding="utf-8")
    sizes = {"C": 6, "H": 7, "W": 10, "O": maps, "P": 5, "Q": 5}
    module = dlc.compile(tmp_path / "case.dl", dtype="float64", wrt="*", sizes=sizes, hyper={"padding": padding})
    rng = np.random.default_rng(maps)
    x, k, b = (rng.standard_normal(shape) for shape in ((5, 6, 7, 10), (maps, 6, 5, 5), (maps,)))
    around = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    y = np.einsum("ocpq,ncuvpq->nouv", k, np.lib.stride_tricks.sliding_window_view(around, (5, 5), (2, 3)))
    d_y = rng.standard_normal(y.shape)
    d_around, d_k = np.zeros_like(around), np.zeros_like(k)
    for p, q in product(range(5), range(5)):
        part = np.s_[:, :, p : p + y.shape[2], q : q + y.shape[3]]
        d_around[part] += np.einsum("oc,nouv->ncuv", k[:, :, p, q], d_y)
        d_k[:, :, p, q] = np.einsum("ncuv,nouv->oc", around[part], d_y)
    outputs, gradients = module.Case().vjp(d_y, x=x, k=k, b=b)
    np.testing.assert_allclose(outputs["y"], y + b[:, None, None], atol=1e-11)
    np.testing.assert_allclose(
        gradients["x"], d_around[:, :, padding : padding + 7, padding : padding + 10], atol=1e-11
    )
    np.testing.assert_allclose(gradients["k"], d_k, atol=1e-11)
