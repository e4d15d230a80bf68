"""Products through tables, and images with borders: values are those of the graph, and windows are not copied."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from lower.agreement import agree, drawn
from numeric.harness import graph_of

from dlc.compiler import pipeline
from dlc.compiler.ir.affine import known
from dlc.compiler.ir.expr import Const, Size
from dlc.compiler.ir.graph import Graph
from dlc.compiler.ir.loops import For, If, Matmul, Program, Steps, statements
from dlc.compiler.ir.ways import Ways
from dlc.compiler.lower import lower, tables
from dlc.compiler.lower.fusion import writes

FIXED = {"C": 4, "O": 5, "P": 3, "Q": 2, "G": 2, "M": 3, "E": 2}
FULL = "k[O,C,P,Q]"
LAYERS = {
    "plain": (FULL, "y[N,O,U,V]", "y[n,o,u,v] = k[o,c,p,q]*x[n,c,u+p,v+q]"),
    "bordered": (FULL, "y[N,O,H,W]", "y[n,o,h,w] = k[o,c,p,q]*x[n,c,pad(h+p-1),pad(w+q-1)]"),
    "in steps": (FULL, "y[N,O,U,V]", "y[n,o,u,v] = k[o,c,p,q]*x[n,c,pad(2*u+p-1),pad(2*v+q-1)]"),
    "dilated": (FULL, "y[N,O,H,W]", "y[n,o,h,w] = k[o,c,p,q]*x[n,c,pad(h+2*p-2),pad(w+2*q-2)]"),
    "turned": (FULL, "y[N,O,U,V]", "y[n,o,u,v] = k[o,c,p,q]*x[n,c,u+2-p,v+2-q]"),
    "channels last": (FULL, "y[N,U,V,O]", "y[n,u,v,o] = k[o,c,p,q]*x[n,c,u+p,v+q]"),
    "groups": ("k[G,M,E,P,Q]", "y[N,G,M,H,W]", "y[n,g,m,h,w] = k[g,m,e,p,q]*x[n,(g,e),pad(h+p-1),pad(w+q-1)]"),
    "depthwise": ("k[C,P,Q]", "y[N,C,H,W]", "y[n,c,h,w] = k[c,p,q]*x[n,c,pad(h+p-1),pad(w+q-1)]"),
    "depthwise in steps": ("k[C,P,Q]", "y[N,C,U,V]", "y[n,c,u,v] = k[c,p,q]*x[n,c,pad(2*u+p-1),pad(2*v+q-1)]"),
}
IN_TABLES = [name for name in LAYERS if not name.startswith("depthwise") and name != "in steps"]


@cache
def entry(name: str) -> tuple[Graph, Program]:
    weights, result, equation = LAYERS[name]
    fewer = {"in steps": 2, "depthwise in steps": 2}.get(name, 1)
    extents = f"    index U = (|H| - 3) // {fewer} + 1, V = (|W| - 3) // {fewer} + 1\n" if "U" in result else ""
    text = f"layer Convolved(x[N,C,H,W], {weights}) -> {result}:\n{extents}    {equation}\n"
    graph = graph_of(text, sizes=tuple((size, n) for size, n in FIXED.items() if f"{size}" in f"C,{weights}"))
    graph = pipeline.entries(graph, wrt="*")["vjp"]
    return graph, lower({"vjp": graph})


def extent(size: object, sizes: dict[str, int]) -> int:
    if isinstance(size, Const):
        return int(size.value)
    assert isinstance(size, Size)
    return sizes[size.name]


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("plane", [(3, 9, 10), (1, 40, 5), (2, 3, 3), (0, 5, 5)])
@pytest.mark.parametrize("name", LAYERS)
def test_values_and_gradients(name: str, plane: tuple[int, int, int], shards: int) -> None:
    graph, program = entry(name)
    sizes = dict(zip("NHW", plane, strict=True))
    random = np.random.default_rng(plane[1])
    shapes = {t.id: [extent(size, sizes) for size in t.sizes] for t in graph.of_kind("input")}
    fewer = 2 if "steps" in name else 1
    plane_of_y = [(n - 3) // fewer + 1 for n in plane[1:]] if "U" in LAYERS[name][1] else list(plane[1:])
    letters = dict(zip(("UV" if "U" in LAYERS[name][1] else "HW"), plane_of_y, strict=True))
    for cotangent in graph.of_kind("cotangent"):
        axes = LAYERS[name][1][2:-1].split(",")
        shapes[cotangent.id] = [letters[a] if a in letters else {**FIXED, **sizes}[a] for a in axes]
    given = {key: random.normal(size=shape) for key, shape in shapes.items()}
    agree(graph, program, given, sizes, shards, 1e-11)


@pytest.mark.parametrize(("step", "dilation"), [(6, 4), (16, 6)])
def test_windows_in_long_steps_whose_elements_lie_apart(step: int, dilation: int) -> None:
    """Of the derivative by the image nearly all factors are zeros: nothing is copied, and remainders are asked for
    before maps are summed.
    """
    reach = 7 * dilation + 1
    text = f"""
