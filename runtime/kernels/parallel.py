"""Regions run one after the other, each over a fixed number of shards side by side.

The driver is data: rows (region, shards). One function, compiled once per host, calls the regions of any program by
address, so emitted modules compile no parallel code of their own (Numba takes seconds to compile one with many arrays).
The number of shards belongs to the program and not to the machine: whatever the number of threads, the same shards
compute the same sums, and results are equal bit for bit.
"""

from __future__ import annotations

import llvmlite.binding as llvm
import numba
from llvmlite import ir
from numba.core import cgutils

from dlc.runtime.kernels.blas import GET_THREADS_SYMBOL, SET_THREADS_SYMBOL
from dlc.runtime.kernels.compilation import intrinsic, native, types
from dlc.runtime.kernels.parts import part
from dlc.runtime.kernels.primitives import call
from dlc.runtime.kernels.views import size as word


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


def _share(arguments, counts, strides, given):
    """Run some of the shards: what Numba's threads call, with the arguments of a NumPy ufunc."""
    region, table, shards = word(given, 0), word(given, 1), word(given, 2)
    for number in range(word(counts, 0)):
        call_region(region, table, word(arguments, 0) + number * word(strides, 0), shards)


_SHARE_SYMBOL = "dlc_share"
llvm.add_symbol(_SHARE_SYMBOL, native(types.void(*[types.int64] * 4))(_share).address)


@intrinsic
def run_shards(typing_context, region, table, shards):
    """Run all shards of a region on Numba's threads, which divide "addresses" among them: the numbers of the shards.

    Other threads of Python may run meanwhile.
    """

    def codegen(context, builder, sig, args):
        word_type, pointer = ir.IntType(64), ir.IntType(8).as_pointer()
        region, table, shards = args

        def words(*values):
            place = cgutils.alloca_once(builder, ir.ArrayType(word_type, len(values)))
            for number, value in enumerate(values):
                at = builder.gep(place, [ir.IntType(32)(0), ir.IntType(32)(number)])
                builder.store(word_type(value) if isinstance(value, int) else value, at)
            return builder.bitcast(place, pointer)

        share = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(ir.VoidType(), [word_type] * 4), _SHARE_SYMBOL
        )
        given = [builder.bitcast(share, pointer), words(0), words(shards), words(1), words(region, table, shards)]
        threads = call(builder, "get_num_threads", word_type, [])
        state = call(builder, "PyEval_SaveThread", pointer, [])
        call(builder, "numba_parallel_for", ir.VoidType(), [*given, word_type(0), word_type(1), threads])
        call(builder, "PyEval_RestoreThread", ir.VoidType(), [state])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), codegen


@part
def run_steps(steps, count, table):
    """Run the rows (region, shards) at an address in order, with BLAS at one thread."""
    before = blas_threads()
    if before != 1:
        set_blas_threads(1)
    alone = threads_in_use() == 1
    for step in range(count):
        region, shards = word(steps, 2 * step), word(steps, 2 * step + 1)
        if alone or shards == 1:
            for shard in range(shards):
                call_region(region, table, shard, shards)
        else:
            run_shards(region, table, shards)
    if before != 1:
        set_blas_threads(before)


def set_num_threads(threads: int) -> None:
    """Let parallel regions use that many threads, from 1 to the number Numba started with."""
    if not 1 <= threads <= numba.config.NUMBA_NUM_THREADS:
        limit = numba.config.NUMBA_NUM_THREADS
        raise ValueError(f"{threads} threads asked for: from 1 to {limit} are possible (NUMBA_NUM_THREADS)")
    numba.set_num_threads(threads)


def get_num_threads() -> int:
    """How many threads parallel regions use."""
    return numba.get_num_threads()


# Machine code that comes from the cache relies on the threads, and does not start them.
numba.get_num_threads()
