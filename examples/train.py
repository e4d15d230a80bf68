"""Train a compiled model in a loop of one's own: `python examples/train.py`.

The model gives the loss and its gradients; the optimiser below is Adam in four lines of NumPy. The parameters of a
model lie in one buffer, `model.params.flat`, and so do their gradients.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

import dlc

SPEC = Path(__file__).with_name("digits.dl")


def main(epochs: int, batch: int, seed: int) -> float:
    """The share of the test images that are recognised at the end."""
    random = np.random.default_rng(seed)
    x, target = load_digits(return_X_y=True)
    x = (x / 16).astype(np.float32)
    order = random.permutation(len(x))
    train, test = np.split(order, [int(0.8 * len(x))])

    model = dlc.compile(SPEC).Digits(seed=seed)
    print(model)
    mean, square, step = np.zeros_like(model.params.flat), np.zeros_like(model.params.flat), 0
    accuracy = 0.0
    for epoch in range(1, epochs + 1):
        losses = []
        for rows in np.array_split(random.permutation(train), max(1, len(train) // batch)):
            loss, gradients = model.value_and_grad(x=x[rows], target=target[rows])
            losses.append(loss)
            step += 1
            mean = 0.9 * mean + 0.1 * gradients.flat
            square = 0.999 * square + 0.001 * gradients.flat**2
            corrected = mean / (1 - 0.9**step), square / (1 - 0.999**step)
            model.params.flat[...] -= 0.003 * corrected[0] / (np.sqrt(corrected[1]) + 1e-8)
        logits = model.forward(x=x[test], target=target[test]).logits
        accuracy = float((logits.argmax(1) == target[test]).mean())
        print(f"epoch {epoch:2d}   loss {np.mean(losses):.4f}   test accuracy {accuracy:.3f}")
    return accuracy


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Train a perceptron on handwritten digits.")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    main(given.epochs, given.batch, given.seed)
