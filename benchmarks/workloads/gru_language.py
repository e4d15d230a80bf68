"""A training step of a language model with a gated recurrent unit and the softmax of its vocabulary."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.formulas import GRU_GATES, cell_shapes, gates, jax_cross_entropy, jax_gru, torch_gru
from benchmarks.workload import Array, Named, Workload, texts, weights

PREFIX = "gru.cell."
OTHERS = ("words.w", "out.w", "out.b")


def numbers(length: int, batch: int, width: int, vocabulary: int) -> dict[str, Array]:
    shapes = dict(zip(OTHERS, ((vocabulary, width), (vocabulary, width), (vocabulary,)), strict=True))
    parameters = weights({**shapes, **cell_shapes(PREFIX, GRU_GATES, width, width)})
    return {**texts(("z", "target"), (length, batch), vocabulary), **parameters}


def layout(parameters: dict[str, Array]) -> dict[str, Array]:
    return {**{name: parameters[name] for name in OTHERS}, **gates(parameters, PREFIX, GRU_GATES)}


def torch_loss(torch: Any, n: Named, s: Any) -> Any:
    f = torch.nn.functional
    h = torch_gru(torch, f.embedding(n.z, n["words.w"]), [(n.wx, n.wh, n.b)])
    return f.cross_entropy(f.linear(h, n["out.w"], n["out.b"]).flatten(0, 1), n.target.flatten())


def jax_loss(jax: Any, n: Named, s: Any) -> Any:
    h = jax_gru(jax, n["words.w"][n.z], [(n.wx, n.wh, n.b)])
    return jax_cross_entropy(jax, h @ n["out.w"].T + n["out.b"], n.target)


WORKLOAD = Workload(
    name="gru_language",
    title="Training step of a language model: gated recurrent unit",
    group="step",
    spec=str(Path(__file__).with_suffix(".dl")),
    definition="Language",
    sizes={"": {"length": 35, "batch": 20, "width": 200, "vocabulary": 10_000}},
    fixed={"D": "width", "V": "vocabulary"},
    numbers=numbers,
    wrt=[*OTHERS, *cell_shapes(PREFIX, GRU_GATES, 1, 1)],
    layout=layout,
    torch=torch_loss,
    jax=jax_loss,
)
