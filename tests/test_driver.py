"""Compiling, caching and loading: what is found again, what is made anew, and what survives a race or a kill."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import dlc
from dlc.compiler import cli, compilation, driver, options, sources, store
from dlc.compiler.diagnostics import CompileError
from dlc.compiler.options import Options
from dlc.runtime import folders

SPEC = """\
use affine: Affine

## A scale and a shift, fitted.
model Fit(x[B,J], target[B]) -> loss, y[B]:
    index J = 3
    layer1 = Affine()
    y[b] = layer1(x[b,J])
    loss = mean[b] (y[b] - target[b])^2
    minimize loss
"""
AFFINE = """\
layer Affine(x[J]; w[J] ~ normal(0, 1), c = 0.5) -> y:
    y = w[j]*x[j] + c
"""


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    return written(tmp_path / "specs")


def written(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "affine.dl").write_text(AFFINE)
    (folder / "fit.dl").write_text(SPEC)
    return folder / "fit.dl"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store of its own for every test."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("DLC_CACHE_DIR", str(folder))
    return folder


@pytest.fixture
def imports(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """No module is really imported, which takes seconds the first time: the paths of those that would be."""
    found: list[Path] = []

    def noted(path: Path, identity: str) -> ModuleType:
        found.append(path)
        return ModuleType(path.stem)

    monkeypatch.setattr(driver, "_imported", noted)
    monkeypatch.setattr(driver, "_compile_regions", lambda module: None)
    return found


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The specs that were compiled, and not found."""
    found: list[str] = []
    real = compilation.module_text

    def noted(spec: sources.Spec, *arguments: Any, **options: Any) -> compilation.ModuleText:
        found.append(spec.path.name)
        return real(spec, *arguments, **options)

    monkeypatch.setattr(compilation, "module_text", noted)
    return found


# --- keys and the store -----------------------------------------------------------------------------------------------


def test_the_second_time_it_is_found(spec: Path, imports: list[Path], compilations: list[str], cache: Path) -> None:
    first, second = driver.compile_spec(spec), driver.compile_spec(spec)
    assert first == second
    assert compilations == ["fit.dl"]
    assert first.path == cache / "modules" / first.key / "fit.py"
    assert sorted(path.name for path in first.path.parent.iterdir()) == ["fit.py", "fit.pyi"]


@pytest.mark.parametrize(
    "change",
    [
        {"dtype": "float64"},
        {"sizes": {"B": 7}},
        {"wrt": ["x"]},
        {"model": "Fit"},
    ],
)
def test_other_options_are_another_module(spec: Path, imports: list[Path], change: dict[str, Any]) -> None:
    assert driver.compile_spec(spec).key != driver.compile_spec(spec, **change).key


def test_the_order_of_options_does_not_matter() -> None:
    one = Options.of(sizes={"I": 2, "J": 3}, wrt=["x", "y"], hyper={"a": 1, "b": 2.0})
    other = Options.of(sizes={"J": int(np.int64(3)), "I": 2}, wrt=("y", "x"), hyper={"b": np.float64(2), "a": 1})
    assert one.described() == other.described()
    assert Options.of(hyper={"a": 1}).described() != Options.of(hyper={"a": 1.0}).described()


def test_an_edited_layer_is_compiled_anew(spec: Path, imports: list[Path], compilations: list[str]) -> None:
    first = driver.compile_spec(spec)
    (spec.parent / "affine.dl").write_text(AFFINE.replace("+ c", "- c"))
    second = driver.compile_spec(spec)
    assert first.key != second.key
    assert "- c" in second.path.read_text() or first.path.read_text() != second.path.read_text()
    assert len(compilations) == 2
    (spec.parent / "affine.dl").write_text(AFFINE)
    assert driver.compile_spec(spec) == first
    assert len(compilations) == 2


