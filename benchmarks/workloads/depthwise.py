"""A convolution of every channel by itself, differentiated by images, kernels and bias."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.formulas import jax_conv2d
from benchmarks.workload import Array, Named, Workload, normal


def numbers(**s: int) -> dict[str, Array]:
    out = [(s[axis] + 2 * s["padding"] - s["kernel"]) // s["stride"] + 1 for axis in ("height", "width")]
    channels = s["channels"]
    shapes = {"x": (s["batch"], channels, s["height"], s["width"]), "d_y": (s["batch"], channels, *out)}
    return normal({**shapes, "k": (channels, s["kernel"], s["kernel"]), "b": (channels,)})


def torch_value(torch: Any, n: Named, s: Any) -> Any:
    return torch.nn.functional.conv2d(n.x, n.k[:, None], n.b, s.stride, s.padding, groups=len(n.k))


def jax_value(jax: Any, n: Named, s: Any) -> Any:
    return jax_conv2d(jax, n.x, n.k[:, None], s.stride, s.padding, groups=len(n.k)) + n.b[:, None, None]


WORKLOAD = Workload(
    name="depthwise",
    title="Depthwise convolution",
    group="variant",
    spec=str(Path(__file__).with_suffix(".dl")),
    definition="Convolved",
    sizes={
        "3×3": {"batch": 16, "channels": 64, "height": 32, "width": 32, "kernel": 3, "stride": 1, "padding": 1},
        "5×5, stride 2": {
            "batch": 16,
            "channels": 64,
            "height": 32,
            "width": 32,
            "kernel": 5,
            "stride": 2,
            "padding": 2,
        },
    },
    fixed={"C": "channels", "H": "height", "W": "width", "P": "kernel", "Q": "kernel"}
    | {name: name for name in ("stride", "padding")},
    numbers=numbers,
    wrt=["x", "k", "b"],
    torch=torch_value,
    jax=jax_value,
    images=True,
)
