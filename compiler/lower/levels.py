"""Kernels in the order in which they run, and which of them a new equation may join."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from dlc.compiler.ir.affine import equal
from dlc.compiler.ir.expr import Index, reads
from dlc.compiler.ir.graph import Equation, Tensor
from dlc.compiler.lower.fusion import merged, touches
from dlc.compiler.lower.kernels import Draft, Item, can_split
from dlc.compiler.lower.layouts import Packer

_MOST_EQUATIONS = 24  # in one kernel: compile time grows faster than a function's length


@dataclass
class Level:
    """The kernels that run one after the other, in every round of the loops ``over``, which set ``members``."""

    packer: Packer
    over: tuple[Index, ...] = ()
    members: frozenset[str] = frozenset()
    outer: Level | None = None
    items: list[Item] = field(default_factory=list)
    home: dict[str, int] = field(default_factory=dict)  # tensor -> number of the last item that computes a part of it

    def append(self, item: Item, computed: Iterable[str]) -> None:
        self.items.append(item)
        self.home.update(dict.fromkeys(computed, len(self.items) - 1))

    def taken(self, name: str) -> Draft:
        """The kernel that computes a tensor and nothing else, which no longer is among the others."""
        number = self.home.pop(name)
        found = self.items.pop(number)
        assert isinstance(found, Draft)
        self.home = {name: home - 1 if home > number else home for name, home in self.home.items()}
        return found

    def place(self, new: Draft) -> None:
        """Fuse the new equations into the first kernel that may hold them, or make them a kernel of their own."""
        if not self._fuse_anywhere(new):
            self.append(new, new.computes)

    def place_early(self, new: Draft) -> None:
        """Likewise, but a kernel of its own stands as early as it can: what needs it may be fused into those behind."""
        if self._fuse_anywhere(new):
            return
        ((_, equation),) = new.equations
        number = max(self._producers(equation), default=-1) + 1
        self.items.insert(number, new)
        self.home = {name: home + 1 if home >= number else home for name, home in self.home.items()}
        self.home.update(dict.fromkeys(new.computes, number))

    def _fuse_anywhere(self, new: Draft) -> bool:
        numbers = [self.candidates(tensor, equation) for tensor, equation in new.equations]
        return any(self.fuse(number, new) for number in max(numbers, key=lambda one: one.start))

    def candidates(self, tensor: Tensor, equation: Equation) -> range:
        """The numbers of the items behind all that the equation needs."""
        return range(max([*self._producers(equation), self.home.get(tensor.id, 0)], default=0), len(self.items))

    def _producers(self, equation: Equation) -> list[int]:
        return [self.home[r.tensor] for r in reads(equation.value, *equation.subscripts) if r.tensor in self.home]

    def fuse(self, number: int, new: Draft) -> bool:
        """Put the new equation into the kernel with that number, if it may hold it."""
        fused = _fused(self.items[number], new)
        if fused is not None:
            self.items[number] = fused
            self.home.update(dict.fromkeys(new.computes, number))
        return fused is not None


def _fused(item: Item, new: Draft) -> Draft | None:
    if not isinstance(item, Draft) or item.when != new.when or len(item.equations) >= _MOST_EQUATIONS:
        return None
    first, second = item.outermost, new.outermost
    if first is None or second is None:
        return None
    if not equal(first.stop, second.stop) or not touches(item.body) & (touches(new.body) | new.beside):
        return None
    loop = merged(first, second)
    if loop is None:
        return None
    fused = Draft(
        [*item.equations, *new.equations],
        (loop,),
        work=[*item.work, *new.work],
        formulas=[*item.formulas, *new.formulas],
        over=item.over,
        when=item.when,
        before=(*item.before, *new.before),
        after=(*item.after, *new.after),
        before_block=(*item.before_block, *new.before_block),
        after_block=(*item.after_block, *new.after_block),
        products={**item.products, **new.products},
        called={**item.called, **new.called},
    )
    in_pieces = fused.before or fused.after
    return fused if not in_pieces or can_split(fused) else None