layer Convolved(x[N,C,H,W], {FULL}) -> y[N,O,U,V]:
    index U = (|H| - {reach}) // {step} + 1, V = (|W| - {reach}) // {step} + 1
    y[n,o,u,v] = k[o,c,p,q]*x[n,c,{step}*u+{dilation}*p,{step}*v+{dilation}*q]
"""
    fixed = {"C": 3, "O": 32, "P": 8, "Q": 8, "H": 64, "W": 64}
    program = lower({"vjp": pipeline.entries(graph_of(text, sizes=tuple(fixed.items())), wrt="*")["vjp"]})
    assert not any(key.startswith("d_x.") for key in program.buffers)
    (kernel,) = [one for one in program.kernels.values() if "d_x" in writes(one.body)]
    (sum_,) = [one for one in statements(kernel.body) if isinstance(one, For) and known(one.stop) == 32]
    assert any(isinstance(one, If) and sum_ in one.body for one in statements(kernel.body))


@pytest.mark.parametrize("name", IN_TABLES)
def test_windows_are_not_copied(name: str) -> None:
    """A copy has at most the axes of its image."""
    _, program = entry(name)
    products = [s for kernel in program.kernels.values() for s in statements(kernel.body) if isinstance(s, Matmul)]
    assert any(isinstance(product.c.row, Steps) for product in products)
    copies = [key for key in program.buffers if "padded" in key]
    images = [program.buffers[key.partition(".padded")[0]] for key in copies]
    assert all(len(program.buffers[key].sizes) <= len(image.sizes) for key, image in zip(copies, images, strict=True))
    assert not [key for key in program.buffers if "packed" in key]


@pytest.mark.parametrize(
    ("ways", "products"),
    [
        (Ways(), 0),
        (Ways("tile", "direct"), 2),
        (Ways("", "direct", loops_below=100), 2),
        (Ways(loops_below=100), 2),
        (Ways("tile"), 2),
    ],
    ids=repr,
)
def test_small_products_are_read_in_place_too(ways: Ways, products: int) -> None:
    text = """layer Small(x[N,C,H,W], k[O,C,P,Q]) -> y[N,O,U,V]:
    index U = |H| - |P| + 1, V = |W| - |Q| + 1
    y[n,o,u,v] = k[o,c,p,q]*x[n,c,u+p,v+q]
"""
    plain = graph_of(text, sizes=tuple(zip("NCOPQHW", (1, 1, 2, 3, 3, 5, 5), strict=True)))
    program = lower({"vjp": pipeline.entries(plain, wrt="*")["vjp"]}, ways)
    bodies = [kernel.body for kernel in program.kernels.values()]
    assert sum(isinstance(one, Matmul) for body in bodies for one in statements(body)) == products
    assert any("packed" in name for name in program.buffers) == ways.packs


def test_many_small_products_become_one() -> None:
    """Rows and columns that alternate: as a matrix product it would have two columns, 2*8*8*2 times."""
    text = """layer Alternating(x[N,C,H,W], k[C,O,P,Q]) -> y[N,O,H,P,W,Q]:
    y[n,o,h,p,w,q] = k[c,o,p,q]*x[n,c,h,w]
