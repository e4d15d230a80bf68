"""Kernels compiled for older processors than this one, which runs them: SSE2 alone, and AVX2 with FMA.

Another process is told by Numba's own settings what to compile for, and runs some of the tests of kernels.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import llvmlite.binding as llvm
import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="these are processors of x86"),
]
#: Processor, features, bits of a vector, and whether it multiplies and adds at once.
PROCESSORS = {
    "x86-64": ("sse sse2", 128, False),
    "haswell": ("sse sse2 sse3 ssse3 sse4.1 sse4.2 avx avx2 fma bmi bmi2 popcnt f16c lzcnt movbe", 256, True),
}
TESTS = {
    "tests/runtime/kernels/test_gemm.py": "every_remainder_of_the_tile or nan_and_infinity",
    "tests/runtime/kernels/test_strided.py": "copied or read",
    "tests/runtime/kernels/test_elementary.py": "errors_are_as_promised and float32",
    "tests/runtime/kernels/test_winograd.py": "taps_in_portions",
    "tests/numeric/test_remainders.py": "float32",
}
KINDS = """
from dlc.runtime.kernels.compilation import vector_bits
from dlc.runtime.kernels.vectors import has_fma
print(vector_bits(), has_fma())
"""


@pytest.mark.parametrize("processor", PROCESSORS)
def test_kernels_for_another_processor(processor: str, root: Path, tmp_path: Path) -> None:
    features, bits, fma = PROCESSORS[processor]
    missing = [name for name in features.split() if not llvm.get_host_cpu_features().get(name)]
    if missing:
        pytest.skip(f"this processor has no {', '.join(missing)}")
    environment = {
        **os.environ,
        "NUMBA_CPU_NAME": processor,
        "NUMBA_CPU_FEATURES": ",".join(f"+{name}" for name in features.split()),
        "NUMBA_CACHE_DIR": str(tmp_path / "numba"),
        "DLC_CACHE_DIR": str(tmp_path / "dlc"),
    }
    found = subprocess.run([sys.executable, "-c", KINDS], env=environment, capture_output=True, text=True, cwd=tmp_path)
    assert found.stdout == f"{bits} {fma}\n", found.stderr
    chosen = " or ".join(f"({Path(path).stem} and ({words}))" for path, words in TESTS.items())
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTS, "-k", chosen]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=root)
    assert result.returncode == 0, result.stdout[-4000:]
