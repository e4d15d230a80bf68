"""Greatest elements of windows of many sizes, compiled: values, and the first place of each takes the gradient."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dlc

ADAPTIVE = """
layer Pooled(x[B,C,H,W]) -> y[B,C,U,V]:
    index U = 3
    index V = 2
    index P = |H| // |U|
    index Q = |W| // |V|
    y[b,c,u,v] = max[p,q] x[b,c,|P|*u + p,|Q|*v + q]
"""
GLOBAL = """
layer Pooled(x[B,C,H,W]) -> y[B,C]:
    y[b,c] = max[h,w] x[b,c,h,w]
"""
ALONG = """
layer Pooled(x[B,C,H,W]) -> y[B,C,H]:
    y[b,c,h] = max[w] x[b,c,h,w]
"""
WINDOWS = """
use nn.pooling: MaxPool2d

layer Pooled(x[B,C,H,W]) -> y[B,C,U,V]:
    y[b,C,U,V] = MaxPool2d(x[b,C,H,W]; P={}, Q={}, stride={}, padding={})
"""


def compiled(text: str, folder: Path, monkeypatch: pytest.MonkeyPatch, sizes: dict[str, int]) -> Any:
    monkeypatch.setenv("DLC_CACHE_DIR", str(folder))
    (folder / "pooled.dl").write_text(text, encoding="utf-8")
    return dlc.compile(folder / "pooled.dl", dtype="float32", wrt=["x"], model="Pooled", sizes=sizes).Pooled()


def slices(text: str, height: int, width: int, window: tuple[int, ...]) -> list[tuple[slice, ...]]:
    """What is in each window, along the last two axes, in the order of the results."""
    every = slice(None)
    if text is GLOBAL:
        return [(every, every)]
    if text is ALONG:
        return [(slice(h, h + 1), every) for h in range(height)]
    if text is ADAPTIVE:
        p, q = height // 3, width // 2
        return [(slice(p * u, p * u + p), slice(q * v, q * v + q)) for u in range(3) for v in range(2)]
    p, q, step, padding = window
    starts = [
        (u * step - padding, v * step - padding)
        for u in range((height + 2 * padding - p) // step + 1)
        for v in range((width + 2 * padding - q) // step + 1)
    ]
    return [(slice(max(h, 0), h + p), slice(max(w, 0), w + q)) for h, w in starts]


def check(text: str, model: Any, x: np.ndarray, window: tuple[int, ...] = ()) -> None:
    """Each greatest element and, of equal ones or nan, the first."""
    y = model.forward(x=x)["y"]
    d_y = np.random.default_rng(1).integers(-4, 5, y.shape).astype(np.float32)  # of which sums are exact
    wanted, gradient = np.empty_like(y), np.zeros_like(x)
    planes = x.reshape(-1, *x.shape[2:]), gradient.reshape(-1, *x.shape[2:])
    results, cotangents = wanted.reshape(len(planes[0]), -1), d_y.reshape(len(planes[0]), -1)
    for plane, d_plane, row, d_row in zip(*planes, results, cotangents, strict=True):
        for number, part in enumerate(slices(text, plane.shape[0], plane.shape[1], window)):
            place = np.unravel_index(np.argmax(plane[part]), plane[part].shape)  # the first nan, if there is one
            row[number] = plane[part][place]
            d_plane[part][place] += d_row[number]
    np.testing.assert_array_equal(y, wanted)
    found, gradients = model.vjp(d_y, x=x)
    np.testing.assert_array_equal(found["y"], wanted)
    np.testing.assert_array_equal(gradients["x"], gradient)


def images(height: int, width: int) -> np.ndarray:
    """With many equal elements, some that are no numbers, and some of which no other is less."""
    x = np.random.default_rng(0).integers(-3, 4, (2, 5, height, width)).astype(np.float32)
    x[0, 1].flat[::11] = np.nan
    x[1, 0] = -np.inf
    x[1, 2].flat[::7] = np.inf
    return x


@pytest.mark.parametrize("known", [True, False], ids=["known", "open"])
@pytest.mark.parametrize("text", [GLOBAL, ALONG, ADAPTIVE], ids=["global", "along", "adaptive"])
def test_windows_side_by_side(text: str, known: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = compiled(text, tmp_path, monkeypatch, {"H": 23, "W": 37} if known else {})
    for height, width in ((23, 37),) if known else ((23, 37), (7, 7), (16, 64), (3, 2)):
        check(text, model, images(height, width))


@pytest.mark.parametrize("known", [True, False], ids=["known", "open"])
@pytest.mark.parametrize(
    "window", [(5, 5, 1, 2), (13, 13, 1, 6), (6, 5, 2, 2), (3, 9, 1, 1), (4, 4, 4, 1), (7, 7, 7, 0)]
)
def test_windows(window: tuple[int, ...], known: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    height, width = 15, 22
    model = compiled(WINDOWS.format(*window), tmp_path, monkeypatch, {"H": height, "W": width} if known else {})
    x = images(height, width)
    x[1, 0, ::2] = 0.5  # beside the border, which is -inf, no window is of such numbers alone
    check(WINDOWS, model, x, window)