"""
    plain = graph_of(text, sizes=tuple(zip("COPQHW", (32, 8, 2, 2, 8, 8), strict=True)))
    made = pipeline.entries(plain)["forward"]
    program = lower({"forward": made})
    (body,) = (kernel.body for kernel in program.kernels.values())
    (product,) = (one for one in statements(body) if isinstance(one, Matmul))
    assert isinstance(product.c.row, Steps) and isinstance(product.c.column, Steps)
    agree(made, program, drawn(made, {"N": 3}), {"N": 3}, tolerance=1e-11)


@pytest.mark.parametrize(("side", "taps", "split"), [(3, 2, 32), (9, 2, None), (7, 1, 32), (8, 1, None)])
def test_samples_of_few_pixels_are_columns_of_one_product(side: int, taps: int, split: int | None) -> None:
    """Weights are read once for all samples then, and shared out by their maps: there may be one sample. So it is
    where the pixels of a sample lie evenly, because there is one tap."""
    text = """layer Convolved(x[N,C,H,W], k[O,C,P,Q]) -> y[N,O,U,V]:
    index U = |H| - |P| + 1, V = |W| - |Q| + 1
    y[n,o,u,v] = k[o,c,p,q]*x[n,c,u+p,v+q]
"""
    sizes = {"C": 32, "O": 32, "P": taps, "Q": taps, "H": side, "W": side}
    made = pipeline.entries(graph_of(text, sizes=tuple(sizes.items())), wrt="x")["vjp"]
    program = lower({"vjp": made})
    products = [(k.split, s) for k in program.kernels.values() for s in statements(k.body) if isinstance(s, Matmul)]
    assert {known(found) if found else None for found, one in products if one.c.buffer in ("y", "d_x")} == {split}
    for shards in (1, 3):
        agree(made, program, drawn(made, {"N": 2}), {"N": 2}, shards, tolerance=1e-11)


@pytest.mark.parametrize(("channels", "taps", "terms"), [(32, 3, 96), (2, 8, 16), (2, 64, 64)])
def test_products_of_few_steps_become_one(channels: int, taps: int, terms: int) -> None:
    """The taps lie evenly for one channel, and no further: a product for each channel would load and store its results
    for a few terms. A long kernel is as well read channel by channel."""
    text = """layer Strided(x[N,C,W], k[O,C,P]) -> y[N,O,V]:
    index V = (|W| - |P|) // 2 + 1
    y[n,o,v] = k[o,c,p]*x[n,c,2*v+p]
"""
    sizes = {"C": channels, "O": 32, "P": taps, "W": 126 + taps}
    made = pipeline.entries(graph_of(text, sizes=tuple(sizes.items())))["forward"]
    program = lower({"forward": made})
    (product,) = (one for k in program.kernels.values() for one in statements(k.body) if isinstance(one, Matmul))
    assert known(product.k) == terms and product.accumulate == (terms < channels * taps)
    for shards in (1, 3):
        agree(made, program, drawn(made, {"N": 2}), {"N": 2}, shards, tolerance=1e-11)


@pytest.mark.parametrize("steps", ["T", 50])
@pytest.mark.parametrize("samples", ["B", 64])
def test_samples_and_times_that_lie_crosswise_are_rows_of_one_product(samples: str | int, steps: str | int) -> None:
    """A sequence lies by itself in a batch, but is computed time after time: a product for each time would have as many
    rows, and the sum for the weights as many terms, as there are samples, which may be one. It stays so if many are
    known."""
    text = """layer Sequences(x[B,T,I], w[D,I]) -> y[T,B,D]:
    y[t,b,d] = w[d,i]*x[b,t,i]
