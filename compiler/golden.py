"""Golden texts: what a spec compiles to, kept in a `.golden` file beside it and compared on demand.

The text holds the stages `graph`, `grad`, `loops` and `python`, each under a line with its name. A change of the
compiler that changes what it says then shows as a difference that a person reads, and accepts with
`dlc golden --update`.
"""

from __future__ import annotations

import difflib
from pathlib import Path

from dlc.compiler import driver, files

STAGES = ("graph", "grad", "loops", "python")
SUFFIX = ".golden"


def golden_path(spec: Path) -> Path:
    """The golden file of the spec in the file `spec`."""
    return spec.with_suffix(SUFFIX)


def golden_text(spec: Path) -> str:
    """What the compiler says of the spec now."""
    sections = (f"=== {stage} ===\n{driver.print_stages(spec, stage).rstrip()}\n" for stage in STAGES)
    return "\n".join(sections)


def difference(spec: str) -> str:
    """The unified diff from the golden text to the present one, empty when they are equal.

    A missing golden file counts as an empty one.
    """
    path = files.find_argument(spec)
    golden = golden_path(path)
    expected = files.read_spec(golden).text if golden.exists() else ""
    lines = difflib.unified_diff(
        expected.splitlines(keepends=True), golden_text(path).splitlines(keepends=True), str(golden), "now"
    )
    return "".join(lines)


def update(spec: str) -> str:
    """Write the golden file where it differs; a line that says so, or nothing."""
    path = files.find_argument(spec)
    golden = golden_path(path)
    text = golden_text(path)
    if golden.exists() and files.read_spec(golden).text == text:
        return ""
    files.write_text(golden, text)
    return f"wrote {golden}\n"
