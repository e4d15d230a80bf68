"""Steps are counted one by one, whoever counts and whoever looks meanwhile."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from dlc.runtime.modes import Counter, Modes

THREADS, EACH = 8, 3000


@pytest.fixture
def impatient() -> Iterator[None]:
    """Threads take turns as often as they can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def test_looking_changes_nothing() -> None:
    counter = Counter(5)
    assert [counter.look(), counter.look()] == [5, 5]
    counter.advance()
    assert [counter.look(), counter.take(), counter.look(), counter.take()] == [6, 6, 7, 7]


@pytest.mark.usefixtures("impatient")
def test_every_step_of_every_thread_counts_and_none_is_taken_twice() -> None:
    counter = Counter()

    def work(_: int) -> tuple[list[int], list[int]]:
        taken, seen = [], []
        for _ in range(EACH):
            counter.advance()
            taken.append(counter.take())
            seen.append(counter.look())
        return taken, seen

    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(work, range(THREADS)))
    assert counter.look() == 2 * THREADS * EACH
    taken = [number for one, _ in found for number in one]
    assert len(set(taken)) == len(taken)
    assert all(seen == sorted(seen) for _, seen in found)


def test_a_step_is_counted_where_the_model_trains() -> None:
    modes = Modes(step=3)
    assert modes.counted() and modes.step == 4
    modes.set("train", False)
    assert not modes.counted() and modes.step == 4
    modes.set("step", 9)
    modes.set("train", None)
    assert modes.counted() and modes.state() == {"seed": 0, "step": 10, "train": None}
    assert int(modes.of_call({}, True)["#step"]) == 10 and modes.step == 11
