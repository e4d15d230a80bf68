"""The command line as a user meets it: arguments, exit codes, and that no failure shows a traceback."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest

import dlc.compiler
from dlc.compiler import cli


class Driver(types.SimpleNamespace):
    """Stands in for `dlc.compiler.driver` and `dlc.compiler.training`: notes the calls."""

    def __init__(self, **functions: Callable) -> None:
        super().__init__(calls=[], **functions)

    def compile_spec(self, spec: str, **options: object) -> object:
        self.calls.append((spec, options))
        return types.SimpleNamespace(path="out/net.py", remarks="")

    def train(self, spec: str, **options: object) -> None:
        self.calls.append((spec, options))


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Driver:
    stand_in = Driver()
    for name in ("driver", "training"):
        monkeypatch.setattr(dlc.compiler, name, stand_in, raising=False)
        monkeypatch.setitem(sys.modules, f"dlc.compiler.{name}", stand_in)
    return stand_in


def failing(error: BaseException) -> Callable:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


def test_definitions_are_sizes_or_hyper_parameters(driver: Driver, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["compile", "net.dl", "-D", "I=784", "-D", "I'=3", "-D", "beta=.5", "-D", "heads=8", "-D", "bias=true"]
    assert cli.main([*arguments, "--wrt", "x", "--wrt", "z", "-o", "out"]) == 0
    ((spec, options),) = driver.calls
    assert (spec, options["out"], options["wrt"]) == ("net.dl", Path("out"), ("x", "z"))
    assert (options["sizes"], options["hyper"]) == ({"I": 784, "I'": 3}, {"beta": 0.5, "heads": 8, "bias": True})
    assert type(options["hyper"]["heads"]) is int
    assert capsys.readouterr().out == "out/net.py\n"


@pytest.mark.parametrize(
    ("arguments", "checkpoint"),
    [(["--checkpoint", "net.dl"], 0), (["net.dl", "--checkpoint"], 0), (["--checkpoint", "8", "net.dl"], 8)],
)
def test_checkpoints_with_and_without_a_number(driver: Driver, arguments: list[str], checkpoint: int) -> None:
    assert cli.main(["compile", *arguments]) == 0
    ((spec, options),) = driver.calls
    assert (spec, options["checkpoint"]) == ("net.dl", checkpoint)


@pytest.mark.parametrize("definition", ["I", "I=", "I=0", "I=-1", "I=2.5", "I=true", "=3", "1x=3", "lr=fast", "a b=1"])
def test_definitions_that_are_none(driver: Driver, definition: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["compile", "net.dl", "-D", definition]) == cli.USAGE
    assert "Invalid value for '-D'" in capsys.readouterr().err
    assert driver.calls == []


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nothing"],
        ["compile"],
        ["compile", "a", "b"],
        ["compile", "a", "--dtype", "float16"],
        ["compile", "a", "--checkpoint", "-3"],
        ["compile", "a", "--gemm", "mkl"],
        ["compile", "a", "--conv", "fft"],
        ["show", "a", "--sums", "--stage", "graph"],
        ["show", "a", "--stage", "nothing"],
        ["grad", "a", "--of", "y"],
        ["train", "a"],
        ["train", "a", "--data", "digits", "--lr", "0"],
        ["train", "a", "--data", "digits", "--epochs", "0"],
        ["check"],
        ["fmt"],
        ["golden"],
    ],
)
def test_wrong_usage(driver: Driver, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(arguments) == cli.USAGE
    assert "Usage: dlc" in capsys.readouterr().err
    assert driver.calls == []


def test_training_options(driver: Driver) -> None:
    assert cli.main(["train", "models.lenet", "--data", "digits", "--epochs", "3", "--seed", "7", "-D", "p=0.2"]) == 0
    ((spec, options),) = driver.calls
    assert spec == "models.lenet"
    assert options == {
        "data": "digits", "epochs": 3, "optimizer": None, "lr": None, "batch": 64, "seed": 7, "save": None,
        "dtype": "float32", "model": None, "sizes": {}, "hyper": {"p": 0.2},
    }  # fmt: skip


def test_passes_are_printed_in_order_and_misspelt_ones_named(
    driver: Driver, capsys: pytest.CaptureFixture[str]
) -> None:
    driver.pass_names = lambda checkpoint=False: ("simplify", "fuse")
    driver.trace_passes = lambda spec, stop_after, **options: iter([("simplify", "one"), ("fuse", "two")])
    assert cli.main(["compile", "net.dl", "--print-after", "all"]) == 0
    assert capsys.readouterr().out == "# after simplify\none\n# after fuse\ntwo\nout/net.py\n"
    assert cli.main(["compile", "net.dl", "--stop-after", "fuse"]) == 0
    assert capsys.readouterr().out == "# after fuse\ntwo\n"
    assert cli.main(["compile", "net.dl", "--stop-after", "fues"]) == cli.USAGE
    assert "no pass is called 'fues'; the passes are simplify, fuse" in capsys.readouterr().err


def test_an_internal_error_is_one_line(
    driver: Driver, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    driver.print_stages = failing(KeyError("a\nb"))
    assert cli.main(["show", "net.dl"]) == cli.INTERNAL
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("internal error: KeyError: ")
    assert "please report" in line
    monkeypatch.setenv("DLC_DEBUG", "1")
    assert cli.main(["show", "net.dl"]) == cli.INTERNAL
    assert "Traceback" in capsys.readouterr().err


def test_interruption_and_a_closed_pipe(driver: Driver, capfd: pytest.CaptureFixture[str]) -> None:
    driver.print_stages = failing(KeyboardInterrupt())
    assert cli.main(["show", "net.dl"]) == cli.INTERRUPTED
    assert capfd.readouterr().err == ""


@pytest.mark.skipif(os.name == "nt", reason="pipes of another kind")
def test_a_reader_that_leaves_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    result = subprocess.run([sys.executable, "-m", "dlc", "--help"], stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert (result.returncode, result.stderr) == (cli.BROKEN_PIPE, "")


def test_a_file_that_is_not_there(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "none.dl"
    assert cli.main(["fmt", str(path)]) == cli.DIAGNOSTICS
    assert capsys.readouterr().err == f"error[DL902]: `{path}` cannot be read: no such file or directory\n"


UGLY = "layer Double( x[I] )->y[I] :\n    y[i]=2 * x[i]\n"


def test_formatting_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.dl"
    path.write_text(UGLY)
    assert cli.main(["fmt", "--check", str(path)]) == cli.DIAGNOSTICS
    assert path.read_text() == UGLY
    assert capsys.readouterr().err == f"{path} is not formatted\n"
    assert cli.main(["fmt", str(path)]) == cli.DONE
    assert path.read_text() == "layer Double(x[I]) -> y[I]:\n    y[i] = 2*x[i]\n"
    assert capsys.readouterr().out == f"formatted {path}\n"
    assert cli.main(["fmt", "--check", str(path)]) == cli.DONE
    assert cli.main(["fmt", str(path)]) == cli.DONE
    assert capsys.readouterr().out == ""


def test_formatting_goes_on_after_a_broken_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken, ugly = tmp_path / "broken.dl", tmp_path / "ugly.dl"
    broken.write_text("layer (\n")
    ugly.write_text(UGLY)
    assert cli.main(["fmt", str(broken), str(ugly)]) == cli.DIAGNOSTICS
    assert "broken.dl:1:" in capsys.readouterr().err
    assert (broken.read_text(), ugly.read_text() == UGLY) == ("layer (\n", False)


def test_formatting_standard_input(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(UGLY.encode())))
    assert cli.main(["fmt", "-"]) == cli.DONE
    assert capsys.readouterr().out == "layer Double(x[I]) -> y[I]:\n    y[i] = 2*x[i]\n"


def test_golden_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from dlc.compiler import golden

    reports = {"a.dl": "", "b.dl": "b.dl: B, output y: the shape was [3] and is [4]\n"}
    monkeypatch.setattr(golden, "difference", reports.__getitem__)
    monkeypatch.setattr(golden, "update", lambda spec: f"wrote {spec}\n")
    assert cli.main(["golden", "a.dl"]) == cli.DONE
    assert capsys.readouterr().out == "1 spec as expected\n"
    assert cli.main(["golden", "b.dl", "a.dl"]) == cli.DIAGNOSTICS
    assert capsys.readouterr().out == reports["b.dl"]
    assert cli.main(["golden", "--update", "a.dl", "b.dl"]) == cli.DONE
    assert capsys.readouterr().out == "wrote a.dl\nwrote b.dl\n"
