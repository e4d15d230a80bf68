"""What the kernels are made of: ranges of their first index side by side, and products of matrices."""

from __future__ import annotations

from typing import Any

import numba

from dlc.runtime.kernels import FLAGS, address, f32_at, gemm_f32, kernel, set_num_threads

SHARDS = 16
AS_IS, TRANSPOSED = 0, 1


def sharded(kernel: Any, threads: int) -> Any:
    """`run(count, shards, arguments)` calls `kernel(start, stop, shard, *arguments)` for each part of the range."""
    set_num_threads(threads)

    @numba.njit(parallel=threads > 1, **FLAGS)
    def run(count, shards, arguments):
        for shard in numba.prange(shards):
            kernel(count * shard // shards, count * (shard + 1) // shards, shard, *arguments)

    return run


@kernel
def matmul(a_as, b_as, a, b, out, kept):
    """`out` becomes the product of the matrices, each as it is or transposed, added to `kept` times what it was."""
    inner = a.shape[1] if a_as == AS_IS else a.shape[0]
    lda, ldb, ldc = a.strides[0] // a.itemsize, b.strides[0] // b.itemsize, out.strides[0] // out.itemsize
    gemm_f32(
        a_as, b_as, out.shape[0], out.shape[1], inner, 1.0,
        address(f32_at(a.ctypes.data, a.shape[0], lda), 0, 0), lda,
        address(f32_at(b.ctypes.data, b.shape[0], ldb), 0, 0), ldb,
        kept, address(f32_at(out.ctypes.data, out.shape[0], ldc), 0, 0), ldc,
    )  # fmt: skip
