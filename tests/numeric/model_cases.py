"""The models of the standard library, each beside PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numeric.harness import Case, Draw, library_text, torch

F = torch.nn.functional


def model(
    name: str,
    definition: str,
    reference: Callable[[Any], Any],
    names: str,
    sizes: Sequence[Sequence[int]],
    **draws: Draw,
) -> Case:
    bound = tuple(dict(zip(names.split(), values, strict=True)) for values in sizes)
    return Case(definition, library_text(f"models.{name}"), reference, bound, draws, definition)


def linear_regression(t: Any) -> Any:
    y = t.x @ t.w + t.bias
    return F.mse_loss(y, t.target) / 2, y


def logistic_regression(t: Any) -> Any:
    """The derivatives stay differentiable: the harness asks for those of the loss, which do not see them."""
    score = t.x @ t.w
    loss = F.softplus(-t.target * score).mean() + 1e-3 / 2 * (t.w**2).sum()
    (gradient,) = torch.autograd.grad(loss, t.w, create_graph=True)
    hessian = torch.stack([torch.autograd.grad(one, t.w, retain_graph=True)[0] for one in gradient])
    return loss, score, gradient, hessian, torch.linalg.solve(hessian, gradient)


def softmax_regression(t: Any) -> Any:
    logits = F.linear(t.x, t["fc.w"], t["fc.b"])
    return F.cross_entropy(logits, t.target), logits


def mlp(t: Any) -> Any:
    logits = F.linear(F.relu(F.linear(t.x, t["fc1.w"], t["fc1.b"])), t["fc2.w"], t["fc2.b"])
    return F.cross_entropy(logits, t.target), logits


def xor(t: Any) -> Any:
    score = F.linear(torch.tanh(F.linear(t.x, t["fc1.w"], t["fc1.b"])), t["fc2.w"], t["fc2.b"])[:, 0]
    return F.binary_cross_entropy_with_logits(score, t.target), score


def lenet(t: Any) -> Any:
    h = F.max_pool2d(F.relu(F.conv2d(t.x, t["conv1.k"], t["conv1.b"], padding=2)), 2)
    h = F.max_pool2d(F.relu(F.conv2d(h, t["conv2.k"], t["conv2.b"])), 2).flatten(1)
    h = F.relu(F.linear(h, t["fc1.w"], t["fc1.b"]))
    h = F.relu(F.linear(h, t["fc2.w"], t["fc2.b"]))
    logits = F.linear(h, t["fc3.w"], t["fc3.b"])
    return F.cross_entropy(logits, t.target), logits


def zero_or_one(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return random.integers(0, 2, shape).astype(np.float64)


def one_or_minus_one(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return 2 * zero_or_one(random, shape) - 1


CASES = (
    model("linear_regression", "LinearRegression", linear_regression, "B J", [(3, 2), (1, 1), (8, 16)]),
    model(
        "logistic_regression",
        "LogisticRegression",
        logistic_regression,
        "B J",
        [(3, 2), (1, 1), (9, 6)],
        target=one_or_minus_one,
    ),
    model("softmax_regression", "SoftmaxRegression", softmax_regression, "B", [(1,), (3,), (8,)]),
    model("mlp", "Mlp", mlp, "B", [(1,), (2,), (5,)]),
    model("xor", "Xor", xor, "B", [(1,), (4,), (6,)], target=zero_or_one),
    model("lenet", "LeNet", lenet, "B", [(1,), (2,)]),
)
