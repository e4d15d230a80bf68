"""Python's garbage collector, which rests while something is compiled.

Compiling makes objects by the hundred thousand that stay until it is done. The collector walks over all of them again
and again, and finds nothing: it took a tenth of the time.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def resting() -> Iterator[None]:
    """The collector does not run meanwhile, unless another thread wakes it."""
    was_awake = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_awake:
            gc.enable()
