"""A training step of a language model with a gated recurrent unit and the softmax of its vocabulary."""

from __future__ import annotations

from pathlib import Path

from benchmarks.formulas import GRU_GATES, jax_gru, torch_gru
from benchmarks.language_model import language_model

SPEC = str(Path(__file__).with_suffix(".dl"))
WORKLOAD = language_model("gru_language", SPEC, "gated recurrent unit", "gru.cell.", GRU_GATES, torch_gru, jax_gru)
