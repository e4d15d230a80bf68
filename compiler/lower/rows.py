"""What takes long and is needed in one loop after another is kept, a row of it, instead of computed again.

``s = sum[i] exp(x[b,i] - m)`` and then ``p[b,i] = exp(x[b,i] - m)/s`` stand in two loops over ``i``, and a loop over
``b`` stands around them: the first writes its exponentials down, and the second reads them.  The row lies in the place
of what the last of those loops stores, ``p[b]``, if nothing touches it before; else every shard has a row of its own.

The loops have equal ranges, and nothing that the expression reads is written from the first of them on.  What is
computed under a condition is kept under it, and read only where it holds.  Left out: what is cheap, which is computed
again sooner than it is read, and what repeats within one iteration (``sharing.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace

from dlc.compiler.ir.conditions import certain, conjuncts, negation
from dlc.compiler.ir.costs import is_slow
from dlc.compiler.ir.expr import Expr, Index, Op, Read, Select, free_indices, reads, walk
from dlc.compiler.ir.loops import For, If, Let, Statement, Store, Update, Var, expressions
from dlc.compiler.ir.rewriting import replaced
from dlc.compiler.lower.fusion import Body, touches, writes

Address = tuple[int, ...]  # numbers of statements, from the outermost body inwards
Row = Callable[[str, tuple[Index, ...]], tuple[str, tuple[Expr, ...]]]
"""A new buffer, named after an operator, with one element for each value of the indices: its id, and the subscripts in
front of those."""


@dataclass(frozen=True)
class _Site:
    """A statement in loops that stand next to others: ``address`` begins with the number of the outermost of them."""

    address: Address
    loops: tuple[For, ...]
    conditions: tuple[Expr, ...]
    statement: Let | Var | Update | Store

    @property
    def number(self) -> int:
        return self.address[0]

    @property
    def indices(self) -> tuple[Index, ...]:
        return tuple(loop.index for loop in self.loops)


@dataclass
class _Kept:
    """An expression of a site, computed under conditions, and the sites behind that have it too."""

    site: _Site
    node: Expr
    conditions: frozenset[Expr]
    users: list[tuple[_Site, Expr]] = field(default_factory=list)


def kept(body: Body, row: Row, names: Callable[[str], str]) -> Body:
    """The body with rows of what is slow kept between loops that stand in one and the same loop."""

    def visit(statement: Statement) -> Statement:
        if not isinstance(statement, For | If):
            return statement
        inner = tuple(map(visit, statement.body))
        return replace(statement, body=_kept_between(inner, row, names))

    return tuple(map(visit, body))


def _kept_between(body: Body, row: Row, names: Callable[[str], str]) -> Body:
    sites = [site for number, one in enumerate(body) if isinstance(one, For) for site in _sites(one, (number,))]
    if len({site.number for site in sites}) < 2:
        return body
    changes = _Changes(names)
    taken: set[str] = set()
    for one in _repeated(body, sites):
        place = _place_of_result(body, sites, one)
        if place is None or place[0] in taken:
            place = row(_label(one), one.site.indices)
            place = place[0], (*place[1], *one.site.indices)
        taken.add(place[0])
        changes.keep(one, *place)
    return changes.made(body)


def _sites(loop: For, address: Address, outer: tuple[For, ...] = (), under: tuple[Expr, ...] = ()) -> Iterator[_Site]:
    """The statements in a loop and in those inside it."""
    stack: list[tuple[Address, Statement, tuple[For, ...], tuple[Expr, ...]]] = [(address, loop, outer, under)]
    while stack:
        at, statement, loops, conditions = stack.pop()
        match statement:
            case For(body=body):
                inner = [((*at, n), one, (*loops, statement), conditions) for n, one in enumerate(body)]
                stack.extend(reversed(inner))
            case If(cond=cond, body=body):
                held = (*conditions, *conjuncts(cond))
                stack.extend(reversed([((*at, n), one, loops, held) for n, one in enumerate(body)]))
            case Let() | Var() | Update() | Store():
                yield _Site(at, loops, conditions, statement)


# -- what repeats ----------------------------------------------------------------------------------------------------


def _repeated(body: Body, sites: Sequence[_Site]) -> list[_Kept]:
    """What is computed at one site and again at sites of later loops."""
    known: dict[tuple[object, Expr], _Kept] = {}
    for site in sites:
        forms = _forms(site)
        ranges = tuple((forms.of(loop.start), forms.of(loop.stop)) for loop in site.loops)
        for node, conditions in _parts(site.statement.value, site.conditions):
            found = known.get((ranges, forms.of(node)))
            held = frozenset(map(forms.of, conditions))
            if found is None or found.site.number == site.number or not found.conditions <= held:
                continue
            if not _is_overwritten(found, site, body):
                found.users.append((site, node))
        for one, value, conditions in _certain_parts(site.statement.value, site.conditions):
            if set(site.indices) <= set(free_indices(value)):
                new = _Kept(site, value, frozenset(map(forms.of, conditions)))
                old = known.get((ranges, forms.of(one)))
                if old is None or (not old.users and _is_overwritten(old, site, body)):
                    known[ranges, forms.of(one)] = new
    return _largest(known.values())


def _largest(found: Iterable[_Kept]) -> list[_Kept]:
    """Those that are used, without uses inside of the use of a larger one."""
    used: dict[tuple[Address, Expr], _Kept] = {(site.address, node): one for one in found for site, node in one.users}
    hidden = {
        (address, part) for address, node in used for part in walk(node) if part is not node and (address, part) in used
    }
    result: dict[int, _Kept] = {}
    for (address, node), one in used.items():
        if (address, node) in hidden:
            one.users = [(site, other) for site, other in one.users if (site.address, other) != (address, node)]
    for one in used.values():
        if one.users:
            result[id(one)] = one
    return list(result.values())


def _is_overwritten(one: _Kept, site: _Site, body: Body) -> bool:
    """Whether anything that the expression reads changes on the way to the site."""
    ranges = [bound for loop in one.site.loops for bound in (loop.start, loop.stop)]
    needed = {read.tensor for read in reads(one.node, *one.site.conditions, *ranges)}
    return bool(needed & writes(body[one.site.number : site.number + 1]))


class _Forms:
    """Expressions of a site with the loops around it numbered, so that those of two sites compare."""

    def __init__(self, mapping: Mapping[Expr, Expr]) -> None:
        self._done: dict[Expr, Expr] = dict(mapping)

    def of(self, root: Expr) -> Expr:
        for node in walk(root):
            if node not in self._done:
                children = tuple(self._done[child] for child in node.children)
                self._done[node] = node if children == node.children else node.rebuild(children)
        return self._done[root]


def _forms(site: _Site) -> _Forms:
    return _Forms({index: Read(f"#{number}", (), "int") for number, index in enumerate(site.indices)})


def _parts(root: Expr, conditions: Sequence[Expr]) -> Iterator[tuple[Expr, frozenset[Expr]]]:
    """The parts of a value in which something is slow, outermost first, with the conditions that hold wherever each
    stands.
    """
    slow = slow_parts(root)
    held: dict[Expr, frozenset[Expr]] = {root: frozenset(conditions)}
    for node in reversed(list(walk(root))):  # each node after all nodes that use it
        if node in slow and node.type == "real" and not isinstance(node, Read):
            yield node, held[node]
        for child in node.children:
            here = held[node].union(_asked(node, child))
            held[child] = held[child] & here if child in held else here


def _asked(node: Expr, child: Expr) -> tuple[Expr, ...]:
    """The conditions under which a node asks for one of its children."""
    if not isinstance(node, Select) or child is node.cond or node.yes is node.no:
        return ()
    return conjuncts(node.cond if child is node.yes else negation(node.cond))


def _certain_parts(root: Expr, conditions: Sequence[Expr]) -> Iterator[tuple[Expr, Expr, tuple[Expr, ...]]]:
    """The slow parts that are computed wherever the statement is: each, what holds its value, and the conditions under
    which it does.  ``e if c else 0`` holds the value of ``e`` under ``c``.
    """
    slow = slow_parts(root)
    for node in certain(root):
        if node in slow and node.type == "real":
            yield node, node, tuple(conditions)
            if isinstance(node, Select):
                yield node.yes, node, (*conditions, *conjuncts(node.cond))


def slow_parts(root: Expr) -> Set[Expr]:
    """The nodes with a slow operator in them."""
    result: set[Expr] = set()
    for node in walk(root):
        if is_slow(node) or any(child in result for child in node.children):
            result.add(node)
    return result


# -- where it is kept ------------------------------------------------------------------------------------------------


def _label(one: _Kept) -> str:
    """What is computed at the site, and by which operator."""
    statement = one.site.statement
    name = statement.buffer if isinstance(statement, Store) else statement.name.rpartition(".v")[0] or statement.name
    operator = next(part.name for part in walk(one.node) if isinstance(part, Op) and is_slow(part))
    return f"{name}.{operator}"


def _place_of_result(body: Body, sites: Sequence[_Site], one: _Kept) -> tuple[str, tuple[Expr, ...]] | None:
    """The buffer that the last user stores into, with the subscripts at the first site, if it is free until then."""
    last = max((site for site, _ in one.users), key=lambda site: site.address)
    store = last.statement
    if not isinstance(store, Store) or last.conditions or not _is_element(store, last.indices):
        return None
    between = body[one.site.number : last.number + 1]
    if store.buffer in {name for statement in between for name in _used_whole(statement)}:
        return None
    for site in sites:
        if one.site.number <= site.number <= last.number and site is not last and not _leaves(site, last, store):
            return None
    where = dict(zip(last.indices, one.site.indices, strict=True))
    return store.buffer, tuple(where.get(s, s) if isinstance(s, Index) else s for s in store.subscripts)


def _is_element(store: Store, indices: tuple[Index, ...]) -> bool:
    """Whether another real number is stored for all values of the indices, the last of which walks through memory."""
    if store.value.type != "real" or store.subscripts[-1:] != indices[-1:] or reads(*store.subscripts):
        return False
    return all(
        index in store.subscripts and sum(index in free_indices(s) for s in store.subscripts) == 1 for index in indices
    ) and store.buffer not in {read.tensor for read in reads(store.value)}


def _leaves(site: _Site, last: _Site, store: Store) -> bool:
    """Whether another site leaves the buffer alone, or reads only what the same iteration has stored."""
    found = [read for read in reads(*expressions(site.statement)) if read.tensor == store.buffer]
    if isinstance(site.statement, Store) and site.statement.buffer == store.buffer:
        return False
    behind = site.number == last.number and site.address > last.address and site.loops == last.loops
    return not found or (behind and all(read.subscripts == store.subscripts for read in found))


def _used_whole(statement: Statement) -> Iterator[str]:
    """The buffers that are touched outside of the loops' sites: by conditions, bounds, products, and statements of the
    body itself.
    """
    match statement:
        case For(body=inner) | If(body=inner):
            yield from (read.tensor for read in reads(*expressions(statement)))
            for one in inner:
                if not isinstance(one, Let | Var | Update | Store):
                    yield from _used_whole(one)
        case _:
            yield from touches((statement,))


class _Changes:
    """Statements that take the place of others."""

    def __init__(self, names: Callable[[str], str]) -> None:
        self._names = names
        self._kept: dict[Address, list[tuple[Expr, str, tuple[Expr, ...]]]] = {}
        self._read: dict[Address, dict[Expr, Expr]] = {}

    def keep(self, one: _Kept, buffer: str, subscripts: tuple[Expr, ...]) -> None:
        self._kept.setdefault(one.site.address, []).append((one.node, buffer, subscripts))
        for site, node in one.users:
            where = dict(zip(one.site.indices, site.indices, strict=True))
            there = tuple(where.get(s, s) if isinstance(s, Index) else s for s in subscripts)
            self._read.setdefault(site.address, {})[node] = Read(buffer, there, node.type)

    def made(self, body: Body, at: Address = ()) -> Body:
        result: list[Statement] = []
        for number, statement in enumerate(body):
            here = (*at, number)
            if isinstance(statement, For | If):
                result.append(replace(statement, body=self.made(statement.body, here)))
            else:
                result.extend(self._changed(statement, here))
        return tuple(result)

    def _changed(self, statement: Statement, at: Address) -> Iterator[Statement]:
        mapping = self._read.get(at, {})
        kept = {node: (buffer, subscripts) for node, buffer, subscripts in self._kept.get(at, ())}
        if not isinstance(statement, Let | Var | Update | Store) or not (mapping or kept):
            yield statement
            return
        for node in list(walk(statement.value)):
            if node in kept:
                local = Read(self._names(kept[node][0]), (), node.type)
                yield Let(local.tensor, replaced(node, mapping))
                yield Store(*kept[node], local)
                mapping = {**mapping, node: local}
        yield replace(statement, value=replaced(statement.value, mapping))
