"""Files of parameters: what is written comes back, and what does not fit changes nothing."""

from __future__ import annotations

import os
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from dlc.runtime import CheckpointError, checkpoint


@pytest.fixture
def model(small_module: ModuleType) -> Any:
    return small_module.Small(seed=3)


def values(model: Any) -> dict[str, Any]:
    return {name: value.copy() for name, value in model.params.items()}


def test_what_is_saved_comes_back(model: Any, small_module: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    model.save(path)
    other = small_module.Small(seed=4)
    other.load(path)
    assert np.array_equal(other.params.flat, model.params.flat)
    assert {name: value.shape for name, value in load_file(path).items()} == {"w": (3, 2), "c": (2,)}
    assert os.listdir(tmp_path) == ["m.safetensors"]


def test_other_float_types_are_converted(model: Any, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    kept = values(model)
    save_file({name: value.astype(np.float64) for name, value in kept.items()}, path)
    model.params["w"][...] = 0
    model.load(path)
    assert np.array_equal(model.params["w"], kept["w"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"w": np.zeros((3, 2))}, "does not fit: it has no c"),
        ({"w": np.zeros((3, 2)), "c": np.zeros(2), "b": np.zeros(2)}, "does not fit: the model has no b"),
        ({f"p{n}": np.zeros(2) for n in range(9)}, "it has no c and w; the model has no p0, p1, p2, p3, p4 and 4 more"),
        ({"w": np.zeros((2, 3)), "c": np.ones(2)}, "w has shape (3, 2); what was given has shape (2, 3)"),
        ({"w": np.zeros((3, 2)), "c": np.ones(2, np.complex64)}, "c should be real numbers"),
    ],
)
def test_what_does_not_fit_changes_nothing(model: Any, tmp_path: Path, content: Any, message: str) -> None:
    path = tmp_path / "m.safetensors"
    save_file(content, path)
    before = values(model)
    with pytest.raises(CheckpointError) as error:
        model.load(path)
    assert str(path) in str(error.value) and message in str(error.value)
    assert all(np.array_equal(value, before[name]) for name, value in model.params.items())


@pytest.mark.parametrize("content", [b"", b"hello", b"\xff" * 64])
def test_other_files_are_refused(model: Any, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="is no safetensors file that can be read"):
        model.load(path)


def test_a_missing_file_is_missing(model: Any, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no file .*nothing\.safetensors"):
        model.load(tmp_path / "nothing.safetensors")


def test_a_crash_while_writing_leaves_the_old_file(model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.safetensors"
    model.save(path)
    before = path.read_bytes()
    model.params["w"][...] = 0

    def fail(descriptor: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(checkpoint.os, "fsync", fail)
    with pytest.raises(OSError, match="no space left"):
        model.save(path)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["m.safetensors"]


def test_the_file_says_what_it_is(model: Any, tmp_path: Path) -> None:
    from safetensors import safe_open

    path = tmp_path / "m.safetensors"
    model.save(path)
    with safe_open(path, "numpy") as file:
        assert file.metadata() == {
            "model": "Small",
            "spec": "small.dl",
            "format": "dlc",
            "seed": "3",
            "step": "0",
        }


def test_files_have_the_rights_of_any_new_file(model: Any, tmp_path: Path) -> None:
    plain, path = tmp_path / "plain", tmp_path / "m.safetensors"
    plain.touch()
    model.save(path)
    assert path.stat().st_mode == plain.stat().st_mode


def test_seed_and_step_come_back(model: Any, small_module: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    model.step = 17
    model.save(path)
    other = small_module.Small(seed=4)
    other.load(path)
    assert (other.seed, other.step) == (3, 17)


def test_a_file_without_them_leaves_them(model: Any, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    model.step = 17
    for metadata in ({}, {"seed": "seven", "step": "1.5"}):
        save_file(values(model), path, metadata)
        model.load(path)
        assert (model.seed, model.step) == (3, 17)
