"""What a spec costs on this machine: `dlc explain` predicts, `dlc profile` measures.

The loops are those that the compiler makes of the spec; what the machine can do was measured once (`dlc.runtime.host`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from dlc.compiler import analysis, compilation, sources
from dlc.compiler.analysis.values import UnknownError, whole
from dlc.compiler.diagnostics import CompileError, Diagnostic, suggestion
from dlc.compiler.ir.loops import Program, kernels_of
from dlc.compiler.options import BadSize, Options

if TYPE_CHECKING:
    from dlc.runtime.host import Speeds, Thresholds
    from dlc.runtime.model import Model

USUAL_SIZE = 64
_OTHERS = (32, 128, 16, 256)


def explain(spec: str | Path, options: Options, sizes: Mapping[str, int] | None = None) -> list[analysis.Explanation]:
    """What every model of the spec computes, how, and how long it may take, with these `sizes` of open index sets.

    A size that is not given is assumed. Raises `CompileError` (DL928, DL929).
    """
    from dlc.compiler import driver

    options = driver.tuned(options)
    programs = [one for one in compilation.programs(sources.read(spec), options) if not one.is_optimizer]
    chosen = dict(sizes or {})
    check_sizes(programs, chosen)
    return [analysis.explained(program, setting(program, options, chosen)) for program in programs]


def profile(spec: str | Path, options: Options, sizes: Mapping[str, int] | None = None) -> list[analysis.Explanation]:
    """As `explain`, with the measured time of every kernel, on seeded inputs.

    The kernels of a recurrence run in turn, round after round, and are timed together: each is given the part that was
    predicted for it.
    """
    from dlc.compiler import driver

    predicted = explain(spec, options, sizes)
    read, options = sources.read(spec), driver.tuned(options)
    module = driver.kernels_apart(read, options)
    programs = {one.name: one for one in compilation.programs(read, options)}
    return [_profiled(one, programs[one.model], getattr(module, one.model)) for one in predicted]


def _profiled(found: analysis.Explanation, program: Program, kind: type[Model]) -> analysis.Explanation:
    from dlc.compiler.golden import drawn
    from dlc.runtime.profiling import seconds_of_regions

    declaration, sizes = kind.declaration, found.setting.sizes
    model = kind(sizes=dict(sizes))
    known = analysis.all_sizes(program, sizes, found.setting.shards)
    given = {value.name: drawn(value, known, declaration) for value in declaration.inputs}
    cotangents = {value.name: drawn(value, known, declaration) for value in declaration.cotangents}
    entries = []
    for report, entry in zip(found.entries, program.entries, strict=True):
        inputs = {**given, **cotangents} if entry.name == "vjp" else given
        groups = [tuple(kernels_of([step])) for region in entry.regions for step in region.steps]
        seconds = seconds_of_regions(model, entry.name, inputs)
        entries.append(analysis.with_measured(report, groups, *seconds))
    return replace(found, entries=tuple(entries))


def setting(program: Program, options: Options, given: Mapping[str, int]) -> analysis.Setting:
    """The sizes of a program, given or assumed, and this machine."""
    from dlc.runtime import host
    from dlc.runtime.execution import PARALLEL_WORK
    from dlc.runtime.kernels.choice import reason
    from dlc.runtime.threads import get_num_threads, shards

    found, real = host.speeds(), options.dtype
    machine = analysis.Host(
        found.flops[real], found.memory, found.memory_of_all, found.cached, host.cache_bytes(), found.fork
    )
    sizes = complete(program, given)
    assumed = tuple(name for name in sizes if name not in given)
    choose = partial(reason, 4 if real == "float32" else 8)
    threads, ways = get_num_threads(), options.ways
    return analysis.Setting(real, sizes, threads, shards(), machine, choose, PARALLEL_WORK, assumed, ways)


def tune() -> str:
    """Measure this machine, keep what was found for all compilations to come, and tell of it."""
    from dlc.runtime import host

    speeds = host.measured_speeds()
    chosen = host.measured_thresholds(speeds)
    path = host.keep(speeds, chosen)
    return f"{tuning_text(speeds, chosen)}kept in {path}\n"


def tuning() -> str:
    """What is known of this machine."""
    from dlc.runtime import host

    return tuning_text(host.known_speeds(), host.thresholds())


def tuning_text(speeds: Speeds | None, chosen: Thresholds) -> str:
    """The speeds, and by which thresholds implementations are chosen."""
    from dlc.runtime.host import DEFAULTS

    lines = ["nothing was measured yet"]
    if speeds is not None:
        lines = [f"{real}: {analysis.quantity(flops, 'FLOP/s')} by one thread" for real, flops in speeds.flops.items()]
        memory = f"memory: {analysis.quantity(speeds.memory, 'B/s')} by one thread"
        lines.append(f"{memory}, {analysis.quantity(speeds.memory_of_all, 'B/s')} by all")
        lines.append(f"a thread's cache: {analysis.quantity(speeds.cached, 'B/s')}")
        lines.append(f"{speeds.threads} threads start and join in {analysis.duration(speeds.fork)}")
    for what, number, usual in (
        ("products are loops below", chosen.loops_below, DEFAULTS.loops_below),
        ("products are BLAS's from", chosen.blas_from, DEFAULTS.blas_from),
        ("those of a large transposed factor from", chosen.blas_transposed_from, DEFAULTS.blas_transposed_from),
    ):
        number_text = f"{number:,} multiplications" if number < 1 << 60 else "no size on"
        lines.append(f"{what} {number_text} (default {usual:,})")
    work = f"{chosen.parallel_work:,} steps of work (default {DEFAULTS.parallel_work:,})"
    return "\n".join((*lines, f"threads share regions from {work}")) + "\n"


# --- sizes ------------------------------------------------------------------------------------------------------------


def check_sizes(programs: list[Program], given: Mapping[str, int]) -> None:
    """Every size is a number, and of an index set that is open in one of the programs; raises `CompileError`."""
    names = tuple(dict.fromkeys(name for program in programs for name in program.sizes))
    problems: list[Diagnostic] = [NotAnOpenSize(None, name, names) for name in given if name not in names]
    problems += [BadSize(None, name, repr(size)) for name, size in given.items() if size < 1]
    if problems:
        raise CompileError(problems)


def complete(program: Program, given: Mapping[str, int]) -> dict[str, int]:
    """A size for every open index set: the given ones, and others with which the program can run."""
    kept = {name: size for name, size in given.items() if name in program.sizes}
    broken = ""
    for candidate in _candidates(program, kept):
        broken = _broken(program, candidate)
        if not broken:
            return candidate
    raise CompileError(SizesDoNotFit(None, program.name, next(_candidates(program, kept)), broken))


def _candidates(program: Program, given: Mapping[str, int]) -> Iterator[dict[str, int]]:
    """One size for all, then rising and falling ones."""
    free = [name for name in program.sizes if name not in given]
    for size in (USUAL_SIZE, *_OTHERS) if free else (USUAL_SIZE,):
        for steps in ([1] * len(free), range(1, len(free) + 1), range(len(free), 0, -1)):
            assumed = {name: size * step for name, step in zip(free, steps, strict=True)}
            yield {name: given.get(name) or assumed[name] for name in program.sizes}


def _broken(program: Program, sizes: Mapping[str, int]) -> str:
    """The first requirement that the sizes break."""
    for requirement in program.requirements:
        try:
            if whole(requirement.value, sizes) < 0:
                return requirement.message
        except UnknownError:
            continue
    return ""


# --- what can be wrong ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class NotAnOpenSize(Diagnostic):
    """A size was given for an index set that has none to be chosen when the model runs."""

    code = "DL928"
    title = "index set that is not open"
    name: str
    candidates: tuple[str, ...]

    @property
    def message(self) -> str:
        return f"a size is given for `{self.name}`, which is no index set that inputs tell the size of"

    @property
    def help(self) -> str | None:
        known = f"those are {', '.join(self.candidates)}" if self.candidates else "the spec fixes all sizes"
        return suggestion(self.name, self.candidates) or f"{known}; -D fixes others when compiling"


@dataclass(frozen=True)
class SizesDoNotFit(Diagnostic):
    """With these sizes the model cannot run."""

    code = "DL929"
    title = "sizes that do not fit together"
    name: str
    sizes: Mapping[str, int]
    broken: str

    @property
    def message(self) -> str:
        chosen = ", ".join(f"{name} = {size}" for name, size in self.sizes.items())
        return f"`{self.name}` cannot run with {chosen}: {self.broken}"

    @property
    def help(self) -> str | None:
        return "choose sizes: --size NAME=NUMBER"
