"""A program explained, kernel by kernel: what it computes, what that costs, how it is done and why, how long it takes.

The prediction is a roofline: the time that the arithmetic takes at the host's greatest speed, or the time that the
bytes take to come and go, whichever is longer.  A buffer that lives inside one kernel, and of which one shard's part
fits into the cache, costs no memory traffic; one that a kernel writes and reads again is charged for once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from dlc.compiler.analysis.choices import Choice, Chooser, Share, choices, sharing
from dlc.compiler.analysis.counting import Count, counts, length
from dlc.compiler.analysis.formulas import formula
from dlc.compiler.analysis.values import whole
from dlc.compiler.ir.expr import Expr, Index
from dlc.compiler.ir.loops import SHARDS, Buffer, Entry, Program, Region, Repeat, Step
from dlc.compiler.ir.ways import OPEN, Ways

_BYTES = {"float32": 4, "float64": 8, "int": 8, "int32": 4, "bool": 1}


def _dtype(buffer: Buffer, real: str) -> str:
    return real if buffer.type == "real" else "int32" if buffer.is_short else buffer.type


@dataclass(frozen=True)
class Host:
    """What was measured of the machine: operations and bytes a second of one thread; bytes come from memory, which all
    threads share, or from a ``cache`` of so many bytes, of which each has its own."""

    flops: float
    memory: float
    memory_of_all: float
    cached: float
    cache: int
    fork: float  # seconds to start and join the threads

    def bandwidth(self, is_cached: bool, threads: int) -> float:
        if is_cached:
            return self.cached * threads
        return self.memory if threads == 1 else self.memory_of_all


@dataclass(frozen=True)
class Setting:
    """What the explanation holds for.  A region of less than ``parallel_work`` is run by one thread; ``assumed`` are
    sizes that nobody gave, ``ways`` the choices that the program was lowered with."""

    real: str
    sizes: Mapping[str, int]
    threads: int
    shards: int
    host: Host
    choose: Chooser
    parallel_work: int
    assumed: tuple[str, ...] = ()
    ways: Ways = OPEN


@dataclass(frozen=True)
class Row:
    """One kernel of one entry.  ``seconds`` is the prediction, ``alone`` that for one thread; what ``bound`` says takes
    that long.  What was measured is known of kernels that were run."""

    region: int
    kernel: str
    formulas: tuple[str, ...]
    runs: int
    flops: float
    flops_formula: str
    bytes_read: float
    bytes_written: float
    cached: tuple[str, ...]  # buffers that stay in the cache
    choices: tuple[Choice, ...]
    share: Share
    seconds: float
    alone: float
    bound: str
    measured: float | None = None
    measured_alone: float | None = None

    @property
    def bytes(self) -> float:
        return self.bytes_read + self.bytes_written


@dataclass(frozen=True)
class EntryReport:
    """One entry; ``forks`` is how often the threads start and join."""

    name: str
    rows: tuple[Row, ...]
    regions: int
    forks: int
    working_set: float
    seconds: float
    measured: float | None = None
    measured_alone: float | None = None

    @property
    def flops(self) -> float:
        return sum(row.flops for row in self.rows)

    @property
    def bytes(self) -> float:
        return sum(row.bytes for row in self.rows)


@dataclass(frozen=True)
class Explanation:
    model: str
    setting: Setting
    entries: tuple[EntryReport, ...]


def explained(program: Program, setting: Setting) -> Explanation:
    """The kernels of every entry, in the order in which they run."""
    found = _Explaining(program, setting)
    return Explanation(program.name, setting, tuple(map(found.entry, program.entries)))


class _Explaining:
    def __init__(self, program: Program, setting: Setting) -> None:
        self._program, self._setting = program, setting
        self._sizes = all_sizes(program, setting.sizes, setting.shards)
        real = setting.real
        self._items = {b.id: _BYTES[_dtype(b, real)] for b in program.buffers.values()}
        self._lengths = {b.id: length(b, self._sizes) * self._items[b.id] for b in program.buffers.values()}

    def entry(self, entry: Entry) -> EntryReport:
        setting = self._setting
        found = [counts(self._program, region.steps, self._sizes) for region in entry.regions]
        users = Counter(name for costs in found for count in costs.values() for name in {*count.read, *count.written})
        working_set = float(sum(self._lengths[name] for name in users))
        rows: list[Row] = []
        forks = 0
        for number, (region, costs) in enumerate(zip(entry.regions, found, strict=True)):
            shares = sharing(region, self._program, self._sizes, setting.parallel_work, setting.shards)
            forks += setting.threads > 1 and any(share.is_shared for share in shares.values())
            for kernel, count in costs.items():
                cached = tuple(name for name in count.written if self._stays_in_cache(name, users))
                is_small = working_set <= setting.host.cache
                row = self._row(number, region, kernel, count, cached, shares[kernel], is_small)
                rows.append(row)
        seconds = sum(row.seconds for row in rows) + forks * setting.host.fork
        return EntryReport(entry.name, tuple(rows), len(entry.regions), forks, working_set, seconds)

    def _row(
        self,
        number: int,
        region: Region,
        name: str,
        count: Count,
        cached: tuple[str, ...],
        share: Share,
        is_small: bool,
    ) -> Row:
        host, kernel = self._setting.host, self._program.kernels[name]
        threads = min(self._setting.threads, self._setting.shards) if share.is_shared else 1
        written = sum(n * self._items[key] for key, n in count.written.items() if key not in cached)
        read = sum(n * self._items[key] for key, n in count.read.items() if key not in count.written)
        compute = count.flops / (host.flops * threads)
        moving = (read + written) / host.bandwidth(is_small, threads)
        rounds = next(_rounds_of(region.steps, name, ()), ())
        return Row(
            number,
            name,
            kernel.formulas,
            round(count.runs),
            count.flops,
            formula(kernel, rounds),
            read,
            written,
            cached,
            choices(kernel, count, self._setting.choose, self._setting.ways),
            share,
            max(compute, moving),
            max(count.flops / host.flops, (read + written) / host.bandwidth(is_small, 1)),
            "arithmetic" if compute >= moving else "memory",
        )

    def _stays_in_cache(self, name: str, users: Mapping[str, int]) -> bool:
        """Whether only one kernel touches the buffer, and what one shard has of it is small."""
        buffer = self._program.buffers[name]
        if buffer.role != "workspace" or users[name] > 1:
            return False
        pieces = self._setting.shards if buffer.sizes and buffer.sizes[0] is SHARDS else 1
        return self._lengths[name] / pieces <= self._setting.host.cache


def with_measured(
    report: EntryReport, groups: Sequence[Sequence[str]], together: Sequence[float], alone: Sequence[float]
) -> EntryReport:
    """The entry with the times that groups of its kernels took, in order, by all threads and by one; within a group
    they are shared out as predicted."""
    rows: list[Row] = []
    waiting = list(report.rows)
    for group, by_all, by_one in zip(groups, together, alone, strict=True):
        count = len(dict.fromkeys(group))
        mine, waiting = waiting[:count], waiting[count:]
        whole = sum(row.alone for row in mine)
        for row in mine:
            share = row.alone / whole if whole else 1 / count
            rows.append(replace(row, measured=by_all * share, measured_alone=by_one * share))
    return replace(report, rows=tuple(rows), measured=sum(together), measured_alone=sum(alone))


def all_sizes(program: Program, sizes: Mapping[str, int], shards: int) -> dict[str, int]:
    """The sizes with those that follow from them, and the number of shards."""
    found = {**sizes, SHARDS.name: shards}
    for name, size in program.derived.items():
        found[name] = whole(size, found)
    return found


def _rounds_of(
    steps: Iterable[Step], kernel: str, around: tuple[tuple[Index, Expr], ...]
) -> Iterator[tuple[tuple[Index, Expr], ...]]:
    """The repetitions around a kernel, the outermost first."""
    for step in steps:
        if isinstance(step, str):
            if step == kernel:
                yield around
        else:
            inner = (*around, (step.index, step.stop)) if isinstance(step, Repeat) else around
            yield from _rounds_of(step.steps, kernel, inner)