"""
    known_sizes = {"I": 24, "D": 32, "B": samples, "T": steps}
    sizes = tuple((name, size) for name, size in known_sizes.items() if isinstance(size, int))
    made = pipeline.entries(graph_of(text, sizes=sizes), wrt="*")["vjp"]
    program = lower({"vjp": made})
    for name in ("y", "d_w"):
        (body,) = (kernel.body for kernel in program.kernels.values() if name in writes(kernel.body))
        is_one = len(body) == 1 and isinstance(body[0], Matmul)
        assert is_one == (samples == "B"), name
    for number in (1, 3):
        given = {name: size for name, size in {"B": number, "T": 5}.items() if not isinstance(known_sizes[name], int)}
        agree(made, program, drawn(made, given), given, 3, tolerance=1e-11)


def test_taps_of_groups_are_copied_with_their_groups() -> None:
    text = """layer Grouped(x[N,G,C,W], k[G,O,C,P]) -> y[N,G,O,U]:
    index U = (|W| - |P|) // 2 + 1
    y[n,g,o,u] = k[g,o,c,p]*x[n,g,c,2*u+p]
"""
    made = pipeline.entries(graph_of(text), wrt="x")["vjp"]
    program = lower({"vjp": made})
    assert any(name.startswith("k.packed") for kernel in program.kernels.values() for name in writes(kernel.body))
    sizes = dict(zip("NGCOPW", (2, 3, 4, 5, 4, 12), strict=True))
    agree(made, program, drawn(made, sizes), sizes, 2, tolerance=1e-11)


@pytest.mark.parametrize(("maps", "are_copied"), [(32, True), (4, False)])
def test_taps_that_are_no_neighbours_are_copied_once(monkeypatch, maps: int, are_copied: bool) -> None:
    """In the derivative of a convolution in steps each product has every second tap, of which all samples have a copy
    if there are many; what else is computed of a sample stays in one kernel with the products."""
    text = """layer Convolved(x[N,C,H,W], k[O,C,P,Q]) -> y[N,O,U,V]:
    index U = (|H| - |P|) // 2 + 1, V = (|W| - |Q|) // 2 + 1
    y[n,o,u,v] = k[o,c,p,q]*x[n,c,2*u+p,2*v+q]
"""
    monkeypatch.setattr(tables, "_FIRST_CACHE", 32 * 32)
    sizes = {"C": 32, "O": maps, "P": 3, "Q": 3, "H": 17, "W": 17}
    made = pipeline.entries(graph_of(text, sizes=tuple(sizes.items())), wrt="x")["vjp"]
    program = lower({"vjp": made})
    copied = [name for name in program.buffers if name.startswith("k.packed")]
    assert len(copied) == (4 if are_copied else 0)
    bodies = [kernel.body for kernel in program.kernels.values()]
    products = sorted(sum(isinstance(one, Matmul) for one in statements(body)) for body in bodies)
    assert products == [0, 5] or not are_copied
    for shards in (1, 3):
        agree(made, program, drawn(made, {"N": 2}), {"N": 2}, shards, tolerance=1e-11)


@pytest.mark.parametrize(("side", "taps", "are_copied"), [(33, 1, True), (13, 1, True), (33, 2, False)])
def test_pixels_that_are_no_neighbours_are_copied_unless_there_are_windows(
    side: int, taps: int, are_copied: bool
) -> None:
    """Each is read by all maps: side by side they are read in vectors, for one sample or for all of them."""
    text = """layer Convolved(x[N,C,H,W], k[O,C,P,Q]) -> y[N,O,U,V]:
    index U = (|H| - |P|) // 2 + 1, V = (|W| - |Q|) // 2 + 1
    y[n,o,u,v] = k[o,c,p,q]*x[n,c,2*u+p,2*v+q]
"""
    sizes = {"C": 8, "O": 256, "P": taps, "Q": taps, "H": side, "W": side}
    made = pipeline.entries(graph_of(text, sizes=tuple(sizes.items())))["forward"]
    program = lower({"forward": made})
    planes = [tuple(map(known, b.sizes[-2:])) for name, b in program.buffers.items() if name.startswith("x.packed")]
    assert planes == [((side + 1) // 2,) * 2] * are_copied
    for shards in (1, 3):
        agree(made, program, drawn(made, {"N": 2}), {"N": 2}, shards, tolerance=1e-11)


@pytest.mark.parametrize(("maps", "split"), [(16, 6), (48, 48), (64, 64)])
def test_of_few_maps_the_channels_are_shared_out(maps: int, split: int) -> None:
    """Their derivative by the taps has the maps in the lanes: a part of 16 of them would not fill a vector."""
    text = """layer Convolved(x[N,C,H,W], k[O,C,P,Q]) -> y[N,O,U,V]:
    index U = |H| - |P| + 1, V = |W| - |Q| + 1
    y[n,o,u,v] = k[o,c,p,q]*x[n,c,u+p,v+q]
