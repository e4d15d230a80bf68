"""Kernels that every compiled module shares: elementary functions and matrix products, compiled once for a host.

Emitted modules import everything from here. Matrix products and linear systems are loaded when they are first asked
for: they are large, and a module needs one of them at most.
"""

from typing import TYPE_CHECKING, Any

from dlc.runtime.kernels.compilation import (
    EXACT_FLAGS,
    FLAGS,
    kernel,
    masked_rest,
    noalias,
    region,
    rows_apart,
    short_row,
    vector_bits,
    wide,
)
from dlc.runtime.kernels.error_function import erf
from dlc.runtime.kernels.exponential import exp, expm1, log, log1p
from dlc.runtime.kernels.frames import Program
from dlc.runtime.kernels.hyperbolic import cosh, sigmoid, sinh, softplus, tanh
from dlc.runtime.kernels.integers import quotient
from dlc.runtime.kernels.parallel import get_num_threads, set_num_threads
from dlc.runtime.kernels.primitives import (
    absolute,
    ceil,
    copysign,
    difference,
    floor,
    fma,
    integer,
    like,
    maximum,
    minimum,
    power,
    relu,
    rint,
    rounded,
    sign,
    sqrt,
)
from dlc.runtime.kernels.random import (
    random_integer,
    random_normal_f32,
    random_normal_f64,
    random_uniform_f32,
    random_uniform_f64,
)
from dlc.runtime.kernels.trigonometric import cos, sin, tan
from dlc.runtime.kernels.views import View, address, b1, f32, f32_at, f64, f64_at, i32, i64, size, u8

if TYPE_CHECKING:
    contract_f32: Any
    contract_f64: Any
    contract_plus_f32: Any
    contract_plus_f64: Any
    copy_strided: Any
    gemm_band_f32: Any
    gemm_band_f64: Any
    gemm_blas_band_f32: Any
    gemm_blas_band_f64: Any
    gemm_blas_f32: Any
    gemm_blas_f64: Any
    gemm_blas_plus_f32: Any
    gemm_blas_plus_f64: Any
    gemm_f32: Any
    gemm_f64: Any
    gemm_plus_f32: Any
    gemm_plus_f64: Any
    gemm_tile_band_f32: Any
    gemm_tile_band_f64: Any
    gemm_tile_f32: Any
    gemm_tile_f64: Any
    gemm_tile_plus_f32: Any
    gemm_tile_plus_f64: Any
    gesv_f32: Any
    gesv_f64: Any
    rows_if_faster: Any
    rows_of_tiles: Any
    running_max: Any
    running_min: Any
    running_prod: Any
    running_sum: Any
    transpose: Any
    winograd_f32: Any
    winograd_f64: Any
    winograd_plus_f32: Any
    winograd_plus_f64: Any
    winograd_share_f32: Any
    winograd_share_f64: Any
    winograd_taps_f32: Any
    winograd_taps_f64: Any

__all__ = [
    "FLAGS",
    "EXACT_FLAGS",
    "kernel",
    "region",
    "wide",
    "noalias",
    "masked_rest",
    "rows_apart",
    "short_row",
    "vector_bits",
    "View",
    "f32",
    "f64",
    "i32",
    "i64",
    "u8",
    "b1",
    "f32_at",
    "f64_at",
    "size",
    "address",
    "exp",
    "expm1",
    "log",
    "log1p",
    "tanh",
    "sinh",
    "cosh",
    "sigmoid",
    "softplus",
    "relu",
    "erf",
    "sin",
    "cos",
    "tan",
    "sqrt",
    "quotient",
    "floor",
    "ceil",
    "integer",
    "rint",
    "rounded",
    "sign",
    "absolute",
    "copysign",
    "difference",
    "power",
    "fma",
    "like",
    "maximum",
    "minimum",
    "random_uniform_f32",
    "random_uniform_f64",
    "random_normal_f32",
    "random_normal_f64",
    "random_integer",
    "contract_f32",
    "contract_f64",
    "contract_plus_f32",
    "contract_plus_f64",
    "copy_strided",
    "gemm_band_f32",
    "gemm_band_f64",
    "gemm_blas_band_f32",
    "gemm_blas_band_f64",
    "gemm_blas_f32",
    "gemm_blas_f64",
    "gemm_blas_plus_f32",
    "gemm_blas_plus_f64",
    "gemm_f32",
    "gemm_f64",
    "gemm_plus_f32",
    "gemm_plus_f64",
    "gemm_tile_band_f32",
    "gemm_tile_band_f64",
    "gemm_tile_f32",
    "gemm_tile_f64",
    "gemm_tile_plus_f32",
    "gemm_tile_plus_f64",
    "gesv_f32",
    "gesv_f64",
    "rows_if_faster",
    "rows_of_tiles",
    "running_max",
    "running_min",
    "running_prod",
    "running_sum",
    "transpose",
    "winograd_f32",
    "winograd_f64",
    "winograd_plus_f32",
    "winograd_plus_f64",
    "winograd_share_f32",
    "winograd_share_f64",
    "winograd_taps_f32",
    "winograd_taps_f64",
    "Program",
    "set_num_threads",
    "get_num_threads",
]


def __getattr__(name: str) -> Any:
    if name.startswith("gemm_") and name in __all__:
        from dlc.runtime.kernels.gemm import gemm_of

        globals()[name] = found = gemm_of(name)
        return found
    if name.startswith("contract_") and name in __all__:
        from dlc.runtime.kernels.contract import contract_of

        globals()[name] = found = contract_of(name)
        return found
    if name.startswith("winograd_") and name in __all__:
        from dlc.runtime.kernels.winograd import winograd_of

        globals()[name] = found = winograd_of(name)
        return found
    if name in ("rows_if_faster", "rows_of_tiles"):
        from dlc.runtime.kernels import winograd

        globals()[name] = found = getattr(winograd, name)
        return found
    if name.startswith("running_") and name in __all__:
        from dlc.runtime.kernels import scans

        globals()[name] = found = getattr(scans, name)
        return found
    if name == "copy_strided":
        from dlc.runtime.kernels.strided import copy_strided

        globals()[name] = copy_strided
        return copy_strided
    if name == "transpose":
        from dlc.runtime.kernels.transposition import transpose

        globals()[name] = transpose
        return transpose
    if name in ("gesv_f32", "gesv_f64"):
        from dlc.runtime.kernels import lapack

        globals()[name] = found = getattr(lapack, name)
        return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
