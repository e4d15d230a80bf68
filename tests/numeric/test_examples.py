"""The scripts in `examples/` do what they say, and the benchmarks run."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest


def example(root: Path, name: str) -> ModuleType:
    found = importlib.util.spec_from_file_location(f"example_{name}", root / "examples" / f"{name}.py")
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DLC_CACHE_DIR", str(tmp_path))


def test_gradients(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    differences = example(root, "gradients").main()
    wrong = differences.pop("w, without the decay")
    assert wrong > 1e-3
    assert max(differences.values()) < 1e-12
    assert capsys.readouterr().out.count("WRONG") == 1


def test_derivatives(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = example(root, "derivatives").main()
    assert "grad(loss, w[y,p]) = decay*w[y,p] + " in capsys.readouterr().out
    compile(text, "module", "exec")


@pytest.mark.slow
def test_training(root: Path) -> None:
    pytest.importorskip("sklearn", reason="the digits come with scikit-learn: pip install -e '.[data]'")
    assert example(root, "train").main(epochs=15, batch=64, seed=0) > 0.95


@pytest.mark.slow
def test_benchmarks(root: Path, tmp_path: Path) -> None:
    options = ["cross_entropy", "--group", "table", "--batch", "8", "--rounds", "1", "--seconds", "0.01"]
    options += ["--patience", "0", "--write", str(tmp_path)]
    command = [sys.executable, "-m", "benchmarks", *options, "--only", "dlc", "torch"]
    subprocess.run(command, cwd=root, check=True, env=os.environ)
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "### Softmax and cross-entropy (batch 8, classes 1000)" in text
    assert "| dlc |" in text


@pytest.mark.slow
def test_benchmarks_from_any_folder(root: Path, tmp_path: Path) -> None:
    """The script finds the workloads, and says so of one that there is not."""
    command = [sys.executable, str(root / "benchmarks" / "run.py"), "no_such_workload"]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert found.returncode == 2
    assert "there is no workload no_such_workload: there are attention, " in found.stderr


@pytest.mark.slow
def test_benchmarks_tell_of_a_difference(root: Path, tmp_path: Path) -> None:
    """A workload whose spec computes something else than its formulas ends with exit code 1."""
    copy = tmp_path / "benchmarks"
    copy.mkdir()
    for file in (root / "benchmarks").rglob("*"):
        if file.suffix in (".py", ".dl"):
            target = copy / file.relative_to(root / "benchmarks")
            target.parent.mkdir(exist_ok=True)
            target.write_text(file.read_text(encoding="utf-8"), encoding="utf-8")
    spec = copy / "workloads" / "cross_entropy.dl"
    spec.write_text(spec.read_text(encoding="utf-8").replace("loss = mean", "loss = 2*mean"), encoding="utf-8")
    pytest.importorskip("torch", reason="values are compared with PyTorch: pip install -e '.[reference]'")
    options = ["cross_entropy", "--group", "table", "--batch", "8", "--rounds", "1", "--seconds", "0.01"]
    options += ["--patience", "0", "--only", "dlc", "torch"]
    found = subprocess.run([sys.executable, "-m", "benchmarks", *options], cwd=tmp_path, capture_output=True, text=True)
    assert found.returncode == 1
    assert "**" in found.stdout
