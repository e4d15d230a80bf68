"""Programs: regions run one after the other, each over a fixed number of shards side by side.

The driver is data. A program is a list of (region, shards); one function, compiled once per host, calls the regions of
any program by address, so emitted modules compile no parallel code of their own (Numba takes seconds to compile one
with many arrays). The number of shards belongs to the program and not to the machine: whatever the number of threads,
the same shards compute the same sums, and results are equal bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numba
import numpy as np
from llvmlite import ir

from dlc.runtime.kernels.blas import GET_THREADS_SYMBOL, SET_THREADS_SYMBOL
from dlc.runtime.kernels.compilation import FLAGS, intrinsic, own_cache, types
from dlc.runtime.kernels.primitives import call


@intrinsic
def call_region(typing_context, region, table, shard, shards):
    """Call the C function `region(table, shard, shards)` at an address."""

    def codegen(context, builder, sig, args):
        function_type = ir.FunctionType(ir.VoidType(), [ir.IntType(64)] * 3)
        builder.call(builder.inttoptr(args[0], function_type.as_pointer()), args[1:])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64, types.int64), codegen


@intrinsic
def blas_threads(typing_context):
    """How many threads BLAS uses."""

    def codegen(context, builder, sig, args):
        return call(builder, GET_THREADS_SYMBOL, ir.IntType(32), [])

    return types.int32(), codegen


@intrinsic
def set_blas_threads(typing_context, threads):
    """Let BLAS use that many threads."""

    def codegen(context, builder, sig, args):
        call(builder, SET_THREADS_SYMBOL, ir.VoidType(), args)
        return context.get_dummy_value()

    return types.void(types.int32), codegen


@intrinsic
def threads_in_use(typing_context):
    """numba.get_num_threads(), by the symbol that Numba's own parallel loops call: its Python form cannot be cached."""

    def codegen(context, builder, sig, args):
        return call(builder, "get_num_threads", ir.IntType(64), [])

    return types.int64(), codegen


with own_cache():

    @numba.njit("void(int64[:,::1], int64[::1])", parallel=True, cache=True, **FLAGS)
    def _run(steps, entries):
        """Run the rows (region, shards) of `steps` in order, with BLAS at one thread."""
        table = entries.ctypes.data
        before = blas_threads()
        if before != 1:
            set_blas_threads(1)
        alone = threads_in_use() == 1
        for step in range(steps.shape[0]):
            region, shards = steps[step, 0], steps[step, 1]
            if alone or shards == 1:
                for shard in range(shards):
                    call_region(region, table, shard, shards)
            else:
                for shard in numba.prange(shards):
                    call_region(region, table, shard, shards)
        if before != 1:
            set_blas_threads(before)


class Program:
    """Regions in their order, each with its number of shards; called with the table its regions read.

    The table is a contiguous int64 vector of addresses and sizes. The caller keeps the arrays behind the addresses
    alive and has checked their sizes: regions check nothing.
    """

    def __init__(self, steps: Iterable[tuple[Any, int]]) -> None:
        self._regions = tuple(steps)
        rows = []
        for region, shards in self._regions:
            if shards < 1:
                raise ValueError(f"{region.__name__} is to run in {shards} shards: at least 1 is needed")
            rows.append((region.address, shards))
        self._steps = np.array(rows, dtype=np.int64).reshape(len(rows), 2)

    def __call__(self, table: np.ndarray) -> None:
        _run(self._steps, table)


def set_num_threads(threads: int) -> None:
    """Let parallel regions use that many threads, from 1 to the number Numba started with."""
    if not 1 <= threads <= numba.config.NUMBA_NUM_THREADS:  # type: ignore[attr-defined]
        limit = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
        raise ValueError(f"{threads} threads asked for: from 1 to {limit} are possible (NUMBA_NUM_THREADS)")
    numba.set_num_threads(threads)


def get_num_threads() -> int:
    """How many threads parallel regions use."""
    return numba.get_num_threads()
