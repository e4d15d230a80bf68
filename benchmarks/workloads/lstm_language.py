"""A training step of a language model with a long short-term memory and the softmax of its vocabulary."""

from __future__ import annotations

from pathlib import Path

from benchmarks.formulas import LSTM_GATES, jax_lstm, torch_lstm
from benchmarks.language_model import language_model

SPEC = str(Path(__file__).with_suffix(".dl"))
WORKLOAD = language_model(
    "lstm_language", SPEC, "long short-term memory", "lstm.cell.", LSTM_GATES, torch_lstm, jax_lstm
)
