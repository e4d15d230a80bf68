"""A kernel is optimised and no more; the region that calls it has its machine code."""

from __future__ import annotations

import ctypes
import re
from typing import Any

import numba
import numpy as np
import pytest
from llvmlite.binding import ModulePassManager
from numba.core.registry import cpu_target

from dlc.runtime.kernels import FLAGS, f32, f64, kernel, region, size
from dlc.runtime.kernels.compilation import REGION_SIGNATURE, types
from dlc.runtime.kernels.libraries import CodeCompiler, RegionCompiler
from dlc.runtime.kernels.loading import c_function
from dlc.runtime.kernels.parts import part


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
    assert [name for name in added if name != "nrt"] == ["doubled_twice"]  # Numba's own, where nothing was compiled yet
    x, y = np.arange(5.0), np.zeros(5)
    table = np.array([5, x.ctypes.data, y.ctypes.data], dtype=np.int64)
    function(table.ctypes.data, 0, 1)
    np.testing.assert_array_equal(y, 4 * x)


def test_a_kernel_is_optimised_for_the_vectors_of_the_host() -> None:
    def calling(table, shard, shards):
        n = size(table, 0)
        doubled(n, f64(table, 1, n), f64(table, 2, n))

    c_function(REGION_SIGNATURE, calling, False, RegionCompiler, **FLAGS)  # a region from the cache compiles no kernel
    (compiled,) = doubled.overloads.values()
    assert "x double>" in compiled.library.get_llvm_str()


@part
def tripled(x) -> int:
    return 3 * x


@part
def nine_times(x) -> int:
    return tripled(tripled(x))


def test_parts_are_optimised_with_their_function_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    run, optimised = ModulePassManager.run, []

    def noting(manager: Any, module: Any, *more: Any) -> Any:
        optimised.append(module.name)
        return run(manager, module, *more)

    monkeypatch.setattr(ModulePassManager, "run", noting)

    def eighteen_times(x):
        return 2 * nine_times(x)

    compiled = c_function(types.int64(types.int64), eighteen_times, False, CodeCompiler, **FLAGS)
    assert {name.rpartition(".")[2] for name in optimised} == {"eighteen_times"}
    calls = [line for line in compiled._library.get_llvm_str().splitlines() if " call " in line]
    assert not [line for line in calls if "tripled" in line or "nine_times" in line]
    assert ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(compiled.address)(5) == 90


@pytest.mark.parametrize("count", [13, 16, 17])
def test_short_rows_are_read_in_vectors(count: int) -> None:
    """And not element by element, for several rows at once."""

    @kernel
    def lengths(n, x, y):
        for i in range(n):
            total = x[i, 0] * x[i, 0]
            for j in range(1, count):
                total += x[i, j] * x[i, j]
            y[i] = total

    def region(table, shard, shards):
        n = size(table, 0)
        lengths(n, f32(table, 1, n, count), f32(table, 2, n))

    made: Any = numba.cfunc(REGION_SIGNATURE, **FLAGS)(region)
    code = made._library.get_llvm_str()
    assert "masked.gather" not in code
    assert len(re.findall(r"load float\b", code)) <= 8
