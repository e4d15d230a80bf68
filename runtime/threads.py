"""How many threads compiled code uses: one setting of the process."""

from __future__ import annotations

_threads: int | None = None


def set_num_threads(threads: int) -> None:
    """Let compiled models use that many threads, from 1 to the number of processors.

    Results may differ in the last bits between different numbers of threads, because sums are split between them; for
    one number they are equal from run to run.
    """
    from dlc.runtime import kernels

    global _threads
    kernels.set_num_threads(threads)
    _threads = threads


def get_num_threads() -> int:
    """How many threads compiled models use."""
    global _threads
    if _threads is None:
        from dlc.runtime import kernels

        _threads = kernels.get_num_threads()
    return _threads
