"""Check gradients that were derived by hand against the compiler's: `python examples/gradients.py`.

For softmax regression with weight decay, loss = mean_b -log(p_b,target_b) + decay/2 Σ w², on paper:

    ∂loss/∂o_by = (p_by - [y = target_b]) / |B|         with  p_b = softmax(o_b)
    ∂loss/∂w_yp = Σ_b ∂loss/∂o_by x_bp + decay w_yp
    ∂loss/∂bias_y = Σ_b ∂loss/∂o_by

The last row of the table is a mistake that is easily made: it forgets the decay.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

import dlc

SPEC = Path(__file__).with_name("weight_decay.dl")


def main() -> dict[str, float]:
    """The largest difference of each derivation from the compiler's gradient."""
    random = np.random.default_rng(0)
    model = dlc.compile(SPEC, dtype="float64", wrt=["x"]).WeightDecay(seed=0)
    x, target = random.normal(size=(5, 6)), random.integers(0, 4, 5)
    loss, gradients = model.value_and_grad(x=x, target=target)

    w, bias = model.params["w"], model.params["bias"]
    o = x @ w.T + bias
    p = np.exp(o) / np.exp(o).sum(1, keepdims=True)
    d_o = (p - np.eye(4)[target]) / len(x)
    by_hand = {
        "w": d_o.T @ x + model.decay * w,
        "bias": d_o.sum(0),
        "x": d_o @ w,
        "w, without the decay": d_o.T @ x,
    }
    differences = {
        name: float(np.abs(value - gradients[name.partition(",")[0]]).max()) for name, value in by_hand.items()
    }
    print(f"loss {loss:.6f}")
    for name, difference in differences.items():
        print(f"{'right' if difference < 1e-12 else 'WRONG'}   {difference:8.1e}   {name}")
    return differences


if __name__ == "__main__":
    main()
