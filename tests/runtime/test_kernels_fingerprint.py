"""The fingerprint of compiled kernels, and what it is for: a second process finds everything compiled."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dlc.runtime import kernels_fingerprint
from dlc.runtime.kernels_fingerprint import fingerprint

MODULE = """
from dlc.runtime.kernels import address, cos, exp, f32, kernel, region, sin, size
from dlc.runtime.kernels import gemm_f32 as gemm


@kernel
def waves(n, y):
    for i in range(n):
        for j in range(3):
            y[i, j] = exp(sin(y[i, j]) * cos(y[i, j]))


@region
def forward(table, shard, shards):
    n = size(table, 0)
    x, w, y = f32(table, 1, n, 4), f32(table, 2, 4, 3), f32(table, 3, n, 3)
    gemm(False, False, n, 3, 4, 1.0, address(x, 0, 0), 4, address(w, 0, 0), 3, 0.0, address(y, 0, 0), 3)
    waves(n, y)
"""
USE = """
import numpy as np
from emitted import forward
from dlc.runtime.kernels import Program
x, w, y = np.full((5, 4), 0.5, "f"), np.full((4, 3), 0.25, "f"), np.zeros((5, 3), "f")
Program([(forward, 1)])(np.array([5, x.ctypes.data, w.ctypes.data, y.ctypes.data]))
assert np.allclose(y, np.exp(np.sin(x @ w) * np.cos(x @ w))), y
print(forward._compiled.cache_hits)
"""


@pytest.fixture
def fresh():
    fingerprint.cache_clear()
    yield
    fingerprint.cache_clear()


def test_it_is_short_and_stays() -> None:
    assert fingerprint() == fingerprint()
    assert len(fingerprint()) == 16
    int(fingerprint(), 16)


def test_it_follows_sources_settings_and_versions(fresh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def again() -> str:
        fingerprint.cache_clear()
        return fingerprint()

    found = [again()]
    monkeypatch.setattr(kernels_fingerprint, "KERNELS", tmp_path)
    found.append(again())
    (tmp_path / "one.py").write_text("a = 1\n")
    found.append(again())
    (tmp_path / "one.py").write_text("a = 2\n")
    found.append(again())
    (tmp_path / "one.py").rename(tmp_path / "two.py")
    found.append(again())
    monkeypatch.setenv("NUMBA_CPU_NAME", "generic")
    found.append(again())
    monkeypatch.setattr(kernels_fingerprint, "DISTRIBUTIONS", ("numba", "no-such-distribution"))
    found.append(again())
    assert len(set(found)) == len(found)


def test_importing_it_loads_no_numba() -> None:
    code = "import sys, dlc.runtime.kernels_fingerprint as k; k.fingerprint(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"numba", "llvmlite", "numpy", "scipy"} & set(loaded)


def test_a_second_process_compiles_nothing(tmp_path: Path) -> None:
    (tmp_path / "emitted.py").write_text(MODULE)
    paths = [str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONWARNINGS": "error::UserWarning"}

    def hits() -> str:
        arguments = [sys.executable, "-c", USE]
        result = subprocess.run(arguments, capture_output=True, text=True, env=environment, cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        return result.stdout.strip()

    assert [hits(), hits()] == ["0", "1"]
