"""The front door: `import dlc` gives what a user needs, and loads it on first use.

Importing this package loads neither Numba nor the parser, so that `dlc --version` and a completion script stay quick.
Nothing is defined here but the version: every name is one row of `_EXPORTS`, fetched when it is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dlc.compiler.diagnostics import CompileError
    from dlc.compiler.driver import load as compile
    from dlc.compiler.driver import verify
    from dlc.runtime import get_num_threads, set_num_threads

__version__ = "0.1.0"

# name -> (module, name there)
_EXPORTS = {
    "compile": ("dlc.compiler.driver", "load"),
    "verify": ("dlc.compiler.driver", "verify"),
    "CompileError": ("dlc.compiler.diagnostics", "CompileError"),
    "get_num_threads": ("dlc.runtime", "get_num_threads"),
    "set_num_threads": ("dlc.runtime", "set_num_threads"),
}

__all__ = ["__version__", "compile", "verify", "CompileError", "get_num_threads", "set_num_threads"]


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _EXPORTS[name]
    value = getattr(import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_EXPORTS})
