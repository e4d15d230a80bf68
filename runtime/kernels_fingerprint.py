"""A short name for everything that compiled kernels depend on besides the file they were emitted to.

Numba's cache sees edits of the file a function stands in, not of the files that file imports; so compiled code is kept
in a directory named by this fingerprint: the sources of `dlc.runtime.kernels`, the versions of Python, Numba, llvmlite
and SciPy, the host's processor, and the thresholds that were measured for it. Importing this module imports neither
Numba nor NumPy.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

KERNELS = Path(__file__).with_name("kernels")
DISTRIBUTIONS = ("numba", "llvmlite", "scipy")
#: Settings of Numba that change the code it makes.
SETTINGS = (
    "NUMBA_CPU_NAME",
    "NUMBA_CPU_FEATURES",
    "NUMBA_OPT",
    "NUMBA_LOOP_VECTORIZE",
    "NUMBA_SLP_VECTORIZE",
    "NUMBA_BOUNDSCHECK",
    "NUMBA_ENABLE_AVX",
)
#: The lines of /proc/cpuinfo that tell processors apart: x86-64 first, then ARM.
CPUINFO = ("vendor_id", "cpu family", "model", "model name", "flags", "CPU implementer", "CPU part", "Features")


@cache
def fingerprint() -> str:
    """Sixteen hexadecimal digits: equal if and only if code compiled before may be used again on this host."""
    from dlc.runtime.host import DEFAULTS, thresholds

    tuned = thresholds()
    return machine() if tuned == DEFAULTS else hashlib.sha256(f"{machine()} {tuned}".encode()).hexdigest()[:16]


def machine() -> str:
    """The fingerprint of the host and of the kernels, as they are without tuning."""
    digest = hashlib.sha256()
    for part in (*_sources(), *_versions(), *_settings(), *_processor()):
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()[:16]


def _sources() -> list[bytes]:
    return [part for path in sorted(KERNELS.glob("*.py")) for part in (path.name.encode(), path.read_bytes())]


def _versions() -> list[bytes]:
    return [f"python {sys.version}".encode(), *(f"{name} {_version(name)}".encode() for name in DISTRIBUTIONS)]


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "absent"


def _settings() -> list[bytes]:
    return [f"{name}={os.environ.get(name, '')}".encode() for name in SETTINGS]


def _processor() -> list[bytes]:
    described = (platform.system(), platform.machine(), platform.processor())
    identifier = os.environ.get("PROCESSOR_IDENTIFIER", "")  # Windows
    return [text.encode() for text in (*described, identifier, *_cpuinfo(), *_sysctl())]


def _cpuinfo() -> list[str]:
    """What Linux says of its first processor."""
    try:
        first = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split("\n\n", 1)[0]
    except OSError:
        return []
    return [line for line in first.splitlines() if line.partition(":")[0].strip() in CPUINFO]


def _sysctl() -> list[str]:
    """What macOS says of its processor."""
    if sys.platform != "darwin":
        return []
    import ctypes

    library = ctypes.CDLL(None)
    found = []
    for name in ("machdep.cpu.brand_string", "machdep.cpu.features", "machdep.cpu.leaf7_features"):
        size = ctypes.c_size_t(4096)
        buffer = ctypes.create_string_buffer(size.value)
        if library.sysctlbyname(name.encode(), buffer, ctypes.byref(size), None, ctypes.c_size_t(0)) == 0:
            found.append(f"{name}: {buffer.value.decode(errors='replace')}")
    return found
