"""Training: data that fit the model or say why not, and runs that repeat."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from dlc.runtime import data, training
from dlc.runtime.data import DataError, Samples
from dlc.runtime.declarations import Declaration, Entry, Input, Parameter

pytest.importorskip("sklearn", reason="the digits come with scikit-learn: pip install -e '.[data]'")


def declared(*inputs: Input, sizes: tuple[str, ...] = ("B",)) -> Declaration:
    entries = (
        Entry("forward", (), tuple(value.name for value in inputs), {"loss": "loss", "logits": "logits"}, "loss"),
        Entry("value_and_grad", (), tuple(value.name for value in inputs), {"loss": "loss"}, "loss"),
        Entry("forward.outputs", (), ("x",), {"logits": "logits"}),
    )
    weight = (Parameter("w", 0),)
    return Declaration("Net", "float32", sizes=sizes, inputs=inputs, parameters=weight, entries=entries)


def images(*sizes: Any, sets: tuple[str, ...] = ()) -> Input:
    return Input("x", 0, ("B", *sizes), "real", sets or ("B", "C", "H", "W")[: len(sizes) + 1])


def classes(bound: Any = 10, type: Any = "int", *more: Any) -> Input:
    return Input("target", 1, ("B", *more), type, ("B", "Y")[: len(more) + 1], bound=bound, bound_set="Y")


# -- digits ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sizes", "shape"),
    [
        ((64,), (64,)),
        ((784,), (784,)),
        (("P",), (64,)),
        ((28, 28), (28, 28)),
        ((1, 28, 28), (1, 28, 28)),
        ((16, 12, 1), (16, 12, 1)),
        (("C", "H", "W"), (1, 8, 8)),
        ((1, 4, 4), (1, 4, 4)),
    ],
)
def test_digits_are_enlarged_to_the_images_of_the_model(sizes: tuple[Any, ...], shape: tuple[int, ...]) -> None:
    found = data.read("digits", declared(images(*sizes), classes()))
    assert (len(found.train), len(found.test)) == (1438, 359)
    x = found.train.arrays["x"]
    assert (x.shape, x.dtype) == ((1438, *shape), np.float32)
    assert abs(x.mean()) < 1e-5
    assert abs(x.std() - 1) < 1e-4
    assert found.train.arrays["target"].dtype == np.int64
    assert found.sizes == {size: length for size, length in zip(sizes, shape, strict=True) if isinstance(size, str)}


def test_the_split_of_the_digits_has_all_classes_alike_and_shares_no_sample() -> None:
    found = data.read("digits", declared(images(64), classes("Y")))
    assert found.sizes == {"Y": 10}
    counts = [np.bincount(part.arrays["target"], minlength=10) for part in (found.train, found.test)]
    np.testing.assert_allclose(counts[1] / (counts[0] + counts[1]), 0.2, atol=0.01)
    rows = [{row.tobytes() for row in part.arrays["x"]} for part in (found.train, found.test)]
    assert not rows[0] & rows[1]


def test_targets_may_be_numbers_or_rows_with_a_one() -> None:
    rows = data.read("digits", declared(images(64), classes(None, "real", 10))).train.arrays["target"]
    labels = data.read("digits", declared(images(64), classes())).train.arrays["target"]
    numbers = data.read("digits", declared(images(64), classes(None, "real"))).train.arrays["target"]
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(rows.argmax(axis=1), labels)
    np.testing.assert_array_equal(rows.sum(axis=1), 1)
    np.testing.assert_array_equal(numbers, labels)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ((images(50), classes()), "x has 50 features, which is no square"),
        ((images(3, 32, 32), classes()), "x has 3 channels; the digits are grey and have 1"),
        ((images(1, 1, 28, 28), classes()), "x has 5 axes: a digit has height, width and perhaps a channel"),
        ((images(64), classes(4)), "the digits are of 10 classes; target has only 4"),
        ((images(64), classes(None, "real", 7)), "one of 10 classes a sample, which target does not take"),
        ((images(64),), r"the digits are images with labels; Net takes x\[B, C\]"),
        ((Input("x", 0, (32, 64)), Input("target", 1, (32,), "int", bound=10)), "Net takes no batches"),
        ((images(64, lambda n: n["P"]), classes()), "the sizes of x depend on each other"),
    ],
)
def test_digits_that_do_not_fit(inputs: tuple[Input, ...], message: str) -> None:
    with pytest.raises(DataError, match=message):
        data.read("digits", declared(*inputs))


# -- files ----------------------------------------------------------------------------------------------------------


def saved(folder: Path, **arrays: Any) -> str:
    path = folder / "data.npz"
    np.savez(path, **arrays)
    return str(path)


def test_a_file_is_split_the_same_way_every_time(tmp_path: Path) -> None:
    path = saved(tmp_path, x=np.arange(20.0).reshape(10, 2), target=np.arange(10))
    found = [data.read(path, declared(images("P"), classes())) for _ in range(2)]
    assert found[0].sizes == {"P": 2}
    assert (len(found[0].train), len(found[0].test)) == (8, 2)
    both = np.concatenate([found[0].train.arrays["target"], found[0].test.arrays["target"]])
    np.testing.assert_array_equal(np.sort(both), np.arange(10))
    np.testing.assert_array_equal(found[0].test.arrays["x"][:, 0], 2 * found[0].test.arrays["target"])
    np.testing.assert_array_equal(found[0].test.arrays["x"], found[1].test.arrays["x"])


def test_a_file_with_two_parts_and_a_constant(tmp_path: Path) -> None:
    weights = Input("weights", 2, ("P",), "real", ("P",))
    arrays = {f"x_{part}": np.ones((n, 3)) for part, n in (("train", 5), ("test", 2))}
    arrays |= {f"target_{part}": np.zeros(n, int) for part, n in (("train", 5), ("test", 2))}
    path = saved(tmp_path, **arrays, weights=np.arange(3.0))
    found = data.read(path, declared(images("P"), classes(), weights))
    assert (len(found.train), len(found.test)) == (5, 2)
    np.testing.assert_array_equal(found.train.take(slice(0, 2))["weights"], np.arange(3))
    assert [len(batch["x"]) for batch in found.train.batches(2)] == [2, 2, 1]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.ones((4, 2))}, "has no array target: it has x"),
        ({"x_train": np.ones((4, 2)), "target_train": np.ones(4, int)}, "has no array x_test"),
        ({"x": np.ones((4, 2)), "target": np.ones(5, int)}, "different numbers of samples: 4 of x and 5 of target"),
        ({"x": np.ones(4), "target": np.ones(4, int)}, r"x in .* has shape \(4,\); Net takes x\[B, C\]"),
        ({"x": np.ones((0, 2)), "target": np.ones(0, int)}, "has no samples"),
        ({"x": np.ones((1, 2)), "target": np.ones(1, int)}, "at least 2 are needed"),
        ({"x": np.array([None]), "target": np.ones(1, int)}, "no .npz file that can be read"),
    ],
)
def test_files_that_do_not_fit(tmp_path: Path, arrays: Mapping[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        data.read(saved(tmp_path, **arrays), declared(images("P"), classes()))


def test_files_that_are_none(tmp_path: Path) -> None:
    model = declared(images("P"), classes())
    broken, single = tmp_path / "broken.npz", tmp_path / "single.npy"
    broken.write_bytes(b"nothing")
    np.save(single, np.ones(3))
    with pytest.raises(DataError, match=r"there is no file mnist; the data are `digits` or the path of a \.npz file"):
        data.read("mnist", model)
    with pytest.raises(DataError, match=r"no \.npz file that can be read"):
        data.read(str(broken), model)
    with pytest.raises(DataError, match="holds one array without a name"):
        data.read(str(single), model)


# -- training -------------------------------------------------------------------------------------------------------


class Descent:
    """Stands in for a compiled optimizer."""

    def __init__(self, model: Any, over: str, lr: float = 0.1) -> None:
        self.model, self.lr = model, lr
        assert over == "loss"

    def step(self, gradients: Any) -> None:
        self.model.params.flat -= self.lr * gradients.flat


class Regression:
    """Stands in for a compiled model: logits = x·w, with the cross-entropy of ten classes, by hand."""

    declaration = declared(images(4), classes(3))
    sizes: Mapping[str, int | None] = {"B": None}

    def __init__(self, seed: int = 0, *, sizes: Mapping[str, int] | None = None) -> None:
        w = np.random.default_rng(seed).normal(0, 0.1, (4, 3))
        layout = SimpleNamespace(spans=lambda names: [slice(0, w.size)])
        self.params = SimpleNamespace(flat=w.ravel(), count=w.size, layout=layout)
        self.batches: list[int] = []

    def forward(self, given: Mapping[str, Any]) -> dict[str, Any]:
        logits = given["x"] @ self.params.flat.reshape(4, 3)
        chosen = logits[np.arange(len(logits)), given["target"]]
        return {"loss": np.mean(np.log(np.exp(logits).sum(axis=1)) - chosen), "logits": logits}

    def value_and_grad(self, given: Mapping[str, Any]) -> tuple[Any, Any]:
        out, x = self.forward(given), given["x"]
        self.batches.append(len(x))
        share = np.exp(out["logits"])
        share /= share.sum(axis=1, keepdims=True)
        share[np.arange(len(x)), given["target"]] -= 1
        return out["loss"], SimpleNamespace(flat=(x.T @ share / len(x)).ravel())

    def save(self, path: Path) -> None:
        path.write_bytes(self.params.flat.tobytes())


def three_classes(count: int = 50) -> data.Data:
    random = np.random.default_rng(1)
    target = random.integers(0, 3, count)
    x = random.normal(0, 0.3, (count, 4))
    x[np.arange(count), target] += 2
    whole = Samples({"x": x, "target": target})
    return data.Data(Samples(whole.take(slice(10, None))), Samples(whole.take(slice(0, 10))), {})


def test_equal_seeds_give_equal_runs_and_the_last_line_tells_the_accuracy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = []
    for seed in (3, 3, 4):
        path = tmp_path / f"{len(runs)}.safetensors"
        model, history = training.train(Regression, three_classes(), Descent, 3, lr=0.5, batch=16, seed=seed, save=path)  # type: ignore[arg-type]
        runs.append((path.read_bytes(), history.losses))
        assert model.batches == [16, 16, 8] * 3  # type: ignore[attr-defined]
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "test accuracy 1.000"
    assert lines[0] == "Net: 12 parameters, 40 samples to learn from"
    assert lines[1].startswith("epoch 1/3: loss ")
    assert lines[-2].endswith(f"parameters in {path}")


def test_a_loss_without_an_accuracy() -> None:
    model = Regression()
    model.declaration = declared(images(4), Input("target", 1, ("B",), "int"))  # numbers, not classes
    found = training.score(model, three_classes().test)  # type: ignore[arg-type]
    assert found.accuracy is None
    assert training.History([{"loss": 1.0}], [found]).last_line == f"test loss {found.losses['loss']:.4f}"


def test_means_count_samples_and_not_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    model, samples = Regression(seed=1), three_classes().train
    whole = training.score(model, samples)  # type: ignore[arg-type]
    monkeypatch.setattr(training, "TEST_BATCH", 7)
    parts = training.score(model, samples)  # type: ignore[arg-type]
    np.testing.assert_allclose(parts.losses["loss"], whole.losses["loss"], 1e-12)
    assert parts.accuracy == whole.accuracy


def test_what_cannot_be_trained(tmp_path: Path) -> None:
    with pytest.raises(training.TrainingError, match="no loss to minimise"):
        training.check_trainable(Declaration("Layer", "float32", parameters=(Parameter("w", 0),)))
    with pytest.raises(training.TrainingError, match="no parameters to train"):
        training.check_trainable(Declaration("Net", "float32", entries=Regression.declaration.entries))
    with pytest.raises(training.TrainingError, match="there is no folder"):
        training.train(Regression, three_classes(), Descent, 1, save=tmp_path / "none" / "a.safetensors")  # type: ignore[arg-type]
    with np.errstate(all="ignore"), pytest.raises(training.TrainingError, match="a smaller learning rate"):
        training.train(Regression, three_classes(), Descent, 9, lr=1e9, save=tmp_path / "a.safetensors")  # type: ignore[arg-type]
    assert not (tmp_path / "a.safetensors").exists()
