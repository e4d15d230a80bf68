"""Brings in every module that has rules for expressions, so that the table of `contexts` is complete.

The package brings in this one.
"""

from dlc.compiler.semantics import calls, expressions, reading, reductions

__all__ = ["calls", "expressions", "reading", "reductions"]
