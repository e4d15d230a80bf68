"""Emission: a program of loops becomes the text of one readable Python module, and of its stub.

``emit(programs, real, ..)`` gives both.  The steps, each a file: ``names`` (identifiers), ``writer`` (lines),
``expressions`` and ``powers`` (scalars), ``kernels`` and ``regions`` (functions), ``declarations`` (what the runtime
must know), ``stub``.
"""

from __future__ import annotations

from dlc.compiler.emit.module import emit

__all__ = ["emit"]
