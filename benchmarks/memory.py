"""How much memory a process uses, and has used at most, in bytes; None where the system does not tell."""

from __future__ import annotations

_STATUS, _CLEAR = "/proc/self/status", "/proc/self/clear_refs"


def resident() -> int | None:
    """Now."""
    return _field("VmRSS:")


def peak() -> int | None:
    """At most, since the start or since `forget_peak`."""
    return _field("VmHWM:")


def forget_peak() -> None:
    """Measure the peak anew from here on, where the system can."""
    try:
        with open(_CLEAR, "w", encoding="ascii") as file:
            file.write("5")
    except OSError:
        pass


def _field(name: str) -> int | None:
    try:
        with open(_STATUS, encoding="ascii") as file:
            return next(1024 * int(line.split()[1]) for line in file if line.startswith(name))
    except (OSError, StopIteration):
        return None
