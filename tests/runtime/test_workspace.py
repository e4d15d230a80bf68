"""The workspace: arrays that live at once never overlap, and those that do not share their place."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dlc.runtime.workspace import ALIGNMENT, placed

_lives = st.tuples(st.integers(0, 9), st.integers(0, 9)).map(lambda life: (min(life), max(life)))


@given(st.dictionaries(st.text(min_size=1, max_size=3), st.tuples(st.integers(0, 1000), _lives), max_size=20))
def test_what_lives_at_once_lies_apart(arrays: dict[str, tuple[int, tuple[int, int]]]) -> None:
    sizes = {name: size for name, (size, _) in arrays.items()}
    lives = {name: life for name, (_, life) in arrays.items()}
    offsets, length = placed(sizes, lives)
    assert list(offsets) != [] or not arrays
    for name, offset in offsets.items():
        assert offset % ALIGNMENT == 0 and offset + sizes[name] <= length
        for other in offsets:
            meet = lives[name][0] <= lives[other][1] and lives[other][0] <= lives[name][1]
            if name != other and meet:
                assert offset + sizes[name] <= offsets[other] or offsets[other] + sizes[other] <= offset


def test_a_chain_needs_two_places() -> None:
    sizes = {f"h{n}": 6400 for n in range(20)}
    _, length = placed(sizes, {f"h{n}": (n, n + 1) for n in range(20)})
    assert length == 2 * 6400


def test_the_plan_does_not_depend_on_the_order_of_names() -> None:
    sizes = {"a": 100, "b": 100, "c": 300}
    lives = {"a": (0, 1), "b": (1, 2), "c": (2, 3)}
    backwards = dict(reversed(lives.items()))
    assert placed(sizes, lives) == (placed(sizes, backwards)[0], placed(sizes, backwards)[1])
