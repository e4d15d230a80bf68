"""A kernel is optimised and no more; the region that calls it has its machine code."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest
from numba.core.registry import cpu_target

from dlc.runtime.kernels import f64, kernel, region, size


@kernel
def doubled(n, x, y):
    for i in range(n):
        y[i] = 2.0 * x[i]


@region
def doubled_twice(table, shard, shards):
    n = size(table, 0)
    x, y = f64(table, 1, n), f64(table, 2, n)
    doubled(n, x, y)
    doubled(n, y, y)


def test_machine_code_is_written_for_the_region_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    codegen = cpu_target.target_context.codegen()  # type: ignore[attr-defined]
    add, added = codegen._add_module, []
    monkeypatch.setattr(codegen, "_add_module", lambda module: added.append(module.name) or add(module))
    function = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)(doubled_twice.address)
    assert added == ["doubled_twice"]
    x, y = np.arange(5.0), np.zeros(5)
    table = np.array([5, x.ctypes.data, y.ctypes.data], dtype=np.int64)
    function(table.ctypes.data, 0, 1)
    np.testing.assert_array_equal(y, 4 * x)


def test_a_kernel_is_optimised_for_the_vectors_of_the_host() -> None:
    assert doubled_twice.address
    (compiled,) = doubled.overloads.values()
    assert "x double>" in compiled.library.get_llvm_str()
