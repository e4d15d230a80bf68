"""What is raised at the boundary of a compiled model: every message speaks of the spec's own names."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class InputError(ValueError):
    """The arguments of a call do not fit the model: a name, a shape, a type or an index is wrong."""


class ParameterError(ValueError):
    """A parameter has no value, or was given one of the wrong shape or type."""


class CheckpointError(ValueError):
    """A file of parameters does not fit the model."""


class StaleModuleError(ImportError):
    """The module was compiled for another processor or with other versions: compile the spec again."""


def listed(names: Iterable[str], last: str = "and") -> str:
    """``a, b and c``."""
    *most, end = names
    return f"{', '.join(most)} {last} {end}" if most else end


def suggestion(name: str, known: Iterable[str]) -> str:
    """`` (did you mean ..?)``, or nothing."""
    close = get_close_matches(name, list(known), n=1)
    return f" (did you mean {close[0]}?)" if close else ""
