"""What a program costs and how it is computed, told from its loops: operations, bytes, ways to compute, predictions."""

from dlc.compiler.analysis.explanation import (
    Explanation,
    Host,
    Row,
    Setting,
    all_sizes,
    explained,
    with_measured,
)
from dlc.compiler.analysis.presentation import as_json, as_text, duration, quantity

__all__ = [
    "Explanation",
    "Host",
    "Row",
    "Setting",
    "all_sizes",
    "as_json",
    "as_text",
    "duration",
    "explained",
    "quantity",
    "with_measured",
]
