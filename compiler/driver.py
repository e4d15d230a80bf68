"""What can be done with a spec: compile it to a module on disk, load that, check it, print it.

The command line and `dlc.compile` call these functions, which turn a name into a spec (`sources.read`), look for
what was done before (`store`), and do the rest. Every mistake of a user's comes out as `CompileError`.
"""

from __future__ import annotations

import hashlib
import importlib.util
import keyword
import re
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from dlc.compiler import files, sources, store
from dlc.compiler.diagnostics import CompileError, Diagnostic, render_all
from dlc.compiler.options import Number, Options
from dlc.compiler.sources import Spec
from dlc.runtime.collector import resting
from dlc.runtime.host import thresholds
from dlc.runtime.kernels_fingerprint import fingerprint

if TYPE_CHECKING:
    from dlc.compiler.verification import Verdict


@dataclass(frozen=True)
class CompiledFile:
    """A module on disk; `key` tells everything that it depends on; `remarks` is what its author should know."""

    path: Path
    key: str
    remarks: str = ""


def compile_spec(
    spec: str | Path,
    out: str | Path | None = None,
    dtype: str = "float32",
    sizes: Mapping[str, int] | None = None,
    wrt: str | Iterable[str] | None = None,
    hyper: Mapping[str, Number] | None = None,
    model: str | None = None,
    checkpoint: bool | int | None = None,
    gemm: str | None = None,
    conv: str | None = None,
) -> CompiledFile:
    """Compile a spec to a Python module in the folder `out`, or in the cache, with machine code beside it.

    `spec` is the path of a `.dl` file or the dotted name of a module of the spec path; `sizes` and `hyper` fix index
    sets and hyper-parameters; `wrt` names inputs to differentiate by besides the parameters (`*`: all); `model` is the
    only definition to compile. With `checkpoint`, a recurrence keeps only every state of that number for the backward
    pass (True: about √T of T), and computes the others again. `gemm` forces an implementation of matrix products:
    `tile`, `blas` or `loops`; `conv` one of convolutions: `direct`, `gemm`, or `winograd`, which multiplies less.
    Raises `CompileError`.
    """
    options = tuned(Options.of(dtype, sizes, wrt, hyper, model, checkpoint, gemm, conv))
    compiled, module = _compile_and_import(sources.read(spec), out, options)
    _compile_regions(module)
    return compiled


def load(
    spec: str | Path,
    out: str | Path | None = None,
    dtype: str = "float32",
    sizes: Mapping[str, int] | None = None,
    wrt: str | Iterable[str] | None = None,
    hyper: Mapping[str, Number] | None = None,
    model: str | None = None,
    checkpoint: bool | int | None = None,
    gemm: str | None = None,
    conv: str | None = None,
) -> ModuleType:
    """Compile a spec, or find what was compiled before, and import it; see `compile_spec`.

    The module has a class for every model of the file, or for every layer of a file without models; its `__all__` names
    them.
    """
    options = tuned(Options.of(dtype, sizes, wrt, hyper, model, checkpoint, gemm, conv))
    _, module = _compile_and_import(sources.read(spec), out, options)
    return module


def tuned(options: Options) -> Options:
    """The options with what was measured of this machine."""
    return options.with_loops_below(thresholds().loops_below)


def _compile_and_import(spec: Spec, out: str | Path | None, options: Options) -> tuple[CompiledFile, ModuleType]:
    key = _key(spec, options)
    if out is None:
        path = _stored(spec, options, key)
        return CompiledFile(path, key, _remarks(path)), _imported(path, key)
    text = _stored(spec, options, key).read_text(encoding="utf-8")
    target = Path(out) / _file_name(spec)
    identity = hashlib.sha256(f"{target.resolve()}\n{key}".encode("utf-8", "surrogatepass")).hexdigest()
    with store.lock(hashlib.sha256(str(target.resolve()).encode("utf-8", "surrogatepass")).hexdigest()[:32]):
        stub = _stored(spec, options, key).with_suffix(".pyi").read_text(encoding="utf-8")
        _write_module(target, text, stub)
        return CompiledFile(target, key, _remarks(_stored(spec, options, key))), _imported(target, identity)


def kernels_apart(spec: Spec, options: Options) -> ModuleType:
    """The module of the spec with every kernel in a region of its own, so that each can be timed."""
    key = _key(spec, options, apart=True)
    return _imported(_stored(spec, options, key, apart=True), key)


def _key(spec: Spec, options: Options, apart: bool = False) -> str:
    texts = [(found.path.name, found.source.text) for found in sources.used_files(spec)]
    return store.key_of({"files": texts, "options": options.described(), **({"apart": True} if apart else {})})


def _file_name(spec: Spec) -> str:
    """`lenet.py` for `lenet.dl`; what is no name in Python is made one."""
    stem = re.sub(r"\W", "_", spec.path.stem, flags=re.ASCII).lstrip("_") or "module"
    if stem[0].isdigit() or keyword.iskeyword(stem):
        stem = f"spec_{stem}"
    return f"{stem}.py"


def _stored(spec: Spec, options: Options, key: str, apart: bool = False) -> Path:
    """The module in the store, compiled by this process if no other has done it; others wait meanwhile."""
    folder = store.find(key)
    if folder is None:
        with store.lock(key):
            folder = store.find(key)
            if folder is None:
                with resting():
                    from dlc.compiler import compilation  # loads the parser, which a module that is found does not need

                    text = compilation.module_text(spec, options, fingerprint(), apart=apart)
                name = Path(_file_name(spec))
                texts = {str(name): text.python, str(name.with_suffix(".pyi")): text.stub}
                if text.remarks:
                    texts[_REMARKS] = render_all(text.remarks)
                folder = store.add(key, texts)
    return folder / _file_name(spec)