def test_a_layer_that_comes_to_hide_another_is_used(
    spec: Path, imports: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (spec.parent / "affine.dl").rename(elsewhere / "affine.dl")
    monkeypatch.setenv("DLC_PATH", str(elsewhere))
    first = driver.compile_spec(spec)
    (spec.parent / "affine.dl").write_text(AFFINE.replace("+ c", "+ 2*c"))
    assert driver.compile_spec(spec).key != first.key


def test_the_files_that_are_used_are_found_without_parsing(tmp_path: Path) -> None:
    for name, text in {
        "a": "use b: X\nuse sub . c : Y, Z\n# use e: W\nuse b: V\n",
        "b": "use nn.none: X\nuse a: A\n",
        "sub/c": "use d: D\n",
        "sub/d": "",
        "e": "",
    }.items():
        path = tmp_path / f"{name}.dl"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    found = sources.used_files(sources.read(tmp_path / "a.dl"))
    assert [one.path.relative_to(tmp_path).as_posix() for one in found] == ["a.dl", "b.dl", "sub/c.dl", "sub/d.dl"]


def test_another_compiler_is_another_key(monkeypatch: pytest.MonkeyPatch) -> None:
    before = store.key_of({})
    monkeypatch.setattr(store, "toolchain", lambda: "another")
    assert store.key_of({}) != before


def test_an_edited_spec_and_its_old_version_live_in_one_process(spec: Path) -> None:
    """The whole way, with real kernels."""
    fit = dlc.compile(spec)
    assert dlc.compile(str(spec)) is fit
    spec.write_text(SPEC.replace("^2", "^2 + 1"))
    other = dlc.compile(spec)
    given = {"x": np.ones((2, 3)), "target": np.zeros(2)}
    losses = [module.Fit(seed=1).value_and_grad(given)[0] for module in (fit, other)]
    np.testing.assert_allclose(losses[1] - losses[0], 1, 1e-5)
    assert fit.__name__ != other.__name__


# --- a folder of the user's -------------------------------------------------------------------------------------------


def test_a_module_in_a_folder_of_the_users(spec: Path, tmp_path: Path, imports: list[Path]) -> None:
    out = tmp_path / "some" / "folder"
    compiled = driver.compile_spec(spec, out=out)
    assert compiled.path == out / "fit.py"
    assert imports == [out / "fit.py"]
    assert sorted(path.name for path in out.iterdir()) == ["fit.py", "fit.pyi"]
    before = compiled.path.stat()
    driver.compile_spec(spec, out=out)
    assert (compiled.path.stat().st_mtime_ns, compiled.path.stat().st_ino) == (before.st_mtime_ns, before.st_ino)


def test_a_module_in_a_folder_is_imported_under_its_own_name(spec: Path, tmp_path: Path) -> None:
    """Machine code is beside it, which was compiled under another name, and here with a remark that is gone."""
    out = tmp_path / "out"
    for text in ("# a remark\n", ""):
        (spec.parent / "net.dl").write_text(text + "layer L(x[I]) -> y[I]:\n    y[i] = 2*x[i]\n")
        code = "import sys; from dlc.compiler import driver; driver.compile_spec(sys.argv[1], out=sys.argv[2])"
        assert start(code, spec.parent / "net.dl", out).communicate(timeout=300) == ("", "")
    process = start("import sys; sys.path.insert(0, sys.argv[1]); import net; print(net.L().forward(x=[1.0]).y)", out)
    assert process.communicate(timeout=300) == ("[2.]\n", "")


def test_a_changed_module_does_not_run_as_the_old_one(spec: Path, tmp_path: Path) -> None:
    """Python tells bytecode by the second and the length: a quick change of one letter would be missed."""
    (spec.parent / "net.dl").write_text("layer L(x[I]) -> y[I]:\n    y[i] = 2*x[i]\n")
    two = dlc.compile(spec.parent / "net.dl", out=tmp_path / "out")
    (spec.parent / "net.dl").write_text("layer L(x[I]) -> y[I]:\n    y[i] = 3*x[i]\n")
    three = dlc.compile(spec.parent / "net.dl", out=tmp_path / "out")
    assert [module.L().forward(x=[1.0]).y[0] for module in (two, three)] == [2, 3]


@pytest.mark.parametrize(
    ("name", "module"), [("my-net", "my_net"), ("2d", "spec_2d"), ("class", "spec_class"), ("Ω", "module")]
)
def test_names_of_files_become_names_of_modules(tmp_path: Path, name: str, module: str, imports: list[Path]) -> None:
    path = written(tmp_path / "specs").rename(tmp_path / "specs" / f"{name}.dl")
    assert driver.compile_spec(path, out=tmp_path / "out").path.name == f"{module}.py"


def test_a_folder_that_cannot_be_written(spec: Path, tmp_path: Path, imports: list[Path]) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CompileError, match=r"DL905.*cannot be written: not a directory"):
        driver.compile_spec(spec, out=tmp_path / "file" / "out")


