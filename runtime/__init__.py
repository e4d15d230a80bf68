"""The runtime: what a compiled module needs while it runs, and nothing of the compiler.

The folder `runtime/` is imported as `dlc.runtime`: models and their parameters, initialisers, optimizers, the training
loop, and the loader of compiled files.
"""

if __name__ != "dlc.runtime":
    raise ImportError(
        "this folder is the package dlc.runtime: install the project (pip install -e .) and import dlc.runtime"
    )

from dlc.runtime.errors import CheckpointError, InputError, ParameterError, StaleModuleError
from dlc.runtime.threads import get_num_threads, set_num_threads

__all__ = [
    "CheckpointError",
    "InputError",
    "ParameterError",
    "StaleModuleError",
    "get_num_threads",
    "set_num_threads",
]
