"""Blocks one upon the other, as a recurrence over depth: of one block too, where no index moves along the depth."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import dlc

SPEC = """
use nn.attention: CausalSelfAttention
use nn.linear: Linear
use nn.norm: LayerNorm

layer Block(x[T,D];; heads = 2, width = 16) -> y[T,D]:
    norm1 = LayerNorm()
    norm2 = LayerNorm()
    attention = CausalSelfAttention(heads=heads)
    up = Linear(I=width)
    down = Linear(I=D)
    a[T,D] = x[T,D] + attention(norm1(x[T,D]))
    y[T,D] = a[T,D] + down(tanh(up(norm2(a[T,D]))))

model Deep(x[B,T,D], target[B,T,D];; L = 1) -> loss:
    index D = 8
    blocks[L] = Block()
    norm = LayerNorm()
    h[0,b,T,D] = x[b,T,D]
    h[l+1,b,T,D] = blocks[l](h[l,b,T,D])
    y[b,t,D] = norm(h[|L|,b,t,D])
    loss = mean[b,t,d] (y[b,t,d] - target[b,t,d])^2
    minimize loss

model Single(x[B,T,D], target[B,T,D]) -> loss:
    index D = 8
    block = Block()
    norm = LayerNorm()
    top[b,T,D] = block(x[b,T,D])
    y[b,t,D] = norm(top[b,t,D])
    loss = mean[b,t,d] (y[b,t,d] - target[b,t,d])^2
    minimize loss
"""


def test_one_block_is_the_block_itself(tmp_path: Path) -> None:
    spec = tmp_path / "deep.dl"
    spec.write_text(SPEC)
    module = dlc.compile(spec, dtype="float64")
    deep, single = module.Deep(seed=0), module.Single(seed=1)
    for name in single.params:
        single.params[name][...] = deep.params[name.replace("block.", "blocks.")].reshape(single.params[name].shape)
    random = np.random.default_rng(0)
    inputs = {name: random.normal(size=(3, 7, 8)) for name in ("x", "target")}
    loss, gradients = deep.value_and_grad(**inputs)
    expected, others = single.value_and_grad(**inputs)
    np.testing.assert_allclose(loss, expected, rtol=1e-12)
    for name, other in others.items():
        found = gradients[name.replace("block.", "blocks.")]
        np.testing.assert_allclose(found.reshape(other.shape), other, rtol=1e-9, atol=1e-12, err_msg=name)
