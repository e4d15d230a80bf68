"""A training step of a recurrent language model: embedding, one recurrent layer, softmax over the vocabulary."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.formulas import cell_shapes, gates, jax_cross_entropy
from benchmarks.workload import Array, Named, Workload, texts, weights

OTHERS = ("words.w", "out.w", "out.b")


def language_model(
    name: str,
    spec: str,
    cell: str,
    prefix: str,
    of_gates: str,
    torch_layer: Callable[..., Any],
    jax_layer: Any,
) -> Workload:
    """The workload of one kind of cell, whose parameters begin with ``prefix``; the layers are those of the peers."""

    def numbers(length: int, batch: int, width: int, vocabulary: int) -> dict[str, Array]:
        shapes = dict(zip(OTHERS, ((vocabulary, width), (vocabulary, width), (vocabulary,)), strict=True))
        parameters = weights({**shapes, **cell_shapes(prefix, of_gates, width, width)})
        return {**texts(("z", "target"), (length, batch), vocabulary), **parameters}

    def layout(parameters: dict[str, Array]) -> dict[str, Array]:
        return {**{name: parameters[name] for name in OTHERS}, **gates(parameters, prefix, of_gates)}

    def torch_loss(torch: Any, n: Named, s: Any) -> Any:
        f = torch.nn.functional
        h = torch_layer(torch, f.embedding(n.z, n["words.w"]), [(n.wx, n.wh, n.b)])
        return f.cross_entropy(f.linear(h, n["out.w"], n["out.b"]).flatten(0, 1), n.target.flatten())

    def jax_loss(jax: Any, n: Named, s: Any) -> Any:
        h = jax_layer(jax, n["words.w"][n.z], [(n.wx, n.wh, n.b)])
        return jax_cross_entropy(jax, h @ n["out.w"].T + n["out.b"], n.target)

    return Workload(
        name=name,
        title=f"Training step of a language model: {cell}",
        group="step",
        spec=spec,
        definition="Language",
        sizes={"": {"length": 35, "batch": 20, "width": 200, "vocabulary": 10_000}},
        fixed={"D": "width", "V": "vocabulary"},
        numbers=numbers,
        wrt=[*OTHERS, *cell_shapes(prefix, of_gates, 1, 1)],
        layout=layout,
        torch=torch_loss,
        jax=jax_loss,
    )