def test_the_same_bytes_every_time(spec: Path) -> None:
    code = (
        "import sys; from dlc.compiler import compilation, options, sources;"
        "sys.stdout.write(compilation.module_text(sources.read(sys.argv[1]), options.Options.of()).python)"
    )
    texts = {
        subprocess.run(
            [sys.executable, "-c", code, str(spec)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(texts) == 1
    assert b"class Fit(Model)" in texts.pop()


# --- a store that cannot be written -----------------------------------------------------------------------------------


@pytest.fixture
def unwritable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" / "cache"  # no permissions would stop root
    monkeypatch.setenv("DLC_CACHE_DIR", str(folder))
    yield folder
    folders._substitute.cache_clear()


def test_a_cache_that_cannot_be_written_is_replaced_with_a_warning(
    spec: Path, unwritable: Path, imports: list[Path], compilations: list[str]
) -> None:
    with pytest.warns(RuntimeWarning, match="cannot be written: what is compiled now is kept in"):
        first = driver.compile_spec(spec)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert driver.compile_spec(spec) == first
    assert first.path.exists()
    assert compilations == ["fit.dl"]


# --- races and kills --------------------------------------------------------------------------------------------------

STORING = """\
import sys, time, types
import dlc.compiler
from dlc.compiler import driver, options, sources

def slow(spec, *rest, **options):
    with open(sys.argv[2], "a") as log:
        log.write("compiled\\n")
    time.sleep(0.3)
    return types.SimpleNamespace(python="x = 1\\n", stub="x: int\\n", remarks=())

dlc.compiler.compilation = types.SimpleNamespace(module_text=slow)
spec = sources.read(sys.argv[1])
chosen = options.Options.of()
path = driver._stored(spec, chosen, driver._key(spec, chosen))
print(path.read_text(), end="")
"""


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_of_many_processes_one_compiles(spec: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    running = [start(STORING, spec, log) for _ in range(8)]
    results = [(*process.communicate(timeout=60), process.returncode) for process in running]
    assert results == [("x = 1\n", "", 0)] * 8
    assert log.read_text() == "compiled\n"


@pytest.mark.slow
def test_eight_processes_compile_and_run_one_spec(spec: Path, tmp_path: Path, cache: Path) -> None:
    code = """
    import sys, dlc
    from dlc.compiler import driver
    model = dlc.compile(sys.argv[1], out=sys.argv[2] if len(sys.argv) > 2 else None).Fit(seed=3)
    loss, gradients = model.value_and_grad(x=[[1., 2., 3.]], target=[0.])
    print(float(loss).hex())
    """
    for place in ((), (tmp_path / "out",)):
        running = [start(code, spec, *place) for _ in range(8)]
        results = [(*process.communicate(timeout=300), process.returncode) for process in running]
        assert len(set(results)) == 1, results
        assert results[0][1:] == ("", 0)
    assert len(list((cache / "modules").iterdir())) == 1


KILLED = """\
import os, signal, sys
from dlc.compiler import driver

def killed(*_):
    os.kill(os.getpid(), signal.SIGKILL)

setattr(os, sys.argv[1], killed)
driver.compile_spec(sys.argv[2], out=sys.argv[3] if len(sys.argv) > 3 else None)
"""


@pytest.mark.skipif(os.name == "nt", reason="no such signal")
def test_a_kill_while_the_store_is_written(spec: Path, cache: Path, imports: list[Path]) -> None:
    process = start(KILLED, "rename", spec)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    (left,) = (cache / "modules").iterdir()
    assert left.name.startswith("unfinished-")
    compiled = driver.compile_spec(spec)  # the lock is free, and nothing half-written is found
    assert "class Fit" in compiled.path.read_text()
    os.utime(left, (0, 0))
    driver.compile_spec(spec, dtype="float64")
    assert not left.exists()


@pytest.mark.skipif(os.name == "nt", reason="no such signal")
def test_a_kill_while_a_folder_of_the_users_is_written(spec: Path, tmp_path: Path, imports: list[Path]) -> None:
    out = tmp_path / "out"
    before = driver.compile_spec(spec, out=out)
    text = before.path.read_text()
    spec.write_text(SPEC.replace("^2", "^4"))
    process = start(KILLED, "replace", spec, out)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert before.path.read_text() == text
    assert driver.compile_spec(spec, out=out).path.read_text() != text


# --- what is wrong ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dtype": "float16"}, r"DL910.*the real type is float32 or float64, not `float16`"),
        ({"sizes": {"B": 0}}, r"DL911.*the size of `B` must be a positive integer, not 0"),
        ({"sizes": {"B": 2.5}}, "DL911"),
        ({"hyper": {"p": "high"}}, "DL924.*hyper-parameter `p` must be a number"),
        ({"model": "Fits"}, r"(?s)DL912.*no model or layer `Fits`.*did you mean `Fit`\?"),
        ({"sizes": {"K": 3}}, r"(?s)DL914.*`K`, which is no index set of the spec.*its index sets are B, J"),
        ({"hyper": {"p": 0.5}}, r"(?s)DL915.*`p`, which is no hyper-parameter of the spec.*it has none"),
        ({"wrt": ["z"]}, r"(?s)DL916.*with respect to `z`"),
        ({"wrt": ["targets"]}, r"(?s)DL916.*did you mean `target`\?"),
    ],
)
def test_arguments_that_do_not_fit(spec: Path, imports: list[Path], arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(CompileError, match=message):
        driver.compile_spec(spec, **arguments)


def test_all_errors_at_once(tmp_path: Path) -> None:
    (tmp_path / "two.dl").write_text("model A(x[I]) -> y:\n    y = z\n\nmodel B(x[I]) -> y:\n    y = w\n")
    with pytest.raises(CompileError) as caught:
        driver.compile_spec(tmp_path / "two.dl")
    assert len(caught.value.diagnostics) >= 2
    assert len(driver.check(tmp_path / "two.dl")) >= 2


def test_a_file_without_definitions(tmp_path: Path) -> None:
    (tmp_path / "empty.dl").write_text("# nothing\n")
    with pytest.raises(CompileError, match=r"DL913.*has no model, no layer and no function"):
        driver.compile_spec(tmp_path / "empty.dl")
    assert [problem.code for problem in driver.check(tmp_path / "empty.dl")] == ["DL913"]


def test_values_go_to_the_definitions_that_know_them(tmp_path: Path) -> None:
    from dlc.compiler.syntax.parse import parse_text

    file = parse_text(
        "index K = 2\n\n"
        "model A(x[B,I], z[B] in V;; p = 0.5, Q = 3) -> y:\n    index J = 4\n    y = sum[b,i] x[b,i]\n\n"
        "model B(u[B]) -> y:\n    y = sum[b] u[b]\n"
    )
    a, b = file.definitions
    assert options.index_sets(file, a) == ("Q", "B", "I", "V", "K", "J")
    chosen = Options.of(sizes={"I": 2, "B": 3}, hyper={"p": 0.1})
    assert options.sizes_for(file, a, chosen) == {"I": 2, "B": 3}
    assert options.sizes_for(file, b, chosen) == {"B": 3}
    assert (options.hypers_for(a, chosen), options.hypers_for(b, chosen)) == ({"p": 0.1}, {})
    options.check_names(file, (a, b), chosen)


# --- the commands, end to end -----------------------------------------------------------------------------------------


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def run(*arguments: object) -> tuple[int, str, str]:
        code = cli.main([str(argument) for argument in arguments])
        found = capsys.readouterr()
        return code, found.out, found.err

    return run


Run = Callable[..., tuple[int, str, str]]


def test_compile_prints_the_path(spec: Path, tmp_path: Path, run: Run, imports: list[Path]) -> None:
    assert run("compile", spec, "-o", tmp_path / "out", "-D", "B=4") == (0, f"{tmp_path / 'out' / 'fit.py'}\n", "")
    code, out, err = run("compile", spec, "-D", "C=4")
    assert (code, out) == (1, "")
    assert err.startswith("error[DL914]: a size is given for `C`, which is no index set of the spec\n")


def test_every_stage_is_printed(spec: Path, run: Run) -> None:
    expected = {
        "ast": "Use([affine], [Affine])\n",
        "graph": "graph Fit\n",
        "grad": "gradient layer1.w",
        "loops": "entry value_and_grad\n",
        "python": "class Fit(Model):\n",
    }
    for stage, part in expected.items():
        code, out, err = run("show", spec, "--stage", stage)
        assert (code, err) == (0, ""), stage
        assert part in out
    assert run("show", spec) == run("show", spec, "--stage", "graph")


def test_sums_are_written_out(spec: Path, run: Run) -> None:
    code, out, _ = run("show", spec.parent / "affine.dl", "--sums")
    assert code == 0
    assert "sum[j] w[j]*x[j]" in out


def test_sums_of_layers_beside_a_model_are_written_out(tmp_path: Path, run: Run) -> None:
    layer = "layer Dot(x[J], w[J]) -> y:\n    y = w[j]*x[j]\n\n"
    spec = tmp_path / "beside.dl"
    spec.write_text(f"{layer}model M(x[B]) -> loss:\n    loss = x[b]*x[b]\n", encoding="utf-8")
    code, out, _ = run("show", spec, "--sums")
    assert code == 0
    assert "y = sum[j] w[j]*x[j]" in out and "loss = sum[b] x[b]*x[b]" in out


def test_passes_are_printed(spec: Path, run: Run, imports: list[Path]) -> None:
    code, out, _ = run("compile", spec, "--stop-after", "extract")
    assert code == 0
    assert out.startswith("# after extract\ngraph Fit\n")
    assert "differentiate" not in out
    code, out, _ = run("compile", spec, "--print-after", "all")
    heads = [line.removeprefix("# after ") for line in out.splitlines() if line.startswith("# after ")]
    assert heads == list(driver.pass_names())
    assert out.endswith("fit.py\n")
    code, _, err = run("compile", spec, "--stop-after", "fues")
    assert code == 2
    assert "no pass is called 'fues'" in err


def test_check_tells_all(spec: Path, run: Run) -> None:
    assert run("check", spec, spec.parent / "affine.dl") == (0, "", "")
    broken = spec.parent / "broken.dl"
    broken.write_text("layer L(x[I]) -> y[I]:\n    y[i] = z[i]\n")
    code, out, err = run("check", broken, spec)
    assert (code, out) == (1, "")
    assert err.startswith("error[DL030]: no tensor is called `z`") and "broken.dl:2:" in err
    assert err.count("error[") == 1 and "error in" not in err


def test_derivatives_are_equations(spec: Path, run: Run) -> None:
    layers = spec.parent / "layers.dl"
    layers.write_text(
        "layer Tanh(x[I]) -> y[I]:\n    y[i] = (exp(x[i]) - exp(-x[i]))/(exp(x[i]) + exp(-x[i]))\n\n"
        "layer Linear(x[J]; w[I,J], b[I] = 0) -> y[I]:\n    y[i] = w[i,j]*x[j] + b[i]\n"
    )

    def grad(of: str, wrt: str, model: str) -> str:
        code, out, err = run("grad", layers, "--of", of, "--wrt", wrt, "--model", model)
        assert (code, err) == (0, "")
        return out

    assert grad("y", "x", "Tanh") == "grad(y[i], x[i']) = [i == i']*(1 - y[i]^2)\n"
    assert grad("y", "x", "Linear") == "grad(y[i], x[j]) = w[i,j]\n"
    assert grad("y", "w", "Linear") == "grad(y[i], w[i',j]) = [i == i']*x[j]\n"
    assert grad("y", "b", "Linear") == "grad(y[i], b[i']) = [i == i']\n"
    code, _, err = run("grad", layers, "--of", "y", "--wrt", "v", "--model", "Linear")
    assert code == 1
    assert err.startswith("error[DL918]: no tensor is called `v`\n")


def test_derivatives_of_higher_order(spec: Path, run: Run) -> None:
    layers = spec.parent / "layers.dl"
    layers.write_text(
        "layer Tanh(x[I]) -> y[I]:\n    y[i] = tanh(x[i])\n\n"
        "layer Factors(x[N,M], u[N,K], v[M,K]) -> e:\n    e = sum[n,m] (x[n,m] - u[n,k]*v[m,k])^2\n"
    )

    def grad(of: str, wrt: str, *options: object) -> str:
        code, out, err = run("grad", layers, "--of", of, "--wrt", wrt, *options)
        assert (code, err) == (0, "")
        return out

    twice = grad("y", "x", "--model", "Tanh", "--order", 2)
    assert twice == "grad(grad(y[i], x[i']), x[i'']) = [i == i' and i == i'']*(-2*y[i]*(1 - y[i]^2))\n"
    blocks = "2*sum[m] v[m,k]*v[m,k']\n"
    assert grad("e", "u", "--order", 2) == f"grad(grad(e, u[n,k]), u[n',k']) = [n == n']*{blocks}"
    assert grad("e", "u", "--order", 2, "--compressed") == f"grad(grad(e, u[n,k]), u[n,k']) = {blocks}"
    assert grad("e", "u", "--order", 3) == "grad(grad(grad(e, u[n,k]), u[n',k']), u[n'',k'']) = 0\n"
    code, _, err = run("grad", layers, "--of", "e", "--wrt", "u", "--order", 0)
    assert code == 2 and "--order" in err


def test_golden_numbers(spec: Path, run: Run) -> None:
    path = spec.with_suffix(".golden")
    code, out, err = run("golden", spec)
    assert (code, out) == (1, "")
    assert err.startswith(f"error[DL921]: there is no golden file `{path}`")
    assert f"`dlc golden --update {spec}`" in err
    assert run("golden", "--update", spec) == (0, f"wrote {path}\n", "")
    assert run("golden", "--update", spec) == (0, "", "")
    assert run("golden", spec) == (0, "1 spec as expected\n", "")
    spec.write_text(SPEC.replace("^2", "^2 / 2"))
    code, out, err = run("golden", spec)
    assert (code, err) == (1, "")
    assert out.splitlines()[0].startswith(f"{spec}: Fit, output loss: element [] was ")
    assert any("gradient layer1.w" in line for line in out.splitlines())
    path.write_text("{}")
    assert run("golden", spec)[2].startswith(f"error[DL922]: `{path}` is no golden file")


def test_training_from_a_file(spec: Path, tmp_path: Path, run: Run) -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(200, 3))
    np.savez(tmp_path / "data.npz", x=x, target=x @ [1, 2, 3] + 4)
    numbers = ("--epochs", 40, "--lr", 0.1)
    arguments = ("train", spec, "--data", tmp_path / "data.npz", *numbers, "--save", tmp_path / "a.safetensors")
    code, out, err = run(*arguments)
    assert (code, err) == (0, "")
    assert float(out.splitlines()[-1].removeprefix("test loss ")) < 1e-3
    assert out.splitlines()[:-2] == run(*arguments)[1].splitlines()[:-2]
    model = dlc.compile(spec).Fit()
    model.load(tmp_path / "a.safetensors")
    np.testing.assert_allclose(model.params["layer1.w"], [1, 2, 3], 0.01)


@pytest.mark.slow
def test_lenet_learns_the_digits(tmp_path: Path) -> None:
    arguments = ("train", "models.lenet", "--data", "digits", "--epochs", "30", "--seed", "0")
    result = subprocess.run([sys.executable, "-m", "dlc", *arguments], cwd=tmp_path, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")
    last = result.stdout.splitlines()[-1]
    assert re.fullmatch(r"test accuracy [01]\.\d{3}", last)
    assert float(last.split()[-1]) >= 0.98
    assert (tmp_path / "LeNet.safetensors").stat().st_size > 61_706 * 4


def test_the_optimizer_that_trains(tmp_path: Path, run: Run) -> None:
    step = "(theta[..], g[..];; lr = 0.1):\n    theta[..] <- theta[..] - lr*g[..]\n\n"
    model = "model M(x[B]) -> loss:\n    param w = 1\n    loss = mean[b] (w*x[b] - 1)^2\n    minimize loss\n"
    spec = tmp_path / "several.dl"
    spec.write_text(f"optimizer Slow{step}optimizer Fast{step}{model}", encoding="utf-8")
    numbers = ("--data", tmp_path / "none.npz")
    code, _, err = run("train", spec, *numbers)
    assert (code, err.splitlines()[0]) == (1, "error[DL936]: the spec has several optimizers: Slow, Fast")
    assert "choose one: --optimizer Slow" in err
    code, _, err = run("train", spec, *numbers, "--optimizer", "Adm")
    assert (code, err.splitlines()[0]) == (1, "error[DL937]: there is no optimizer `Adm`")
    assert "did you mean `Adam`?" in err
    code, _, err = run("train", spec, *numbers, "--optimizer", "fast")
    assert code == 1 and err.startswith("error[DL931]")  # the optimizer was found, the data are not there


def test_training_that_cannot_be(spec: Path, tmp_path: Path, run: Run) -> None:
    code, _, err = run("train", spec, "--data", "mnist")
    assert code == 1
    assert err.startswith("error[DL931]: there is no file mnist; the data are `digits` or the path of a .npz file")
    code, _, err = run("train", spec, "--data", "digits")
    assert code == 1
    assert "x has 3 features, which is no square" in err
