"""Whether a compiled module may still be used: it was compiled for certain kernels, libraries and processors."""

from __future__ import annotations

from dlc.runtime.errors import StaleModuleError
from dlc.runtime.kernels_fingerprint import fingerprint


def require_kernels(expected: str, module: str) -> None:
    """Raise StaleModuleError unless this installation is the one that ``module`` was compiled for.

    Numba would load the module's compiled code from its cache without seeing that what it calls has changed.
    """
    if expected != fingerprint():
        raise StaleModuleError(
            f"{module} was compiled by another version of dlc, Python or Numba, for another processor, or before "
            "`dlc tune`: compile its spec again"
        )
