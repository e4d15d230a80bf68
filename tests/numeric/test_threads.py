"""Results are equal bit for bit with any number of threads, and from several threads of Python at once."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from numeric import thread_runs

import dlc
from dlc.compiler import library
from dlc.runtime import get_num_threads, set_num_threads

#: A convolution through tables, with a border; attention in blocks, of which the last is smaller; rows; steps; rows in
#: tiles.
SPEC = """
use nn.attention: CausalAttention
use nn.losses: CrossEntropy

layer Images(x[B,C,H,W], f[O,C,J,J']) -> y[B,O,H,W], small[B,O,G,L]:
    index J = 3, G = (|H| + 1)//2, L = (|W| + 1)//2
    y[b,o,h,w] = f[o,c,j,j']*x[b,c,pad(h + j - 1),pad(w + j' - 1)]
    small[b,o,g,l] = max[j,j'] x[b,0,clamp(2*g + j),clamp(2*l + j')]*f[o,0,j,j']

layer Attended(q[B,T,D], k[B,T,D], v[B,T,D]) -> y[B,T,D]:
    y[b,T,D] = CausalAttention(q[b,T,D], k[b,T,D], v[b,T,D])

layer Classes(x[B,Y], z[B] in Y) -> loss:
    loss = mean[b] CrossEntropy(x[b,Y], z[b])

layer Steps(x[B,T,I], w[J,I], u[J,J']) -> h[B,N,J]:
    index N = |T| + 1
    h[b,0,j] = 0
    h[b,t+1,j] = tanh(w[j,i]*x[b,t,i] + u[j,j']*h[b,t,j'])

layer Near(x[N,D], z[M,D]) -> y[N]:
    y[n] = sum[m] exp(-sum[d] (x[n,d] - z[m,d])^2)
"""
SIZES = {
    "Images": ({"B": 5, "C": 4, "H": 9, "W": 18, "O": 7}, {"B": 1, "C": 3, "H": 33, "W": 5, "O": 6}),
    "Attended": ({"B": 2, "T": 100, "D": 8}, {"B": 7, "T": 49, "D": 3}),
    "Classes": ({"B": 1001, "Y": 10}, {"B": 3, "Y": 300}),
    "Steps": ({"B": 9, "T": 12, "I": 5, "J": 17}, {"B": 2, "T": 3, "I": 20, "J": 6}),
    "Near": ({"N": 21, "M": 37, "D": 19}, {"N": 2, "M": 5, "D": 3}),
}


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """All of its work is divided in three; there are as many threads as before, afterwards."""
    (tmp_path / "threads.dl").write_text(SPEC, encoding="utf-8")
    monkeypatch.setenv("DLC_CACHE_DIR", str(tmp_path))
    thread_runs.divide(3, monkeypatch.setattr)
    before = get_num_threads()
    yield dlc.compile(tmp_path / "threads.dl", dtype="float32")
    set_num_threads(before)


def test_kernels_of_every_kind(module: Any) -> None:
    """Each model twice for calls at once: one is called with two sizes, and from several threads."""
    works = [thread_runs.work_of(getattr(module, name), sizes) for name in SIZES for sizes in SIZES[name]]
    free = {name: getattr(module, name)() for name in SIZES}
    works += [work._replace(model=free[work.name]) for work in works]
    assert list(thread_runs.differences(works, get_num_threads())) == []


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_the_standard_library(part: int) -> None:
    """With three threads, more than this machine may have."""
    specs = [f"{path.parent.name}.{path.stem}" for path in sorted(library.standard_library().rglob("*.golden"))]
    command = [sys.executable, str(Path(thread_runs.__file__)), "3", *specs[part::4]]
    environment = {**os.environ, "NUMBA_NUM_THREADS": "3"}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=1800)
    assert (run.stdout.split("\n"), run.returncode) == (["done", ""], 0), run.stdout + run.stderr[-4000:]