_REMARKS = "remarks.txt"
"""Where the store keeps what is to be said of a module each time that it is compiled."""


def _remarks(stored: Path) -> str:
    place = stored.with_name(_REMARKS)
    return place.read_text(encoding="utf-8") if place.exists() else ""


def _write_module(target: Path, text: str, stub: str) -> None:
    """Replace the module and its stub where they differ.

    A module that stays as it is keeps its time of change, by which Numba knows its code; of one that changes, Python's
    own bytecode is removed, because a change within a second that keeps the length would go unseen.
    """
    for path, content in ((target.with_suffix(".pyi"), stub), (target, text)):
        try:
            same = path.read_bytes() == content.encode()
        except OSError:
            same = False
        if same:
            continue
        files.write_text(path, content)
        Path(importlib.util.cache_from_source(str(path))).unlink(missing_ok=True)


# --- importing --------------------------------------------------------------------------------------------------------

_importing = threading.RLock()


def _compile_regions(module: ModuleType) -> None:
    """Make the machine code of every entry of every model, so that processes to come only load it."""
    for name in module.__all__:
        declaration = getattr(getattr(module, name), "declaration", None)
        for entry in declaration.entries if declaration is not None else ():
            for step in entry.steps:
                _ = step.region.address  # compiles, or loads what another process has compiled


def _imported(path: Path, identity: str) -> ModuleType:
    """The module under a name of its own, so that two versions do not meet; once in a process."""
    name = f"{path.stem}_{identity[:16]}"
    with _importing:
        if name in sys.modules:
            return sys.modules[name]
        found = importlib.util.spec_from_file_location(name, path)
        if found is None or found.loader is None:
            raise ImportError(f"{path} cannot be imported")
        module = importlib.util.module_from_spec(found)
        sys.modules[name] = module
        try:
            found.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
        return module


# --- looking at a spec ------------------------------------------------------------------------------------------------


def check(spec: str | Path) -> list[Diagnostic]:
    """Everything that is wrong with the spec; raises `CompileError` only if it cannot be read."""
    from dlc.compiler import compilation

    return compilation.problems(sources.read(spec))


def verify(
    spec: str | Path,
    points: int = 20,
    seed: int = 0,
    sizes: Mapping[str, int] | None = None,
    hyper: Mapping[str, Number] | None = None,
) -> list[Verdict]:
    """A verdict on every claim (`check a == b`) of a spec, or of all specs below a folder; raises `CompileError`.

    A claim is proved, or tested at random `points` (float64, drawn from `seed`), or it failed, and then `failure` is a
    diagnostic with a counterexample. `sizes` and `hyper` fix index sets and hyper-parameters.
    """
    options = Options.of("float64", sizes, None, hyper)
    found = sources.below(spec)
    check_names(found, options)
    return [verdict for one in found for group in verdicts(one, options, points, seed) for verdict in group]


def verdicts(spec: Spec, options: Options, points: int, seed: int) -> Iterator[list[Verdict]]:
    """The verdicts on the claims of a spec, those of one definition at a time."""
    from dlc.compiler import compilation

    return compilation.verdicts(spec, options, points, seed)


def check_names(specs: Iterable[Spec], options: Options) -> None:
    """Every name given a value is known to one of the specs; raises `CompileError` (DL914, DL915)."""
    from dlc.compiler import compilation
    from dlc.compiler.options import UnknownHyper, UnknownSize

    if not options.sizes and not options.hyper:
        return
    sets: set[str] = set()
    hypers: set[str] = set()
    for spec in specs:
        of_sets, of_hypers = compilation.names(spec)
        sets |= of_sets
        hypers |= of_hypers
    problems: list[Diagnostic] = [UnknownSize(None, n, tuple(sorted(sets))) for n in options.sizes if n not in sets]
    problems += [UnknownHyper(None, n, tuple(sorted(hypers))) for n in options.hyper if n not in hypers]
    if problems:
        raise CompileError(problems)


def pass_names(checkpoint: bool = False) -> tuple[str, ...]:
    """Every stage that `trace_passes` gives, in order."""
    from dlc.compiler import pipeline

    if not checkpoint:
        return pipeline.STAGES
    place = pipeline.STAGES.index(pipeline.LOWER)
    return (*pipeline.STAGES[:place], pipeline.CHECKPOINT, *pipeline.STAGES[place:])


def trace_passes(spec: str | Path, stop_after: str | None = None, **options: Any) -> Iterator[tuple[str, str]]:
    """The program as text after every pass, up to `stop_after`; of several definitions, one after the other."""
    from dlc.compiler import listing

    return listing.passes(sources.read(spec), Options.of(**options), stop_after)


def print_stages(spec: str | Path, stage: str, **options: Any) -> str:
    """The spec at a stage: `ast`, `sums`, `graph`, `grad`, `loops` or `python`."""
    from dlc.compiler import listing

    return listing.stage(sources.read(spec), stage, Options.of(**options))


def gradient_text(spec: str | Path, of: str, wrt: str, order: int = 1, compressed: bool = False, **options: Any) -> str:
    """The derivative of one tensor of a definition with respect to another, as equations of the language.

    `compressed`: of a derivative that is zero off a diagonal, the diagonal.
    """
    from dlc.compiler import listing
    from dlc.compiler.derivative import Wanted

    return listing.derivative(sources.read(spec), Wanted(of, wrt, order, compressed), Options.of(**options))