"""
    sizes = {"C": 6, "O": maps, "P": 5, "Q": 5, "H": 9, "W": 9}
    made = pipeline.entries(graph_of(text, sizes=tuple(sizes.items())), wrt="k")["vjp"]
    program = lower({"vjp": made})
    (of_taps,) = (kernel for kernel in program.kernels.values() if "d_k" in writes(kernel.body))
    assert of_taps.split is not None and known(of_taps.split) == split
    for shards in (1, 4):
        agree(made, program, drawn(made, {"N": 2}), {"N": 2}, shards, tolerance=1e-11)


WITH_SUPPORT = {
    "derivative by the image": ("k[O,C,P,Q]", "y[N,O,U,V]", "y[n,o,u,v] = k[o,c,p,q]*x[n,c,u+p,v+q]", 1),
    "wide border": ("k[O,C,P,Q]", "y[N,O,H,W]", "y[n,o,h,w] = k[o,c,p,q]*x[n,c,pad(h+p-2),pad(w+q-2)]", 2),
    "image first": ("k[O,C,P,Q]", "y[N,O,H,W]", "y[n,o,h,w] = x[n,c,pad(h+p-2),pad(w+q-2)]*k[o,c,p,q]", 2),
    "dilated": ("k[O,C,P,Q]", "y[N,O,H,W]", "y[n,o,h,w] = k[o,c,p,q]*x[n,c,pad(h+2*p-4),pad(w+2*q-4)]", 1),
    "turned": ("k[O,C,P,Q]", "y[N,O,U,V]", "y[n,o,u,v] = k[o,c,p,q]*x[n,c,u+4-p,v+4-q]", 1),
    "channels last": ("k[O,C,P,Q]", "y[N,H,W,O]", "y[n,h,w,o] = k[o,c,p,q]*x[n,c,pad(h+p-2),pad(w+q-2)]", 2),
}


@pytest.mark.parametrize("name", WITH_SUPPORT)
def test_products_with_a_border_have_a_support(name: str) -> None:
    """The interpreter takes for zero what is outside, so what is needed is inside. The derivative by the taps, in which
    samples would come behind rows, has none.
    """
    weights, result, equation, number = WITH_SUPPORT[name]
    extents = "    index U = |H| - |P| + 1, V = |W| - |Q| + 1\n" if "U" in result else ""
    text = f"layer Convolved(x[N,C,H,W], {weights}) -> {result}:\n{extents}    {equation}\n"
    fixed: dict[str, int] = dict(zip("COPQHW", (4, 5, 5, 5, 9 if extents else 5, 13), strict=True))
    graph = pipeline.entries(graph_of(text, sizes=tuple(fixed.items())), wrt="*")["vjp"]
    program = lower({"vjp": graph})
    products = [s for kernel in program.kernels.values() for s in statements(kernel.body) if isinstance(s, Matmul)]
    supports = [product.support for product in products if product.support is not None]
    assert len(supports) == number, products
    assert all(support.taps == 5 and support.part < 0.8 for support in supports)
    for shards in (1, 3):
        agree(graph, program, drawn(graph, {"N": 2}), {"N": 2}, shards, 1e-11)


def test_a_border_that_is_small_beside_its_image_leaves_the_order_of_the_taps() -> None:
    equation = LAYERS["bordered"][2]
    text = f"layer Convolved(x[N,C,H,W], k[O,C,P,Q]) -> y[N,O,H,W]:\n    {equation}\n"
    sizes = tuple(zip("COPQHW", (4, 5, 3, 3, 30, 30), strict=True))
    program = lower({"vjp": pipeline.entries(graph_of(text, sizes=sizes), wrt="*")["vjp"]})
    products = [s for kernel in program.kernels.values() for s in statements(kernel.body) if isinstance(s, Matmul)]
    assert products and not any(product.support for product in products)


OVERLAPPING = {
    "image": ("k[O,C,P,Q]", "y[N,O,U,V]", "y[n,o,u,v] = k[o,c,p,q]*x[n,c,u+p,v+q]", "CHW"),
    "tall": ("k[O,C,P,Q]", "y[N,O,U,V]", "y[n,o,u,v] = k[o,c,p,q]*x[n,c,u+p,v+q]", "CHW"),
    "image first": ("k[O,C,P,Q]", "y[N,O,U,V]", "y[n,o,u,v] = x[n,c,u+p,v+q]*k[o,c,p,q]", "CHW"),
    "weights in order": ("k[O,P,Q,C]", "y[N,O,U,V]", "y[n,o,u,v] = k[o,p,q,c]*x[n,c,u+p,v+q]", "CHW"),
    "sequence": ("k[O,C,Q]", "y[N,O,V]", "y[n,o,v] = k[o,c,q]*x[n,c,v+q]", "CW"),
    "channels last": ("k[O,C,P,Q]", "y[N,U,V,O]", "y[n,u,v,o] = k[o,c,p,q]*x[n,u+p,v+q,c]", "HWC"),
}


@pytest.mark.parametrize("samples", [1, 3, 20])
@pytest.mark.parametrize("name", OVERLAPPING)
def test_a_derivative_by_a_small_image_is_added_where_it_overlaps(name: str, samples: int) -> None:
    weights, result, equation, image = OVERLAPPING[name]
    extents = "".join(f"    index {u} = |{h}| - |{p}| + 1\n" for u, h, p in ("UHP", "VWQ") if u in result)
    text = f"layer Convolved(x[N,{','.join(image)}], {weights}) -> {result}:\n{extents}    {equation}\n"
    fixed: dict[str, int] = dict(zip("COPQHW", (8, 20, 5, 5, 9, 80 if name == "sequence" else 10), strict=True))
    fixed.update({"sequence": {"Q": 40}, "tall": {"H": 24, "P": 3}}.get(name, {}))
    graph = graph_of(text, sizes=tuple((size, n) for size, n in fixed.items() if size in f"{weights[1:]}{image}"))
    graph = pipeline.entries(graph, wrt="x")["vjp"]
    program = lower({"vjp": graph})
    products = [s for kernel in program.kernels.values() for s in statements(kernel.body) if isinstance(s, Matmul)]
    (product,) = (one for one in products if one.c.buffer == "d_x.turned")
    assert product.accumulate and len(program.buffers["d_x.turned"].sizes) == len(image) + 1
    assert [key for key in program.buffers if "padded" in key] == (["d_y.padded"] if name == "tall" else [])
    for shards in (1, 3):
        agree(graph, program, drawn(graph, {"N": samples}), {"N": samples}, shards, 1e-11)


@pytest.mark.parametrize(
    ("equation", "sizes"),
    [
        ("y[n,o,h,w] = k[o,c,p,q]*x[n,c,pad(h+p-2),pad(w+q-2)]", {"H": 10, "W": 10, "P": 5, "Q": 5}),
        ("y[n,o,u,v] = k[o,c,p,q]*x[n,c,u+p,v+q]", {"H": 64, "W": 64, "P": 5, "Q": 5}),
        ("y[n,o,u,v] = k[o,c,p,q]*x[n,c,u+p,v+q]", {"H": 10, "P": 5, "Q": 5}),
    ],
    ids=["a border inside", "a large image", "an open width"],
)
def test_other_derivatives_keep_their_border(equation: str, sizes: dict[str, int]) -> None:
    result = "y[N,O,H,W]" if "pad" in equation else "y[N,O,U,V]"
    extents = "" if "pad" in equation else "    index U = |H| - |P| + 1, V = |W| - |Q| + 1\n"
    text = f"layer Convolved(x[N,C,H,W], k[O,C,P,Q]) -> {result}:\n{extents}    {equation}\n"
    graph = graph_of(text, sizes=tuple({"C": 8, "O": 12, **sizes}.items()))
    program = lower({"vjp": pipeline.entries(graph, wrt="x")["vjp"]})
    assert not [key for key in program.buffers if "turned" in key]
