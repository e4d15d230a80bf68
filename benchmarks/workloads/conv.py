"""A convolution of images, differentiated by images, kernels and bias."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.formulas import jax_conv2d
from benchmarks.workload import Array, Named, Sizes, Workload, normal


def numbers(**s: int) -> dict[str, Array]:
    out = [(s[n] + 2 * s["padding"] - s["dilation"] * (s["kernel"] - 1) - 1) // s["stride"] + 1 for n in PLANE]
    shapes = {
        "x": (s["batch"], s["channels"], s["height"], s["width"]),
        "k": (s["maps"], s["channels"], s["kernel"], s["kernel"]),
        "b": (s["maps"],),
        "d_y": (s["batch"], s["maps"], *out),
    }
    drawn = normal(shapes)
    drawn["k"] *= drawn["k"].dtype.type(0.1)
    return drawn


def torch_value(torch: Any, n: Named, s: Any) -> Any:
    return torch.nn.functional.conv2d(n.x, n.k, n.b, s.stride, s.padding, s.dilation)


def jax_value(jax: Any, n: Named, s: Any) -> Any:
    return jax_conv2d(jax, n.x, n.k, s.stride, s.padding, s.dilation) + n.b[:, None, None]


def images(batch: int, channels: int, side: int, maps: int, kernel: int, padding: int = 0, stride: int = 1) -> Sizes:
    planes = {"batch": batch, "channels": channels, "height": side, "width": side, "maps": maps}
    return {**planes, "kernel": kernel, "padding": padding, "stride": stride, "dilation": 1}


PLANE = ("height", "width")
WORKLOAD = Workload(
    name="conv",
    title="Convolution",
    group="table",
    spec=str(Path(__file__).with_suffix(".dl")),
    definition="Convolved",
    sizes={"of LeNet": images(64, 6, 14, 16, 5), "of VGG": images(16, 64, 32, 64, 3, padding=1)},
    variants={
        "1×1": images(16, 64, 32, 64, 1),
        "3×3, stride 2": images(16, 64, 32, 128, 3, padding=1, stride=2),
        "7×7, stride 2, 3 channels": images(16, 3, 64, 64, 7, padding=3, stride=2),
        "3×3, dilation 2": {**images(16, 64, 32, 64, 3, padding=2), "dilation": 2},
        "odd": {**images(7, 13, 19, 17, 3), "height": 23},
        "batch 1": images(1, 64, 32, 64, 3, padding=1),
    },
    fixed={"C": "channels", "H": "height", "W": "width", "O": "maps", "P": "kernel", "Q": "kernel"}
    | {name: name for name in ("stride", "padding", "dilation")},
    numbers=numbers,
    wrt=["x", "k", "b"],
    torch=torch_value,
    jax=jax_value,
    images=True,
)
