"""Maxima of the windows of images, differentiated by the images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.formulas import jax_max_pool
from benchmarks.workload import Array, Named, Workload, normal


def numbers(**s: int) -> dict[str, Array]:
    out = [(s[axis] + 2 * s["padding"] - s["window"]) // s["stride"] + 1 for axis in ("height", "width")]
    planes = (s["batch"], s["channels"])
    return normal({"x": (*planes, s["height"], s["width"]), "d_y": (*planes, *out)})


def torch_value(torch: Any, n: Named, s: Any) -> Any:
    return torch.nn.functional.max_pool2d(n.x, s.window, s.stride, s.padding)


def jax_value(jax: Any, n: Named, s: Any) -> Any:
    return jax_max_pool(jax, n.x, s.window, s.stride, s.padding)


WORKLOAD = Workload(
    name="pool",
    title="Max-pooling",
    group="table",
    spec=str(Path(__file__).with_suffix(".dl")),
    definition="Pooled",
    sizes={"": {"batch": 64, "channels": 16, "height": 28, "width": 28, "window": 2, "stride": 2, "padding": 0}},
    variants={
        "3×3, stride 2": {"channels": 64, "height": 32, "width": 32, "window": 3, "stride": 2, "padding": 1},
        "odd": {"batch": 7, "channels": 13, "height": 29, "width": 31},
    },
    fixed={"C": "channels", "H": "height", "W": "width", "P": "window", "stride": "stride", "padding": "padding"},
    numbers=numbers,
    wrt=["x"],
    torch=torch_value,
    jax=jax_value,
    images=True,
)
